"""One job on its way, by itself."""

import asyncio

import pytest

from bambu_connector.errors import TimedOut
from bambu_connector.printago import orders
from bambu_connector.printago.commands import Command, CommandId, Header
from bambu_connector.printago.orders import StartOptions
from bambu_connector.service.job_task import Task
from bambu_connector.translate.job import Job, Kind
from bambu_connector.translate.start import Start
from tests.simulated import simulated


def task(*, kind: Kind = Kind.START, job_id: str | None = None, command_id: CommandId | None = None) -> Task:
    order = orders.StartPrint(file_name="part.3mf", options=StartOptions(job_id=job_id))
    command = Command(Header(command="printer_control/start_print", action="start_print", command_id=command_id), order)
    return Task(command, order, 7, 0.0, 0.0, lambda _answer: None, Job(kind))


@pytest.mark.parametrize(
    ("job_id", "command_id", "expected"), [("J", "c", "J"), (None, "c", "c"), (None, 17, "17"), (None, None, None)]
)
def test_a_job_is_called_by_its_id_else_by_its_commands(
    job_id: str | None, command_id: CommandId | None, expected: str | None
) -> None:
    assert task(job_id=job_id, command_id=command_id).job_id == expected


@simulated
async def test_every_stop_that_waits_is_ended_once() -> None:
    job = task()
    loop = asyncio.get_running_loop()
    good, gone = loop.create_future(), loop.create_future()
    job.stops = [good, gone]
    gone.cancel()
    job.end_stops(None)
    assert await good is None
    bad = loop.create_future()
    job.stops.append(bad)
    job.end_stops(TimedOut("too long"))
    with pytest.raises(TimedOut):
        await bad
    assert job.stops == []


def test_a_stored_file_tells_both_of_its_names_and_a_print_its_own_too() -> None:
    for kind, more in ((Kind.STORE, set[str]()), (Kind.START, {"task_name", "job_id"})):
        job = task(kind=kind, job_id="J")
        job.start = Start("part-7.gcode.3mf", "part-7", 7, None, "")
        job.file = job.start.file
        data = job.success().data
        assert (data["file_name"], data["requested_name"]) == ("part-7.gcode.3mf", "part.3mf")
        assert more <= set(data)
        assert data["success"] is True
