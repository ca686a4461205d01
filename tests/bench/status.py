"""From a folded report to a status message, ready for the wire. The measure is one `json.loads` of an 11 KB report."""

import json
from collections.abc import Callable, Iterator
from itertools import cycle

from bambu_connector.bambu.fold import fold
from bambu_connector.bambu.models import TRAITS, Model, Traits
from bambu_connector.bambu.view import View
from bambu_connector.printago.messages import MessageType, envelope
from bambu_connector.translate.situation import Situation
from bambu_connector.translate.status import NO_PROCESS, Link, StatusWriter
from tests import captures
from tests.bambu.reports import Fields, as_delta, h2d, p1s
from tests.bench.table import Row, interleaved

_LINK = Link(
    serial="01P00A000000001",
    name="Left P1S",
    host="192.168.1.50",
    is_connecting=False,
    is_online=True,
    has_access_right=True,
    verified=True,
    last_report="2026-11-22T18:20:00.123Z",
    reconnects=0,
    firmware="01.08.02.00",
)
_MODELS = {"A1": Model.A1, "H2D": Model.H2D, "P1P": Model.P1P, "P2S": Model.P2S, "X1CMULTIAMS": Model.X1C}


def eleven_kilobytes() -> bytes:
    """Return a report of that size: a real one where there is one, else an invented one with padding of its kind."""
    report = captures.read().get("H2D") or h2d()
    report = dict(report)
    while len(json.dumps({"print": report})) < 11_000:
        report[f"padding_{len(report)}"] = h2d()["device"]["nozzle"]
    return json.dumps({"print": report}).encode()


def complete_message(report: Fields, traits: Traits) -> Callable[[], object]:
    """Return the work: the next of a few reports of a running print, said as a message."""
    base = report | {"gcode_state": "RUNNING", "command": "push_status", "msg": 0}
    deltas = (as_delta(nozzle_temper=200 + step / 10, mc_percent=step) for step in range(50))
    writer = StatusWriter()
    views = cycle([View(fold(base, delta) or base, traits) for delta in deltas])

    def work() -> object:
        view = next(views)
        now = Situation(
            traits=traits,
            connected=True,
            view=view,
            link_error=None,
            report_age=0.0,
            saw_home=True,
            job_under_way=False,
            start_out=False,
            start_unexplained=False,
        )
        data = writer.write(now, _LINK, NO_PROCESS, view)
        return envelope(MessageType.STATUS, "id", data, moment=1.8e9, message_id="7f0c").payload

    return work


def measure(*, quick: bool) -> Iterator[Row]:
    """Yield a row for each report that there is."""
    raw = eleven_kilobytes()
    reports = {"P1S": (p1s(), Model.P1S), "H2D": (h2d(), Model.H2D)}
    reports |= {f"real {name}": (report, _MODELS.get(name, Model.P1P)) for name, report in captures.read().items()}
    for name, (report, model) in reports.items():
        ours, floor = interleaved(
            [complete_message(report, TRAITS[model]), lambda: json.loads(raw)],
            rounds=9 if quick else 41,
            count=100,
        )
        note = f"floor: json.loads of {len(raw)} B"
        yield Row(what=f"status, encoded: {name}", unit="µs", ours=ours, floor=floor, at_most=1.0, note=note)
