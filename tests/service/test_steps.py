"""The steps of a job: fetch, judge, store."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.printago import orders
from bambu_connector.printago.orders import Checksum, StartOptions
from bambu_connector.secret import Secret
from bambu_connector.service.steps import Fetched, checksum_of, options_of, requested_name
from tests.files import sliced
from tests.service.bench import DOWNLOAD, FILE, PLA, START, STOP, URL, bench
from tests.simulated import simulated, until

START_STORED = "printer_control/start_print"
TWO_PLATES = sliced(1_000, plates=(1, 2), filaments=(PLA,))
GCODE = b"; HEADER_BLOCK_START\nG28\nG1 X10\n"
OTHER_URL = "https://files.example/other"


# -- what an order says ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (orders.StartPrintBbl(url=Secret("https://x/a%20b.3mf?sig=1"), file_name="given.3mf"), "given.3mf"),
        (orders.StartPrintBbl(url=Secret("https://x/deep/a%20b.3mf?sig=1")), "a b.3mf"),
        (orders.DownloadGcode(url=Secret("https://x/")), "print"),
        (orders.StartPrint(file_name="stored.3mf"), "stored.3mf"),
    ],
)
def test_the_requested_name_is_the_given_one_or_that_of_the_url(order: Any, expected: str) -> None:
    assert requested_name(order) == expected


def test_a_download_has_only_its_plate_for_an_option() -> None:
    assert options_of(orders.DownloadGcode(url=Secret("x"), plate=2)) == StartOptions(plate=2)
    options = StartOptions(use_ams=False)
    assert options_of(orders.StartPrint(file_name="a", options=options)) is options


def test_what_is_stored_already_has_no_checksum() -> None:
    checksum = Checksum("md5", "0" * 32)
    assert checksum_of(orders.StartPrint(file_name="a")) is None
    assert checksum_of(orders.DownloadGcode(url=Secret("x"), checksum=checksum)) is checksum


def test_a_file_hashes_to_one_checksum_of_each_kind() -> None:
    fetched = Fetched(None, 1, "aa", "bb")
    assert fetched.hashes_to(Checksum("md5", "aa"))
    assert fetched.hashes_to(Checksum("sha256", "bb"))
    assert not fetched.hashes_to(Checksum("md5", "bb"))


# -- checksums and the cache -----------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
@simulated
async def test_a_file_with_a_checksum_is_downloaded_once_for_all(tmp_path: Path, algorithm: str) -> None:
    async with bench(tmp_path) as b:
        digest = hashlib.new(algorithm, FILE).hexdigest().upper()
        jobs = [b.send(DOWNLOAD, {"url": URL, algorithm: digest}) for _ in range(3)]
        assert [(await each.answered()).code for each in jobs] == ["success"] * 3
        assert len(b.wires.downloader.fetched) == 1
        assert len(b.files) == 3
        assert list((tmp_path / "downloads").iterdir()) == []


@simulated
async def test_a_damaged_file_in_the_cache_is_downloaded_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        digest = hashlib.md5(FILE, usedforsecurity=False).hexdigest()
        await b.ask(DOWNLOAD, {"url": URL, "md5": digest})
        (kept,) = (tmp_path / "cache").iterdir()
        kept.write_bytes(b"damaged")
        assert (await b.ask(DOWNLOAD, {"url": URL, "md5": digest})).code == "success"
        assert len(b.wires.downloader.fetched) == 2
        assert set(b.files.values()) == {FILE}


@simulated
async def test_a_cache_that_cannot_be_written_costs_no_job(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    async with bench(tmp_path) as b:
        assert (await b.start().answered()).code == "success"


@simulated
async def test_what_was_fetched_for_a_job_that_is_stopped_meanwhile_does_not_stay_here(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.wires.files.is_closed = lambda: bool(b.wires.downloader.fetched)
        job = b.start()
        await until(lambda: list((tmp_path / "downloads").iterdir()))
        assert b.stage == "download"
        assert (await b.ask(STOP)).code == "success"
        assert job.ending == ("cancelled", "download")
        assert list((tmp_path / "downloads").iterdir()) == []


# -- plates and kinds of files ----------------------------------------------------------------------


@simulated
async def test_of_several_plates_one_must_be_named(tmp_path: Path) -> None:
    async with bench(tmp_path, file=TWO_PLATES) as b:
        assert (await b.start().answered()).ending == ("invalid_parameters", "verify")
        assert (await b.start(plate=3).answered()).kind == "error"
        assert (await b.start(plate=2).answered()).code == "success"
        assert b.printer.starts[0].body["param"] == "Metadata/plate_2.gcode"


@simulated
async def test_plain_gcode_is_stored_and_started_from_there(tmp_path: Path) -> None:
    async with bench(tmp_path, file=GCODE) as b:
        stored = await b.ask(DOWNLOAD, {"url": URL, "file_name": "cube.gcode"})
        assert stored.code == "success", stored.data
        assert stored.data["file_name"].endswith(".gcode")
        assert (await b.ask(START_STORED, {"file_name": "cube.gcode"})).code == "success"
        (start,) = b.printer.starts
        assert start.command == "gcode_file"


@simulated
async def test_plain_gcode_is_no_print_for_start_print_bbl(tmp_path: Path) -> None:
    async with bench(tmp_path, file=GCODE) as b:
        assert (await b.start(file_name="cube.gcode").answered()).ending == ("file_invalid", "verify")
        assert not b.printer.acts


@simulated
async def test_a_file_that_somebody_else_put_there_is_read_back_before_it_is_started(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.files["theirs.gcode.3mf"] = FILE
        assert (await b.ask(START_STORED, {"file_name": "theirs.gcode.3mf"})).code == "success"
        assert ("fetch", "theirs.gcode.3mf") in b.printer.storage.calls
        assert b.printer.starts[0].body["md5"] == hashlib.md5(FILE, usedforsecurity=False).hexdigest().upper()


@simulated
async def test_a_file_that_we_stored_is_started_without_reading_it_back(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.ask(DOWNLOAD, {"url": URL})
        assert (await b.ask(START_STORED, {"file_name": "bracket.gcode.3mf"})).code == "success"
        assert "fetch" not in {method for method, _ in b.printer.storage.calls}


@simulated
async def test_a_file_that_was_replaced_under_our_name_is_read_back(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        stored = (await b.ask(DOWNLOAD, {"url": URL})).data["file_name"]
        b.files[stored] = sliced(3_000, filaments=((1, "ABS", "#123456", "GFB99"),))
        answer = await b.ask(START_STORED, {"file_name": stored})
        assert answer.ending == ("filament_mismatch", "verify")
        assert not b.printer.acts


@simulated
async def test_a_file_that_is_not_there_cannot_be_started(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        assert (await b.ask(START_STORED, {"file_name": "nothing.3mf"})).ending == ("file_invalid", "download")
        assert not b.printer.acts


@simulated
async def test_the_options_of_a_start_reach_the_printer(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        given = {"use_ams": True, "ams_mapping": [0], "bed_type": "Textured PEI Plate", "do_bed_leveling": False}
        given |= {"do_flow_cali": True, "vibration_cali": False, "layer_inspect": True, "timelapse": True}
        assert (await b.start(**given).answered()).code == "success"
        body = b.printer.starts[0].body
        assert (body["use_ams"], body["ams_mapping"], body["bed_type"]) == (True, [0], "textured_plate")
        assert (body["bed_leveling"], body["flow_cali"], body["vibration_cali"]) == (False, True, False)
        assert (body["layer_inspect"], body["timelapse"]) == (True, True)


@simulated
async def test_filament_that_changed_during_the_upload_is_seen_right_before_the_start(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        job = b.send(START, {"url": URL})
        await b.until_stage("upload")
        filament = b.printer.machine.report.get("ams")
        for tray in filament["ams"][0]["tray"]:
            tray.update(tray_info_idx="GFB99", tray_type="ABS", tray_color="000000FF")
        b.printer.change(ams=filament)
        b.release()
        assert (await job.answered()).ending == ("filament_mismatch", "start")
        assert not b.printer.acts
        await b.until_clean()
