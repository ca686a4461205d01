"""Whom a command is for, and whether it came before."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.config.tree import Printago
from bambu_connector.links.wire import Delivery
from bambu_connector.printago.messages import Message
from bambu_connector.service import records
from bambu_connector.service.desk import Desk
from bambu_connector.service.dispatcher import KEPT_S, Dispatcher
from bambu_connector.service.farm import Farm
from bambu_connector.service.journal import Journal, Seen
from bambu_connector.service.outbox import Outbox
from bambu_connector.service.store import Importance, Opening, StoreFailed
from tests.service.bench import config_of, printer_config
from tests.service.fakes import WALL_AT_ZERO, FakeClock, FakePrinter, FakeStore, FakeWires, fake_journal
from tests.simulated import run, simulated

Fields = dict[str, Any]

LEFT, RIGHT = "01P00A000000001", "01P00A000000002"
SHARED = "bambu/commands"
GONE = "bambu/removed/commands"
NAMED = "bambu/left/commands"


class Office:
    """A dispatcher with printers that are not connected: what reaches one is refused with `printer_offline`."""

    def __init__(
        self,
        state_dir: Path,
        identifiers: dict[str, str],
        *,
        exclusive: bool = True,
        store: FakeStore | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.store = store or FakeStore()
        self.answers: list[Fields] = []
        config = config_of(
            state_dir,
            [printer_config(serial, identifier) for serial, identifier in identifiers.items()],
            printago=Printago(
                host="broker.example",
                port=1883,
                tls=None,
                username=None,
                password=None,
                client_id="bench",
                exclusive=exclusive,
            ),
        )
        wires = FakeWires([FakePrinter(serial=serial) for serial in identifiers])
        self.journal = fake_journal(state_dir, self.clock, self.store)
        self.farm = Farm(config, wires, journal=self.journal, post=self.post, clock=self.clock)
        self.dispatcher: Dispatcher = self.farm.dispatcher

    def post(self, message: Message) -> None:
        """Take an answer."""
        self.answers.append(json.loads(message.payload))

    def deliver(self, topic: str, message: object, *, retain: bool = False, dup: bool = False) -> Fields | None:
        """Deliver a message; return its answer, None when there was none."""
        before = len(self.answers)
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.dispatcher.deliver(Delivery(topic, payload, 1, retain, dup, 1), self.post)
        new = self.answers[before:]
        assert len(new) <= 1
        return new[0] if new else None


def one(path: Path, **more: Any) -> Office:
    return Office(path, {LEFT: "left"}, **more)


def two(path: Path, **more: Any) -> Office:
    return Office(path, {LEFT: "left", RIGHT: "right"}, **more)


def home(**more: object) -> Fields:
    # The camera is answered at once, whatever the state of the printer.
    return {"type": "camera_control", "action": "get_providers", "parameters": {}, **more}


def check(scenario: Callable[[], None]) -> None:
    """Run with a loop, which some parts ask for the time."""

    async def on_loop() -> None:
        scenario()

    run(on_loop())


def verdict(answer: Fields | None) -> tuple[str, str] | None:
    """Return the code and who answered."""
    return None if answer is None else (answer["data"]["code"], answer["printer_id"])


TAKEN_LEFT, TAKEN_RIGHT = ("not_supported", "left"), ("not_supported", "right")


@pytest.mark.parametrize(
    ("make", "exclusive", "topic", "message", "expected"),
    [
        (one, True, SHARED, home(), TAKEN_LEFT),
        (one, True, SHARED, home(printer_id="left"), TAKEN_LEFT),
        (one, True, SHARED, home(printer_id=LEFT), TAKEN_LEFT),
        (one, True, SHARED, home(printer_id="nobody"), ("unknown_printer", "bench")),
        (one, True, NAMED, home(), TAKEN_LEFT),
        (one, True, NAMED, home(printer_id=LEFT), TAKEN_LEFT),
        (one, True, NAMED, home(printer_id="nobody"), ("invalid_message", "bench")),
        (two, True, SHARED, home(), ("invalid_message", "bench")),
        (two, True, SHARED, home(printer_id="right"), TAKEN_RIGHT),
        (two, True, SHARED, home(printer_id=RIGHT), TAKEN_RIGHT),
        (two, True, SHARED, home(parameters={"printer_id": RIGHT}), TAKEN_RIGHT),
        (two, True, SHARED, home(printer_id=["left", "right"]), ("invalid_message", "bench")),
        (two, True, NAMED, home(), TAKEN_LEFT),
        (two, True, NAMED, home(printer_id="right"), ("invalid_message", "bench")),
        (two, True, NAMED, home(printer_id=RIGHT), ("invalid_message", "bench")),
        (one, False, SHARED, home(), None),
        (one, False, SHARED, home(printer_id="nobody"), None),
        (one, False, SHARED, home(printer_id="left"), TAKEN_LEFT),
        (one, False, SHARED, b"no JSON", None),
        (one, False, NAMED, home(), TAKEN_LEFT),
        (one, False, NAMED, b"no JSON", ("invalid_message", "left")),
        (one, True, NAMED, b"no JSON", ("invalid_message", "left")),
        (one, True, GONE, home(), ("unknown_printer", "bench")),  # never the printer that is left
        (one, True, GONE, home(printer_id="left"), ("unknown_printer", "bench")),
        (one, False, GONE, home(), None),
        (two, True, SHARED, b"no JSON", ("invalid_message", "bench")),
        (two, True, SHARED, b"NaN", ("invalid_message", "bench")),
        (two, True, SHARED, b"x" * (256 * 1024 + 1), ("invalid_message", "bench")),
    ],
)
def test_a_command_finds_its_printer_or_is_refused_or_ignored(
    tmp_path: Path,
    make: Callable[..., Office],
    exclusive: bool,
    topic: str,
    message: object,
    expected: tuple[str, str] | None,
) -> None:
    check(lambda: _assert_verdict(make(tmp_path, exclusive=exclusive).deliver(topic, message), expected))


def _assert_verdict(answer: Fields | None, expected: tuple[str, str] | None) -> None:
    assert verdict(answer) == expected


def test_a_refusal_echoes_what_could_be_read(tmp_path: Path) -> None:
    def scenario() -> None:
        answer = one(tmp_path).deliver(
            NAMED, {"type": "movement_control", "action": "fly", "parameters": {"tags": ["t"]}, "command_id": "c1"}
        )
        assert answer is not None
        assert answer["type"] == "error"
        assert answer["command"] == "movement_control/fly"
        assert answer["command_id"] == "c1"
        assert answer["data"]["code"] == "unknown_command"
        assert answer["data"]["tags"] == ["t"]

    check(scenario)


def test_every_refusal_is_a_line_in_the_log_with_the_same_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def scenario() -> None:
        answer = one(tmp_path).deliver(NAMED, b"no JSON")
        assert answer is not None
        assert [each for each in caplog.messages if answer["data"]["error"] in each]

    check(scenario)


def test_a_retained_command_is_ignored_with_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def scenario() -> None:
        office = one(tmp_path)
        assert office.deliver(NAMED, home(command_id="c1"), retain=True) is None
        assert len([each for each in caplog.messages if "retained" in each]) == 1
        assert office.deliver(NAMED, home(command_id="c1")) is not None  # the real one may still come

    check(scenario)


# -- twice -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", [NAMED, SHARED])
def test_a_command_id_that_came_before_has_no_effect_and_no_second_answer(tmp_path: Path, topic: str) -> None:
    def scenario() -> None:
        office = one(tmp_path)
        assert office.deliver(NAMED, home(command_id="c1")) is not None
        assert office.deliver(topic, home(command_id="c1")) is None
        assert office.deliver(topic, home(command_id="c1"), dup=True) is None
        assert office.deliver(topic, home(command_id="c2")) is not None

    check(scenario)


def test_a_command_id_that_came_before_with_another_payload_warns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def scenario() -> None:
        office = one(tmp_path)
        assert office.deliver(NAMED, home(command_id="c1")) is not None
        assert not [each for each in caplog.messages if "another payload" in each]
        assert office.deliver(NAMED, home(command_id="c1", parameters={"a": 1})) is None
        assert len([each for each in caplog.messages if "another payload" in each]) == 1

    check(scenario)


def test_a_refused_command_is_not_answered_twice_either(tmp_path: Path) -> None:
    def scenario() -> None:
        office = one(tmp_path)
        wrong = {"type": "movement_control", "action": "jog", "parameters": {}, "command_id": "c1"}
        assert office.deliver(NAMED, wrong) is not None
        assert office.deliver(NAMED, wrong) is None

    check(scenario)


@pytest.mark.parametrize(
    ("topic", "message", "dup", "is_taken"),
    [
        (NAMED, home(), True, False),
        (NAMED, home(), False, True),
        (NAMED, home(parameters={"a": 1}), True, True),
        (SHARED, home(), True, True),
    ],
)
def test_without_an_id_only_the_brokers_mark_on_the_same_topic_and_payload_makes_it_the_same(
    tmp_path: Path, topic: str, message: Fields, dup: bool, is_taken: bool
) -> None:
    def scenario() -> None:
        office = one(tmp_path)
        assert office.deliver(NAMED, home()) is not None
        assert (office.deliver(topic, message, dup=dup) is not None) is is_taken

    check(scenario)


def test_a_repetition_whose_first_delivery_never_reached_us_is_taken(tmp_path: Path) -> None:
    check(lambda: _assert_verdict(one(tmp_path).deliver(NAMED, home(), dup=True), TAKEN_LEFT))


# -- age -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "envelope", "is_expired"),
    [
        ("movement_control/home", {"timestamp": -31}, True),
        ("movement_control/home", {"timestamp": -29}, False),
        ("temperature_control/set_bed", {"timestamp": -31}, True),
        ("fan_control/set_fan", {"timestamp": -31}, True),
        ("light_control/set_light", {"timestamp": -31}, False),
        ("light_control/set_light", {"timestamp": -901}, True),
        ("light_control/set_light", {"expires_at": -1}, True),
        ("light_control/set_light", {"expires_at": 1}, False),
        ("light_control/set_light", {"timestamp": 0, "expires_at": -1}, True),
        ("movement_control/home", {"timestamp": 3600}, False),
        ("printer_control/stop_print", {"timestamp": -9999, "expires_at": -9999}, False),
    ],
)
def test_a_command_that_is_too_old_is_expired(
    tmp_path: Path, command: str, envelope: dict[str, float], is_expired: bool
) -> None:
    parameters = {"temperature": 40, "fan": "part", "speed": 10, "light": "chamber_light", "state": "on"}
    kind, action = command.split("/")

    def scenario() -> None:
        office = one(tmp_path)
        now = office.clock.wall()
        times = {key: now + offset for key, offset in envelope.items()}
        answer = office.deliver(NAMED, {"type": kind, "action": action, "parameters": parameters, **times})
        # What is not expired waits for its turn, or for a printer that is not there.
        assert (answer is not None and answer["data"]["code"] == "expired") is is_expired

    async def on_loop() -> None:
        scenario()

    run(on_loop())


def test_a_timestamp_in_the_future_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def scenario() -> None:
        office = one(tmp_path)
        office.deliver(NAMED, home(timestamp=office.clock.wall() + 3600))
        assert [each for each in caplog.messages if "future" in each]

    check(scenario)


def test_while_this_machines_clock_is_not_set_ages_are_not_judged_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def scenario() -> None:
        office = one(tmp_path)
        office.clock.wall_ahead = -WALL_AT_ZERO
        answer = office.deliver(NAMED, home(timestamp="2020-01-01T00:00:00Z", expires_at="2020-01-01T00:00:00Z"))
        assert verdict(answer) == TAKEN_LEFT
        assert [each for each in caplog.messages if "clock is not set" in each]

    check(scenario)


@pytest.mark.parametrize(
    ("command", "importance"),
    [
        ("printer_control/start_print_bbl", Importance.START),
        ("printer_control/start_print", Importance.START),
        ("printer_control/download_gcode", Importance.COMMAND),
        ("printer_control/stop_print", Importance.COMMAND),
        ("movement_control/home", Importance.COMMAND),
        ("printer_control/get_status", Importance.QUESTION),
        ("printer_control/list_files", Importance.QUESTION),
    ],
)
def test_starts_are_remembered_longest_and_questions_shortest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, importance: Importance
) -> None:
    noted: list[Importance] = []

    def note(_journal: Journal, _key: str, _payload: bytes, importance: Importance) -> Seen:
        noted.append(importance)
        return Seen.AGAIN

    monkeypatch.setattr(Journal, "note_command", note)
    kind, action = command.split("/")

    def scenario() -> None:
        answer = one(tmp_path).deliver(NAMED, {"type": kind, "action": action, "parameters": {}, "command_id": "c1"})
        assert answer is None
        assert noted == [importance]

    check(scenario)


# -- bugs ------------------------------------------------------------------------------------------


def test_a_bug_in_taking_a_command_is_answered_and_the_next_command_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def scenario() -> None:
        office = one(tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(office.farm.units["left"].desk, "submit", lambda *_, **__: 1 / 0)
            answer = office.deliver(NAMED, home(command_id="c1"))
        assert answer is not None
        assert (answer["type"], answer["data"]["code"], answer["command_id"]) == ("error", "internal", "c1")
        assert "division" not in json.dumps(answer)
        assert "ZeroDivisionError" in caplog.text
        assert verdict(office.deliver(NAMED, home(command_id="c2"))) == TAKEN_LEFT

    check(scenario)


# -- the command line ------------------------------------------------------------------------------


def test_the_command_line_names_a_printer_by_its_id_or_its_serial(tmp_path: Path) -> None:
    def scenario() -> None:
        dispatcher = two(tmp_path).dispatcher
        assert dispatcher.resolve("left") == "left"
        assert dispatcher.resolve(RIGHT) == "right"
        assert dispatcher.resolve("nobody") is None

    check(scenario)


def test_a_command_of_the_command_line_is_never_a_repetition(tmp_path: Path) -> None:
    def scenario() -> None:
        office = one(tmp_path)
        payload = json.dumps(home(command_id="c1")).encode()
        office.dispatcher.send("left", payload, office.post)
        office.dispatcher.send("left", payload, office.post)
        assert len(office.answers) == 2

    check(scenario)


# -- what an earlier process may have done ---------------------------------------------------------

Order = tuple[str, Fields]

START: Order = ("printer_control/start_print_bbl", {"url": "https://files.example/part.3mf?signature=hidden"})
MOVE: Order = ("movement_control/home", {})
HEAT: Order = ("temperature_control/set_bed", {"temperature": 50})
STOP: Order = ("printer_control/stop_print", {})
PAUSE: Order = ("printer_control/pause_print", {})
QUESTION: Order = ("printer_control/list_files", {})


def order(command: Order, **more: object) -> Fields:
    kind, action = command[0].split("/")
    return {"type": kind, "action": action, "parameters": command[1], **more}


@pytest.mark.parametrize("opening", Opening)
@pytest.mark.parametrize("command", [START, MOVE, HEAT, STOP, PAUSE, QUESTION], ids=lambda command: command[0])
@pytest.mark.parametrize("dup", [True, False])
@pytest.mark.parametrize("late", [True, False])
@simulated
async def test_a_repeated_delivery_is_not_done_where_an_earlier_process_may_have_done_it_and_forgotten(
    tmp_path: Path, opening: Opening, command: Order, dup: bool, late: bool
) -> None:
    store = FakeStore()
    store.opening = opening
    office = one(tmp_path, store=store)
    await asyncio.sleep(KEPT_S + 1 if late else 1.0)
    office.deliver(NAMED, order(command, command_id="c1"), dup=dup)
    await asyncio.sleep(1.0)
    codes = [each["data"].get("code") for each in office.answers]  # what was taken waits, or has its answer
    remembers = opening is Opening.CLOSED or (opening is Opening.BROKEN_OFF and command is START)
    is_refused = dup and not late and not remembers and command in (START, MOVE, HEAT)
    assert (codes == ["expired"]) is is_refused


@simulated
async def test_with_a_journal_that_could_not_be_opened_a_repeated_start_is_not_done(tmp_path: Path) -> None:
    store = FakeStore()
    store.failure = StoreFailed("database is locked")
    office = one(tmp_path, store=store)
    answer = office.deliver(NAMED, order(START, command_id="c1"), dup=True)
    assert answer is not None
    assert answer["data"]["code"] in ("internal", "expired")


@simulated
async def test_a_repeated_delivery_that_was_refused_is_answered_once_and_known_from_then_on(tmp_path: Path) -> None:
    office = one(tmp_path)
    assert verdict(office.deliver(NAMED, order(MOVE, command_id="c1"), dup=True)) == ("expired", "left")
    assert office.deliver(NAMED, order(MOVE, command_id="c1"), dup=True) is None
    await office.journal.secure()
    after = one(tmp_path, store=office.store)
    assert after.deliver(NAMED, order(MOVE, command_id="c1"), dup=True) is None


# -- receipts --------------------------------------------------------------------------------------


def receipts(store: FakeStore) -> list[str]:
    """Return the receipts on disk."""
    return [key for kind, key in sorted(store.records) if kind == records.COMMAND]


@simulated
async def test_a_command_is_on_disk_without_its_secrets_until_it_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Any] = []
    monkeypatch.setattr(Desk, "submit", lambda _desk, _command, **more: taken.append(more))
    office = one(tmp_path)
    office.deliver(NAMED, order(START, command_id="c1"))
    office.deliver(NAMED, order(MOVE, command_id="c2"))
    await office.journal.secure()
    assert receipts(office.store) == [each["receipt"] for each in taken]
    assert len(office.store.commits) == 1, "a command and that it was seen belong together"
    assert not [body for body in office.store.records.values() if b"hidden" in body]


@pytest.mark.parametrize("message", [order(MOVE, command_id="c1"), order(START), home(), b"no JSON", b"{}"])
@simulated
async def test_an_answer_and_the_end_of_its_receipt_are_on_disk_at_once(
    tmp_path: Path, message: Fields | bytes
) -> None:
    office = one(tmp_path)
    box = Outbox(lambda printer_id, kind: f"{printer_id}/{kind}", office.journal)
    seen: list[tuple[int, int]] = []

    def committed() -> None:
        kinds = [kind for kind, _ in office.store.records]
        seen.append((kinds.count(records.COMMAND), kinds.count(records.MESSAGE)))

    office.store.committed = committed
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    office.dispatcher.deliver(Delivery(NAMED, payload, 1, False, False, 1), box.post)
    office.farm.units["left"].desk.clear()
    await asyncio.sleep(5)
    assert seen
    assert all(count in ((1, 0), (0, 1)) for count in seen), seen
    assert seen[-1] == (0, 1)


@simulated
async def test_what_an_earlier_process_left_without_an_answer_is_answered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = two(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Desk, "submit", lambda *_args, **_more: None)
        office.deliver(NAMED, order(MOVE, command_id="c1"))
        office.deliver(SHARED, order(HEAT, command_id=17, printer_id="right"))
        await office.journal.secure()
    assert office.answers == []
    after = two(tmp_path, store=office.store)
    after.farm.restore()
    assert [(each["data"]["code"], each["printer_id"], each["command_id"]) for each in after.answers] == [
        ("timeout", "left", "c1"),
        ("timeout", "right", 17),
    ]
    await after.journal.secure()
    assert receipts(office.store) == []
    again = two(tmp_path, store=office.store)
    again.farm.restore()
    assert again.answers == []


@simulated
async def test_a_command_for_a_printer_that_is_not_configured_any_more_is_answered_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = two(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Desk, "submit", lambda *_args, **_more: None)
        for number, command in enumerate((MOVE, START)):
            office.deliver(SHARED, order(command, command_id=number, printer_id="right"))
        await office.journal.secure()
    after = one(tmp_path, store=office.store)
    after.farm.restore()
    assert [(each["data"]["code"], each["printer_id"]) for each in after.answers] == [("timeout", "right")] * 2


@simulated
async def test_a_bug_in_taking_a_command_leaves_no_receipt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_more: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Desk, "submit", fail)
    office = one(tmp_path)
    assert verdict(office.deliver(NAMED, order(MOVE, command_id="c1"))) == ("internal", "left")
    await office.journal.secure()
    assert receipts(office.store) == []


@simulated
async def test_a_command_of_the_command_line_leaves_nothing_in_the_journal(tmp_path: Path) -> None:
    office = one(tmp_path)
    office.dispatcher.send("left", json.dumps(order(START)).encode(), office.post)
    await office.journal.secure()
    assert receipts(office.store) == []
    assert office.store.digests == {}
