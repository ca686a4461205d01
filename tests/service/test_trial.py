"""Trying a printer's files: nothing of ours may stay there."""

import asyncio
from pathlib import Path

import pytest

from bambu_connector.errors import AccessDenied, StorageFull, StorageMissing, TimedOut, UploadFailed
from bambu_connector.links.file_names import check_new_name
from bambu_connector.service.trial import LIST_S, UPLOAD_S, count_files, try_upload
from tests.service.bench import bench
from tests.simulated import simulated, until


@simulated
async def test_a_file_goes_there_and_away_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await try_upload(b.unit.shelf, b.unit.downloads)
        (put, name), (removed, same) = b.printer.storage.calls
        assert (put, removed, name) == ("put", "remove", same)
        assert b.files == {}
        check_new_name(name)
        assert name.startswith("bambu-connector-test-")


@simulated
async def test_files_are_counted(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.files.update({"a": b"", "b": b""})
        assert await count_files(b.unit.shelf) == 2


@pytest.mark.parametrize("kind", [StorageMissing, AccessDenied])
def test_where_nothing_was_stored_nothing_is_left_to_remove(tmp_path: Path, kind: type[Exception]) -> None:
    @simulated
    async def on_a_bench() -> None:
        async with bench(tmp_path) as b:
            b.printer.storage.failures["put"] = kind("no")
            with pytest.raises(kind, match="no"):
                await try_upload(b.unit.shelf, b.unit.downloads)
            await asyncio.sleep(5)
            assert [method for method, _ in b.printer.storage.calls] == ["put"]

    on_a_bench()


@simulated
async def test_what_came_of_an_upload_that_failed_is_removed_later(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.storage.failures["put"] = StorageFull("full")
        with pytest.raises(StorageFull):
            await try_upload(b.unit.shelf, b.unit.downloads)
        await b.until_clean()


@simulated
async def test_a_file_that_cannot_be_removed_is_named_and_removed_later(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.storage.failures["remove"] = UploadFailed("the printer will not")
        with pytest.raises(UploadFailed, match=r"bambu-connector-test-\w+\.txt arrived, and could not .* will not"):
            await try_upload(b.unit.shelf, b.unit.downloads)
        assert b.files
        del b.printer.storage.failures["remove"]
        await b.until_clean(within=200)


@simulated
async def test_who_stops_waiting_leaves_no_file_behind(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.storage.gates["put"].close()
        trying = asyncio.create_task(try_upload(b.unit.shelf, b.unit.downloads))
        await until(lambda: b.files)
        trying.cancel()
        await asyncio.wait({trying})
        assert trying.cancelled()
        await b.until_clean()


@pytest.mark.parametrize(("method", "limit"), [("put", UPLOAD_S), ("list_folder", LIST_S), ("remove", LIST_S)])
def test_a_file_service_that_hangs_is_not_waited_for(tmp_path: Path, method: str, limit: float) -> None:
    @simulated
    async def on_a_bench() -> None:
        async with bench(tmp_path) as b:
            b.printer.storage.gates[method].close()
            loop = asyncio.get_running_loop()
            began = loop.time()
            uploads = method != "list_folder"
            trying = try_upload(b.unit.shelf, b.unit.downloads) if uploads else count_files(b.unit.shelf)
            with pytest.raises((TimedOut, UploadFailed), match=f"within {limit:.0f} s"):
                await trying
            assert loop.time() - began < limit + 1
            b.release()

    on_a_bench()


@simulated
async def test_transfers_take_turns(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await asyncio.gather(*(try_upload(b.unit.shelf, b.unit.downloads) for _ in range(3)))
        assert b.printer.storage.most_at_once == 1


@simulated
async def test_a_computer_without_room_is_not_the_printers_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_how: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", full)
    async with bench(tmp_path) as b:
        with pytest.raises(UploadFailed, match=r"on this computer .* No space left"):
            await try_upload(b.unit.shelf, b.unit.downloads)
