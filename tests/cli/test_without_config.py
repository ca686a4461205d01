"""Before there is a connector.yaml."""

from pathlib import Path

import pytest

from bambu_connector.cli.main import Settings
from bambu_connector.cli.without_config import records
from bambu_connector.errors import ConfigError
from bambu_connector.registry import Paired, Registry
from bambu_connector.secret import Secret

SERIAL = "01P00A000000042"


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bambu_connector.config.places.locate.__kwdefaults__", {"system": tmp_path / "none.yaml"})
    return {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}


def test_without_a_file_there_are_the_printers_that_were_paired(tmp_path: Path, environ: dict[str, str]) -> None:
    state_dir = tmp_path / "state" / "bambu-connector"
    Registry(state_dir).store(Paired(serial=SERIAL, access_code=Secret("12345678"), is_paired=True, host="192.0.2.9"))
    found = records(Settings(environ=environ))
    assert (found.written.path, found.written.printers) == (None, ())
    paired = found.printer(SERIAL)
    assert paired is not None
    assert paired.host == "192.0.2.9"
    assert found.by_hand(SERIAL) is None
    assert found.printer(None) is None


def test_a_file_that_is_there_counts(tmp_path: Path, environ: dict[str, str]) -> None:
    Path("connector.yaml").write_text(f"connector: {{state_dir: here}}\nprinters: [{{serial: {SERIAL}, name: Left}}]\n")
    found = records(Settings(environ=environ))
    written = found.by_hand(SERIAL)
    assert written is not None
    assert written.name == "Left"
    assert found.config.connector.state_dir == tmp_path / "here"


def test_a_file_that_cannot_be_used_is_no_reason_to_go_without(environ: dict[str, str]) -> None:
    Path("connector.yaml").write_text("connector: [")
    with pytest.raises(ConfigError):
        records(Settings(environ=environ))


@pytest.mark.parametrize("by_option", [True, False])
def test_a_file_that_was_named_must_be_there(environ: dict[str, str], by_option: bool) -> None:
    named = Path("elsewhere.yaml")
    settings = Settings(config_file=named if by_option else None, environ=environ)
    if not by_option:
        settings.environ = {**environ, "BAMBU_CONNECTOR_CONFIG": str(named)}
    with pytest.raises(ConfigError, match="no such file"):
        records(settings)
