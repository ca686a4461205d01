"""A zip for a public bug report: all that a maintainer needs, and nothing that is secret or says who and where."""

import getpass
import io
import os
import platform
import re
import socket
import sqlite3
import stat
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from bambu_connector.cli.masking import Masker
from bambu_connector.cli.personal_fields import host_alias, learn_names, masked_config, masked_report
from bambu_connector.config import Config
from bambu_connector.errors import ConnectorError, UsageError
from bambu_connector.logs import MARK, Redactor
from bambu_connector.registry import Paired

_LIBRARIES: Final = (
    *("bambu-connector", "paho-mqtt", "ftputil", "cryptography", "PyYAML", "click", "orjson", "aiohttp", "rich"),
    *("psutil", "amqtt", "aioftp", "opencv-python-headless"),
)
_LOG_LINES: Final = 500
_LOG_S: Final = 10.0
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_PSEUDONYM: Final = re.compile(r"‹([a-z]+)-[^›]*›|[0-9A-Z]{3}(-…-)A\d+")
_MODE: Final = 0o600
Tree = dict[str, Any]


class BundleFailed(ConnectorError):
    """The bundle was not written."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a bundle: what it holds, in a few words, and its text, masked."""

    name: str
    holds: str
    text: str

    def described(self) -> tuple[str, str, str]:
        """Return the name with the size, what it holds, and what was masked in it."""
        counts: dict[str, int] = {}
        for kind, serial in _PSEUDONYM.findall(self.text):
            word = "serial" if serial else kind
            counts[word] = counts.get(word, 0) + 1
        counts["secret"] = self.text.count(MARK)
        masked = ", ".join(f"{word} {count}×" for word, count in sorted(counts.items()) if count)
        return f"{self.name}, {len(self.text.encode())} bytes", self.holds, f"masked: {masked or 'nothing to mask'}"


class Bundle:
    """What goes into one bundle. `known` is what the registry has, `found` and `facts` are the doctor's."""

    def __init__(
        self, config: Config, known: Mapping[str, Paired], found: Tree, facts: Mapping[str, Tree], log: str | None
    ) -> None:
        codes = (each.access_code for each in known.values())
        self._redactor = Redactor([*config.secrets(), *(code for code in codes if code)])
        self.masker = Masker(self._redactor)
        self._config = config
        self._known = known
        self._found = found
        self._facts = facts
        self._log = log
        learn_names(self.masker, config, known)
        self._learn_computer()

    def _learn_computer(self) -> None:
        host_alias(self.masker, socket.gethostname())
        with suppress(OSError, KeyError, ImportError):  # a user without a name
            self.masker.alias("user", getpass.getuser())
        with suppress(RuntimeError):
            self.masker.alias("user", Path.home().name)

    def parts(self) -> tuple[Part, ...]:
        """Return every file, masked."""
        for _ in self._raw():  # once to learn what is personal, and once to take it out
            pass
        return tuple(Part(name, holds, self.masker.text(text)) for name, holds, text in self._raw())

    def _raw(self) -> Iterator[tuple[str, str, str]]:
        masker = self.masker
        yield "versions.json", "Python, libraries, and what computer this is", _json(masker.tree(versions()))
        holds = "the configuration as it holds, defaults filled in"
        yield "configuration.yaml", holds, _yaml(masked_config(masker, self._config))
        entries = [masked_config(masker, each) for each in self._known.values()]
        yield "printers.yaml", "what pairing knows of printers", _yaml(entries)
        yield "findings.json", "what the doctor found", _json(self._findings())
        for number, printer_id in enumerate(self._found.get("printers", {}), 1):
            holds = "the last report, the modules and the session of one printer"
            facts = masked_report(masker, self._facts.get(printer_id, {}))
            yield f"printer-{number}.json", holds, _json({"id": masker.alias("id", printer_id), **facts})
        counts = journal_counts(self._config.connector.state_dir)
        yield "database.json", "how many records of each kind there are, without their contents", _json(counts)
        log = self._log
        told = "There is no journal of systemd with this service in it. Add the log's last lines, looked through.\n"
        yield "log.txt", "the last lines of the log" if log else "no log", masked_log(masker, log) if log else told

    def _findings(self) -> Tree:
        masker = self.masker
        printers = self._found.get("printers", {})
        return {
            "printago": masker.tree(self._found.get("printago", [])),
            "machine": masker.tree(self._found.get("machine", [])),
            "printers": {masker.alias("id", each): masker.tree(findings) for each, findings in printers.items()},
        }

    def zipped(self, parts: tuple[Part, ...]) -> bytes:
        """Return the zip, read back and searched for everything that must not be in it; raises BundleFailed."""
        raw = io.BytesIO()
        with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as file:
            for part in parts:
                file.writestr(zipfile.ZipInfo(part.name), part.text.encode(), zipfile.ZIP_DEFLATED)
        with zipfile.ZipFile(io.BytesIO(raw.getvalue())) as file:
            for name in file.namelist():
                leak = self.masker.leak(file.read(name).decode())
                if leak is not None:
                    raise BundleFailed(
                        f"The bundle is not written: {leak} still stands in {name}. That is a bug: please report it."
                    )
        return raw.getvalue()


def refuse_special(path: Path) -> None:
    """Raise UsageError where there is something other than a file: to replace a device would take it from everybody."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise BundleFailed(f"{path} cannot be written: {error.strerror or error}") from error
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path} is there already and is no ordinary file, so it is not replaced: name another.")


def write(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all; raises BundleFailed, and UsageError."""
    refuse_special(path)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _MODE), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise BundleFailed(f"{path} cannot be written: {error.strerror or error}") from error


def _json(tree: Any) -> str:
    return orjson.dumps(tree, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode() + "\n"


def _yaml(tree: Any) -> str:
    return yaml.safe_dump(tree, allow_unicode=True, sort_keys=False)


# -- what is collected -----------------------------------------------------------------------------


def versions() -> Tree:
    """Return which Python, which libraries and which computer this is."""
    return {
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "distribution": _first_of("PRETTY_NAME=", "/etc/os-release"),
        "computer": _first_of("", "/proc/device-tree/model"),
        "openssl": _openssl(),
    }


def _version(name: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return None


def _openssl() -> str:
    import ssl

    return ssl.OPENSSL_VERSION


def _first_of(prefix: str, path: str) -> str | None:
    """Return the rest of the first line that begins so."""
    with suppress(OSError):
        for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(prefix):
                return line.removeprefix(prefix).strip("\0\"' ")
    return None


def journal_counts(state_dir: Path) -> Tree:
    """Return how much the journal holds; nothing of it is read."""
    path = state_dir / "journal.db"
    counts: Tree = {"bytes": None, "version": None, "records": {}, "commands": None}
    try:
        counts["bytes"] = path.stat().st_size
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)) as database:
            (counts["version"],) = database.execute("PRAGMA user_version").fetchone()
            counts["records"] = dict(database.execute("SELECT kind, count(*) FROM records GROUP BY kind"))
            (counts["commands"],) = database.execute("SELECT count(*) FROM commands").fetchone()
    except FileNotFoundError:
        counts["error"] = "there is none"
    except (OSError, sqlite3.Error) as error:
        counts["error"] = type(error).__name__
    return counts


def read_log() -> str | None:
    """Return the service's last lines in systemd's journal; None where there are none to be had."""
    argv = ["journalctl", "--unit", "bambu-connector*", "--lines", str(_LOG_LINES), "--no-pager", "--output", "cat"]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=_LOG_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.decode("utf-8", "replace")
    return lines if done.returncode == 0 and "-- No entries --" not in lines and lines.strip() else None


def masked_log(masker: Masker, log: str) -> str:
    """Return lines of a log; what was quoted in them somebody else has written, so it goes."""
    return "".join(f"{_masked_line(masker, line)}\n" for line in log.splitlines())


def _masked_line(masker: Masker, line: str) -> str:
    if line.startswith("{"):
        with suppress(orjson.JSONDecodeError):
            record = orjson.loads(line)
            if isinstance(record, dict):
                return orjson.dumps(masked_report(masker, _unquoted(record))).decode()
    return masker.text(_QUOTED.sub('"‹text›"', line))


def _unquoted(record: Tree) -> Tree:
    return {key: _QUOTED.sub('"‹text›"', value) if isinstance(value, str) else value for key, value in record.items()}
