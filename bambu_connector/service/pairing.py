"""Pairing and unpairing, for the control socket and for the command line alone.

A printer is taken in on trial, proved on the session that it keeps, and only then stored and told of. When anything
that must be is not, or whoever asked goes away, everything is as it was.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from bambu_connector.config import Ports, PrinterConfig
from bambu_connector.errors import ConnectorError, Internal, PrinterBusy, UnknownPrinter, Unreachable, UsageError
from bambu_connector.printago.messages import MessageType
from bambu_connector.registry import Paired
from bambu_connector.service.farm import Farm
from bambu_connector.service.pairing_request import PairRequest
from bambu_connector.service.proving import Before, Proving
from bambu_connector.service.unit import Unit, missing_of
from bambu_connector.service.voice import Voice

_BROKEN_OFF: Final = "The pairing was broken off."
Tree = dict[str, Any]


async def answers(farm: Farm, request: Tree) -> AsyncGenerator[Tree, None]:
    """Yield `{"progress": {"finding": …}}` for each step, then `{"paired": {…}}` or `{"unpaired": {…}}`.

    Raises UsageError, UnknownPrinter, PrinterBusy, ConfigError (nothing can be stored), and each LinkError with a
    sentence of its own. Closing it in the middle undoes the pairing.
    """
    match request:
        case {"do": "pair"}:
            wish = PairRequest.of(request)
            with farm.on_trial(wish.serial):
                async with aclosing(_paired(farm, wish)) as steps:
                    async for each in steps:
                        yield each
        case {"do": "unpair", "printer": str(name)}:
            written = request.get("written")
            yield await _unpaired(farm, name, frozenset(map(str, written)) if isinstance(written, list) else None)
        case _:
            raise Internal("This is neither pairing nor unpairing.")


async def _paired(farm: Farm, wish: PairRequest) -> AsyncGenerator[Tree, None]:
    adoption = _Adoption(farm, wish)
    try:
        proving = adoption.begin()
        async with aclosing(proving.findings()) as findings:
            async for finding in findings:
                yield {"progress": {"finding": finding.body()}}
        paired = await adoption.keep()
    except BaseException as error:
        await adoption.undo(str(error) if isinstance(error, ConnectorError) else _BROKEN_OFF)
        raise
    yield {"paired": paired}


class _Adoption:
    """One printer, from the trial to its place in the farm, or back to what was before. Raises UsageError."""

    def __init__(self, farm: Farm, wish: PairRequest) -> None:
        self._farm = farm
        self._wish = wish
        self._registry = farm.wires.registry
        self._known = self._registry.entry(wish.serial)
        self._before = next((each for each in farm.units.values() if each.config.serial == wish.serial), None)
        self._check_id()
        own = PrinterConfig(serial=wish.serial, id=wish.id or (self._known and self._known.id) or wish.serial)
        self._base = self._before.config if self._before else own
        trusted = self._base.tls.fingerprint or (self._known.fingerprint if self._known else None)
        self._tried = wish.tried(self._base, trusted)
        self._fingerprint = wish.fingerprint or trusted
        self._is_news = self._fingerprint != trusted
        self._unit: Unit | None = None
        self._is_over = False

    def _check_id(self) -> None:
        """An id may be neither the id nor the serial of another printer: commands name printers by both."""
        wish = self._wish
        others = [
            (each.config.serial, each.config.id)
            for each in self._farm.units.values()
            if each.config.serial != wish.serial
        ]
        others += [
            (serial, each.id or serial)
            for serial, each in self._registry.entries().items()
            if each.is_paired and serial != wish.serial
        ]
        for serial, printer_id in others:
            if wish.id in {serial, printer_id} or (wish.serial == printer_id):
                raise UsageError(f"{serial} has the id {printer_id} already: give {wish.serial} another one.")

    def begin(self) -> Proving:
        """Take the printer in on trial, or have the one that is here follow what is asked for. Raises PrinterBusy."""
        unit, tried = self._before, self._tried
        if unit is not None and unit.is_on_trial:
            raise PrinterBusy(f"{unit.name} is being paired by somebody else right now.")
        if unit is None:
            self._unit = self._farm.add(tried, speaks=False)
            return Proving(self._unit, Before(0), self._fingerprint, is_new=self._is_news)
        if not self._session_is_the_same(unit):
            _refuse_while_busy(unit, "a new session would break it")
            before = Before(unit.keeper.attempts, unit.printer.link_error)
        elif unit.printer.is_connected:
            before = Before(None)
        else:
            before = Before(unit.keeper.attempts - 1, unit.printer.link_error)  # the one under way is as good
            unit.keeper.try_now()
        if self._wish.id not in {None, unit.config.id}:
            _refuse_while_busy(unit, "its id cannot change meanwhile")
        self._unit = unit
        if tried != self._base:
            unit.is_on_trial = missing_of(self._base) is not None  # it could not be used: Printago has nothing to miss
            self._farm.change(unit, tried)
        return Proving(unit, before, self._fingerprint, is_new=self._is_news)

    def _session_is_the_same(self, unit: Unit) -> bool:
        """The session that is there, or the next one, is made with exactly what is to be proved."""
        base, tried = self._base, self._tried
        return (
            (base.access_code, base.ports, base.tls) == (tried.access_code, tried.ports, tried.tls)
            and tried.host in {base.host, unit.whereabouts.current}
        )  # fmt: skip

    async def keep(self) -> Tree:
        """Store what was proved, and tell Printago. Raises ConfigError when it cannot be stored, UsageError."""
        unit, wish = self._unit, self._wish
        assert unit is not None, "nothing was proved"
        self._check_id()  # somebody else may have been given it meanwhile
        config, printer = unit.config, unit.printer
        by_pin = config.tls.verify and config.tls.ca_file is None
        host = unit.whereabouts.current or wish.host
        printer_id = wish.id or config.id
        paired = Paired(
            serial=wish.serial,
            fingerprint=self._fingerprint if by_pin else None,
            host=host,
            access_code=wish.access_code,
            is_paired=True,
            id=printer_id if printer_id != wish.serial else None,
            name=config.name,
            model=config.model,
            ports=config.ports,
            developer_mode=self._developer_mode(unit),
            firmware=printer.firmware,
        )
        self._registry.store(paired)
        self._is_over = True
        # The pin is in the registry now, and holds from there: the session that was proved is not made anew for that.
        unit.config = replace(config, host=host, tls=self._base.tls)
        return self._result(await self._settled(unit, printer_id), paired)

    def _developer_mode(self, unit: Unit) -> bool | None:
        """Return whether it is on: what the printer says, else what was known of it with the firmware that it has."""
        said, known, firmware = unit.printer.developer_mode, self._known, unit.printer.firmware
        if said is None and known is not None and firmware is not None and known.firmware == firmware:
            return known.developer_mode
        return said

    async def _settled(self, unit: Unit, printer_id: str) -> Unit:
        """Give the printer its place; Printago is told once."""
        farm, unit.is_on_trial = self._farm, False
        if printer_id != unit.config.id:
            await farm.remove(unit, Unreachable("The printer has another id now."))
            return farm.add(replace(unit.config, id=printer_id))
        if unit.speaks:
            unit.printer.statuses.say_again()
            unit.printer.voice.say(MessageType.PAIRING, _told(unit, "paired", None))
        else:
            farm.introduce(unit)
        return unit

    def _result(self, unit: Unit, paired: Paired) -> Tree:
        traits = unit.printer.traits
        return {
            "serial": paired.serial,
            "id": unit.config.id,
            "name": unit.name,
            "model": traits.display_name,
            "model_code": traits.code or None,
            "firmware": paired.firmware,
            "host": paired.host,
            "fingerprint": paired.fingerprint,
            "developer_mode": paired.developer_mode,
            "is_new": self._before is None,
        }

    async def undo(self, reason: str) -> None:
        """Have everything as it was, and tell Printago why; nothing when the printer is stored already."""
        unit, farm = self._unit, self._farm
        if self._is_over or unit is None:
            return
        self._is_over = True
        told = _told(unit, "failed", reason)
        if self._before is None:
            await farm.remove(unit)
        elif unit.config != self._base:
            unit.is_on_trial = False
            farm.change(unit, self._base)
            if self._tried.tls != self._base.tls:  # the session was made with a certificate that is not trusted now
                unit.keeper.renew()
            if not unit.speaks:
                farm.introduce(unit)
        self._forget_what_was_learned()
        Voice(unit.config.id, farm.post, unit.printer.clock).say(MessageType.PAIRING, told)

    def _forget_what_was_learned(self) -> None:
        serial = self._wish.serial
        if self._known is None:
            self._registry.forget(serial)
        elif self._registry.entry(serial) != self._known:
            self._registry.store(self._known)


def _refuse_while_busy(unit: Unit, why: str) -> None:
    work, now = unit.printer.work, unit.printer.clock.monotonic()
    if work.is_under_way or work.holds_session(now):
        raise PrinterBusy(f"A job is under way for {unit.name}, and {why}: try again when it has ended.")


def _told(unit: Unit, outcome: str, reason: str | None) -> Tree:
    printer = unit.printer
    return {
        "outcome": outcome,
        "dev_id": printer.identity.serial,
        "dev_name": unit.name,
        "dev_model": printer.traits.code,
        "firmware": printer.firmware,
        "reason": reason,
    }


# -- unpairing -------------------------------------------------------------------------------------


async def _unpaired(farm: Farm, name: str, written: frozenset[str] | None) -> Tree:
    """Forget a printer. `written` are the keys that connector.yaml has for it; None: it does not stand there.

    A print of ours that runs goes on, and its end is not told; a job or a start that is under way must end before.
    """
    registry, unit = farm.wires.registry, farm.find(name)
    known = registry.entry(unit.config.serial if unit else name)
    if unit is None and known is None:
        raise UnknownPrinter(f'There is no printer "{name}" here.')
    if unit is None:
        assert known is not None
        registry.forget(known.serial)
        return {"unpaired": _forgotten(known.serial, known.id or known.serial, known.name or known.serial)}
    _refuse_while_busy(unit, "it cannot be left in the middle")
    view = unit.printer.view
    result = _forgotten(unit.config.serial, unit.config.id, unit.name)
    result |= {"was_known": known is not None, "prints": bool(view is not None and view.is_active)}
    with farm.on_trial(unit.config.serial):
        registry.forget(unit.config.serial)
        if written is None:
            unit.printer.voice.say(MessageType.PAIRING, _told(unit, "unpaired", None))
            await farm.remove(unit)
            return {"unpaired": result}
        rest = _what_is_written(unit.config, written)
        still_works = "access_code" in written
        if not still_works:
            unit.printer.voice.say(MessageType.PAIRING, _told(unit, "unpaired", None))
        if rest.id != unit.config.id:
            await farm.remove(unit)
            farm.add(rest)
        else:
            farm.change(unit, rest)
    return {"unpaired": result | {"stays": True, "still_works": still_works}}


def _forgotten(serial: str, printer_id: str, name: str) -> Tree:
    return {
        "serial": serial,
        "id": printer_id,
        "name": name,
        "was_known": True,
        "prints": False,
        "stays": False,
        "still_works": False,
    }


def _what_is_written(config: PrinterConfig, written: frozenset[str]) -> PrinterConfig:
    """Return what is left of a printer once pairing has forgotten its part."""
    gone: Tree = {key: None for key in ("host", "access_code", "name", "model") if key not in written}
    if "id" not in written:
        gone["id"] = config.serial
    if "ports" not in written:
        gone["ports"] = Ports()
    return replace(config, **gone)
