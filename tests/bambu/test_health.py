"""Codes, severities and sentences of what printers complain about."""

import pytest
from hypothesis import given

from bambu_connector.bambu.health import (
    BUSY,
    CANCELLED,
    HELP_URL,
    MAX_ENTRIES,
    SIGNING,
    SIGNING_HMS,
    START_FAILURES,
    Health,
    HealthEntry,
    Severity,
    demands_signatures,
    hms_code,
    is_filament_runout,
    print_error_code,
    read_health,
)
from tests.bambu.reports import JSON_VALUES


def hms(*entries: tuple[int, int]) -> dict[str, object]:
    return {"hms": [{"attr": attr, "code": code} for attr, code in entries]}


def only(health: Health) -> HealthEntry:
    (entry,) = (*health.errors, *health.warnings, *health.infos)
    return entry


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0x05004003, "0500-4003"),
        (83918896, "0500-8030"),
        (0x07008011, "0700-8011"),
        (-1, "FFFF-FFFF"),
        (1 << 40, "0000-0000"),
    ],
)
def test_a_print_error_is_written_as_the_printer_shows_it(value: int, code: str) -> None:
    assert print_error_code(value) == code


def test_an_hms_entry_is_written_as_the_printer_shows_it() -> None:
    assert hms_code(0x07000100, 0x00020001) == "0700-0100-0002-0001"


def test_print_error_and_hms_are_told_together() -> None:
    health = read_health(hms((0x07000100, 0x00020001)) | {"print_error": 0x07008011})
    assert [each.code for each in health.errors] == ["0700-8011", "0700-0100-0002-0001"]
    assert health.errors[0].module == health.errors[1].module == "AMS"
    assert (health.warnings, health.infos) == ((), ())


@pytest.mark.parametrize(
    ("number", "severity", "place"),
    [
        (1, Severity.FATAL, "errors"),
        (2, Severity.SERIOUS, "errors"),
        (3, Severity.COMMON, "warnings"),
        (4, Severity.INFO, "infos"),
        (0, Severity.UNKNOWN, "warnings"),
        (9, Severity.UNKNOWN, "warnings"),
    ],
)
def test_the_severity_decides_where_an_entry_stands(number: int, severity: Severity, place: str) -> None:
    health = read_health(hms((0x03000100, number << 16 | 7)))
    (entry,) = getattr(health, place)
    assert entry == only(health)
    assert (entry.code, entry.severity) == (f"0300-0100-{number:04X}-0007", severity)


@pytest.mark.parametrize(
    ("attr", "module"),
    [
        (0x03000100, "motion controller"),
        (0x05000100, "mainboard"),
        (0x07010100, "AMS"),
        (0x08000100, "tool head"),
        (0x0C000100, "camera"),
        (0x12000100, "AMS"),
        (0x18000100, "AMS"),
        (0xAB000100, "module AB"),
    ],
)
def test_the_first_byte_names_the_module(attr: int, module: str) -> None:
    entry = only(read_health(hms((attr, 0x00030001))))
    assert entry.module == module
    assert module in entry.message
    assert entry.url == HELP_URL


@pytest.mark.parametrize("value", [0x05004003, 0x05004004, 0x0500C010, 0x03008003, 0x07028011, 0x05024007, 0x12FF8012])
def test_a_print_error_is_an_error(value: int) -> None:
    assert [each.code for each in read_health({"print_error": value}).errors] == [print_error_code(value)]


@pytest.mark.parametrize(
    "value", [0x05003FFF, 0x03000001, 0x05008030, 0x03008012, 0x0500C011, *CANCELLED, 0x03008001, 0x03008013]
)
def test_phases_wishes_and_notes_are_no_errors(value: int) -> None:
    health = read_health({"print_error": value})
    assert [each.code for each in health.infos] == [print_error_code(value)]
    assert (health.errors, health.warnings) == ((), ())


@pytest.mark.parametrize("value", [0, None, "", "x", [], {}, True, 0.2])
def test_no_print_error_is_no_entry(value: object) -> None:
    assert read_health({"print_error": value}) == Health()


@pytest.mark.parametrize("value", [0x05004003, "83902467", -4211064829])
def test_a_number_may_come_as_text_or_signed(value: object) -> None:
    entry = only(read_health({"print_error": value}))
    assert (entry.code, entry.module) == ("0500-4003", "mainboard")


def test_an_entry_that_is_told_twice_is_there_once() -> None:
    assert len(read_health(hms((0x03000100, 0x00010001), (0x03000100, 0x00010001))).errors) == 1


@pytest.mark.parametrize("value", [None, "x", {}, [None, 1, "x", {}, {"attr": 1}, {"attr": "x", "code": 1}]])
def test_hms_that_cannot_be_read_says_nothing(value: object) -> None:
    assert read_health({"hms": value}) == Health()


def test_a_named_code_has_a_sentence_of_its_own() -> None:
    named = [*CANCELLED, *SIGNING, *START_FAILURES, BUSY, 0x03008001, 0x03008003, 0x07FF8011, 0x07038011]
    sentences = {value: only(read_health({"print_error": value})).message for value in named}
    assert not [value for value, sentence in sentences.items() if "help page" in sentence]
    assert "Developer Mode" in only(read_health(hms((0x05000500, 0x00010007)))).message
    assert only(read_health(hms((0x05000500, 0x00010007)))).code == SIGNING_HMS


@pytest.mark.parametrize(
    ("value", "runout"), [(0x07008011, True), (0x07FF8011, True), (0x07008012, False), (0x03008011, False), (0, False)]
)
def test_a_runout_is_recognised_for_any_ams(value: int, runout: bool) -> None:
    assert is_filament_runout(value) is runout


@given(JSON_VALUES, JSON_VALUES, JSON_VALUES)
def test_any_values_are_read(error: object, attr: object, code: object) -> None:
    health = read_health({"print_error": error, "hms": [{"attr": attr, "code": code}]})
    for entry in (*health.errors, *health.warnings, *health.infos):
        assert entry.message


@pytest.mark.parametrize("value", [1 << 32, -(1 << 32), 1e15, "1e300"])
def test_a_number_of_more_than_32_bits_is_no_error(value: object) -> None:
    assert read_health({"print_error": value}) == Health()


def test_a_hundred_complaints_are_enough() -> None:
    many = read_health(hms(*((0x03000100 + number, 1 << 16 | 7) for number in range(5000))))
    assert len(many.errors) == MAX_ENTRIES


@pytest.mark.parametrize(
    ("report", "demanded"),
    [
        (hms((0x05000500, 0x00010007)), True),
        (hms((0x03000100, 0x00010001), (0x05000500, 0x00010007)), True),
        ({"hms": [{"attr": "83887360", "code": "65543"}]}, True),
        (hms((0x05000500, 0x00010008)), False),
        (hms(), False),
        ({"print_error": 0x05024007}, False),
        ({}, False),
    ],
)
def test_a_complaint_of_an_unsigned_command_is_recognised(report: dict[str, object], demanded: bool) -> None:
    assert demands_signatures(report) is demanded
    codes = {each.code for each in read_health(report).errors + read_health(report).warnings}
    assert (SIGNING_HMS in codes) is demanded


@given(JSON_VALUES)
def test_a_complaint_is_looked_for_in_whatever_a_printer_sends(value: object) -> None:
    assert demands_signatures({"hms": value}) in (True, False)
