"""The steps of one printer: what the session proves, what is tried, and what is left alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.config import PrinterTls
from bambu_connector.errors import (
    AccessDenied,
    IdentityMismatch,
    LinkError,
    Mute,
    NotAPrinter,
    StorageFull,
    StorageMissing,
    TooManyClients,
    Unreachable,
    UploadFailed,
)
from bambu_connector.service.checkup import Checkup
from bambu_connector.service.findings import Finding
from bambu_connector.service.printer import ONLINE_S
from tests.service.bench import Bench, bench, pass_time
from tests.service.fakes import FakePrinter
from tests.simulated import simulated, until

STEPS = ["name", "tcp", "identity", "login", "reports", "files", "upload", "storage", "camera", "developer_mode"]
REFUSED = Unreachable("port 990 refuses the connection")
REFUSED.__cause__ = ConnectionRefusedError()


async def look(b: Bench) -> dict[str, Finding]:
    """Take all steps."""
    found = [each async for each in Checkup(b.unit, b.wires.prober).findings()]
    assert [each.step for each in found] == STEPS
    return {each.step: each for each in found}


def outcomes(found: dict[str, Finding]) -> str:
    """Return the first letters of the outcomes, in order: `o`, `w`, `f`, `s`."""
    return "".join(each.outcome[0] for each in found.values())


@asynccontextmanager
async def away(folder: Path, error: LinkError, **more: Any) -> AsyncIterator[Bench]:
    """A printer that cannot be connected."""
    printer = FakePrinter("P1S")
    printer.refusal = error
    async with bench(folder, printers=[printer], ready=False, **more) as b:
        await until(lambda: b.unit.printer.link_error is not None)
        yield b


# -- a session that is up --------------------------------------------------------------------------


@simulated
async def test_a_printer_in_order_passes_every_step(tmp_path: Path) -> None:
    async with bench(tmp_path, virtual="X1C") as b:
        b.printer.change(fun="3EC18FFF9CFF")
        await pass_time(1)
        found = await look(b)
        assert outcomes(found) == "oooooooooo", found
        assert all(each.seconds is not None for each in found.values())
        assert b.files == {}


@simulated
async def test_the_session_is_the_evidence_and_no_port_but_the_cameras_is_probed(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await look(b)
        assert b.wires.prober.calls == ["identity 6000"]
        assert len(b.printer.attempts) == 1
        assert [each for each in b.printer.sent if each.group not in ("pushing", "info")] == []


@simulated
async def test_a_printer_that_fell_silent_fails_in_its_reports(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.withholds = lambda message: "print" in message
        await until(lambda: (b.unit.printer.report_age or 0) > ONLINE_S, within=200)
        reports = (await look(b))["reports"]
        assert (reports.outcome, reports.exit_code) == ("failed", 4), reports
        assert reports.advice


@simulated
async def test_a_weak_signal_is_a_warning(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.change(wifi_signal="-83dBm")
        await pass_time(1)
        reports = (await look(b))["reports"]
        assert (reports.outcome, "-83 dBm" in reports.told) == ("warning", True)


@simulated
async def test_a_certificate_that_nobody_checks_is_a_warning(tmp_path: Path) -> None:
    async with bench(tmp_path, tls=PrinterTls(verify=False)) as b:
        identity = (await look(b))["identity"]
        assert (identity.outcome, "verify: false" in identity.told) == ("warning", True)


# -- no session ------------------------------------------------------------------------------------


@simulated
async def test_a_name_that_is_not_known_ends_the_way(tmp_path: Path) -> None:
    async with away(tmp_path, Unreachable("the name left cannot be resolved")) as b:
        b.wires.prober.failures["resolve"] = Unreachable("the name left cannot be resolved")
        found = await look(b)
        assert outcomes(found) == "f" + "s" * 9
        assert {each.told for each in list(found.values())[1:]} == {"because it is not known where the printer is"}


@simulated
async def test_a_printer_that_is_off_ends_the_way_at_tcp(tmp_path: Path) -> None:
    async with away(tmp_path, Unreachable("does not answer")) as b:
        b.wires.prober.failures["reach"] = Unreachable("192.0.2.1:8883 does not answer within 10 s")
        found = await look(b)
        assert outcomes(found) == "of" + "s" * 8
        assert "discover" in (found["tcp"].advice or "")
        assert found["tcp"].exit_code == 4


@pytest.mark.parametrize("error", [NotAPrinter("no TLS"), IdentityMismatch("changed")], ids=str)
def test_a_stranger_ends_the_way_before_any_credential(tmp_path: Path, error: LinkError) -> None:
    @simulated
    async def on_a_bench() -> None:
        async with away(tmp_path, error) as b:
            b.wires.prober.failures["identity"] = error
            found = await look(b)
            assert outcomes(found) == "oof" + "s" * 7
            assert found["identity"].exit_code == 6
            assert b.wires.prober.calls == ["resolve 192.0.2.1", "reach 8883", "identity 8883"]
            assert b.printer.storage.calls == []

    on_a_bench()


@simulated
async def test_a_refused_code_is_not_tried_again_at_the_files(tmp_path: Path) -> None:
    async with away(tmp_path, AccessDenied("the access code is refused")) as b:
        found = await look(b)
        assert outcomes(found) == "ooof" + "s" * 6
        assert (found["login"].exit_code, found["login"].code) == (5, "access_denied")
        assert "access code" in (found["login"].advice or "")
        assert b.printer.storage.calls == []


@simulated
async def test_too_many_clients_leave_the_files_to_be_looked_at_but_nothing_is_stored(tmp_path: Path) -> None:
    async with away(tmp_path, TooManyClients("no slot left")) as b:
        found = await look(b)
        assert found["login"].advice is not None
        assert "Close" in found["login"].advice
        assert (found["files"].outcome, found["upload"].outcome) == ("ok", "skipped")
        assert "not known whether it is printing" in found["upload"].told


@simulated
async def test_connected_and_mute_is_a_failure_of_the_reports_and_not_of_the_login(tmp_path: Path) -> None:
    async with away(tmp_path, Mute("says nothing about 01P00A000000001")) as b:
        found = await look(b)
        assert (found["login"].outcome, found["reports"].outcome) == ("ok", "failed")
        assert "serial" in (found["reports"].advice or "")


@simulated
async def test_a_printer_that_is_back_is_connected_at_once_by_the_connector_itself(tmp_path: Path) -> None:
    async with away(tmp_path, Unreachable("nobody answers")) as b:
        await pass_time(300)  # the attempts have become rare
        b.printer.refusal = None
        began = b.clock.monotonic()
        found = await look(b)
        assert (found["tcp"].told, found["login"].outcome, found["reports"].outcome) == (
            "port 8883 answers",
            "ok",
            "ok",
        )
        assert b.clock.monotonic() - began < 5
        assert len(b.printer.connections) == 1


@simulated
async def test_an_attempt_under_way_is_waited_for_and_not_met_by_another(tmp_path: Path) -> None:
    printer = FakePrinter("P1S")
    printer.gate.close()
    async with bench(tmp_path, printers=[printer], ready=False) as b:
        looking = asyncio.create_task(look(b))
        await pass_time(5)
        assert b.wires.prober.calls == ["resolve 192.0.2.1"]
        printer.gate.open()
        found = await looking
        assert (found["tcp"].outcome, found["login"].outcome, found["reports"].outcome) == ("ok", "ok", "ok")
        assert "reach 8883" not in b.wires.prober.calls


@simulated
async def test_a_printer_without_an_address_says_how_to_find_it(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False, host=None) as b:
        await until(lambda: b.unit.printer.link_error is not None)
        found = await look(b)
        assert outcomes(found) == "f" + "s" * 9
        assert b.wires.prober.calls == []


# -- files -----------------------------------------------------------------------------------------


@simulated
async def test_a_printer_that_prints_is_not_given_files(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.start_at_screen()
        await until(lambda: b.unit.printer.view is not None and b.unit.printer.view.is_active)
        found = await look(b)
        assert [found[step].told for step in ("files", "upload")] == ["because it is printing"] * 2
        assert b.printer.storage.calls == []


@simulated
async def test_a_job_under_way_is_not_disturbed(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("download")
        started = b.start()
        await b.until_stage("download")
        assert (await look(b))["upload"].told == "because a job is under way"
        assert b.printer.storage.calls == []
        b.release()
        await started.answered()


@simulated
async def test_a_transfer_of_somebody_elses_is_not_waited_for(tmp_path: Path) -> None:
    async with bench(tmp_path) as b, b.unit.shelf.turn:
        assert (await look(b))["files"].told == "because files are being transferred"


@simulated
async def test_files_that_cannot_be_reached_are_told_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.storage.failures["list_folder"] = REFUSED
        found = await look(b)
        assert (found["files"].outcome, found["upload"].outcome) == ("failed", "skipped")
        assert "card" in (found["files"].advice or "")


@pytest.mark.parametrize("refusal", [StorageMissing("553: no card"), StorageFull("552: full")], ids=str)
def test_what_the_printer_says_of_its_storage_is_told_there_too(tmp_path: Path, refusal: Exception) -> None:
    @simulated
    async def on_a_bench() -> None:
        async with bench(tmp_path) as b:
            b.printer.storage.failures["put"] = refusal
            found = await look(b)
            assert [found[step].told for step in ("upload", "storage")] == [str(refusal)] * 2
            assert found["storage"].code == refusal.code  # type: ignore[attr-defined]

    on_a_bench()


@simulated
async def test_a_broken_upload_says_nothing_of_the_storage(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.storage.failures["put"] = UploadFailed("426")
        found = await look(b)
        assert (found["upload"].outcome, found["storage"].outcome) == ("failed", "ok")


@simulated
async def test_a_printer_that_reports_no_storage_and_takes_files_has_some(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.change(sdcard=False, home_flag=0, aux="0")
        await pass_time(1)
        storage = (await look(b))["storage"]
        assert (storage.outcome, "all the same" in storage.told) == ("ok", True)


@simulated
async def test_a_printer_without_a_card_that_prints_is_told_by_its_report(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.start_at_screen()
        b.printer.change(sdcard=False, home_flag=0, aux="0")
        await until(lambda: b.unit.printer.view is not None and b.unit.printer.view.is_active)
        storage = (await look(b))["storage"]
        assert (storage.outcome, storage.code) == ("failed", "storage_missing")


# -- camera and Developer Mode ---------------------------------------------------------------------


@pytest.mark.parametrize(("model", "call"), [("P1S", "identity 6000"), ("X1C", "identity 322")])
def test_the_camera_of_each_model_is_looked_for_where_it_is(tmp_path: Path, model: str, call: str) -> None:
    @simulated
    async def on_a_bench() -> None:
        async with bench(tmp_path, virtual=model) as b:
            await look(b)
            assert b.wires.prober.calls == [call]

    on_a_bench()


@simulated
async def test_a_live_view_that_is_switched_off_is_a_warning_with_the_way_to_the_switch(tmp_path: Path) -> None:
    async with bench(tmp_path, virtual="X1C") as b:
        b.printer.change(ipcam={"rtsp_url": "disable"})
        await pass_time(1)
        camera = (await look(b))["camera"]
        assert (camera.outcome, "Settings" in (camera.advice or "")) == ("warning", True)
        assert b.wires.prober.calls == []


@simulated
async def test_a_file_service_is_never_taken_for_a_camera(tmp_path: Path) -> None:
    printer = FakePrinter("P1S", "99900A000000001")
    printer.withholds = lambda message: "info" in message
    async with bench(tmp_path, printers=[printer]) as b:
        assert b.unit.printer.traits.camera is None
        camera = (await look(b))["camera"]
        assert (camera.outcome, b.wires.prober.calls) == ("skipped", [])


@simulated
async def test_a_camera_that_does_not_answer_fails_alone(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.wires.prober.failures["identity 6000"] = Unreachable("192.0.2.1:6000 does not answer")
        found = await look(b)
        assert (found["camera"].outcome, found["developer_mode"].outcome) == ("failed", "ok")


@pytest.mark.parametrize(
    ("fun", "outcome", "code"),
    [("3EC18FFF9CFF", "ok", None), ("3EC1AFFF9CFF", "failed", "developer_mode_required")],
)
def test_developer_mode_is_told_by_what_the_printer_says(
    tmp_path: Path, fun: str, outcome: str, code: str | None
) -> None:
    @simulated
    async def on_a_bench() -> None:
        async with bench(tmp_path, virtual="X1C") as b:
            b.printer.change(fun=fun)
            await pass_time(1)
            mode = (await look(b))["developer_mode"]
            assert (mode.outcome, mode.code) == (outcome, code)
            assert ("Developer Mode" in (mode.advice or "")) == (outcome == "failed")

    on_a_bench()


@simulated
async def test_what_nobody_knows_of_developer_mode_is_a_warning(tmp_path: Path) -> None:
    printer = FakePrinter("X1C", "00M00A000000001")
    printer.machine.report.fields.pop("fun", None)
    async with bench(tmp_path, printers=[printer]) as b:
        mode = (await look(b))["developer_mode"]
        assert (mode.outcome, "not known" in mode.told) == ("warning", True)


@simulated
async def test_firmware_that_is_older_than_developer_mode_obeys(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        assert b.unit.printer.signing_is_expected() is False
        mode = (await look(b))["developer_mode"]
        assert (mode.outcome, "older" in mode.told) == ("ok", True)
