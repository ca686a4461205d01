"""From a file to a `Config`: the sections, their defaults, and who may read the secrets."""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from bambu_connector.config import names
from bambu_connector.config.document import MAX_BYTES, Node, Null, Unreadable, parse
from bambu_connector.config.printers import printers
from bambu_connector.config.reading import Notes, Section, closing, home
from bambu_connector.config.tree import (
    BrokerTls,
    Config,
    Connector,
    Downloads,
    Listen,
    Printago,
    Status,
    Storage,
    Web,
)
from bambu_connector.errors import ConfigError

DAY_S: Final = 86_400
MANY_MB: Final = 1024 * 1024

# What looks like a secret that YAML has cut: a comment begins with a space and `#`, and people put a space after it.
_CUT_SECRET: Final = re.compile(r"""(?:password|access_code)\s*:\s+(?!['"|>])\S.*?\s#\S""")
_LOOPBACK: Final = ("127.", "localhost", "::1")


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Read the configuration at `path`. Raises ConfigError with every mistake that is in it."""
    try:
        if stat.S_ISFIFO(path.stat().st_mode):  # to open one waits for whoever writes, perhaps for ever
            raise ConfigError(f"{path}: this is a pipe; write the configuration into a file and name that")
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
    except IsADirectoryError:
        raise ConfigError(f"{path}: this is a directory; name the file in it") from None
    except OSError as exc:
        raise ConfigError(f"{path}: the file cannot be read: {exc.strerror}") from None
    except ValueError:  # a NUL in the name
        raise ConfigError("the configuration's file name cannot be one") from None
    notes = Notes(path, environ)
    try:
        node = parse(raw)
    except Unreadable as exc:
        raise ConfigError(f"{path}:{exc.line}: {exc}") from None
    if isinstance(node, Null):
        raise ConfigError(f"{path}:1: nothing is configured in this file; connector.yaml.example shows what can be")
    config = _read(notes, node, path)
    _warn_of_cut_secrets(notes, raw)
    _check_readers(notes, config.connector.state_dir, mode)
    if notes.problems:
        raise ConfigError(*(sentence for _, sentence in sorted(notes.problems)))
    return replace(
        config,
        warnings=tuple(sentence for _, sentence in sorted(notes.warnings)),
        sources=(path, *(secret for _, _, secret in notes.secret_files)),
    )


def default(environ: Mapping[str, str]) -> Config:
    """Return what holds where there is no file at all."""
    return _read(Notes(Path("connector.yaml"), environ), Null(1), None)


# -- sections --------------------------------------------------------------------------------------


def _read(notes: Notes, node: Node, path: Path | None) -> Config:
    with closing(Section(notes, node, "")) as root:
        connector = _connector(root)
        return Config(
            connector=connector,
            printago=_printago(root, connector.id),
            status=_status(root),
            printers=printers(root),
            downloads=_downloads(root),
            storage=_storage(root),
            web=_web(root),
            path=path,
        )


def _connector(root: Section) -> Connector:
    with root.section("connector") as section:
        text = section.optional_text("state_dir")
        return Connector(
            id=names.identifier(section, "id", os.uname().nodename or "bambu-connector"),
            state_dir=_usual_state_dir(root.notes.environ) if text is None else root.notes.path(text),
        )


def _usual_state_dir(environ: Mapping[str, str]) -> Path:
    if given := environ.get("STATE_DIRECTORY"):  # from systemd; several are separated by colons
        return Path(given.partition(":")[0])
    base = environ.get("XDG_STATE_HOME")
    return (Path(base) if base else home(environ) / ".local" / "state") / "bambu-connector"


def _printago(root: Section, connector_id: str) -> Printago | None:
    if not root.has("printago"):
        return None
    with root.section("printago") as section:
        tls = _broker_tls(section)
        host = names.host(section, "host")
        section.missing("host", "this is missing; it is the name or address of Printago's broker")
        username, password = section.optional_text("username"), section.secret("password")
        if password and not section.has("username"):
            section.problem("password", "a password needs a `username`")
        if password and tls is None and host and not host.startswith(_LOOPBACK):
            section.warning(
                "tls", "the password goes through the network in clear; set `tls: true` where the broker can"
            )
        with section.section("topics") as topics:
            return Printago(
                host=host or "",
                port=section.integer("port", 1883 if tls is None else 8883, 1, 65535),
                tls=tls,
                username=username,
                password=password,
                client_id=section.text("client_id", f"bambu-connector-{connector_id}"),
                protocol=section.choice("protocol", ("5", "3.1.1")) or "5",
                keepalive=section.integer("keepalive", 30, 1, 65535),
                exclusive=section.boolean("exclusive", default=True),
                topics=names.topics(topics),
            )


def _broker_tls(section: Section) -> BrokerTls | None:
    if not section.is_mapping("tls"):
        return BrokerTls() if section.boolean("tls", default=True) else None
    with section.section("tls") as tls:
        ca_file = names.authority(tls, "ca_file")
        return BrokerTls(ca_file, *names.own_certificate(tls))


def _status(root: Section) -> Status:
    usual = Status()
    with root.section("status") as section:
        status = Status(
            min_interval=section.number("min_interval", usual.min_interval, 0, DAY_S),
            heartbeat=section.number("heartbeat", usual.heartbeat, 1, DAY_S),
            include_report=section.boolean("include_report", default=usual.include_report),
        )
        if status.heartbeat < status.min_interval:
            section.problem("heartbeat", f"it cannot be shorter than `min_interval` ({status.min_interval:g} s)")
        return status


def _downloads(root: Section) -> Downloads:
    usual = Downloads()
    with root.section("downloads") as section:
        return Downloads(
            max_size_mb=section.number("max_size_mb", usual.max_size_mb, 1, MANY_MB),
            allow_http=section.boolean("allow_http", default=usual.allow_http),
            allow_private_addresses=section.boolean("allow_private_addresses", default=usual.allow_private_addresses),
            allowed_hosts=names.hosts(section, "allowed_hosts"),
            timeout=section.number("timeout", usual.timeout, 1, DAY_S),
        )


def _storage(root: Section) -> Storage:
    usual = Storage()
    with root.section("storage") as section:
        return Storage(
            uploads=section.integer("uploads", usual.uploads, 1, 1000),
            cache_mb=section.number("cache_mb", usual.cache_mb, 0, MANY_MB),
            keep_files=None if section.says_null("keep_files") else section.integer("keep_files", 10, 0, 100_000),
        )


def _web(root: Section) -> Web:
    if root.says_null("web"):
        root.problem("web", "write `listen: null` in it for no web page, or remove the key for the usual one")
    with root.section("web") as section:
        return Web(names.listen(section, "listen", Listen("127.0.0.1", 8888)))


def _warn_of_cut_secrets(notes: Notes, raw: bytes) -> None:
    lines = raw.decode("utf-8-sig").splitlines()
    for line in notes.secret_lines:
        if line <= len(lines) and _CUT_SECRET.search(lines[line - 1]):
            notes.warning(
                line, "", "a space and `#` begin a comment, which is no part of the secret; quote the secret if it is"
            )


# -- who can read the secrets ----------------------------------------------------------------------


def _check_readers(notes: Notes, state_dir: Path, mode: int) -> None:
    """Refuse secrets that others can read inside the state directory, warn about those outside."""
    for line in notes.secret_lines[:1]:  # one sentence a file
        _check_reader(notes, line, "", notes.file, mode, state_dir)
    for line, key, path in notes.secret_files:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue  # noted when it was read
        _check_reader(notes, line, key, path, mode, state_dir)


def _check_reader(notes: Notes, line: int, key: str, path: Path, mode: int, state_dir: Path) -> None:
    if not mode & stat.S_IROTH:
        return
    sentence = f"others on this machine can read {path}, and a secret is in it; chmod 600 it"
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(state_dir)):
        notes.problem(line, key, sentence)
    else:
        notes.warning(line, key, sentence)
