"""Redaction: what names somebody is gone, wherever it stood; all else is as it was."""

import json
import re
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bambu_connector.bambu.filament import Slot
from bambu_connector.bambu.fold import fold
from bambu_connector.bambu.models import TRAITS, Model
from bambu_connector.bambu.needles import Known
from bambu_connector.bambu.redaction import Redaction
from bambu_connector.bambu.view import View
from bambu_connector.secret import Secret
from tests.bambu.planted import found_in, planted, texts_of
from tests.bambu.reports import Fields, as_delta, h2d, p1s, tray
from tests.captures import captured

SERIAL = "01P00A123456789"
CODE = "24681357"
KNOWN = Known(
    serials=(SERIAL, "00M00A987654321"),
    hosts=("192.168.1.50", "p1s-left.home.arpa"),
    names=("Anna's printer", "P1S"),
    secrets=(Secret(CODE),),
)


def redacted(tree: Any, known: Known = KNOWN) -> Any:
    return Redaction(known, [tree]).tree(tree)


# -- by key ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("sn", SERIAL, "01P000000000001"),
        ("sn", "00600A000000013", "006000000000001"),
        ("sn", "N/A", "N/A"),
        ("sn", "", ""),
        ("ip", 838969536, 16908480),
        ("ip", 0, 0),
        ("mask", 16777215, 16777215),
        ("ip", "192.168.1.50", "192.0.2.1"),
        ("host", "printer.home", "name-1"),
        ("wifi_ssid", "Anna at home", "network-1"),
        ("mac", "AC:DE:48:00:11:22", "02:00:00:00:00:01"),
        ("subtask_name", "Gift for Otto", "name-1"),
        ("gcode_file", "/sdcard/cache/Gift for Otto.gcode.3mf", "/sdcard/cache/name-1.gcode.3mf"),
        ("gcode_file", "/data/Metadata/plate_1.gcode", "/data/Metadata/plate_1.gcode"),
        ("gcode_file", "/media/usb0/Otto/gift.3mf", "/media/usb0/name-1/name-2.3mf"),
        ("param", "Metadata/plate_2.gcode", "Metadata/plate_2.gcode"),
        ("param", "G28 \nM104 S200\n", "G28 \nM104 S200\n"),
        ("task_id", "0", "0"),
        ("task_id", "715417865", "100000001"),
        ("task_id", 715417865, 100000001),
        ("model_id", "US43316b7bee07ba", "U000000000000001"),
        ("tray_uuid", "0" * 32, "0" * 32),
        ("tag_uid", "6D0A51F7C2B34E1F", "0000000000000001"),
        ("tray_info_idx", "GFA00", "GFA00"),
        ("tray_info_idx", "P4d64437", "P0000001"),
        ("rtsp_url", "rtsps://192.168.1.50/streaming/live/1", "rtsps://192.0.2.1/streaming/live/1"),
        ("rtsp_url", "rtsps://bblp:24681357@192.168.1.50:322/live?x=1", "rtsps://192.0.2.1:322/live"),
        ("rtsp_url", "disable", "disable"),
        ("url", "https://files.example/a.3mf?sig=abc", "https://example.org/1"),
        ("url", "file:///sdcard/Otto.3mf", "file:///sdcard/name-1.3mf"),
        ("url", "ftp://Otto.gcode.3mf", "ftp://name-1.gcode.3mf"),
        ("authkey", "nOtToBeSeEn", "x0000000001"),
        ("tutk_server", "enable", "enable"),
        ("fun", "60029FD1A3FF9CB7", "60029FD1A3FF9CB7"),
        ("tray_color", "FFFFFFFF", "FFFFFFFF"),
        ("sw_ver", "01.08.01.00", "01.08.01.00"),
        ("ota_new_version_number", "10.11.12.13", "10.11.12.13"),
        ("t_utc", "1760000000000", "1760000000000"),
        ("gcode_state", "RUNNING", "RUNNING"),
    ],
)
def test_what_stands_under_a_key_is_replaced_in_its_shape(key: str, value: Any, expected: Any) -> None:
    assert redacted({key: value}) == {key: expected}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("see 10.1.2.3 now", "see 192.0.2.1 now"),
        ("01.08.01.00", "01.08.01.00"),
        ("10.1.2.3.4", "10.1.2.3.4"),
        ("fe80::1c2d", "2001:db8::1"),
        ("12:34:56", "12:34:56"),
        ("otto@home.example", "person-1@example.org"),
        ("at rtsp://10.1.2.3/live", "at rtsp://192.0.2.1/live"),
        ("6d0a51f7-c2b3-4e1f-9c3a-7788d1e2f301", "00000000-0000-0000-0000-000000000001"),
        ("ac:de:48:00:11:22", "02:00:00:00:00:01"),
        ("6D0A51F7C2B3", "000000000001"),
        ("0000000000000000", "0000000000000000"),
        ("03900A555555555", "039000000000001"),
        ("eyJhbGciOiJIUzI1NiJ9", "x0000000000000000001"),
        ("987654321", "100000001"),
        ("12345678", "12345678"),
        ("MIICdz+aB/Qw-Er9_tYuIopAsDfGh", "x0000000000000000000000000001"),
        ("a: -----BEGIN CERTIFICATE-----\nMIIC+/\n-----END CERTIFICATE-----\n", f"a: x{1:060}"),
        ("y" * 5000, "a text of 5000 characters"),
        ("chamber_light2", "chamber_light2"),
        ("HAS_SDCARD_NORMAL", "HAS_SDCARD_NORMAL"),
        ("0300-4003", "0300-4003"),
    ],
)
def test_what_looks_like_somebody_is_replaced_under_a_key_that_nobody_knows(value: str, expected: str) -> None:
    assert redacted({"new_thing": value}) == {"new_thing": expected}


@pytest.mark.parametrize(
    "value",
    [
        f"the printer {SERIAL} is busy",
        f"x{SERIAL.lower()}y",
        "at p1s-left.home.arpa:8883",
        f"code={CODE}",
        "this is anna's PRINTER",
    ],
)
@pytest.mark.parametrize("key", ["new_thing", "message", "sw_ver", "tray_sub_brands", "sequence_id"])
def test_what_the_owner_has_configured_is_replaced_wherever_it_stands(key: str, value: str) -> None:
    made = redacted({key: value})[key]
    for each in (SERIAL, CODE, "p1s-left", "anna"):
        assert each.lower() not in made.lower()


def test_what_is_configured_is_found_in_numbers_and_keys_too() -> None:
    tree = {"a": 24681357, "b": [838969536, 0xC0A80132], "c": 24681357.0, SERIAL: 1, "d": {SERIAL.lower(): "x"}}
    made = redacted(tree)
    assert made == {
        "a": 10000001,
        "b": [16908480, 16908480],
        "c": 0.0,
        "01P000000000001": 1,
        "d": {"01P000000000001": "x"},
    }


def test_what_stands_below_a_name_or_a_secret_is_one_too() -> None:
    tree = {"users": ["Otto", {"first": "Otto", "age": 7}], "auth": {"word": "sesame"}, "file": {"local": "local"}}
    assert redacted(tree) == {
        "users": ["name-1", {"first": "name-1", "age": 7}],
        "auth": {"word": "x00001"},
        "file": {"local": "local"},
    }


def test_the_keys_of_printers_stay_whatever_a_print_is_called() -> None:
    tree = {
        "subtask_name": "prepare_percent",
        "gcode_file_prepare_percent": "1",
        "new_prepare_percent": "prepare_percent",
    }
    assert redacted(tree) == {
        "subtask_name": "name-1", "gcode_file_prepare_percent": "1", "new_name-1": "name-1",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["a" * 200_000, "a1" * 100_000, "a@" * 100_000, "a." * 2000, "1:" * 2000, "-----BEGIN A-----" * 240, "://" * 1300],
)
def test_a_text_that_is_made_to_take_long_does_not(text: str) -> None:
    redacted({"new_thing": text, "message": text[:4096], "url": text[:4096], "gcode_file": text[:4096]})


def test_a_model_is_no_name() -> None:
    assert redacted({"message": "a P1S, and Bambu Lab P1S"}) == {"message": "a P1S, and Bambu Lab P1S"}


def test_one_thing_has_one_pseudonym_through_all_trees() -> None:
    version = {"info": {"module": [{"name": "ams/0", "sn": "00600A000000013", "sw_ver": "00.00.06.49"}]}}
    report = {"note": "unit 00600A000000013 is wet", "subtask_name": "Otto's gift", "file": "Otto's gift.3mf"}
    redaction = Redaction(KNOWN, [report, version])
    assert redaction.tree(report) == {
        "note": "unit 006000000000001 is wet",
        "subtask_name": "name-1",
        "file": "name-1.3mf",
    }
    assert redaction.tree(version)["info"]["module"] == [
        {"name": "ams/0", "sn": "006000000000001", "sw_ver": "00.00.06.49"}
    ]
    assert redaction.text("it prints otto's gift") == "it prints name-1"


def test_what_survives_is_told_by_its_kind_alone() -> None:
    redaction = Redaction(KNOWN)
    assert redaction.survivors(f"{SERIAL} at 192.168.1.50, {CODE}") == (
        "a secret", "a serial", "an address or the name of a host",
    )  # fmt: skip
    assert redaction.survivors("192.168.1.5, 1192.168.1.50, 01P000000000001") == ()


def test_nothing_that_was_given_is_changed() -> None:
    report = p1s(sn=SERIAL)
    before = json.dumps(report)
    redacted(report)
    assert json.dumps(report) == before


# -- properties ------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(planted())
def test_nothing_that_was_given_survives_anywhere(given_: tuple[Known, list[Fields]]) -> None:
    known, trees = given_
    redaction = Redaction(known, trees)
    made = [redaction.tree(tree) for tree in trees]
    shown = texts_of(made)
    needles = [*known.serials, *known.names, *(secret.reveal() for secret in known.secrets)]
    assert [needle for needle in needles for text in shown if found_in(text, needle)] == []
    host = known.hosts[0]
    assert [text for text in shown if re.search(rf"(?<![\d.]){re.escape(host)}(?!\.?\d)", text)] == []
    packed = IPv4Address(host).packed
    numbers = {str(int.from_bytes(packed, order)) for order in ("little", "big")}
    assert [text for text in shown if text in numbers and int(text) >> 20] == []
    assert redaction.survivors(json.dumps(made, ensure_ascii=False)) == ()


@settings(max_examples=60)
@given(
    st.sampled_from([p1s(), h2d(), p1s(subtask_name="Otto", task_id="77", net={"info": [{"ip": 838969536}]})]),
    st.lists(
        st.sampled_from(
            [
                {"mc_percent": 7, "subtask_name": "Otto", "gcode_file": "Otto.gcode.3mf"},
                {"ams": {"ams": [{"id": "0", "tray": [tray(1, tag_uid="0" * 16, tray_uuid="0" * 32)]}]}},
                {"ams": {"ams": [{"id": "0", "tray": [tray(2, "ABS", tag_uid="77AA", tray_uuid="F" * 32)]}]}},
                {"ams": {"tray_exist_bits": "3", "ams_exist_bits": "1"}},
                {"vir_slot": [tray(255, tray_info_idx="P4d64437")]},
                {"net": {"info": [{"ip": 838969536, "mask": 255}]}, "sn": SERIAL},
                {"ipcam": {"rtsp_url": "rtsps://192.168.1.50/streaming/live/1"}, "hms": [{"attr": 1, "code": 2}]},
            ]
        ),
        max_size=6,
    ),
)
def test_a_redacted_recording_folds_to_the_redacted_report(full: Fields, changes: list[Fields]) -> None:
    deltas = [as_delta(**each) for each in changes]
    redaction = Redaction(KNOWN, [full, *deltas])
    plain, hidden = fold(None, full), fold(None, redaction.tree(full))
    for delta in deltas:
        plain, hidden = fold(plain, delta), fold(hidden, redaction.tree(delta))
    assert hidden == redaction.tree(plain)
    assert plain is not None
    assert hidden is not None
    assert seen(plain) == seen(hidden)


# -- what is seen of it ----------------------------------------------------------------------------


def without_identity(slot: Slot) -> Slot:
    official = slot.info if (slot.info or "").startswith("GF") else None
    return replace(slot, tag_id=None, info=official)


def seen(report: Fields, model: Model = Model.P1S) -> Fields:
    """Return what is read from a report, apart from what names somebody."""
    view = View(report, TRAITS[model])
    told = {
        name: getattr(view, name)
        for name in dir(View)
        if not name.startswith("_") and name not in ("report", "traits", "identity", "ams", "external")
        and not callable(getattr(View, name))
    }  # fmt: skip
    told["ams"] = [replace(unit, slots=tuple(map(without_identity, unit.slots))) for unit in view.ams]
    told["external"] = [without_identity(slot) for slot in view.external]
    told["tags"] = [slot.tag_id is not None for unit in view.ams for slot in unit.slots]
    told["identity"] = [
        value is not None for value in (view.identity.subtask_id, view.identity.task_id, view.identity.name)
    ]
    told["fans"] = [view.fan(name) for name in ("part", "aux", "chamber", "heatbreak")]
    told["lights"] = [view.light(name) for name in ("chamber_light", "work_light")]
    return told


def test_reports_of_real_printers_read_the_same_and_name_nobody() -> None:
    for name, report in captured().items():
        redaction = Redaction(KNOWN, [report])
        made = redaction.tree(report)
        model = next((model for model in Model if name.startswith(model.name)), Model.P1S)
        assert seen(made, model) == seen(report, model), name
        assert differently_shaped(report, made) == [], name
        gone = [text for text in identities(report) if text in json.dumps(made, ensure_ascii=False)]
        assert gone == [], name


def differently_shaped(one: Any, other: Any) -> list[Any]:
    """Return what has become something of another type or format."""
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return [one.keys() ^ other.keys()]
        return [found for key, value in one.items() for found in differently_shaped(value, other[key])]
    if isinstance(one, list) and isinstance(other, list):
        return [found for pair in zip(one, other, strict=True) for found in differently_shaped(*pair)]
    if isinstance(one, str) and isinstance(other, str):
        fits = len(one) == len(other) and is_hexadecimal(other) if is_hexadecimal(one) else bool(one) == bool(other)
    else:
        fits = type(one) is type(other)
    return [] if fits else [(one, other)]


def is_hexadecimal(text: str) -> bool:
    return re.fullmatch(r"[0-9A-F]+|[0-9a-f]+", text) is not None


def identities(tree: Any, key: str = "") -> list[str]:
    """Return what names somebody in a real report, by its keys."""
    match tree:
        case dict():
            return [text for each, value in tree.items() for text in identities(value, each)]
        case list():
            return [text for value in tree for text in identities(value, key)]
        case _:
            pass
    wanted = ("sn", "tag_uid", "tray_uuid", "subtask_name", "design_id", "model_id", "task_id", "project_id", "ip")
    return [str(tree)] if key in wanted and len(str(tree).strip("0*")) > 5 else []
