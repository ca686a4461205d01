"""Choosing from what announces itself."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bambu_connector.bambu.ssdp import Announcement
from bambu_connector.cli import choosing
from bambu_connector.cli.asking import Person
from bambu_connector.cli.candidates import Candidate
from bambu_connector.cli.choosing import choose, not_paired
from bambu_connector.cli.sightings import Sightings
from bambu_connector.cli.without_config import Records
from bambu_connector.config import Config, Connector, PrinterConfig
from bambu_connector.errors import Unreachable
from bambu_connector.secret import Secret

LEFT = Announcement(serial="01P00A000000001", model_code="C12", host="192.0.2.1", name="[red]Left", connection="lan")
RIGHT = Announcement(serial="00M00A000000002", model_code="BL-P001", host="192.0.2.2")
OURS = PrinterConfig(serial=LEFT.serial, id="left", access_code=Secret("12345678"))


def records(*printers: PrinterConfig) -> Records:
    config = Config(connector=Connector("t", Path("state")), printers=printers)
    return Records(config, {}, config)


class Scripted(Person):
    """Somebody whose answers are known before."""

    def __init__(self, *choices: tuple[int, ...] | None, looks: Sequence[bool] = ()) -> None:
        super().__init__()
        self._choices: Iterator[tuple[int, ...] | None] = iter(choices)
        self._looks = iter(looks)
        self.counts: list[int] = []

    def chooses(self, count: int) -> tuple[int, ...] | None:
        self.counts.append(count)
        return next(self._choices)

    def wants_to_look_again(self) -> bool:
        return next(self._looks)


@pytest.fixture
def hears(monkeypatch: pytest.MonkeyPatch) -> list[list[Announcement]]:
    """What is heard each time that somebody listens; nothing more after that."""
    rounds: list[list[Announcement]] = []

    @contextlib.asynccontextmanager
    async def listening(hear: Callable[[Announcement], None]) -> AsyncIterator[None]:
        for each in rounds.pop(0) if rounds else []:
            hear(each)
        yield

    monkeypatch.setattr(choosing, "listening", listening)
    monkeypatch.setattr(choosing, "FIRST_LOOK_S", 0.1)
    monkeypatch.setattr(choosing, "HEARD_S", 0.4)
    monkeypatch.setattr(choosing, "_STEP_S", 0.05)
    return rounds


def test_what_has_a_code_already_is_not_offered() -> None:
    sightings = Sightings()
    sightings.hear(LEFT)
    sightings.hear(RIGHT)
    assert [row["serial"] for row in not_paired(sightings, records(OURS))] == [RIGHT.serial]
    waiting = PrinterConfig(serial=LEFT.serial, id="left", name="Mine")
    assert {row["serial"] for row in not_paired(sightings, records(waiting))} == {LEFT.serial, RIGHT.serial}


def test_several_are_chosen_by_their_numbers_in_the_table(
    hears: list[list[Announcement]], capsys: pytest.CaptureFixture[str]
) -> None:
    hears.append([RIGHT, LEFT])
    found = choose(records(), Scripted((1, 0)))
    right = Candidate(serial=RIGHT.serial, host=RIGHT.host)
    left = Candidate(serial=LEFT.serial, host=LEFT.host, name=LEFT.name, connection="lan")
    assert found == (right, left)
    table = capsys.readouterr().out
    assert "[red]Left" in table  # the name is shown as it is
    assert table.index("1 ") < table.index("[red]Left") < table.index("2 ", table.index("[red]Left"))


def test_enter_looks_again_and_keeps_what_was_found(hears: list[list[Announcement]]) -> None:
    hears += [[LEFT], [RIGHT]]
    person = Scripted(None, (0, 1))
    assert len(choose(records(), person)) == 2
    assert person.counts == [1, 2]


def test_when_nothing_is_found_it_looks_on_as_long_as_somebody_wants(
    hears: list[list[Announcement]], capsys: pytest.CaptureFixture[str]
) -> None:
    hears += [[], [LEFT]]
    assert len(choose(records(), Scripted((0,), looks=[True]))) == 1
    with pytest.raises(Unreachable, match="pair ADDRESS"):
        choose(records(), Scripted(looks=[False]))
    assert "No printer announced itself" in capsys.readouterr().err


def test_when_all_are_paired_that_is_said(hears: list[list[Announcement]], capsys: pytest.CaptureFixture[str]) -> None:
    hears += [[LEFT]]
    with pytest.raises(Unreachable):
        choose(records(OURS), Scripted(looks=[False]))
    assert "all of them are paired already" in capsys.readouterr().err


def test_a_name_of_connector_yaml_stays(hears: list[list[Announcement]]) -> None:
    hears += [[LEFT]]
    waiting = PrinterConfig(serial=LEFT.serial, id="left", name="Mine")
    assert choose(records(waiting), Scripted((0,)))[0].name is None


def test_a_printer_that_is_announced_at_two_addresses_is_told_of_before_anything_is_chosen(
    hears: list[list[Announcement]], capsys: pytest.CaptureFixture[str]
) -> None:
    hears.append([LEFT, RIGHT, replace(LEFT, host="192.0.2.66")])
    choose(records(), Scripted((0,)))
    told = capsys.readouterr().err
    assert f"{LEFT.serial} was seen at 192.0.2.1 and at 192.0.2.66" in told
    assert RIGHT.serial not in told
