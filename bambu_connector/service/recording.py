"""What `record` answers: a printer as it speaks, as the files of a fixture, with nothing in them that names anybody."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Coroutine, Iterable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, TypeVar

import orjson
import yaml

from bambu_connector.bambu.models import Model
from bambu_connector.bambu.needles import Known
from bambu_connector.bambu.redaction import Redaction
from bambu_connector.bambu.ssdp import Announcement
from bambu_connector.config import Config
from bambu_connector.errors import Internal, InvalidParameters, TimedOut, UnknownPrinter
from bambu_connector.logs import Redactor
from bambu_connector.secret import Secret
from bambu_connector.service.farm import Farm, Unit, until_ready
from bambu_connector.service.tape import Tape, Track
from bambu_connector.translate.replay import is_virtual, recorded_status, report_in

READY_S: Final = 20.0
MAX_SECONDS: Final = 3600.0
MAX_NOTE: Final = 500
_PACKAGE: Final = "bambu-connector"
_INVENTED: Final = "# NOT A REAL PRINTER: a virtual one of bambu-connector said this, and it proves nothing.\n"
_PRETTY: Final = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
Tree = dict[str, Any]
Files = dict[str, str]
T = TypeVar("T")
_UNDER_WAY: Final[dict[str, asyncio.Event]] = {}
"""What ends each recording early, by the id that whoever asked for it gave it: the end comes on a way of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a recording says of itself beside what the printer said."""

    model: Model
    model_code: str | None
    firmware: str | None
    announcement: Announcement | None
    serial: str
    seconds: float
    note: str
    recorded: str
    """The day, in UTC: `2026-11-22`."""


async def answers(
    farm: Farm,
    request: Tree,
    *,
    announcement: Announcement | None = None,
    owner: Config | None = None,
    ended: asyncio.Event | None = None,
) -> AsyncGenerator[Tree, None]:
    """Record `request["printer"]` for `seconds`, with a `note`; yields progress, then the files by name.

    Nothing is sent to the printer but two questions. `owner` is the configuration whose serials, names, addresses and
    secrets must not be found in the files (default: the farm's); `announcement` what the printer announced, if the
    farm's own neighbourhood did not hear it.

    Once `ended` is set, or a further request has the recording's `id` as its `end`, the answer is what was heard until
    then: the recording, or null when too little was. Raises ConnectorError.
    """
    if "end" in request:
        yield {"ended": _end(str(request["end"]))}
        return
    seconds, note = _wish(request)
    name = str(request.get("printer"))
    unit = farm.find(name)
    if unit is None:
        raise UnknownPrinter(f'There is no printer "{name}" here.')
    ended = ended or asyncio.Event()
    with _endable(request.get("id"), ended):
        heard = _Heard(unit, seconds, ended)
        async with aclosing(heard.percents()) as percents:
            async for percent in percents:
                yield {"progress": {"stage": "record", "percent": percent}}
        track = heard.track()
        if track is None:
            yield {"recording": None}
            return
        told = _circumstances(unit, announcement or farm.neighbours.last(unit.config.serial), heard.seconds, note)
        known = known_of(owner or farm.config, farm.units.values())
        # Looking through minutes of reports takes longer than the other printers may wait.
        work = asyncio.get_running_loop().run_in_executor(farm.wires.files, files_of, track, told, known)
        files = await work
        if has_secret(files, known.secrets):
            raise _survived("a secret")
        yield {"recording": {"source": _source(track), "model": told.model.value, "files": files}}


def _circumstances(unit: Unit, heard: Announcement | None, seconds: float, note: str) -> Circumstances:
    printer = unit.printer
    return Circumstances(
        model=printer.model,
        model_code=printer.traits.code or (heard.model_code if heard else None),
        firmware=printer.firmware,
        announcement=heard,
        serial=unit.config.serial,
        seconds=seconds,
        note=note,
        recorded=datetime.fromtimestamp(printer.clock.wall(), UTC).date().isoformat(),
    )


def _wish(request: Tree) -> tuple[float, str]:
    seconds, note = request.get("seconds", 60), request.get("note") or ""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 1 <= seconds <= MAX_SECONDS:
        raise InvalidParameters(f"A recording takes from 1 to {MAX_SECONDS:.0f} seconds.")
    if not isinstance(note, str) or len(note) > MAX_NOTE:
        raise InvalidParameters(f"A note is a text of at most {MAX_NOTE} characters.")
    return float(seconds), note


# -- listening, to the end or to an early one -------------------------------------------------------


class _Heard:
    """Listens to a printer for `seconds`, or until `ended` is set."""

    def __init__(self, unit: Unit, seconds: float, ended: asyncio.Event) -> None:
        self._unit = unit
        self._ended = ended
        self._tape = Tape(unit.printer)
        self.seconds = seconds
        """How long it was listened to."""

    async def percents(self) -> AsyncGenerator[int, None]:
        """Listen; yields the percent that are done."""
        clock = self._unit.printer.clock
        with self._tape as tape:
            await self._unless_ended(until_ready(self._unit, READY_S))
            began = clock.monotonic()
            async with aclosing(tape.record(self.seconds)) as steps:
                while (percent := await self._unless_ended(_next(steps))) is not None:
                    yield percent
            if self._ended.is_set():
                self.seconds = min(self.seconds, round(clock.monotonic() - began, 1))

    async def _unless_ended(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return what comes of `work`, None when the end comes first."""
        doing, end = asyncio.create_task(work), asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait({doing, end}, return_when=asyncio.FIRST_COMPLETED)
            return None if self._ended.is_set() else doing.result()
        finally:
            doing.cancel()
            end.cancel()
            await asyncio.gather(doing, end, return_exceptions=True)

    def track(self) -> Track | None:
        """Return what was heard, None when that was too little before an early end; raises TimedOut without one."""
        try:
            return self._tape.track()
        except TimedOut:
            if self._ended.is_set():
                return None
            raise


async def _next(steps: AsyncGenerator[int, None]) -> int | None:
    return await anext(steps, None)


@contextmanager
def _endable(name: object, ended: asyncio.Event) -> Iterator[None]:
    """Let a further request end this one, if whoever asked gave it an id that nobody else uses."""
    if not isinstance(name, str) or name in _UNDER_WAY:
        yield
        return
    _UNDER_WAY[name] = ended
    try:
        yield
    finally:
        del _UNDER_WAY[name]


def _end(name: str) -> bool:
    """End a recording; say whether there is such a one."""
    ended = _UNDER_WAY.get(name)
    if ended is not None:
        ended.set()
    return ended is not None


def known_of(config: Config, units: Collection[Unit]) -> Known:
    """Return what must not be found in a recording: of all printers, not only of the one that is recorded."""
    printers = {each.serial: each for each in config.printers} | {each.config.serial: each.config for each in units}
    addresses = {each.printer.identity.host for each in units} | {each.host for each in printers.values()}
    names = {each.name for each in printers.values()} | {each.id for each in printers.values()}
    codes = {each.access_code for each in printers.values()}
    return Known(
        serials=tuple(sorted(printers)),
        hosts=tuple(sorted(host for host in addresses if host)),
        names=tuple(sorted(name for name in names - printers.keys() if name)),
        secrets=(*config.secrets(), *(code for code in codes if code)),
    )


# -- the files -------------------------------------------------------------------------------------


def files_of(track: Track, circumstances: Circumstances, known: Known) -> Files:
    """Return the files of a recording by their names. Raises Internal when one would tell what it must not."""
    announced = asdict(circumstances.announcement) if circumstances.announcement else None
    trees = [*track.trees(), announced]
    redaction = Redaction(known, trees)
    first, said = redaction.tree(track.first), redaction.tree(track.version)
    about = _about(track, circumstances, redaction)
    report = report_in(first)
    assert report is not None, "a tape begins with a report"
    serial = redaction.tree({"sn": circumstances.serial})["sn"]
    status = recorded_status(report, serial=serial, model=circumstances.model.value, firmware=circumstances.firmware)
    lines = [{"ms": each.ms, "message": redaction.tree(each.message)} for each in track.deltas]
    files = {
        "README.md": _readme(about),
        "about.yaml": _yaml(about),
        "report.json": _json(first),
        "deltas.jsonl": "".join(f"{orjson.dumps(line).decode()}\n" for line in lines),
        "version.json": _json(said),
        "status.json": _json(status),
    }
    if announced is not None:
        files["announcement.json"] = _json(redaction.tree(announced))
    for text in files.values():
        if survivors := redaction.survivors(text):
            raise _survived(", ".join(survivors))
    return files


def has_secret(files: Mapping[str, str], secrets: Iterable[Secret]) -> bool:
    """Say whether a secret is in one of the texts, also encoded as logs and addresses encode it."""
    thorough, plain = Redactor(secrets), Redactor()  # which takes the queries out of URLs that have no secret
    return any(thorough.clean(text) != plain.clean(text) for text in files.values())


def _survived(what: str) -> Internal:
    return Internal(
        f"The recording still has something in it that names somebody ({what}), so it is not handed out."
        " Please report this, without the recording."
    )


def _source(track: Track) -> str:
    return "virtual" if is_virtual(track.modules) else "printer"


def _about(track: Track, circumstances: Circumstances, redaction: Redaction) -> Tree:
    source = _source(track)
    return {
        "source": source,
        "model": circumstances.model.value,
        "model_code": circumstances.model_code,
        "firmware": circumstances.firmware,
        "modules": [
            {key: module[key] for key in ("name", "product_name", "hw_ver", "sw_ver") if module.get(key)}
            for module in redaction.tree(list(track.modules))
        ],
        "recorded": circumstances.recorded,
        "seconds": circumstances.seconds,
        "report": "folded from what came before" if track.is_folded else "as it came",
        "deltas": len(track.deltas),
        "unreadable": track.unreadable,
        "is_cut": track.is_cut,
        "note": redaction.text(circumstances.note),
        "connector": _own_version(),
    }


def _readme(about: Tree) -> str:
    model = about["model"] if about["model"] != Model.GENERIC.value else "model that the connector does not know"
    what = f"{model}, firmware {about['firmware'] or 'not told'}, recorded on {about['recorded']}"
    if about["source"] == "virtual":
        return f"{_INVENTED}\nA **virtual** {what}: `bambu-connector virtual-printer`, which imitates one.\n"
    return f"# {what}\n\nWhat a real printer said, redacted, by `bambu-connector record`.\n"


def _yaml(about: Tree) -> str:
    text: str = yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=1000)
    return (_INVENTED if about["source"] == "virtual" else "") + text


def _json(tree: Any) -> str:
    return orjson.dumps(tree, option=_PRETTY).decode()


def _own_version() -> str:
    try:
        return version(_PACKAGE)
    except PackageNotFoundError:
        return "a clone that is not installed"
