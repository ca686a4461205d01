"""A real vsftpd as the printers have it: implicit TLS 1.2, session reuse demanded, the user `bblp`."""

import os
import pwd
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.servers.process import Child, as_root, free_port, start_server

_GUEST: Final = "ftp"  # comes with Debian's vsftpd package
_YES: Final = (
    "listen local_enable write_enable guest_enable virtual_use_local_privs chroot_local_user allow_writeable_chroot "
    "ssl_enable implicit_ssl force_local_data_ssl force_local_logins_ssl require_ssl_reuse pasv_enable "
    "xferlog_enable log_ftp_protocol dual_log_enable"
)
_NO: Final = "background anonymous_enable seccomp_sandbox allow_anon_ssl ssl_sslv2 ssl_sslv3"


class Vsftpd:
    """Serves from the constructor to the end of the `with` block; `root` is the printer's storage.

    `folder` must be open to other users (`process.workspace`). Needs root, or sudo without a password.
    """

    def __init__(
        self,
        folder: Path,
        *,
        pem: Path,
        access_code: str,
        host: str = "127.0.0.1",
        port: int | None = None,
        clear_data: bool = False,
    ) -> None:
        self.host = host
        self.port = port or free_port(host)
        self._folder = folder / f"vsftpd-{self.port}"
        self.root = self._folder / "root"
        for each in (self.root / "cache", self._folder / "empty"):
            each.mkdir(parents=True)
        self.protect(read_only=False)
        self._pam = Path("/etc/pam.d") / f"bambu-connector-test-{os.getpid()}-{self.port}"
        _write_as_root(self._pam, self._pam_service(access_code))
        guest = {"guest_username": _GUEST, "local_root": self.root, "secure_chroot_dir": self._folder / "empty"}
        tls = {"ssl_ciphers": "HIGH", "rsa_cert_file": pem, "rsa_private_key_file": pem}
        passive = {"pasv_min_port": 40000, "pasv_max_port": 40999, "pasv_address": host}
        listen = {"listen_address": host, "listen_port": self.port, "pam_service_name": self._pam.name}
        rest = {"local_umask": "022", "vsftpd_log_file": self._folder / "log", "xferlog_file": self._folder / "xfer"}
        switches = dict.fromkeys(_YES.split(), "YES") | dict.fromkeys(_NO.split(), "NO")
        if clear_data:
            switches["force_local_data_ssl"] = "NO"
        self._options = {**switches, **guest, **tls, **passive, **listen, **rest}
        self._child: Child
        try:
            self.start()
        except BaseException:
            self._forget_pam()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, *, bytes_per_second: int = 0) -> None:
        """Start serving, each transfer at most that fast (0: as fast as it goes)."""
        options = self._options | {"local_max_rate": bytes_per_second}
        config = self._folder / "vsftpd.conf"
        _write_as_root(config, "".join(f"{key}={value}\n" for key, value in options.items()))
        argv: list[str | Path] = ["/usr/sbin/vsftpd", config]
        self._child = start_server(lambda: Child(argv, self._folder / "out", root=True), self.host, self.port)

    def stop(self) -> None:
        self._child.kill()

    def restart(self, *, bytes_per_second: int = 0) -> None:
        self.stop()
        self.start(bytes_per_second=bytes_per_second)

    def close(self) -> None:
        self.stop()
        self._forget_pam()

    def cut(self) -> int:
        """Kill the sessions that are open now, not the server; return how many processes that were."""
        return self._child.cut()

    def protect(self, *, read_only: bool) -> None:
        """Make every upload end in 553, as without a card or with a locked one; or undo that."""
        owner = "root" if read_only else pwd.getpwnam(_GUEST).pw_name
        subprocess.run(as_root("chown", owner, self.root, self.root / "cache"), check=True)

    def text(self) -> str:
        """Its log, with each command and reply."""
        done = subprocess.run(as_root("cat", self._folder / "log"), check=False, capture_output=True)
        return done.stdout.decode(errors="replace")

    def files(self) -> dict[str, int]:
        """Name and size of each regular file in the root (not in its folders)."""
        return {path.name: path.stat().st_size for path in self.root.iterdir() if path.is_file()}

    def content(self, name: str) -> bytes:
        return subprocess.run(as_root("cat", self.root / name), check=True, capture_output=True).stdout

    def _forget_pam(self) -> None:
        subprocess.run(as_root("rm", "-f", self._pam), check=True)

    def _pam_service(self, access_code: str) -> str:
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"], input=access_code, text=True, check=True, capture_output=True
        ).stdout.strip()
        passwords = self._folder / "passwords"
        passwords.write_text(f"bblp:{hashed}\n")
        return (
            f"auth required pam_pwdfile.so pwdfile {passwords}\n"
            "account required pam_permit.so\nsession required pam_permit.so\n"
        )


def _write_as_root(path: Path, text: str) -> None:
    # vsftpd refuses a configuration that is not its own user's.
    subprocess.run(as_root("tee", path), input=text, text=True, check=True, stdout=subprocess.DEVNULL)
