"""The steps of a job that take long: fetch a file, judge it, store it on the printer."""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

from bambu_connector.bambu.project import SlicedFile, inspect, inspect_gcode
from bambu_connector.bambu.view import View
from bambu_connector.errors import FileInvalid, NotReady
from bambu_connector.printago import orders
from bambu_connector.printago.orders import Checksum, JobOrder, StartOptions
from bambu_connector.service.cache import FileCache
from bambu_connector.service.ports import Downloader, Progress
from bambu_connector.service.printer import Printer
from bambu_connector.service.shelf import Shelf, Stored
from bambu_connector.translate import naming
from bambu_connector.translate.start import Start, check_machine, feed

T = TypeVar("T")
_HEAD_BYTES: Final = 64 * 1024
_BLOCK_BYTES: Final = 1024 * 1024
_ZIP: Final = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file on this machine (None where what is needed was known already), and its hash."""

    path: Path | None
    size: int
    md5: str
    sha256: str
    known: Stored | None = None
    name: str | None = None
    """Its name on the printer, where it is there already."""

    def hashes_to(self, wanted: Checksum) -> bool:
        """Say whether the file is the one that was meant."""
        return {"md5": self.md5, "sha256": self.sha256}[wanted.algorithm] == wanted.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the jobs of one printer work with. `files` runs what reads whole files."""

    printer: Printer
    shelf: Shelf
    downloader: Downloader
    cache: FileCache
    files: Executor
    folder: Path
    max_bytes: int


def requested_name(order: JobOrder) -> str:
    """Return the name that a person gave the file, from the command or from the URL's path."""
    if isinstance(order, orders.StartPrint) or order.file_name:
        return order.file_name or "print"
    path = unquote(urlsplit(order.url.reveal()).path)
    return path.rpartition("/")[2] or "print"


def options_of(order: JobOrder) -> StartOptions:
    """Return the options of a start; a download has only its plate."""
    return StartOptions(plate=order.plate) if isinstance(order, orders.DownloadGcode) else order.options


def checksum_of(order: JobOrder) -> Checksum | None:
    """Return what the file must hash to."""
    return None if isinstance(order, orders.StartPrint) else order.checksum


def local_path(tools: Tools, job_number: int) -> Path:
    """Return where a job has its file on this machine."""
    return tools.folder / f"job-{job_number}"


def remove_local(tools: Tools, job_number: int) -> None:
    """Remove what a job has on this machine, whole or in part."""
    target = local_path(tools, job_number)
    try:
        for path in (target, *target.parent.glob(f"{target.name}.*")):
            path.unlink(missing_ok=True)
    except OSError as error:
        tools.printer.log.warning("a downloaded file could not be removed here: %s", error)


async def fetch(tools: Tools, order: JobOrder, job_number: int, progress: Progress) -> Fetched:
    """Bring the file here: by HTTP, or from the printer when it is to be started from there."""
    target = local_path(tools, job_number)
    if not isinstance(order, orders.StartPrint):
        here = await _in_pool(tools, lambda: _whole(target))
        if here is not None and (order.checksum is None or here.hashes_to(order.checksum)):
            return here
        async with tools.cache.turn(order.checksum):
            return await _cached(tools, order.checksum, target) or await _download(tools, order, target, progress)
    return await _fetch_back(tools, order, target, progress)


def _whole(target: Path) -> Fetched | None:
    """Return a file that an earlier process fetched: it has its name only since it is whole."""
    if not target.is_file():
        return None
    return Fetched(target, target.stat().st_size, *_hashes(target))


async def _cached(tools: Tools, wanted: Checksum | None, target: Path) -> Fetched | None:
    def take() -> Fetched | None:
        if wanted is None or not tools.cache.take(wanted, target):
            return None
        fetched = Fetched(target, target.stat().st_size, *_hashes(target))
        if not fetched.hashes_to(wanted):
            tools.cache.drop(wanted)
            return None
        return fetched

    return await _in_pool(tools, take)


async def _download(
    tools: Tools, order: orders.StartPrintBbl | orders.DownloadGcode, target: Path, progress: Progress
) -> Fetched:
    got = await tools.downloader.fetch(order.url, target, progress)
    try:
        await _in_pool(tools, lambda: tools.cache.keep(got.path, md5=got.md5, sha256=got.sha256))
    except OSError as error:  # a full disk, or one without hard links: the job has its file all the same
        tools.printer.log.debug("the file is not kept for others: %s", error)
    return Fetched(got.path, got.size, got.md5, got.sha256)


async def _fetch_back(tools: Tools, order: orders.StartPrint, target: Path, progress: Progress) -> Fetched:
    known = tools.shelf.find(order.file_name)
    name = known.name if known else order.file_name
    async with tools.shelf.turn:
        size = await tools.shelf.storage.size(name)
        if size is None:
            raise FileInvalid(f"There is no file {name} on the printer's storage.")
        if known and known.size == size and _is_understood(known, order.options.plate):
            return Fetched(None, size, known.md5, "", known, name)
        if naming.is_gcode(name):
            return Fetched(None, size, "", "", name=name)
        # Nothing but the whole file tells its plates, its filaments and its hash.
        await tools.shelf.storage.fetch(name, target, progress, tools.max_bytes)
    md5, sha256 = await _in_pool(tools, lambda: _hashes(target))
    return Fetched(target, size, md5, sha256, name=name)


def _is_understood(known: Stored, plate: int | None) -> bool:
    """Say whether what is known of a file is all that starting this plate of it needs."""
    if known.sliced is None:
        return plate is None and naming.is_gcode(known.name)
    return plate in (None, known.sliced.plate)


async def _in_pool(tools: Tools, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(tools.files, work)


def _hashes(path: Path) -> tuple[str, str]:
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            md5.update(block)
            sha256.update(block)
    return md5.hexdigest(), sha256.hexdigest()


async def check(tools: Tools, order: JobOrder, fetched: Fetched, job_number: int) -> Start:
    """Judge the file: what it is, whether it is whole, whether it fits this printer and what lies in it."""
    wanted = checksum_of(order)
    if wanted is not None and not fetched.hashes_to(wanted):
        raise FileInvalid(f"The file is not the one that was meant: its {wanted.algorithm} is another.")
    options = options_of(order)
    path = fetched.path
    sliced = fetched.known.sliced if fetched.known else None
    if path is not None:
        sliced = await _in_pool(tools, lambda: _inspect(path, requested_name(order), options.plate, order))
    view = _last_view(tools.printer)
    if sliced is not None:
        check_machine(sliced, view, tools.printer.traits)
        if not isinstance(order, orders.DownloadGcode):
            feed(sliced, options, view, tools.printer.traits)
    requested = requested_name(order)
    if isinstance(order, orders.StartPrint):
        file = fetched.name or order.file_name
    else:
        file = naming.file_name(requested, job_number, plain_gcode=sliced is None)
    return Start(file, naming.print_name(requested, job_number), job_number, sliced, fetched.md5)


def _last_view(printer: Printer) -> View:
    """What is known of the printer, even if its session breaks just now: right before a start it is asked again."""
    view = printer.view or printer.shown
    if not view.report:
        raise NotReady("The printer has not told its state yet.")
    return view


def _inspect(path: Path, requested: str, plate: int | None, order: JobOrder) -> SlicedFile | None:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        plain = naming.is_gcode(requested) and not head.startswith(_ZIP) and isinstance(order, orders.DownloadGcode)
        if plain:
            inspect_gcode(head)
            return None
        file.seek(0)
        return inspect(file, plate=plate)


async def store(tools: Tools, fetched: Fetched, start: Start, progress: Progress) -> None:
    """Put the file on the printer's storage, whose turn the caller has."""
    assert fetched.path is not None, "a file that is already on the printer is not stored"
    await tools.shelf.storage.put(fetched.path, start.file, progress)
