"""One process owns a state directory."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bambu_connector.errors import ConfigError
from bambu_connector.service.lock import AlreadyRunning, StateLock


def test_a_second_owner_is_refused_until_the_first_has_gone(tmp_path: Path) -> None:
    with StateLock(tmp_path):
        with pytest.raises(AlreadyRunning, match=str(tmp_path)), StateLock(tmp_path):
            pass
        with pytest.raises(AlreadyRunning), StateLock(tmp_path):
            pass
    with StateLock(tmp_path):
        pass


def test_another_process_is_refused_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from bambu_connector.service.lock import *\n"
        "with StateLock(pathlib.Path(sys.argv[1])): print('owner', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"owner\n"
        with pytest.raises(AlreadyRunning), StateLock(tmp_path):
            pass
        other.kill()
        other.wait()
    with StateLock(tmp_path):
        pass


def test_the_state_directory_is_made_and_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "state"
    with StateLock(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "lock").stat().st_mode) == 0o600


def test_a_state_directory_that_cannot_be_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="state_dir"), StateLock(tmp_path / "file"):
        pass
