"""Commands that were seen, and the numbers of jobs."""

from pathlib import Path

import pytest

from bambu_connector.errors import ConfigError, ConnectorError
from bambu_connector.service.journal import (
    BLOCK,
    JOB_NUMBERS,
    REMEMBER_AT_LEAST,
    Importance,
    JobNumbers,
    Memory,
    ProcessJournal,
    Seen,
)

# -- commands --------------------------------------------------------------------------------------


def note(
    memory: Memory, key: str, payload: bytes = b"x", importance: Importance = Importance.COMMAND, *, now: float = 0.0
) -> Seen:
    return memory.note(key, payload, importance, now=now)


@pytest.mark.parametrize("importance", Importance)
def test_a_command_is_new_once_and_a_changed_one_is_known_too(importance: Importance) -> None:
    memory = Memory()
    assert note(memory, "a", importance=importance) is Seen.NEW
    assert note(memory, "a", importance=importance) is Seen.AGAIN
    assert note(memory, "a", b"y", importance=importance) is Seen.CHANGED
    assert [note(memory, "a", importance=each) for each in Importance] == [Seen.AGAIN] * 3
    assert note(memory, "b") is Seen.NEW


@pytest.mark.parametrize(
    ("importance", "kept"),
    [(Importance.QUESTION, 0.0), (Importance.COMMAND, 24 * 3600.0), (Importance.START, 30 * 24 * 3600.0)],
)
def test_commands_are_forgotten_after_their_time_but_never_the_newest_ten_thousand(
    importance: Importance, kept: float
) -> None:
    memory = Memory()
    for number in range(REMEMBER_AT_LEAST + 5):
        note(memory, str(number), importance=importance, now=0.0)
    assert note(memory, "0", importance=importance, now=kept) is Seen.AGAIN
    note(memory, "later", importance=importance, now=kept + 1)
    assert sum(len(table) for table in memory._tables.values()) == REMEMBER_AT_LEAST
    assert note(memory, str(REMEMBER_AT_LEAST + 4), importance=importance, now=2 * kept) is Seen.AGAIN
    assert note(memory, "0", importance=importance, now=kept + 1) is Seen.NEW


def test_many_other_commands_do_not_drive_a_start_out() -> None:
    memory = Memory()
    note(memory, "start", importance=Importance.START)
    two_days = 2 * 24 * 3600.0
    for number in range(2 * REMEMBER_AT_LEAST):
        note(memory, str(number), now=two_days)
    assert note(memory, "start", importance=Importance.START, now=two_days) is Seen.AGAIN


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
    assert journal.note_command("a", b"x", Importance.COMMAND, now=0.0) is Seen.NEW
    assert journal.note_command("a", b"x", Importance.COMMAND, now=1.0) is Seen.AGAIN
    assert journal.next_job_number() != journal.next_job_number()
