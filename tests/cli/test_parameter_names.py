"""Parameters that a command does not know: a warning names the nearest one."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from bambu_connector.cli.parameter_names import PARAMETER_NAMES, warnings
from bambu_connector.errors import CommandError
from bambu_connector.printago import commands
from bambu_connector.printago.commands import COMMANDS
from bambu_connector.printago.parameters import Parameters
from tests.printago.examples import EXAMPLES, Example

ALWAYS = {"tags", "printer_id"}
UNREAD = {"movement_control/home": {"axes"}}  # known, and of no consequence


class Watched(Mapping[str, Any]):
    """Parameters that note which of them are asked for."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return self._given[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)


def test_every_command_is_in_the_table_but_those_that_are_only_refused() -> None:
    assert set(PARAMETER_NAMES) == {each for each in COMMANDS if not each.startswith("camera_control/")}


@pytest.mark.parametrize("command", PARAMETER_NAMES)
def test_the_table_names_what_the_command_reads(command: str) -> None:
    asked: set[str] = set()
    for parameters in [{}, *(each.parameters for each in EXAMPLES if each.command == command)]:
        watched = Watched(parameters)
        try:
            commands._ORDERS[command](Parameters(watched))
        except CommandError:
            assert parameters == {}
        asked |= watched.asked
    assert asked | UNREAD.get(command, set()) == PARAMETER_NAMES[command] - ALWAYS


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.command)
def test_nobody_is_warned_of_what_the_contract_shows(example: Example) -> None:
    assert warnings(example.command, [*example.parameters, *ALWAYS]) == []


@pytest.mark.parametrize(
    ("command", "given", "told"),
    [
        ("movement_control/jog", "axis", "has no parameter 'axis', so it is ignored; did you mean 'axes'?"),
        ("printer_control/start_print_bbl", "bed_leveling", "did you mean 'do_bed_leveling'?"),
        ("printer_control/start_print_bbl", "URL", "did you mean 'url'?"),
        ("temperature_control/set_bed", "temp", "did you mean 'temperature'?"),
        ("movement_control/home", "xyzzy", "has no parameter 'xyzzy', so it is ignored."),
    ],
)
def test_the_nearest_known_parameter_is_named(command: str, given: str, told: str) -> None:
    (warning,) = warnings(command, [given])
    assert warning.startswith(command)
    assert warning.endswith(told)


def test_of_a_command_that_is_not_known_nothing_is_said() -> None:
    assert warnings("movement_control/fly", ["x"]) == []
