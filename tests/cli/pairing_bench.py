"""What pairing is tried on: printers that nobody has paired, the command as a process, and a person at a terminal."""

import contextlib
import itertools
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from bambu_connector.registry import Paired, Registry
from tests.e2e.bench import ACCESS_CODE, ROOT, Printer, Workshop
from tests.servers.process import free_port, wait_until

_ADDRESSES = itertools.count(1)


class Box:
    """Printers on addresses of their own, all with the same ports; a home without any configuration."""

    def __init__(self, workshop: Workshop, home: Path) -> None:
        self.home = home
        self.ports = {"mqtt": free_port(), "ftps": free_port()}
        self.workshop = workshop
        self._printers: list[Printer] = []

    @property
    def state_dir(self) -> Path:
        return self.home / "state" / "bambu-connector"

    def printer(self, model: str = "P1S", **options: Any) -> Printer:
        """Take a printer out of the box and switch it on."""
        bind = f"127.61.0.{next(_ADDRESSES)}"
        ports = {f"{name}_port": port for name, port in self.ports.items()}
        made = Printer(self.workshop, model, bind=bind, **ports | options)
        self._printers.append(made)
        return made

    def paired(self, printer: Printer) -> Paired | None:
        """Return what is stored of a printer."""
        return Registry(self.state_dir).entry(printer.serial)

    @property
    def port_options(self) -> list[str]:
        return [option for name, port in self.ports.items() for option in ("--port", f"{name}={port}")]

    @property
    def environ(self) -> dict[str, str]:
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "BAMBU_"))},
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / "state"),
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
        }

    def pair(self, *argv: str, stdin: str = "", code: int = 0) -> "subprocess.CompletedProcess[str]":
        """Run `pair` to its end without a terminal; it must end with `code`, and show no access code."""
        return self.run("pair", *argv, *self.port_options, stdin=stdin, code=code)

    def run(self, *argv: str, stdin: str = "", code: int = 0) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end without a terminal."""
        done = subprocess.run(
            [sys.executable, "-m", "bambu_connector", *argv],
            cwd=self.home, env=self.environ, input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        assert ACCESS_CODE not in done.stdout + done.stderr
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def close(self) -> None:
        for each in self._printers:
            each.close()


@contextlib.contextmanager
def box(workshop: Workshop, home: Path) -> Iterator[Box]:
    """Return a box whose printers are switched off in the end."""
    made = Box(workshop, home)
    try:
        yield made
    finally:
        made.close()


class Terminal:
    """The command on a terminal of its own, which is its controlling one: getpass asks there."""

    def __init__(self, box: Box, *argv: str) -> None:
        self._master, inside = pty.openpty()
        self.text = ""
        command = [sys.executable, "-m", "bambu_connector", *argv]
        # Who leads a session and opens a terminal has it as its own from then on.
        self._process = subprocess.Popen(
            ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(inside), *command],
            cwd=box.home,
            env={**box.environ, "TERM": "dumb"},
            start_new_session=True,
        )
        self._inside = inside
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        os.close(self._inside)
        self._reader.join(10)
        os.close(self._master)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while data := os.read(self._master, 4096):
                self.text += data.decode(errors="replace")

    def when_shown(self, text: str, times: int = 1) -> None:
        wait_until(f"{text!r} on the screen", lambda: self.text.count(text) >= times, 40)

    def type(self, text: str) -> None:
        os.write(self._master, f"{text}\n".encode())

    def ctrl_c(self) -> None:
        os.write(self._master, b"\x03")

    def wait(self) -> int:
        return self._process.wait(40)
