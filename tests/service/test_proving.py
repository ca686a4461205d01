"""What pairing tells about a printer, step by step."""

from pathlib import Path
from typing import Any

import pytest

from bambu_connector.config import PrinterTls
from bambu_connector.errors import AccessDenied, Unreachable
from bambu_connector.service.findings import Finding
from bambu_connector.service.proving import Before, Proving
from tests.service.bench import Bench, bench, pass_time
from tests.service.fakes import FINGERPRINT
from tests.simulated import simulated

THE_SESSION_IS_THERE = Before(None)


async def found(b: Bench, before: Before = THE_SESSION_IS_THERE) -> dict[str, Finding]:
    """Return the findings by their step."""
    return {each.step: each async for each in Proving(b.unit, before, FINGERPRINT).findings()}


@simulated
async def test_a_healthy_printer_shows_its_pin_its_model_and_its_firmware(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        steps = await found(b)
        assert FINGERPRINT in steps["identity"].told
        assert "P1S" in steps["version"].told
        assert str(b.unit.printer.firmware) in steps["version"].told
        assert {each.outcome for each in steps.values()} <= {"ok", "skipped"}


@simulated
async def test_a_certificate_of_a_first_contact_is_trusted_from_now_on(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        proving = Proving(b.unit, THE_SESSION_IS_THERE, FINGERPRINT, is_new=True)
        identity = next(iter([each async for each in proving.findings()]))
        assert identity.told == f"the certificate is for {b.printer.serial}, and is trusted from now on"


@pytest.mark.parametrize(
    ("virtual", "report", "step", "outcome", "words"),
    [
        ("P1S", {"home_flag": 0, "sdcard": False, "aux": "0"}, "storage", "warning", "no card"),
        ("P1S", {"sdcard": True}, "storage", "ok", "there is"),
        ("P1S", {}, "camera", "ok", "jpeg, on port 6000"),
        ("P1S", {"ipcam": {"ipcam_dev": "0"}}, "camera", "skipped", "none"),
        ("X1C", {"ipcam": {"rtsp_url": "disable"}}, "camera", "warning", "switched off"),
        ("X1C", {"ipcam": {"rtsp_url": "rtsps://192.0.2.1/streaming/live/1"}}, "camera", "ok", "rtsps, on port 322"),
        ("P1S", {"fun": "3EC1AFFF9CFF"}, "developer_mode", "warning", "takes no commands"),
        ("P1S", {"fun": "3EC18FFF9CFF"}, "developer_mode", "ok", "can be controlled"),
    ],
)
@simulated
async def test_what_a_report_shows_is_said(
    tmp_path: Path, virtual: str, report: dict[str, Any], step: str, outcome: str, words: str
) -> None:
    async with bench(tmp_path, virtual=virtual) as b:
        b.printer.change(**report)
        finding = (await found(b))[step]
        assert finding.outcome == outcome
        assert words in finding.told
        assert (finding.advice is not None) is (outcome == "warning")


@simulated
async def test_an_unchecked_identity_is_a_warning(tmp_path: Path) -> None:
    async with bench(tmp_path, tls=PrinterTls(verify=False)) as b:
        assert (await found(b))["identity"].outcome == "warning"


@simulated
async def test_a_code_that_only_the_file_service_refuses_is_a_warning_with_what_to_do(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.storage.failures["list_folder"] = AccessDenied("the file service refuses: 530")
        files = (await found(b))["files"]
        assert files.outcome == "warning"
        assert files.advice is not None
        assert "LAN Only Mode" in files.advice


@simulated
async def test_what_was_known_before_proves_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        before = Before(b.unit.keeper.attempts, b.unit.printer.link_error)
        with pytest.raises(Unreachable, match="does not answer within 20 s"):
            await found(b, before)


@simulated
async def test_an_old_error_is_not_taken_for_the_new_one(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False, access_code=None) as b:
        await pass_time(1)
        b.unit.printer.session_closed(AccessDenied("an old one"))
        before = Before(b.unit.keeper.attempts, b.unit.printer.link_error)
        with pytest.raises(Unreachable):
            await found(b, before)
