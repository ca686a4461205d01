"""A real mosquitto: a printer's broker (TLS, one certificate) or Printago's."""

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.process import Child, free_port, start_server


class Mosquitto:
    """Listens from the constructor to the end of the `with` block.

    `pem` is certificate and key in one file and switches TLS 1.2 on. `users` are names with passwords, none means that
    everybody may come in; `acl` is the text of mosquitto's ACL file; `options` are lines for its
    configuration, `listener_options` for its one listener.
    """

    def __init__(
        self,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        users: Mapping[str, str] | None = None,
        acl: str | None = None,
        pem: Path | None = None,
        options: Sequence[str] = (),
        listener_options: Sequence[str] = (),
    ) -> None:
        self.host = host
        self.port = port or free_port(host)
        self._folder = folder / f"mosquitto-{self.port}"
        self._folder.mkdir(parents=True)
        lines = [
            "user root",
            "persistence false",
            "log_dest stderr",
            "log_type all",
            "set_tcp_nodelay true",
            f"allow_anonymous {'false' if users else 'true'}",
            *options,
        ]
        if users:
            passwords = self._folder / "passwords"
            passwords.touch(0o600)
            for user, password in users.items():
                subprocess.run(["mosquitto_passwd", "-b", passwords, user, password], check=True)
            lines.append(f"password_file {passwords}")
        if acl is not None:
            (self._folder / "acl").write_text(acl)
            lines.append(f"acl_file {self._folder / 'acl'}")
        lines.append(f"listener {self.port} {host}")
        if pem is not None:
            lines += [f"certfile {pem}", f"keyfile {pem}"]
            if not any(line.startswith("tls_version") for line in listener_options):
                lines.append("tls_version tlsv1.2")
        lines += listener_options
        self._config = self._folder / "mosquitto.conf"
        self._config.write_text("\n".join([*lines, ""]))
        self._child: Child
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()

    def start(self) -> None:
        argv: list[str | Path] = ["mosquitto", "-c", self._config]
        self._child = start_server(lambda: Child(argv, self._folder / "log"), self.host, self.port)

    def stop(self) -> None:
        """End it at once; its sessions and retained messages are lost."""
        self._child.kill()

    def freeze(self) -> None:
        """From now on it accepts connections and says nothing."""
        self._child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._child.send_signal(signal.SIGCONT)

    def text(self) -> str:
        """Its log: connections, packets, reasons."""
        return self._child.text()
