"""The configuration is read again when it was changed, whole, and once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bambu_connector.cli.main import Settings
from bambu_connector.cli.reloading import Reloader
from bambu_connector.config import Config
from bambu_connector.errors import ConfigError
from bambu_connector.registry import Paired, Registry
from bambu_connector.secret import Secret

SERIAL = "01P00A000000001"
CONFIG = """
connector: {{state_dir: {state_dir}}}
printers:
  - serial: {serial}
    name: {name}
    access_code_file: code
"""


class Bench:
    """A configuration, and what looks at it."""

    def __init__(self, folder: Path) -> None:
        self.file, self.code, self.state_dir = folder / "connector.yaml", folder / "code", folder / "state"
        self.code.write_text("12345678\n")
        self.code.chmod(0o600)
        self.write("Left")
        self.settings = Settings(self.file, environ={})
        self.registry = Registry(self.state_dir)
        self.secrets: list[Secret] = []
        self.loads = 0
        self.look = Reloader(self._load(), self._load, self.registry, self.secrets.append)
        self.loads = 0

    def _load(self) -> Config:
        self.loads += 1
        return self.settings.load()

    def write(self, name: str) -> None:
        self.file.write_text(CONFIG.format(state_dir=self.state_dir, serial=SERIAL, name=name))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_was_not_changed_is_not_read_again(bench: Bench) -> None:
    assert [bench.look() for _ in range(5)] == [None] * 5
    assert bench.loads == 0


def change_config(bench: Bench) -> None:
    bench.write("Renamed")


def change_secret(bench: Bench) -> None:
    bench.code.write_text("87654321 new\n")


def pair_another(bench: Bench) -> None:
    Registry(bench.state_dir).store(Paired(serial="01P00A000000002", access_code=Secret("11112222")))


@pytest.mark.parametrize("change", [change_config, change_secret, pair_another])
def test_every_file_that_it_is_made_of_is_watched(bench: Bench, change: Callable[[Bench], None]) -> None:
    change(bench)
    found = [bench.look() for _ in range(4)]
    assert len([each for each in found if each is not None]) == 1
    assert bench.loads == 1
    (config,) = [each for each in found if each is not None]
    assert set(bench.secrets) == set(config.secrets())


def test_what_the_service_itself_learns_is_no_news(bench: Bench) -> None:
    bench.registry.learn(SERIAL, host="192.0.2.7")
    assert [bench.look() for _ in range(3)] == [None] * 3


def test_a_file_that_is_still_being_written_is_not_read(bench: Bench) -> None:
    for number in range(5):
        bench.file.write_text("connector: {" + " " * number)
        assert bench.look() is None
    bench.write("Renamed")
    assert bench.look() is None
    config = bench.look()
    assert config is not None
    assert config.printers[0].name == "Renamed"


def test_a_mistake_is_told_once_and_its_correction_is_taken(bench: Bench) -> None:
    bench.file.write_text("nonsense: true")
    assert bench.look() is None
    with pytest.raises(ConfigError, match="nonsense"):
        bench.look()
    assert bench.look() is None
    bench.write("Renamed")
    assert bench.look() is None
    assert bench.look() is not None


def test_a_file_that_is_gone_is_told_once_and_what_held_before_holds(bench: Bench) -> None:
    bench.file.unlink()
    assert bench.look() is None
    with pytest.raises(ConfigError):
        bench.look()
    assert [bench.look(), bench.look()] == [None, None]


def test_a_file_that_was_made_readable_is_read(bench: Bench) -> None:
    bench.code.chmod(0o644)
    bench.code.write_text("87654321\n")
    assert bench.look() is None
    bench.look()
    loads = bench.loads
    bench.code.chmod(0o600)
    assert bench.look() is None
    assert bench.look() is not None
    assert bench.loads == loads + 1


def test_what_could_not_be_read_is_tried_again_and_told_once(bench: Bench) -> None:
    other = bench.code.with_name("other")
    bench.file.write_text(bench.file.read_text().replace("code", "other").replace("access_other", "access_code"))
    assert bench.look() is None
    with pytest.raises(ConfigError, match="no such file"):
        bench.look()
    assert [bench.look() for _ in range(40)] == [None] * 40
    other.write_text("87654321\n")
    other.chmod(0o600)
    assert len([each for each in (bench.look() for _ in range(40)) if each is not None]) == 1


def test_the_same_mistake_saved_again_is_told_again(bench: Bench) -> None:
    for spaces in (1, 2):
        bench.file.write_text("nonsense: true" + " " * spaces)
        assert bench.look() is None
        with pytest.raises(ConfigError, match="nonsense"):
            bench.look()


def test_on_request_it_is_read_though_nothing_changed(bench: Bench) -> None:
    assert bench.look(anew=True) is not None
    assert bench.look() is None


def test_what_changes_while_it_is_read_is_found_by_the_next_looks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write("Renamed")
    assert bench.look() is None
    load = bench.look._load

    def load_slowly() -> Config:
        found = load()
        bench.write("Renamed again")
        monkeypatch.undo()
        return found

    monkeypatch.setattr(bench.look, "_load", load_slowly)
    bench.look()
    found = [each for each in (bench.look() for _ in range(3)) if each is not None]
    assert [each.printers[0].name for each in found] == ["Renamed again"]
