"""Who may do what, and when not: the guards table of the contract. Each guard raises what it refuses with."""

from collections.abc import Callable
from typing import Final

from bambu_connector.bambu.menus import developer_mode_advice
from bambu_connector.bambu.view import GcodeState, View
from bambu_connector.errors import (
    AccessDenied,
    ConnectorError,
    DeveloperModeRequired,
    IdentityMismatch,
    NotReady,
    PrinterBusy,
    PrinterOffline,
    StorageMissing,
    WrongState,
)
from bambu_connector.translate.situation import Situation

Guard = Callable[[Situation], object]
FRESH_S: Final = 10.0  # how old a report may be that allows a start or filament to move


def need_connection(now: Situation) -> None:
    """There must be a session."""
    if now.connected:
        return
    if isinstance(now.link_error, AccessDenied | IdentityMismatch):
        raise type(now.link_error)(str(now.link_error))
    reason = f": {now.link_error}" if now.link_error else "."
    raise PrinterOffline(f"The printer is not connected{reason}")


def need_report(now: Situation) -> View:
    """The printer must have told its whole state since the connect."""
    need_connection(now)
    if now.view is None:
        raise NotReady("The printer has not told its state yet; try again in a few seconds.")
    return now.view


def need_developer_mode(now: Situation) -> None:
    """The printer must not be known to demand signatures; what was known before a session has said anything is old."""
    if now.view is not None and now.developer_mode is False:
        raise DeveloperModeRequired(f"The printer obeys only signed commands. {developer_mode_advice(now.traits)}")


def need_obedience(now: Situation) -> None:
    """For everything in the group `print`: not known to demand signatures, not upgrading its firmware."""
    need_developer_mode(now)
    if now.view is not None and now.view.is_upgrading:
        raise PrinterBusy("The printer is upgrading its firmware.")


def need_print_control(now: Situation) -> View:
    """What every command that publishes `print.*` needs, but pause and stop."""
    view = need_report(now)
    need_obedience(now)
    return view


def state_text(view: View) -> str:
    """The printer's state for a sentence."""
    return view.state.lower() if view.state else "not known"


def need_stillness(now: Situation, *, paused_is_still: bool) -> View:
    """Nothing prints or is about to; movement and heat would spoil it."""
    view = need_print_control(now)
    if now.start_out:
        raise PrinterBusy("A print is being started.")
    still = view.is_inactive or (paused_is_still and view.state is GcodeState.PAUSE)
    if not still:
        raise PrinterBusy(f"The printer is busy: its state is {state_text(view)}.")
    return view


def need_running_or_paused(now: Situation) -> View:
    """A print must be there to act on."""
    view = need_print_control(now)
    if view.state not in (GcodeState.RUNNING, GcodeState.PAUSE):
        raise WrongState(f"No print is running: the printer's state is {state_text(view)}.")
    return view


def guard_pause(now: Situation) -> View:
    """A print must be running."""
    need_connection(now)
    need_obedience(now)
    if now.view is None or now.view.state is not GcodeState.RUNNING:
        raise WrongState(
            f"No print is running: the printer's state is {state_text(now.view) if now.view else 'not known'}."
        )
    return now.view


def guard_resume(now: Situation) -> View:
    """A print must be paused."""
    view = need_print_control(now)
    if view.state is not GcodeState.PAUSE:
        raise WrongState(f"No print is paused: the printer's state is {state_text(view)}.")
    return view


def guard_stop(now: Situation) -> View | None:
    """There must be something to stop, or nobody knows; a job of ours is stopped before this is asked."""
    need_connection(now)
    need_obedience(now)
    if now.view is not None and now.view.is_inactive and not (now.job_under_way or now.start_unexplained):
        raise WrongState(f"There is nothing to stop: the printer's state is {state_text(now.view)}.")
    return now.view


def guard_storage(now: Situation) -> View:
    """For what is written to the printer's storage: it must not be known to be absent."""
    view = need_report(now)
    if view.storage_present is False:
        raise StorageMissing("The printer has no card or stick: put one in (the printer's own slot), then try again.")
    return view


def guard_start(now: Situation, *, own_job: bool = False) -> View:
    """A print may be started; `own_job` when it is our own job under way that asks."""
    view = need_print_control(now)
    if now.start_out:
        raise PrinterBusy("A print is being started.")
    if not view.is_inactive:
        raise PrinterBusy(f"The printer is busy: its state is {state_text(view)}.")
    if now.job_under_way and not own_job:
        raise PrinterBusy("Another job is under way for this printer.")
    if now.start_unexplained:
        raise PrinterBusy(
            "What became of the last start is not known yet: look at the printer; a new start is taken once the printer"
            " shows what happened, or after five minutes."
        )
    guard_storage(now)
    return view


def guard_start_now(now: Situation) -> View:
    """The same, right before the start, on a report that is fresh."""
    view = guard_start(now, own_job=True)
    if now.report_age is None or now.report_age > FRESH_S:
        raise NotReady(f"The printer has said nothing for {FRESH_S:.0f} s, so nobody knows whether it is still free.")
    return view


def allows(guard: Guard, now: Situation) -> bool:
    """Say whether a guard lets through; the status tells with it what can be done."""
    try:
        guard(now)
    except ConnectorError:
        return False
    return True
