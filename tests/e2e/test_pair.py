"""Pairing: one by one, chosen from what is found, many at once, and all the ways in which it fails."""

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from bambu_connector.virtual.logins import Tries
from bambu_connector.virtual.pki import Authority
from tests.e2e.bench import Workshop
from tests.e2e.cloud import Cloud, Tree
from tests.e2e.neighbourhood import Neighbour, Neighbourhood, Terminal, address, serial_of
from tests.servers.cable import Cable
from tests.servers.process import wait_until, workspace
from tests.servers.silent import SilentPeer

CSV = range(21, 31)
MISTYPED = 26
DENIED, FOREIGN, FULL, MUTE = 31, 32, 33, 34
NOBODY, WEB_SERVER = 35, 36
CHOSEN = (37, 38)
ABSENT, GOING, BROKEN_OFF = 40, 42, 43
ALONE = (39, 44)
OTHER_CODE = "86420975"
FAULTY = {FOREIGN: "foreign-certificate", FULL: "too-many-clients", MUTE: "silent", BROKEN_OFF: "silent"}


@dataclass(frozen=True)
class Town:
    """A running service with one printer that is paired, and many that are not."""

    hood: Neighbourhood
    cable: Cable
    choosing: Terminal
    mute: "Future[str]"

    def at(self, number: int) -> Neighbour:
        return self.hood.at(number)


@pytest.fixture(scope="module")
def town(workshop: Workshop) -> Iterator[Town]:
    numbers = [*CSV, DENIED, FOREIGN, FULL, MUTE, *CHOSEN, ABSENT, GOING, BROKEN_OFF]
    # Where the foreign certificate is nobody answers `login.detect`, which would give it away at once.
    options: dict[int, Tree] = {FOREIGN: {"detect_port": None, "detect_tls_port": None}}
    printers = [
        Neighbour(workshop, each, faults=[FAULTY[each]] if each in FAULTY else [], **options.get(each, {}))
        for each in numbers
    ]
    with (
        workspace() as folder,
        Cloud(folder) as cloud,
        Cable(("127.0.0.1", cloud.broker.port)) as cable,
        Neighbourhood(folder, workshop, printers, connector_id="town", cloud=cloud, cloud_port=cable.port) as hood,
    ):
        hood.keep_secret(OTHER_CODE)
        hood.start(wait_for=[])
        denied = hood.neighbours[len(CSV)]
        said = hood.pair(denied)
        assert f"{denied.name} is paired." in said
        hood.when_usable(denied)
        with Terminal(hood.service, "pair") as choosing, ThreadPoolExecutor() as pool:
            # These two take their time, and have it meanwhile.
            mute = pool.submit(hood.pair, hood.neighbours[numbers.index(MUTE)], exit_code=4)
            yield Town(hood, cable, choosing, mute)
        hood.outputs["the terminal"] = choosing.text


# -- what fails, with its own sentence -----------------------------------------------------------------


@pytest.fixture(scope="module")
def failures(town: Town, tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """What `pair` says of each printer that cannot be paired; the exit codes are checked already."""
    hood = town.hood
    wrong = {
        DENIED: (5, (town.at(DENIED).serial, "--host", town.at(DENIED).host), OTHER_CODE),
        FOREIGN: (6, (town.at(FOREIGN).serial, "--host", town.at(FOREIGN).host), town.at(FOREIGN).code),
        FULL: (4, (town.at(FULL).host,), town.at(FULL).code),
        NOBODY: (4, (address(NOBODY),), OTHER_CODE),
        WEB_SERVER: (6, (address(WEB_SERVER),), OTHER_CODE),
    }
    before = hood.registry.read_bytes()
    web_server = Authority(tmp_path_factory.mktemp("web-server")).issue("www.example.org")
    with SilentPeer(web_server, host=address(WEB_SERVER), port=8883) as peer, ThreadPoolExecutor() as pool:
        told = {
            number: pool.submit(hood.ends, exit_code, "pair", *who, "--access-code-file", hood.secret(code))
            for number, (exit_code, who, code) in wrong.items()
        }
        said = {number: each.result() for number, each in told.items()}
        assert peer.heard == b""
    assert hood.registry.read_bytes() == before
    return said


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (DENIED, "refuses the access code"),
        (FOREIGN, f"answers {serial_of(FOREIGN)[:-9]}999999999, and not {serial_of(FOREIGN)}"),
        (FULL, "too many programs are connected to the printer"),
        (NOBODY, "Is it switched on, and in the same network"),
        (WEB_SERVER, "its certificate is for www.example.org, which is no serial"),
    ],
    ids=["wrong code", "foreign certificate", "too many clients", "unreachable", "not a printer"],
)
def test_a_failure_has_a_sentence_of_its_own_and_nothing_is_stored(
    failures: dict[int, str], number: int, sentence: str
) -> None:
    assert sentence in failures[number]
    assert "is paired" not in failures[number]


def test_whose_identity_is_wrong_is_not_even_tried_with_the_code(town: Town, failures: dict[int, str]) -> None:
    assert failures
    assert town.at(FOREIGN).tries == Tries()


def test_a_printer_whose_new_code_is_refused_goes_on_with_the_old_one(town: Town, failures: dict[int, str]) -> None:
    assert failures
    hood, printer = town.hood, town.at(DENIED)
    assert printer.tries.wrong == 1
    told = hood.is_told(printer, "failed")
    hood.when_usable(printer, hood.cloud.messages.index(told))
    hood.succeed(printer, "movement_control/home")
    assert hood.listed()[printer.serial]["paired"] is True


# -- many at once ----------------------------------------------------------------------------------


def test_ten_printers_of_a_csv_are_paired_in_one_go_and_a_wrong_code_fails_alone(
    town: Town, failures: dict[int, str]
) -> None:
    assert failures
    hood, cloud = town.hood, town.hood.cloud
    steady = town.at(DENIED).virtual.connects
    since = cloud.mark()
    lines = ["address or serial,access code,name,id"]
    for number in CSV:
        each = town.at(number)
        who = each.host if number % 2 else each.serial
        code = OTHER_CODE if number == MISTYPED else each.code
        lines.append(f'{who},{code},"Shelf {number}",{each.serial}-id')
    said = hood.ends(5, "pair", "--from", hood.secret("\n".join(lines), "farm.csv"))
    assert "9 of 10 are paired." in said
    assert len(re.findall(r"line \d+: .* is paired$", said, re.MULTILINE)) == 9
    (failed,) = [line for line in said.splitlines() if "✗" in line]
    assert f"line {MISTYPED - CSV[0] + 2}: Shelf {MISTYPED}" in failed
    assert "refuses the access code" in failed

    for number in CSV:
        printer, printer_id = town.at(number), f"{town.at(number).serial}-id"
        if number == MISTYPED:
            assert (printer.tries, printer.virtual.connects) == (Tries(wrong=1), 0)
            assert cloud.heard("status", printer_id) == []
            continue
        told = cloud.hear("status", printer_id, lambda each: each.machine["connection_info"]["is_online"], since=since)
        assert told.machine["connection_info"]["dev_name"] == f"Shelf {number}"
        assert [each.data["outcome"] for each in cloud.heard("pairing", printer_id)] == ["paired"]
        # One login, and it is the session that the service has now: there never was a second one.
        assert (printer.tries, printer.virtual.connects, printer.virtual.sessions) == (Tries(right=1), 1, 1)
    assert town.at(DENIED).virtual.connects == steady
    assert cloud.availability("town") == ["connected"]
    assert hood.uplinks() == 1
    listed = hood.listed()
    assert [serial_of(each) in listed for each in CSV] == [each != MISTYPED for each in CSV]
    command = cloud.send(f"{town.at(21).serial}-id", "movement_control/home")
    assert cloud.answer(command).kind == "success"


def test_a_csv_with_a_mistake_is_refused_before_anybody_is_contacted(town: Town) -> None:
    tries = town.at(MISTYPED).tries
    good = f"{town.at(MISTYPED).host},{town.at(MISTYPED).code}"
    said = town.hood.ends(2, "pair", "--from", town.hood.secret(f"{good}\n{town.at(27).host},1234567"))
    assert ":2: the access code has only 7 digits of 8" in said
    assert town.at(MISTYPED).tries == tries


# -- chosen from what is found ----------------------------------------------------------------------


def test_several_are_chosen_from_the_list_and_only_their_codes_are_asked_for(town: Town) -> None:
    hood, terminal = town.hood, town.choosing
    printers = [town.at(each) for each in CHOSEN]
    terminal.expect("Which ones")
    table = terminal.text
    assert town.at(DENIED).serial not in table  # it is ours already
    lines = [re.search(rf"^\s*(\d+) .*{each.serial}", table, re.MULTILINE) for each in printers]
    terminal.type(f"{','.join(line[1] for line in lines if line)}\n")
    for number in range(2):
        asked = terminal.expect(r"Access code of (Neighbour \d+) .*: ?$")
        printer = next(each for each in printers if each.name == asked[1])
        if number:  # mistyped once
            terminal.type(f"{OTHER_CODE}\n")
            terminal.expect("refuses the access code")
            terminal.expect(f"Access code of {printer.name}")
        terminal.type(f"{printer.code}\n")
        terminal.expect(f"{printer.name} is paired")
    assert terminal.wait() == 0
    for printer in printers:
        hood.link(printer, is_online=True)
        assert (printer.virtual.connects, printer.virtual.sessions) == (1, 1)


def test_who_breaks_it_off_leaves_nothing_behind(town: Town) -> None:
    hood, printer = town.hood, town.at(BROKEN_OFF)
    with Terminal(hood.service, "pair", printer.host) as terminal:
        terminal.expect(f"Access code of {printer.name}")
        terminal.type(f"{printer.code}\n")
        terminal.expect("Login")
        terminal.type("\x03")
        assert terminal.wait() != 0
        assert "Traceback" not in terminal.text
    wait_until("it is let go", lambda: printer.virtual.sessions == 0)
    assert hood.is_told(printer, "failed").data["reason"] == "The pairing was broken off."
    assert printer.serial not in hood.registry.read_text()
    assert printer.virtual.connects == 1


# -- in place --------------------------------------------------------------------------------------


def test_a_new_code_and_a_new_address_are_taken_in_place(town: Town) -> None:
    hood, printer = town.hood, town.at(CHOSEN[0])
    hood.have_paired(printer)
    printer.fault("not-announced")  # so that nobody but the person can say where it is
    printer.move(41)
    printer.set_code("19283746")
    hood.keep_secret(printer.code)
    since = hood.cloud.mark()
    assert "is paired anew" in hood.pair(printer, printer.serial, "--host", printer.host)
    hood.is_told(printer, "paired", since)
    hood.when_usable(printer, since)
    assert hood.listed()[printer.serial]["host"] == address(41)
    hood.succeed(printer, "movement_control/home")
    assert printer.virtual.sessions == 1


def test_a_changed_certificate_is_trusted_only_when_a_person_says_so(town: Town) -> None:
    hood, printer = town.hood, town.at(CHOSEN[1])
    hood.have_paired(printer)
    old, since = printer.fingerprint(), hood.cloud.mark()
    printer.change_certificate()
    new, tries = printer.fingerprint(), printer.tries
    assert new != old
    hood.link(printer, since, verified=False, is_connected=False)
    assert hood.ask(printer, "movement_control/home").answer.code == "identity_mismatch"
    before = hood.stored(printer)
    said = hood.pair(printer, exit_code=6)
    assert old in said
    assert new in said
    assert hood.stored(printer) == before
    assert printer.tries == tries
    assert hood.troubles(printer) == ["identity_mismatch"]

    since = hood.cloud.mark()
    assert "is paired anew" in hood.pair(printer, "--yes")
    hood.link(printer, since, is_online=True, verified=True)
    assert hood.listed()[printer.serial]["fingerprint"] == new


def test_what_is_unpaired_is_forgotten_and_its_session_ends(town: Town) -> None:
    hood, printer = town.hood, town.at(GOING)
    hood.have_paired(printer)
    since = hood.cloud.mark()
    assert "is unpaired" in hood.ends(0, "unpair", printer.serial)
    hood.is_told(printer, "unpaired", since)
    wait_until("its session is over", lambda: printer.virtual.sessions == 0)
    wait_until("its status is cleared", lambda: hood.cloud.retained(f"bambu/{printer.id}/status") is None)
    assert printer.serial not in hood.registry.read_text()
    hood.ends(2, "status", printer.serial)


def test_printago_being_away_undoes_nothing_and_it_hears_of_it_later(town: Town) -> None:
    hood, printer = town.hood, town.at(ABSENT)
    town.cable.unplug()
    hood.cloud.until("the last will", lambda: hood.cloud.availability("town")[-1] == "disconnected")
    hood.pair(printer)
    assert hood.listed()[printer.serial]["paired"] is True
    assert hood.cloud.heard("pairing", printer.serial) == []
    town.cable.plug()
    hood.is_told(printer, "paired")
    hood.link(printer, is_online=True)
    assert printer.virtual.connects == 1


# -- without a service -----------------------------------------------------------------------------


def test_without_a_service_it_works_as_well_and_the_service_tells_of_it_when_it_starts(workshop: Workshop) -> None:
    left, right = (Neighbour(workshop, each) for each in ALONE)
    with workspace() as folder, Neighbourhood(folder, workshop, [left, right], connector_id="village") as hood:
        hood.keep_secret(OTHER_CODE)
        said = hood.pair(left, code=OTHER_CODE, exit_code=5)
        assert "refuses the access code" in said
        assert hood.json("printers") == []
        said = hood.ends(0, "pair", left.serial, "--name", "Left", "--access-code-file", "-", stdin=left.code)
        assert "Left is paired." in said
        assert (left.tries, left.virtual.sessions) == (Tries(right=1, wrong=1), 0)
        said = hood.ends(5, "pair", "--from", "-", stdin=f"{left.host};{OTHER_CODE}\n{right.host};{right.code};Right\n")
        assert "1 of 2 are paired." in said
        assert (right.tries, right.virtual.sessions) == (Tries(right=1), 0)
        hood.start()
        for printer in (left, right):
            hood.is_told(printer, "paired")
            hood.succeed(printer, "movement_control/home")


# -- at the end: it takes its time ------------------------------------------------------------------


def test_a_printer_that_lets_us_in_and_says_nothing_is_not_paired(town: Town) -> None:
    said = town.mute.result(40)
    assert "Compare the serial with the one on its screen" in said
    assert serial_of(MUTE) not in town.hood.registry.read_text()
    wait_until("it is let go", lambda: town.at(MUTE).virtual.sessions == 0)
    assert town.hood.cloud.heard("status", serial_of(MUTE)) == []
