"""A journal that cannot be opened, written or heard of: what the service does meanwhile, and afterwards."""

import asyncio
from pathlib import Path

import pytest

from bambu_connector.sealing import Sealer
from bambu_connector.service.journal import PATIENCE_S, Journal
from bambu_connector.service.store import StoreFailed
from tests.service.fakes import FakeClock, FakeStore, GatedExecutor
from tests.service.test_restart import World
from tests.simulated import simulated, until


@simulated
async def test_what_is_under_way_when_the_journal_opens_late_has_one_answer(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    await world.kill()
    world.store.failure = StoreFailed("disk full")
    await world.begin()
    await asyncio.sleep(5)
    world.printer.faults.add("deaf")
    world.command("movement_control/home", command_id="h1")
    world.store.failure = None
    await until(lambda: world.store.records, 30)
    await asyncio.sleep(60)
    assert world.ending("h1") == "timeout"
    assert "restarted" not in world.answers("h1")[0]["data"]["error"]
    await world.end()


@simulated
async def test_a_start_that_was_refused_before_the_journal_opened_does_not_begin_afterwards(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    world.wires.downloader.gate.close()
    world.start()
    await world.kill_when(lambda: world.wires.downloader.gate.waiting)
    world.store.failure = StoreFailed("disk full")
    world.wires.downloader.gate.open()
    await world.begin()
    world.start()
    await asyncio.sleep(20)
    assert world.ending() == "internal"
    world.store.failure = None
    await asyncio.sleep(120)
    assert world.ending() == "internal"
    assert world.printer.starts == []
    assert not world.files
    assert list((tmp_path / "downloads").iterdir()) == []
    await world.end()


@simulated
async def test_an_id_from_before_the_restart_is_known_while_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    await world.begin()
    world.command("movement_control/home", command_id="h1")
    await until(lambda: world.answers("h1"), 60)
    sent = len(world.printer.acts)
    await world.kill()
    await world.begin()
    monkeypatch.setattr(world.store, "digest", world.store.digests.get)  # a full disk can be read
    world.store.failure = StoreFailed("disk full")
    world.command("movement_control/home", command_id="h2")  # the first one that cannot be written
    await until(lambda: world.answers("h2"), 60)
    world.command("movement_control/home", command_id="h1")
    await asyncio.sleep(30)
    assert len(world.answers("h1")) == 1
    assert len(world.printer.acts) == sent + 1
    world.store.failure = None
    await world.end()


@simulated
async def test_nobody_waits_for_a_disk_that_hangs(tmp_path: Path) -> None:
    disk, store, safe = GatedExecutor(), FakeStore(), asyncio.Event()
    journal = Journal(store, Sealer(tmp_path / "secret.key"), FakeClock(), disk)
    journal.open()
    disk.is_closed = lambda: True
    journal.put("kind", "1", {"a": 1})
    await asyncio.sleep(PATIENCE_S + 1)
    journal.put("kind", "2", {"a": 2})
    journal.when_safe(safe.set)
    await asyncio.wait_for(safe.wait(), 60)
    disk.open()
    await until(lambda: ("kind", "2") in store.records)
    assert journal.trouble is None
    await journal.close(heard_broker=True)
