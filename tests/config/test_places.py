from pathlib import Path

import pytest

from bambu_connector.config.places import locate
from bambu_connector.errors import ConfigError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of its own: working directory, home and system directory."""
    for folder in ("work", "home", "etc"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def find(here: Path, named: Path | None = None, **environ: str) -> Path:
    return locate(named, {"HOME": str(here / "home"), **environ}, system=here / "etc" / "connector.yaml")


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_each_place_goes_before_those_after_it(here: Path) -> None:
    system = put(here / "etc" / "connector.yaml")
    assert find(here) == system
    user = put(here / "home" / ".config" / "bambu-connector" / "connector.yaml")
    assert find(here) == user
    xdg = put(here / "xdg" / "bambu-connector" / "connector.yaml")
    assert find(here, XDG_CONFIG_HOME=str(here / "xdg")) == xdg
    working = put(here / "work" / "connector.yaml")
    assert find(here).absolute() == working
    variable = put(here / "variable.yaml")
    assert find(here, BAMBU_CONNECTOR_CONFIG=str(variable)) == variable
    named = put(here / "named.yaml")
    assert find(here, named, BAMBU_CONNECTOR_CONFIG=str(variable)) == named


def test_a_named_file_that_does_not_exist_is_an_error_although_another_does(here: Path) -> None:
    put(here / "work" / "connector.yaml")
    with pytest.raises(ConfigError, match="--config names it"):
        find(here, here / "nothing.yaml")
    with pytest.raises(ConfigError, match="BAMBU_CONNECTOR_CONFIG names it"):
        find(here, BAMBU_CONNECTOR_CONFIG="nothing.yaml")


def test_where_nothing_is_found_the_error_says_where_it_looked_and_how_to_begin(here: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find(here)
    text = str(caught.value)
    for place in ("work/connector.yaml", "home/.config/bambu-connector/connector.yaml", "etc/connector.yaml"):
        assert str(here / place) in text
    assert "printago:" in text
    assert "bambu-connector check" in text


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_a_name_that_cannot_be_one_is_an_error(here: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        find(here, Path(name))
