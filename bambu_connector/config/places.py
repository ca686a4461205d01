"""Where the configuration is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bambu_connector.config.reading import home
from bambu_connector.errors import ConfigError

VARIABLE: Final = "BAMBU_CONNECTOR_CONFIG"
SYSTEM: Final = Path("/etc/bambu-connector/connector.yaml")


def locate(named: Path | None, environ: Mapping[str, str], *, system: Path = SYSTEM) -> Path:
    """Return the configuration's path: the one that is named, else the first that exists.

    Raises ConfigError when a named one does not exist, or none is found.
    """
    for where, path in (("--config", named), (VARIABLE, environ.get(VARIABLE))):
        if path:
            if not _exists(Path(path)):
                raise ConfigError(f"{path}: there is no such file ({where} names it)")
            return Path(path)
    usual = _usual_places(environ, system)
    for candidate in usual:
        if _exists(candidate):
            return candidate
    raise ConfigError(_nothing_found(usual))


def _usual_places(environ: Mapping[str, str], system: Path) -> tuple[Path, ...]:
    base = environ.get("XDG_CONFIG_HOME")
    user = Path(base) if base else home(environ) / ".config"
    return Path("connector.yaml"), user / "bambu-connector" / "connector.yaml", system


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # reading it will say why it cannot be used
        return True
    except (OSError, ValueError):
        return False


def _nothing_found(places: tuple[Path, ...]) -> str:
    looked = "\n".join(f"  {place.absolute()}" for place in places)
    return (
        f"there is no configuration. These places were looked at:\n{looked}\n"
        "To begin, write a connector.yaml such as this one, or start from connector.yaml.example:\n"
        "  printago:\n"
        "    host: mqtt.example.org\n"
        "    username: farm\n"
        '    password: "…"\n'
        "Then pair your printers with `bambu-connector pair`, and `bambu-connector check` says what is still missing."
    )
