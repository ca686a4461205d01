"""Carries out a plan: publishes its request and waits for its evidence."""

from dataclasses import dataclass
from typing import Final

from bambu_connector.bambu.health import BUSY
from bambu_connector.bambu.menus import developer_mode_advice, network_page
from bambu_connector.bambu.models import Traits
from bambu_connector.bambu.obedience import is_signing_refusal
from bambu_connector.bambu.report import Outcome, Reply
from bambu_connector.bambu.request import GetVersion
from bambu_connector.errors import (
    CommandError,
    DeveloperModeRequired,
    PrinterBusy,
    PrinterError,
    PrinterOffline,
    TimedOut,
)
from bambu_connector.service.printer import Printer
from bambu_connector.service.requests import Ticket
from bambu_connector.translate.plan import Plan, Replied, Shown

REPLY_GRACE_S: Final = 4.0  # healthy printers reply within a second; after that another question tells who hears us
SETTLED_S: Final = (
    2.0  # a report so long after the request tells the state after it: P1 and A1 lag 1 to 5 s with changes
)


@dataclass(frozen=True, slots=True)
class Done:
    """The command was obeyed; `acknowledged` when the printer's reply said so too."""

    acknowledged: bool


def refusal(reply: Reply, traits: Traits) -> CommandError:
    """Return the error for a reply that says failed."""
    reason = reply.reason or ""
    if is_signing_refusal(reply):
        return DeveloperModeRequired(
            f"The printer refused the command because it is not signed. {developer_mode_advice(traits)}"
        )
    code = "" if reply.error_code is None else f" (error {reply.error_code & 0xFFFFFFFF:08X})"
    said = f"The printer refused {reply.command}{f': {reason}' if reason else ''}{code}"
    return PrinterBusy(f"{said}; it is busy.") if reply.error_code == BUSY else PrinterError(f"{said}.")


def outcome(ticket: Ticket, traits: Traits) -> Outcome | None:
    """Return what the reply says, None as long as there is none. Raises the refusal when it says failed."""
    reply = ticket.reply
    if not isinstance(reply, Reply):
        return None if reply is None else Outcome.SUCCESS
    if reply.outcome is Outcome.FAILED:
        raise refusal(reply, traits)
    return reply.outcome


async def execute(printer: Printer, plan: Plan) -> Done:
    """Publish the plan's request, once; return when there is evidence. Raises CommandError; TimedOut without any."""
    evidence = plan.evidence
    done = await (_shown(printer, plan, evidence) if isinstance(evidence, Shown) else _replied(printer, plan, evidence))
    if done is None:
        printer.suspect()
        raise TimedOut(_unobeyed(printer, plan))
    return done


def _unobeyed(printer: Printer, plan: Plan) -> str:
    within = f"{plan.evidence.within:.0f} s"
    sentence = f"The printer was told to {plan.request.command} and did not show within {within} that it did."
    if printer.signing_is_expected() and printer.view is not None and printer.developer_mode is None:
        sentence += (
            " Its firmware obeys only signed commands unless Developer Mode is on: check that on its screen,"
            f" {network_page(printer.traits)}."
        )
    return sentence


async def _shown(printer: Printer, plan: Plan, evidence: Shown) -> Done | None:
    view = printer.view
    already = view is not None and evidence.predicate(view)
    ticket = printer.send(plan.request)

    def probe() -> Done | None:
        said = outcome(ticket, printer.traits)
        if already and said is Outcome.SUCCESS:
            return Done(acknowledged=True)
        settled = not already or printer.clock.monotonic() - ticket.sent_at >= SETTLED_S
        told = printer.reports > ticket.reports_before and settled
        if told and printer.view is not None and evidence.predicate(printer.view):
            if not already:
                printer.saw_effect(plan.request)
            return Done(acknowledged=said is Outcome.SUCCESS)
        return None

    return await printer.waiters.until(probe, evidence.within)


async def _replied(printer: Printer, plan: Plan, evidence: Replied) -> Done | None:
    ticket = printer.send(plan.request)

    def replied() -> Done | None:
        return Done(acknowledged=True) if outcome(ticket, printer.traits) is Outcome.SUCCESS else None

    done = await printer.waiters.until(replied, REPLY_GRACE_S if evidence.probe else evidence.within)
    if done is not None or not evidence.probe or printer.sessions != ticket.session:
        return done
    try:
        question = printer.send(GetVersion())
    except PrinterOffline:
        return None  # it was published: whether it was obeyed nobody knows

    def heard() -> Done | None:
        answered = question.reply is not None and printer.sessions == ticket.session
        return replied() or (Done(acknowledged=False) if answered else None)

    return await printer.waiters.until(heard, evidence.within - REPLY_GRACE_S)
