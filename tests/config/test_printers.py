from pathlib import Path

import pytest

from bambu_connector.config.document import parse
from bambu_connector.config.printers import printers
from bambu_connector.config.reading import Notes, Section
from bambu_connector.config.tree import Ports, PrinterConfig, PrinterTls, Quirks
from bambu_connector.secret import Secret

SERIAL = "01P00A000000001"
OTHER = "030120000000007"


def read(text: str) -> tuple[tuple[PrinterConfig, ...], Notes]:
    notes = Notes(Path("/nowhere/connector.yaml"), {})
    return printers(Section(notes, parse(text.encode()), "")), notes


def one(text: str) -> PrinterConfig:
    found, notes = read(f"printers: [{{serial: {SERIAL}, {text}}}]")
    assert notes.problems == []
    return found[0]


def problems(text: str) -> list[str]:
    return [sentence.partition(": ")[2] for _, sentence in read(text)[1].problems]


def entry_problems(text: str) -> list[str]:
    return problems(f"printers: [{{serial: {SERIAL}, {text}}}]")


def test_no_printers_are_no_problem() -> None:
    assert read("") == read("printers:") == ((), Notes(Path("/nowhere/connector.yaml"), {}))


def test_a_serial_is_enough() -> None:
    assert one("") == PrinterConfig(
        serial=SERIAL,
        id=SERIAL,
        name=None,
        model=None,
        host=None,
        access_code=None,
        ports=Ports(8883, 990, 6000, 322),
        quirks=Quirks(),
        tls=PrinterTls(None, None, True),
    )


def test_everything_that_is_written_is_read() -> None:
    found = one(
        "id: left, name: Left P1S, model: P1S, host: 192.168.1.50, access_code: 01234567,"
        "ports: {mqtt: 1, ftps: 2, camera: 3, rtsps: 4},"
        "quirks: {start_url: sdcard, md5: no, ftps_protection: C, start_timeout: 60.5, jog_signs: [1, -1, +1]},"
        f"tls: {{fingerprint: 'sha256:{'ab' * 32}'}}"
    )
    assert (found.id, found.name, found.model, found.host) == ("left", "Left P1S", "P1S", "192.168.1.50")
    assert found.access_code == Secret("01234567")
    assert found.ports == Ports(1, 2, 3, 4)
    assert found.quirks == Quirks(
        start_url="sdcard", md5=False, ftps_protection="C", start_timeout=60.5, jog_signs=(1, -1, 1)
    )
    assert found.tls == PrinterTls(fingerprint="sha256:" + "ab" * 32)


@pytest.mark.parametrize("serial", [SERIAL, OTHER, "0123456789", "X" * 20])
def test_a_serial_keeps_its_text(serial: str) -> None:
    assert read(f"printers: [serial: {serial}]")[0][0].serial == serial


@pytest.mark.parametrize("serial", ["01P", "X" * 21, "01P00A00000000é", "01P00A-00000001", "'01P 0A000000001'"])
def test_what_is_no_serial_is_told_what_one_looks_like(serial: str) -> None:
    assert (
        "one has 15 digits and upper-case letters, such as 01P00A000000001"
        in problems(f"printers: [serial: {serial}]")[0]
    )


def test_a_lower_case_serial_is_told_in_upper_case() -> None:
    assert problems(f"printers: [serial: {SERIAL.lower()}]") == [
        f"printers[0].serial: a serial is written in upper case: {SERIAL}"
    ]


def test_a_printer_without_a_serial_is_one_problem() -> None:
    assert problems("printers: [name: x]") == ["printers[0].serial: this is missing"]


@pytest.mark.parametrize("text", ["printers: x", "printers: {serial: x}"])
def test_printers_are_a_list(text: str) -> None:
    assert "a list belongs here" in problems(text)[0]


@pytest.mark.parametrize("entry", ["hello", "[a]"])
def test_an_entry_that_is_no_mapping_is_one_problem(entry: str) -> None:
    assert problems(f"printers: [{entry}]") == ["printers[0]: keys with values belong here, such as `key: value`"]


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (f"serial: {SERIAL}", f"serial: {SERIAL}", "serial: this printer stands in the list already"),
        (f"serial: {SERIAL}, id: a", f"serial: {OTHER}, id: a", "id: another printer has this id"),
        (f"serial: {SERIAL}", f"serial: {OTHER}, id: {SERIAL}", "id: another printer has this"),
        (f"serial: {SERIAL}, id: {OTHER}", f"serial: {OTHER}, id: b", "serial: another printer has this id"),
    ],
)
def test_serials_and_ids_are_unique(first: str, second: str, words: str) -> None:
    found = problems(f"printers: [{{{first}}}, {{{second}}}]")
    assert len(found) == 1
    assert f"printers[1].{words}" in found[0]


@pytest.mark.parametrize("model", ["P1S", "A1 mini", "X1C", "H2D"])
def test_models_have_their_usual_names(model: str) -> None:
    assert one(f"model: {model}").model == model


def test_an_unknown_model_is_a_problem() -> None:
    assert "`Prusa` is no model known here" in entry_problems("model: Prusa")[0]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("[1, -1, -1]", (1, -1, -1)), ("{y: -1}", (1, -1, 1)), ("{x: -1, y: 1, z: -1}", (-1, 1, -1)), ("null", None)],
)
def test_jog_signs_are_a_list_or_a_mapping(written: str, meant: tuple[int, int, int] | None) -> None:
    assert one(f"quirks: {{jog_signs: {written}}}").quirks.jog_signs == meant


@pytest.mark.parametrize(
    "written",
    [
        "jog_signs: [1, -1]",
        "jog_signs: [1, 2, 3]",
        "jog_signs: {y: 0}",
        "jog_signs: {w: 1}",
        "jog_signs: -1",
        "start_url: http",
        "md5: maybe",
        "ftps_protection: E",
        "start_timeout: 0",
        "start_timeout: 3601",
        "start_time: 5",
    ],
)
def test_quirks_are_a_closed_list(written: str) -> None:
    assert len(entry_problems(f"quirks: {{{written}}}")) == 1


@pytest.mark.parametrize("written", ["mqtt: 0", "ftps: 65536", "camera: x", "http: 80"])
def test_ports_are_checked(written: str) -> None:
    assert len(entry_problems(f"ports: {{{written}}}")) == 1


def test_an_unverified_printer_is_a_warning() -> None:
    found, notes = read(f"printers: [{{serial: {SERIAL}, tls: {{verify: false}}}}]")
    assert found[0].tls == PrinterTls(verify=False)
    assert notes.problems == []
    assert "the printer's certificate is not checked" in notes.warnings[0][1]


@pytest.mark.parametrize(
    "written",
    [f"fingerprint: 'sha256:{'ab' * 32}', verify: false", "fingerprint: abc", "ca_file: nothing.pem", "ca: x"],
)
def test_tls_settings_that_contradict_or_are_none_are_problems(written: str) -> None:
    assert len(entry_problems(f"tls: {{{written}}}")) == 1


def test_a_fingerprint_beside_an_authority_is_a_problem(tmp_path: Path) -> None:
    found = entry_problems(f"tls: {{fingerprint: 'sha256:{'ab' * 32}', ca_file: {tmp_path / 'nothing'}}}")
    assert any("keep one of the two" in sentence for sentence in found)
