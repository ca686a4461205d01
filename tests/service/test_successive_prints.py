"""One print of ours right after another, before anybody could be sure that the first one is over."""

import asyncio
from pathlib import Path

from tests.service.test_restart import World
from tests.simulated import simulated, until


@simulated
async def test_a_print_that_follows_one_that_shows_idle_for_a_moment_leaves_neither_its_file_nor_its_ids(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    await world.begin()
    await asyncio.sleep(3)
    world.start("c1")
    await until(lambda: world.answers("c1"), 60)
    world.printer.change(gcode_state="IDLE")  # stopped at the screen, say
    world.start("c2")
    await until(lambda: world.answers("c2"), 60)
    assert world.ending("c2") == "success"
    await until(lambda: len(world.terminal()) == 2, 900)
    assert [each["job"]["command_id"] for each in world.terminal()] == ["c1", "c2"]
    await until(lambda: not world.files, 120)
    await world.end()
