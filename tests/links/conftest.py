"""What the wires' tests share: a printer's certificate authority, and a check that nothing is left behind."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bambu_connector.virtual.pki import Authority
from tests.servers.process import workspace


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other-pki"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with workspace() as folder:
        yield folder


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and not thread.daemon]
    for thread in left:
        thread.join(5)
    assert [thread.name for thread in left if thread.is_alive()] == []
