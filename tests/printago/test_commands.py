"""What Printago sends: every row of the contract's command tables, in both forms, and everything that is no command."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bambu_connector.printago import orders
from bambu_connector.printago.commands import COMMANDS, MAX_PAYLOAD_BYTES, Command, Refusal, parse_command
from bambu_connector.printago.orders import Checksum, SlotRef, StartOptions
from bambu_connector.secret import Secret
from tests.bambu.reports import JSON_VALUES
from tests.printago.examples import (
    BY_COMMAND,
    EXAMPLES,
    MD5,
    ORDERS,
    TOKEN,
    URL,
    Example,
    Fields,
    accepted,
    message,
    refused,
)
from tests.printago.mistakes import MISTAKES

WHEN: Final = datetime(2026, 11, 22, 18, 20, 0, 123000, tzinfo=UTC)
EPOCH: Final = WHEN.timestamp()
every_command = pytest.mark.parametrize("each", EXAMPLES, ids=lambda each: each.command)
every_order = pytest.mark.parametrize("each", ORDERS, ids=lambda each: each.command)


def read(command: str, parameters: object = None) -> orders.Order:
    return accepted(message(command, parameters)).order


# -- the tables ------------------------------------------------------------------------------------


def test_the_commands_are_those_of_the_contract() -> None:
    assert set(BY_COMMAND) == COMMANDS
    assert len(BY_COMMAND) == len(EXAMPLES)


@every_order
def test_a_command_is_read_as_its_row_says(each: Example) -> None:
    assert read(each.command, each.parameters) == each.order


@every_command
def test_the_header_says_what_was_asked_for(each: Example) -> None:
    header = accepted(message(each.command, each.parameters, command_id="c-1", printer_id="left")).header
    assert (header.command, header.action) == (each.command, each.command.partition("/")[2])
    assert (header.command_id, header.printer) == ("c-1", "left")


@every_command
def test_the_former_desktop_clients_form_means_the_same(each: Example) -> None:
    kind, _, action = each.command.partition("/")
    body = {"command": kind, "action": action, "parameters": {**each.parameters, "printer_id": "left"}}
    former = accepted(json.dumps(body).encode())
    assert former.order == accepted(message(each.command, each.parameters)).order
    assert (former.header.command, former.header.printer) == (each.command, "left")


def as_text(value: Any) -> Any:
    """The same with every number, however deep, as text."""
    if isinstance(value, dict):
        return {key: as_text(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_text(inner) for inner in value]
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


@every_command
def test_numbers_may_come_as_text(each: Example) -> None:
    texts = accepted(message(each.command, as_text(each.parameters)))
    assert texts.order == accepted(message(each.command, each.parameters)).order


@every_command
def test_unknown_parameters_are_ignored(each: Example) -> None:
    more = {**each.parameters, "mood": "good", "nested": {"temperature": "NaN"}, "sequence_id": [1]}
    assert accepted(message(each.command, more)).order == accepted(message(each.command, each.parameters)).order


@every_order
def test_a_parameter_that_is_null_counts_as_absent(each: Example) -> None:
    optional = {key: value if key in each.required else None for key, value in each.parameters.items()}
    fewer = {key: value for key, value in each.parameters.items() if key in each.required}
    one, other = parse_command(message(each.command, optional)), parse_command(message(each.command, fewer))
    assert type(one) is type(other)
    if isinstance(one, Command) and isinstance(other, Command):
        assert one.order == other.order


@pytest.mark.parametrize(("each", "key"), [(each, key) for each in EXAMPLES for key in each.required])
@pytest.mark.parametrize("left", ["out", None], ids=["absent", "null"])
def test_a_required_parameter_that_is_missing_is_named(each: Example, key: str, left: object) -> None:
    parameters = {name: value for name, value in each.parameters.items() if name != key}
    if left is None:
        parameters[key] = None
    assert key in str(refused(message(each.command, parameters), "invalid_parameters").error)


# -- defaults --------------------------------------------------------------------------------------

DEFAULTS: Final[dict[str, tuple[Fields, orders.Order]]] = {
    "printer_control/start_print_bbl": ({"url": URL}, orders.StartPrintBbl(url=Secret(URL))),
    "printer_control/download_gcode": ({"url": URL}, orders.DownloadGcode(url=Secret(URL))),
    "printer_control/start_print": ({"file_name": "a.gcode"}, orders.StartPrint(file_name="a.gcode")),
    "temperature_control/set_hotend": ({"temperature": 0}, orders.SetHotend(0, 0)),
    "movement_control/jog": ({"axes": {"z": 0.1}}, orders.Jog({"z": 0.1}, relative=True, speed=3000)),
    "movement_control/extrude": ({"amount": 10}, orders.Extrude(10, 900, 0)),
    "filament_control/load": ({"ams_id": 0, "slot_id": 0}, orders.LoadFilament(SlotRef(0, 0), None, 0)),
    "filament_control/unload": ({}, orders.UnloadFilament(None, 0)),
    "printer_control/list_files": ({}, orders.ListFiles("/")),
}


@pytest.mark.parametrize("command", DEFAULTS)
def test_what_is_not_said_has_the_contracts_default(command: str) -> None:
    parameters, order = DEFAULTS[command]
    assert read(command, parameters) == order


def test_a_start_without_options_leaves_them_to_the_defaults() -> None:
    order = read("printer_control/start_print", {"file_name": "a.gcode.3mf"})
    assert isinstance(order, orders.StartPrint)
    assert order.options == StartOptions()


# -- values ----------------------------------------------------------------------------------------

MISTAKEN = [
    pytest.param(command, key, value, id=f"{command}-{key}-{value!r:.20}")
    for command, keys in MISTAKES.items()
    for key, values in keys.items()
    for value in values
]


@pytest.mark.parametrize(("command", "key", "value"), MISTAKEN)
def test_a_bad_value_is_refused_by_the_name_of_its_key(command: str, key: str, value: object) -> None:
    parameters = {**BY_COMMAND[command].parameters, key: value}
    if key == "sha256":
        parameters.pop("md5", None)
    sentence = str(refused(message(command, parameters), "invalid_parameters").error)
    assert re.search(rf"\b{key}\b", sentence), sentence


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_bare_nan_or_infinity_is_no_json(number: str) -> None:
    raw = b'{"type":"temperature_control","action":"set_bed","parameters":{"temperature":%s}}' % number.encode()
    refused(raw, "invalid_message")


def test_a_number_beyond_every_float_is_not_taken() -> None:
    raw = b'{"type":"temperature_control","action":"set_bed","parameters":{"temperature":1e999}}'
    assert isinstance(parse_command(raw), Refusal)


def test_calibrating_nothing_is_refused() -> None:
    refused(message("printer_control/calibrate", {"bed_level": False}), "invalid_parameters")
    refused(message("printer_control/calibrate"), "invalid_parameters")


@pytest.mark.parametrize(
    ("spelling", "kind"),
    [
        ("auto", "auto"),
        ("Auto", "auto"),
        ("Textured PEI Plate", "textured_plate"),
        ("textured_pei", "textured_plate"),
        ("textured_plate", "textured_plate"),
        ("Cool Plate", "cool_plate"),
        ("cool_plate", "cool_plate"),
        ("Engineering Plate", "eng_plate"),
        ("eng_plate", "eng_plate"),
        ("High Temp Plate", "hot_plate"),
        ("Smooth PEI Plate", "hot_plate"),
        ("hot_plate", "hot_plate"),
        ("supertack_plate", "supertack_plate"),
        ("Supertack Plate", "supertack_plate"),
    ],
)
def test_printagos_spellings_of_a_plate_are_understood(spelling: str, kind: str) -> None:
    order = read("printer_control/start_print", {"file_name": "a.gcode.3mf", "bed_type": spelling})
    assert isinstance(order, orders.StartPrint)
    assert order.options.bed_type == kind


@pytest.mark.parametrize(
    ("level", "number"),
    [
        (1, 1),
        ("1", 1),
        ("silent", 1),
        (2, 2),
        ("standard", 2),
        (3, 3),
        ("Sport", 3),
        (4, 4),
        ("4", 4),
        ("ludicrous", 4),
        (2.0, 2),
    ],
)
def test_a_speed_is_a_level_or_its_name(level: object, number: int) -> None:
    assert read("speed_control/set_speed", {"level": level}) == orders.SetSpeed(number)


@pytest.mark.parametrize(
    "parameters", [{"slot_id": 254}, {"ams_id": 254, "slot_id": 0}, {"ams_id": 255, "slot_id": 254}]
)
def test_slot_254_is_the_external_spool(parameters: Fields) -> None:
    assert read("filament_control/load", parameters) == orders.LoadFilament(SlotRef(254, 254))


@pytest.mark.parametrize(("color", "stored"), [("#FF0000", "FF0000FF"), ("00ff0080", "00FF0080")])
def test_a_colour_without_alpha_is_opaque(color: str, stored: str) -> None:
    parameters = {**BY_COMMAND["filament_control/set_slot"].parameters, "color": color}
    order = read("filament_control/set_slot", parameters)
    assert isinstance(order, orders.SetSlot)
    assert order.color == stored


@pytest.mark.parametrize("axes", [{"X": 1}, {"x": 1}, {"x": "1"}, {"x": "1.0"}])
def test_an_axis_may_be_written_in_either_case(axes: Fields) -> None:
    assert read("movement_control/jog", {"axes": axes}) == orders.Jog({"x": 1.0})


@pytest.mark.parametrize("checksum", [{"md5": MD5.upper()}, {"md5": MD5}])
def test_a_checksum_may_be_written_in_either_case(checksum: Fields) -> None:
    order = read("printer_control/download_gcode", {"url": URL, **checksum})
    assert isinstance(order, orders.DownloadGcode)
    assert order.checksum == Checksum("md5", MD5)


@pytest.mark.parametrize(
    ("folder", "read_as"), [("", "/"), ("/", "/"), ("cache", "/cache"), ("/timelapse/", "/timelapse")]
)
def test_a_folder_is_named_from_the_root(folder: str, read_as: str) -> None:
    assert read("printer_control/list_files", {"folder": folder}) == orders.ListFiles(read_as)


# -- the message around ----------------------------------------------------------------------------


NO_COMMANDS: Final = (
    b"", b"home", b"NaN", b"null", b"[]", b'"home"', b"7", b"{", b'{"type":', b"{}", b"\xff\xfe", b'{"type":"\xff"}',
    b"[" * 100_000, b'{"a":' * 5000, b"\x00", b"{}{}",
)  # fmt: skip


@pytest.mark.parametrize("raw", NO_COMMANDS, ids=lambda raw: repr(raw[:12]))
def test_what_is_no_command_is_an_invalid_message(raw: bytes) -> None:
    refused(raw, "invalid_message")


GOOD: Final[Fields] = {"type": "movement_control", "action": "home", "parameters": {}}


@pytest.mark.parametrize("key", GOOD)
def test_type_action_and_parameters_are_required(key: str) -> None:
    refused(json.dumps({name: value for name, value in GOOD.items() if name != key}).encode(), "invalid_message")


@pytest.mark.parametrize("key", ["type", "action"])
@pytest.mark.parametrize("value", [None, 7, True, [], {}])
def test_type_and_action_must_be_text(key: str, value: object) -> None:
    refused(json.dumps(GOOD | {key: value}).encode(), "invalid_message")


@pytest.mark.parametrize("parameters", [None, {}])
def test_parameters_may_be_empty_or_null(parameters: object) -> None:
    assert accepted(message("movement_control/home", parameters)).order == orders.Home()


@pytest.mark.parametrize("parameters", [[], "x", 7, True])
def test_parameters_must_be_an_object(parameters: object) -> None:
    refused(message("movement_control/home", parameters), "invalid_message")


@pytest.mark.parametrize("command", ["movement_control/fly", "flight_control/home", "/", "movement_control/HOME"])
def test_a_command_that_no_table_has_is_unknown(command: str) -> None:
    assert refused(message(command), "unknown_command").header.command == command


def test_a_payload_is_at_most_256_kib() -> None:
    assert MAX_PAYLOAD_BYTES == 256 * 1024
    room = MAX_PAYLOAD_BYTES - len(message(parameters={"pad": ""}))
    assert len(message(parameters={"pad": "x" * room})) == MAX_PAYLOAD_BYTES
    accepted(message(parameters={"pad": "x" * room}))
    refused(message(parameters={"pad": "x" * (room + 1)}), "invalid_message")


@pytest.mark.parametrize("identifier", ["c-1", "x" * 128, 7, -1, 1.5, 2**53])
def test_a_command_id_is_echoed_as_it_came(identifier: object) -> None:
    found = accepted(message(command_id=identifier)).header.command_id
    assert (found, type(found)) == (identifier, type(identifier))


def test_a_command_id_that_is_null_is_none() -> None:
    assert accepted(message(command_id=None)).header.command_id is None


@pytest.mark.parametrize("identifier", ["x" * 129, True, False, [], ["c"], {}])
def test_a_command_id_that_is_none_is_refused_and_not_echoed(identifier: object) -> None:
    refusal = refused(message(command_id=identifier), "invalid_message")
    assert refusal.header.command_id is None
    assert "command_id" in str(refusal.error)


@pytest.mark.parametrize("printer", [["left", "right"], {}, 7, True, ""])
def test_one_command_names_one_printer(printer: object) -> None:
    assert "printer_id" in str(refused(message(printer_id=printer), "invalid_message").error)


@pytest.mark.parametrize("printer", [["left", "right"], {}, 7, True])
def test_one_command_names_one_printer_in_its_parameters_too(printer: object) -> None:
    refused(message("movement_control/home", {"printer_id": printer}), "invalid_message")


def test_the_printer_of_the_message_comes_before_that_of_the_parameters() -> None:
    assert accepted(message(parameters={"printer_id": "right"}, printer_id="left")).header.printer == "left"


def test_a_command_need_not_name_a_printer() -> None:
    assert accepted(message()).header.printer is None


def test_tags_are_kept_for_the_answer() -> None:
    tags = ["a", {"b": 1}]
    assert accepted(message("movement_control/jog", {"axes": {"x": 1}, "tags": tags})).header.tags == tags


def test_a_refusal_keeps_what_the_answer_needs() -> None:
    payload = message("temperature_control/set_bed", {"tags": [1]}, command_id=7, printer_id="left", timestamp=EPOCH)
    header = refused(payload, "invalid_parameters").header
    assert (header.command, header.action) == ("temperature_control/set_bed", "set_bed")
    assert (header.command_id, header.printer, header.tags) == (7, "left", [1])


# -- times -----------------------------------------------------------------------------------------

TIMES: Final[dict[str, object]] = {
    "ISO 8601 with Z": "2026-11-22T18:20:00.123Z",
    "ISO 8601 without offset": "2026-11-22T18:20:00.123",
    "ISO 8601 with an offset": "2026-11-22T19:50:00.123+01:30",
    "ISO 8601 with a blank": "2026-11-22 18:20:00.123Z",
    "epoch seconds": EPOCH,
    "epoch milliseconds": round(EPOCH * 1000),
    "epoch seconds as text": str(EPOCH),
    "epoch milliseconds as text": str(round(EPOCH * 1000)),
}


def timed(key: str, value: object) -> bytes:
    return json.dumps(GOOD | {key: value}).encode()


@pytest.mark.parametrize("key", ["timestamp", "expires_at"])
@pytest.mark.parametrize("form", TIMES)
def test_a_time_may_come_in_every_form(key: str, form: str) -> None:
    header = accepted(timed(key, TIMES[form])).header
    assert getattr(header, key) == pytest.approx(EPOCH, abs=1e-3)


@pytest.mark.parametrize("key", ["timestamp", "expires_at"])
@pytest.mark.parametrize("value", ["yesterday", "", "NaN", "Infinity", "2026-13-01T00:00:00Z", True, [], {}, "18:20"])
def test_a_time_that_cannot_be_read_is_an_invalid_message(key: str, value: object) -> None:
    assert key in str(refused(timed(key, value), "invalid_message").error)


def test_a_command_without_times_has_none() -> None:
    header = accepted(message(timestamp=None)).header
    assert (header.timestamp, header.expires_at) == (None, None)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_every_iso_time_is_read_as_its_moment(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=UTC)
    shifted = aware + timedelta(minutes=minutes)
    sign = "-" if minutes < 0 else "+"
    offset = f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    header = accepted(message(timestamp=shifted.replace(tzinfo=None).isoformat() + offset)).header
    assert header.timestamp == pytest.approx(aware.timestamp(), abs=1e-3)


# -- secrets ---------------------------------------------------------------------------------------


def test_the_url_is_not_in_what_is_printed_of_a_command() -> None:
    for command in ("printer_control/start_print_bbl", "printer_control/download_gcode"):
        parsed = accepted(message(command, {"url": URL}))
        assert TOKEN not in repr(parsed) + str(parsed)
        assert isinstance(parsed.order, orders.StartPrintBbl | orders.DownloadGcode)
        assert parsed.order.url.reveal() == URL


@pytest.mark.parametrize(
    "broken",
    [
        {"url": f"ftp://files.example.org/?{TOKEN}"},
        {"url": f"https://files.example.org/\n?{TOKEN}"},
        {"url": f"https://[bad/?{TOKEN}"},
        {"url": [URL]},
        {"url": URL, "plate": 0},
        {"url": URL, "md5": "short"},
        {"url": URL + "a" * 9000},
    ],
    ids=lambda broken: str(broken)[:24],
)
def test_the_url_is_not_in_a_refusal(broken: Fields) -> None:
    refusal = refused(message("printer_control/start_print_bbl", broken), "invalid_parameters")
    assert TOKEN not in repr(refusal) + str(refusal.error)


@given(st.dictionaries(st.sampled_from(sorted(MISTAKES["printer_control/start_print_bbl"])), JSON_VALUES, max_size=4))
def test_whatever_else_is_wrong_the_url_is_never_told(more: Fields) -> None:
    parsed = parse_command(message("printer_control/start_print_bbl", {**more, "url": URL}))
    assert TOKEN not in repr(parsed)
    assert isinstance(parsed, Command) or TOKEN not in str(parsed.error)


# -- total -----------------------------------------------------------------------------------------

KEYS: Final = sorted({key for each in EXAMPLES for key in each.parameters} | {"printer_id", "tags"})
ENVELOPE: Final = ("type", "command", "action", "parameters", "printer_id", "command_id", "timestamp", "expires_at")
PARTS: Final = [part for command in COMMANDS for part in command.split("/")]


@st.composite
def nearly_commands(draw: st.DrawFn) -> bytes:
    """A message with the right keys, some of whose values are anything."""
    kind, _, action = draw(st.sampled_from(sorted(COMMANDS))).partition("/")
    parameters = draw(st.none() | st.dictionaries(st.sampled_from(KEYS), JSON_VALUES, max_size=5))
    body = {"type": kind, "action": action, "parameters": parameters}
    body |= draw(st.dictionaries(st.sampled_from(ENVELOPE), JSON_VALUES, max_size=3))
    return orjson.dumps(body)


@given(st.binary(max_size=200))
@example(b'{"type":"a","action":"b","parameters":{},"command_id":' + b"9" * 5000 + b"}")
@example(b'{"type":"a","action":"b","parameters":{},"timestamp":' + b"9" * 400 + b"}")
@example(message(timestamp="0001-01-01T00:00:00+23:59"))
@example(message(timestamp="9999-12-31T23:59:59-23:59"))
def test_any_bytes_are_a_command_or_a_refusal(raw: bytes) -> None:
    assert isinstance(parse_command(raw), Command | Refusal)


@given(JSON_VALUES.map(orjson.dumps))
def test_any_json_is_a_command_or_a_refusal(raw: bytes) -> None:
    assert isinstance(parse_command(raw), Command | Refusal)


@given(nearly_commands())
def test_anything_in_the_place_of_a_value_is_a_command_or_a_refusal(raw: bytes) -> None:
    parsed = parse_command(raw)
    assert isinstance(parsed, Command) or parsed.error.code in (
        "invalid_message",
        "invalid_parameters",
        "unknown_command",
    )


@given(st.integers(0, 2**64), st.data())
def test_a_message_that_is_cut_off_is_refused(seed: int, data: st.DataObject) -> None:
    whole = message(EXAMPLES[seed % len(EXAMPLES)].command, EXAMPLES[seed % len(EXAMPLES)].parameters)
    refused(whole[: data.draw(st.integers(0, len(whole) - 1))], "invalid_message")


# -- there and back --------------------------------------------------------------------------------

NUMBERS: Final = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))


@given(st.dictionaries(st.sampled_from("xyz"), NUMBERS, min_size=1), st.booleans(), NUMBERS)
def test_every_jog_is_read_as_it_was_meant(axes: dict[str, float], relative: bool, speed: float) -> None:
    sent = {"axes": axes, "relative": relative, "speed": speed}
    for form in (sent, as_text(sent)):
        assert read("movement_control/jog", form) == orders.Jog(axes, relative, speed)


@given(
    st.builds(
        StartOptions,
        plate=st.none() | st.integers(1, 99),
        use_ams=st.none() | st.booleans(),
        ams_mapping=st.none() | st.lists(st.integers(-1, 255), max_size=8).map(tuple),
        bed_type=st.sampled_from([None, "auto", "hot_plate"]),
        do_bed_leveling=st.none() | st.booleans(),
        do_flow_cali=st.none() | st.booleans(),
        vibration_cali=st.none() | st.booleans(),
        layer_inspect=st.none() | st.booleans(),
        timelapse=st.none() | st.booleans(),
        job_id=st.none() | st.from_regex(r"[!-~]{1,40}", fullmatch=True),
    )
)
def test_every_start_is_read_as_it_was_meant(options: StartOptions) -> None:
    sent = {name: getattr(options, name) for name in StartOptions.__dataclass_fields__}
    order = read("printer_control/start_print_bbl", {"url": URL, **sent})
    assert order == orders.StartPrintBbl(url=Secret(URL), options=options)


# -- too much, and what does not belong ------------------------------------------------------------


@pytest.mark.parametrize("tags", ["x" * 20_000, ["x"] * 9_000, {"a": "x" * 20_000}])
def test_tags_that_every_answer_would_repeat_have_a_limit(tags: object) -> None:
    refusal = refused(message(parameters={"tags": tags}, command_id="7"), "invalid_message")
    assert "tags" in str(refusal.error)
    assert (refusal.header.tags, refusal.header.command_id) == (None, "7")


@pytest.mark.parametrize("name", ["x" * 129, "a\nb", "a\0b", "a\u2028b", "\u202ea"])
def test_a_printers_id_is_short_and_printable(name: str) -> None:
    refusal = refused(message(printer_id=name), "invalid_message")
    assert refusal.header.printer is None
    assert "printer_id" in str(refusal.error)
    refused(message(parameters={"printer_id": name}), "invalid_message")


@pytest.mark.parametrize("moment", [1e300, -1e300, 1e19, "1e19"])
def test_a_time_is_not_further_away_than_ages_can_be_reckoned(moment: object) -> None:
    for key in ("timestamp", "expires_at"):
        assert key in str(refused(message("movement_control/home", {}, **{key: moment}), "invalid_message").error)


@pytest.mark.parametrize(
    ("command", "meant"),
    [("movement_control/jogg", "movement_control/jog"), ("printer_control/pause", "printer_control/pause_print")],
)
def test_a_command_that_is_nearly_one_is_told_which(command: str, meant: str) -> None:
    assert f"Did you mean {meant}?" in str(refused(message(command, {}), "unknown_command").error)


def test_what_is_quoted_in_a_refusal_is_printable() -> None:
    for raw in (message("a/b\r\nPAUSE\0", {}), message("movement_control/jog", {"axes": {"x\r\nG28": 1}})):
        parsed = parse_command(raw)
        assert isinstance(parsed, Refusal)
        assert str(parsed.error).isprintable()


def test_an_axis_is_named_once() -> None:
    raw = message("movement_control/jog", {"axes": {"x": 1, "X": 2}})
    assert "axes must name each axis once" in str(refused(raw, "invalid_parameters").error)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 200_000,
        b'{"a":' * 50_000,
        b'{"type":"a","action":"b","parameters":{' + b",".join(b'"k%d":1' % n for n in range(20_000)) + b"}}",
        b'{"type":"\\ud800","action":"b","parameters":{}}',
        b'{"type":"a","type":"b","action":"c","parameters":{}}',
    ],
    ids=["deep lists", "deep objects", "many keys", "half a character", "a key twice"],
)
def test_hostile_json_is_refused(raw: bytes) -> None:
    assert isinstance(parse_command(raw), Refusal)
