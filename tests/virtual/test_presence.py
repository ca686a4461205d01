"""What a virtual printer says of itself is the same everywhere."""

import asyncio
from pathlib import Path

import pytest

from bambu_connector.secret import Secret
from bambu_connector.virtual.faults import Faults
from bambu_connector.virtual.ftps import Folder
from bambu_connector.virtual.identity import Identity
from bambu_connector.virtual.logins import Logins
from bambu_connector.virtual.models import MODELS, find_model
from bambu_connector.virtual.presence import Announcing, Presence
from bambu_connector.virtual.printer import Machine
from tests.virtual.wires import Ears, free_udp_port, run, until


def presence(model: str, folder: Path, faults: Faults, announcing: Announcing | None = None) -> Presence:
    found = find_model(model)
    machine = Machine(found, f"{found.prefix}00A000000001", Folder(folder), faults, now=0.0)
    return Presence(machine, "Workshop", Logins(Secret("12345678"), faults), announcing)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("fault", [None, "cloud"])
def test_announcement_and_answer_say_the_same(model: str, fault: str | None, tmp_path: Path) -> None:
    own = presence(model, tmp_path, Faults([fault] if fault else []))
    announced, detected = own.announced("127.0.0.1"), own.detected()
    for name in ("serial", "model_code", "name", "firmware", "connection", "is_bound"):
        assert getattr(announced, name) == getattr(detected, name)
    assert announced.firmware is not None
    assert announced.signal_dbm is not None
    assert (announced.connection, announced.is_bound) == (("cloud", True) if fault else ("lan", False))


def test_it_opens_what_is_asked_for_and_tells_the_ports(tmp_path: Path) -> None:
    async def test() -> None:
        own = presence("P1S", tmp_path, Faults())
        identity = Identity("01P00A000000001", tmp_path, None, Faults())
        ports = {"mqtt": 1, "detect": 0, "camera": 0}
        await own.open("127.0.0.1", ports, identity, identity.context())
        assert ports["mqtt"] == 1
        assert all(ports[name] > 0 for name in ("detect", "camera"))
        _, writer = await asyncio.open_connection("127.0.0.1", ports["detect"])
        own.drop_connections()
        writer.transport.abort()
        await own.close()
        for name in ("detect", "camera"):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", ports[name])
        own.say_goodbye()  # to nobody

    run(test())


def test_what_cannot_be_opened_leaves_nothing_open(tmp_path: Path) -> None:
    async def test() -> None:
        identity = Identity("01P00A000000001", tmp_path, None, Faults())
        async with Ears(free_udp_port()) as ears:
            announcing = Announcing(ears.port, 0.01)
            first, second = (presence("P1S", tmp_path, Faults(), announcing) for _ in range(2))
            ports = {"camera": 0}
            await first.open("127.0.0.1", ports, identity, identity.context())
            with pytest.raises(OSError, match="in use"):
                await second.open("127.0.0.1", {"detect": 0, **ports}, identity, identity.context())
            await until(lambda: len(ears.heard) > 2)
            first.say_goodbye()
            await first.close()
            await until(lambda: ears.announcements()[-1].is_goodbye)
        assert len(asyncio.all_tasks()) == 1

    run(test())
