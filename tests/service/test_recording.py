"""The files of a recording: what is in them, what is not, and what is refused."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given, settings

from bambu_connector.bambu.models import Model
from bambu_connector.bambu.needles import Known
from bambu_connector.bambu.redaction import Redaction
from bambu_connector.bambu.ssdp import Announcement
from bambu_connector.errors import ConnectorError, Internal, InvalidParameters, PrinterOffline, UnknownPrinter
from bambu_connector.secret import Secret
from bambu_connector.service.recording import Circumstances, answers, files_of, has_secret, known_of
from bambu_connector.service.tape import Heard, Track
from tests.bambu.planted import found_in, planted, texts_of
from tests.bambu.reports import as_delta, p1s
from tests.service.bench import Bench, bench, printer_config
from tests.service.fakes import FakePrinter
from tests.simulated import simulated

Tree = dict[str, Any]
SERIAL = "01P00A123456789"
OTHER = "00M00A987654321"
CODE = "2468135A"
ANNOUNCED = Announcement(
    serial=SERIAL, model_code="C12", host="192.168.1.50", name="Otto's printer", signal_dbm=-50, connection="lan",
    firmware="01.08.01.00",
)  # fmt: skip


def track(*, virtual: bool = False, **fields: Any) -> Track:
    modules = [
        {"name": "ota", "sn": SERIAL, "sw_ver": "01.08.01.00", "hw_ver": "OTA", "product_name": "Bambu Lab P1S"},
        {"name": "ams/0", "sn": "00600A000000013", "sw_ver": "00.00.06.49", "hw_ver": "AMS08"},
        *([{"name": "virtual", "hw_ver": "VIRTUAL", "sw_ver": "0"}] if virtual else []),
    ]
    return Track(
        first={"print": p1s(sn=SERIAL, subtask_name="Otto's gift", **fields)},
        is_folded=False,
        deltas=(
            Heard(0, {"print": as_delta(mc_percent=1, file="Otto's gift.3mf")}),
            Heard(1200, {"print": as_delta()}),
        ),
        version={"info": {"command": "get_version", "module": modules}},
        modules=tuple(modules),
        unreadable=1,
        is_cut=False,
    )


def circumstances(**changes: Any) -> Circumstances:
    usual = Circumstances(
        model=Model.P1S, model_code="C12", firmware="01.08.01.00", announcement=ANNOUNCED, serial=SERIAL, seconds=60.0,
        note="for Otto at 10.0.0.9", recorded="2026-11-22",
    )  # fmt: skip
    return replace(usual, **changes)


KNOWN = Known(
    serials=(SERIAL, OTHER), hosts=("192.168.1.50",), names=("Otto", "Otto's printer"), secrets=(Secret(CODE),)
)


# -- the files -------------------------------------------------------------------------------------


def test_a_recording_has_these_files_and_names_nobody_in_them() -> None:
    files = files_of(track(odd=f"{OTHER} says {CODE}"), circumstances(), KNOWN)
    assert set(files) == {
        "README.md", "about.yaml", "announcement.json", "deltas.jsonl", "report.json", "status.json", "version.json",
    }  # fmt: skip
    for text in files.values():
        for each in (SERIAL, OTHER, CODE, "Otto", "192.168.1.50", "10.0.0.9", "00600A000000013"):
            assert each not in text


def test_one_printer_has_one_pseudonym_in_all_files() -> None:
    files = files_of(track(), circumstances(), KNOWN)
    report, version = orjson.loads(files["report.json"]), orjson.loads(files["version.json"])
    status, announced = orjson.loads(files["status.json"]), orjson.loads(files["announcement.json"])
    serial = report["print"]["sn"]
    assert serial == "01P000000000001"
    assert version["info"]["module"][0]["sn"] == serial
    assert status["machines"][0]["connection_info"]["dev_id"] == serial
    assert announced["serial"] == serial
    (first, second) = map(orjson.loads, files["deltas.jsonl"].splitlines())
    assert first["message"]["print"]["file"] == f"{report['print']['subtask_name']}.3mf"
    assert (first["ms"], second["ms"]) == (0, 1200)
    assert announced["firmware"] == "01.08.01.00"
    assert announced["host"].startswith("192.0.2.")


def trees_in(text: str) -> list[Any]:
    """Return what a file of JSON, or of lines of it, holds; nothing of another file."""
    for parts in ([text], text.splitlines()):
        try:
            return [orjson.loads(part) for part in parts]
        except orjson.JSONDecodeError:
            continue
    return []


@settings(max_examples=40, deadline=None)
@given(planted())
def test_nothing_that_is_configured_survives_in_any_file(found: tuple[Known, list[Tree]]) -> None:
    known, (full, *deltas) = found
    (serial,), (host,), (name,) = known.serials, known.hosts, known.names
    code = known.secrets[0].reveal()
    modules = ({"name": "ota", "sn": serial, "sw_ver": "01.08.01.00", "product_name": f"P1S {name}"},)
    said = Track(
        first={"print": {**full, "command": "push_status", "msg": 0, "gcode_state": "IDLE"}},
        is_folded=False,
        deltas=tuple(Heard(ms, {"print": delta}) for ms, delta in enumerate(deltas)),
        version={"info": {"command": "get_version", "module": list(modules)}},
        modules=modules,
        unreadable=0,
        is_cut=False,
    )
    announced = replace(ANNOUNCED, serial=serial, host=host, name=name)
    files = files_of(said, circumstances(serial=serial, announcement=announced, note=f"{name}, {host}, {code}"), known)
    assert not has_secret(files, known.secrets)
    for text in files.values():
        shown = [text, *(part for tree in trees_in(text) for part in texts_of(tree))]
        assert [each for each in (serial, code, name) for part in shown if found_in(part, each)] == []
        assert not re.search(rf"(?<![\d.]){re.escape(host)}(?!\.?\d)", text)


def test_a_report_with_errors_is_no_secret_though_their_help_has_an_address() -> None:
    files = files_of(
        track(hms=[{"attr": 0x03000100, "code": 0x00010001}], print_error=0x05004003), circumstances(), KNOWN
    )
    assert "https://" in files["status.json"]
    assert not has_secret(files, KNOWN.secrets)
    assert has_secret(files | {"report.json": CODE.encode().hex()}, KNOWN.secrets)


def test_the_status_is_that_of_the_report() -> None:
    files = files_of(track(gcode_state="RUNNING", mc_percent=42), circumstances(), KNOWN)
    current = orjson.loads(files["status.json"])["machines"][0]["current"]
    assert (current["print_status"], current["print_percent"]) == ("RUNNING", 42)
    assert current["task_name"] == orjson.loads(files["report.json"])["print"]["subtask_name"]


def test_what_it_is_of_stands_in_its_about() -> None:
    about = yaml.safe_load(files_of(track(), circumstances(), KNOWN)["about.yaml"])
    assert about["modules"] == [
        {"name": "ota", "product_name": "Bambu Lab P1S", "hw_ver": "OTA", "sw_ver": "01.08.01.00"},
        {"name": "ams/0", "hw_ver": "AMS08", "sw_ver": "00.00.06.49"},
    ]
    assert about["note"].startswith("for name-")
    del about["modules"], about["note"], about["connector"]
    assert about == {
        "source": "printer", "model": "P1S", "model_code": "C12", "firmware": "01.08.01.00", "recorded": "2026-11-22",
        "seconds": 60.0, "report": "as it came", "deltas": 2, "unreadable": 1, "is_cut": False,
    }  # fmt: skip


def test_a_virtual_printer_is_called_one_in_every_place() -> None:
    files = files_of(track(virtual=True), circumstances(), KNOWN)
    assert yaml.safe_load(files["about.yaml"])["source"] == "virtual"
    for name in ("about.yaml", "README.md"):
        assert files[name].startswith("# NOT A REAL PRINTER")
    assert '"VIRTUAL"' in files["version.json"]
    assert "NOT A REAL" not in "".join(files_of(track(), circumstances(), KNOWN).values())


def test_an_unknown_model_and_no_announcement_will_do() -> None:
    unknown = circumstances(model=Model.GENERIC, model_code=None, firmware=None, announcement=None, note="")
    files = files_of(track(), unknown, KNOWN)
    assert "announcement.json" not in files
    assert "model that the connector does not know" in files["README.md"]
    assert yaml.safe_load(files["about.yaml"])["model"] == "generic"


def test_what_would_name_somebody_is_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Redaction, "text", lambda _self, text: text)
    with pytest.raises(Internal, match="what somebody called something") as caught:
        files_of(track(), circumstances(), KNOWN)
    assert "Otto" not in str(caught.value)


# -- what is answered ------------------------------------------------------------------------------


async def asked(b: Bench, request: Tree, **more: Any) -> list[Tree]:
    return [each async for each in answers(b.farm, {"do": "record", **request}, **more)]


@simulated
async def test_a_recording_is_answered_with_progress_and_then_the_files(tmp_path: Path) -> None:
    async with bench(tmp_path, access_code=Secret(CODE)) as b:
        *progress, last = await asked(b, {"printer": b.printer.serial, "seconds": 5}, announcement=ANNOUNCED)
        assert [each["progress"]["stage"] for each in progress] == ["record"] * len(progress)
        assert progress[-1]["progress"]["percent"] == 100
        recording = last["recording"]
        assert (recording["source"], recording["model"]) == ("virtual", "P1S")
        assert b.printer.serial not in "".join(recording["files"].values())
        assert "announcement.json" in recording["files"]


@simulated
async def test_a_recording_needs_no_announcement(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        *_, last = await asked(b, {"printer": b.printer.serial, "seconds": 2})
        assert "announcement.json" not in last["recording"]["files"]
        b.farm.neighbours.hear(replace(ANNOUNCED, serial=b.printer.serial))
        *_, last = await asked(b, {"printer": b.printer.serial, "seconds": 2})
        assert orjson.loads(last["recording"]["files"]["announcement.json"])["model_code"] == "C12"


@simulated
async def test_what_is_in_the_owners_configuration_is_not_found_in_the_recording(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        owner = replace(
            b.farm.config, printers=(printer_config(OTHER, name="Attic", host="10.9.8.7", access_code=Secret(CODE)),)
        )
        b.printer.machine.report.fields["odd"] = f"Attic {OTHER} 10.9.8.7 {CODE}"
        *_, last = await asked(b, {"printer": b.printer.serial, "seconds": 2, "note": "Attic"}, owner=owner)
        text = "".join(last["recording"]["files"].values())
        assert [each for each in ("Attic", OTHER, "10.9.8.7", CODE) if each in text] == []


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"printer": "nobody"}, UnknownPrinter),
        ({"printer": "01P00A000000001", "seconds": 0.5}, InvalidParameters),
        ({"printer": "01P00A000000001", "seconds": 3601}, InvalidParameters),
        ({"printer": "01P00A000000001", "seconds": True}, InvalidParameters),
        ({"printer": "01P00A000000001", "seconds": "60"}, InvalidParameters),
        ({"printer": "01P00A000000001", "note": 7}, InvalidParameters),
        ({"printer": "01P00A000000001", "note": "x" * 501}, InvalidParameters),
    ],
)
def test_what_cannot_be_recorded_is_refused(tmp_path: Path, request_: Tree, error: type[ConnectorError]) -> None:
    @simulated
    async def refused() -> None:
        async with bench(tmp_path) as b:
            before = len(b.printer.sent)
            with pytest.raises(error):
                await asked(b, request_)
            assert len(b.printer.sent) == before

    refused()


@simulated
async def test_a_printer_that_says_nothing_cannot_be_recorded(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=[FakePrinter(faults=["silent"])], ready=False) as b:
        with pytest.raises((PrinterOffline, ConnectorError)):
            await asked(b, {"printer": b.printer.serial})
        assert b.unit.printer.taps == set()


@simulated
async def test_whoever_goes_away_ends_the_recording(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        recording = answers(b.farm, {"printer": b.printer.serial, "seconds": 60})
        assert "progress" in await anext(recording)
        assert b.unit.printer.taps
        await recording.aclose()
        await asyncio.sleep(0)
        assert b.unit.printer.taps == set()


@simulated
async def test_an_early_end_keeps_what_was_heard(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        recording = answers(b.farm, {"printer": b.printer.serial, "seconds": 60, "id": "mine"})
        told = [await anext(recording) for _ in range(6)]
        assert all("progress" in each for each in told)
        assert await asked(b, {"end": "another's"}) == [{"ended": False}]
        assert await asked(b, {"end": "mine"}) == [{"ended": True}]
        (last,) = [each async for each in recording]
        about = yaml.safe_load(last["recording"]["files"]["about.yaml"])
        assert 2 <= about["seconds"] <= 5
        assert b.unit.printer.taps == set()
        assert await asked(b, {"end": "mine"}) == [{"ended": False}]


@simulated
async def test_an_end_before_anything_was_heard_is_told_as_such(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=[FakePrinter(faults=["silent"])], ready=False) as b:
        ended = asyncio.Event()
        asyncio.get_running_loop().call_later(1, ended.set)
        assert await asked(b, {"printer": b.printer.serial, "seconds": 60}, ended=ended) == [{"recording": None}]
        assert b.unit.printer.taps == set()


@simulated
async def test_what_is_known_is_of_all_printers(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=[FakePrinter(), FakePrinter("X1C", OTHER)]) as b:
        known = known_of(b.farm.config, b.farm.units.values())
        assert known.serials == (OTHER, "01P00A000000001")
        assert known.hosts == ("192.0.2.1",)
        assert known.names == ()  # they are called as their serials are
        assert [secret.reveal() for secret in known.secrets].count("12345678") >= 1
