"""What takes long was begun with the service; here is what has become of it."""

import pytest

from tests.e2e.conftest import Faulty
from tests.servers.process import wait_until

pytestmark = pytest.mark.timeout(120)  # a stop is waited for a minute, a silent session for 70 s


@pytest.mark.parametrize(
    "name", ["mute", "deaf", "deaf-light", "deaf-pause", "echo-pause", "mute-stop", "unknown-stop"]
)
def test_what_shows_no_effect_times_out_and_is_not_repeated(faulty: Faulty, name: str) -> None:
    answer = faulty.answer(name)
    assert (answer.kind, answer.code) == ("error", "timeout")
    orders = faulty.bench[name].orders()
    assert len(orders) == 1, orders


def test_nothing_is_started_on_an_old_report(faulty: Faulty) -> None:
    printer = faulty.bench["stale-start"]
    answer = faulty.answer("stale-start")
    assert (answer.code, answer.data["stage"]) == ("not_ready", "start")
    assert printer.orders() == []
    wait_until("the upload is gone", lambda: not printer.files())


def test_a_session_that_does_not_hear_us_is_made_anew(faulty: Faulty) -> None:
    printer = faulty.bench["deaf"]
    wait_until("another session", lambda: printer.virtual.connects > 1, 60)
    assert printer.virtual.sessions <= 1


def test_a_session_that_fell_silent_is_woken_and_then_made_anew(faulty: Faulty) -> None:
    printer = faulty.bench["stale"]
    wait_until("another session", lambda: printer.virtual.connects > 1, 90)
    assert "start" in printer.commands()
    printer.virtual.faults.clear()
    mark = faulty.bench.cloud.mark()
    faulty.bench.cloud.hear(
        "status", printer.id, lambda each: each.process["can_process_job"], since=mark, timeout_s=60
    )
    faulty.bench.succeed(printer, "movement_control/home")
