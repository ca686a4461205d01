"""What a printer needs to know of its jobs: the jobs tell it, stage by stage."""

from pathlib import Path

from bambu_connector.service.work import Work
from tests.service.bench import bench
from tests.simulated import simulated, until


@simulated
async def test_the_jobs_tell_what_a_printer_asks_of_them_from_a_start_to_its_end(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["slow-start=20"]) as b:
        work: Work = b.unit.jobs

        def told() -> tuple[bool, bool, bool, bool, str]:
            held = work.holds_session(b.clock.monotonic())
            return work.is_under_way, work.is_transferring(), work.start_is_out, held, work.process().stage

        idle = (False, False, False, False, "idle")
        assert told() == idle
        b.hold("upload")
        b.start()
        await b.until_stage("upload")
        assert told() == (True, True, False, False, "upload")
        b.release()
        await until(lambda: b.printer.starts)
        assert told() == (True, False, True, True, "start")
        await until(lambda: b.printer.state == "PREPARE")
        assert told() == idle
        assert not work.start_is_unexplained
        assert work.quiet_for(b.clock.monotonic()) == 0
