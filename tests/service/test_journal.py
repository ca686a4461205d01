"""Commands that were seen, and the numbers of jobs."""

from pathlib import Path

import pytest

from bambu_connector.errors import ConfigError, ConnectorError
from bambu_connector.service.journal import (
    BLOCK,
    JOB_NUMBERS,
    REMEMBER_AT_LEAST,
    REMEMBER_S,
    REMEMBER_STARTS_S,
    JobNumbers,
    Memory,
    ProcessJournal,
    Seen,
)

# -- commands --------------------------------------------------------------------------------------


def note(memory: Memory, key: str, payload: bytes = b"x", *, is_start: bool = False, now: float = 0.0) -> Seen:
    return memory.note(key, payload, is_start=is_start, now=now)


@pytest.mark.parametrize("is_start", [False, True])
def test_a_command_is_new_once_and_a_changed_one_is_known_too(is_start: bool) -> None:
    memory = Memory()
    assert note(memory, "a", is_start=is_start) is Seen.NEW
    assert note(memory, "a", is_start=is_start) is Seen.AGAIN
    assert note(memory, "a", b"y", is_start=is_start) is Seen.CHANGED
    assert note(memory, "a", is_start=not is_start) is Seen.AGAIN
    assert note(memory, "b") is Seen.NEW


@pytest.mark.parametrize(("is_start", "kept"), [(False, REMEMBER_S), (True, REMEMBER_STARTS_S)])
def test_commands_are_forgotten_after_their_time_but_never_the_newest_ten_thousand(is_start: bool, kept: float) -> None:
    memory = Memory()
    for number in range(REMEMBER_AT_LEAST + 5):
        note(memory, str(number), is_start=is_start, now=0.0)
    note(memory, "later", is_start=is_start, now=kept - 1)
    assert note(memory, "0", is_start=is_start, now=kept) is Seen.AGAIN
    note(memory, "much later", is_start=is_start, now=kept + 1)
    assert sum(len(table) for table in memory._tables.values()) == REMEMBER_AT_LEAST
    assert note(memory, str(REMEMBER_AT_LEAST + 4), is_start=is_start, now=2 * kept) is Seen.AGAIN
    assert note(memory, "0", is_start=is_start, now=kept + 1) is Seen.NEW


def test_many_other_commands_do_not_drive_a_start_out() -> None:
    memory = Memory()
    note(memory, "start", is_start=True)
    for number in range(2 * REMEMBER_AT_LEAST):
        note(memory, str(number), now=REMEMBER_S * 2)
    assert note(memory, "start", is_start=True, now=REMEMBER_S * 2) is Seen.AGAIN


# -- numbers ---------------------------------------------------------------------------------------


def test_numbers_are_unique_across_restarts_whenever_the_process_ends(tmp_path: Path) -> None:
    given: list[int] = []
    for count in (1, BLOCK, BLOCK + 1, 3):
        numbers = JobNumbers(tmp_path / "job-number")
        given += [numbers.next() for _ in range(count)]
    assert len(set(given)) == len(given)
    assert all(0 < each < 2**31 for each in given)


def test_two_state_directories_begin_elsewhere(tmp_path: Path) -> None:
    firsts = {JobNumbers(tmp_path / str(each)).next() for each in range(5)}
    assert len(firsts) == 5


@pytest.mark.parametrize("last", [0, 1, JOB_NUMBERS - 2, JOB_NUMBERS - 1, JOB_NUMBERS, JOB_NUMBERS - BLOCK])
def test_at_the_end_of_the_numbers_they_begin_again(tmp_path: Path, last: int) -> None:
    (tmp_path / "job-number").write_text(f"{last}\n")
    numbers = JobNumbers(tmp_path / "job-number")
    given = [numbers.next() for _ in range(3 * BLOCK)]
    assert all(0 < each < 2**31 for each in given)
    assert len(set(given)) == len(given)
    assert JobNumbers(tmp_path / "job-number").next() not in given


@pytest.mark.parametrize("content", [b"", b"\0\0\0\0", b"twelve", b"-1", b"2147483648", b"\xff\xfe", b"1.5"])
def test_a_damaged_counter_is_a_clear_mistake(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "job-number"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"{path}.*Remove it"):
        ProcessJournal(tmp_path)
    assert path.read_bytes() == content


def test_a_counter_that_cannot_be_read_is_a_clear_mistake(tmp_path: Path) -> None:
    (tmp_path / "job-number").mkdir()
    with pytest.raises(ConfigError, match="Remove it"):
        ProcessJournal(tmp_path)


def test_a_counter_that_cannot_be_written_gives_no_number_and_a_sentence(tmp_path: Path) -> None:
    numbers = JobNumbers(tmp_path / "gone" / "job-number")
    with pytest.raises(ConnectorError, match="cannot be written"):
        numbers.next()


def test_the_journal_of_a_process_remembers_and_counts(tmp_path: Path) -> None:
    journal = ProcessJournal(tmp_path)
    assert journal.note_command("a", b"x", is_start=False, now=0.0) is Seen.NEW
    assert journal.note_command("a", b"x", is_start=False, now=1.0) is Seen.AGAIN
    assert journal.next_job_number() != journal.next_job_number()
