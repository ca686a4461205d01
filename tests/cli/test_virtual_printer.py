"""`virtual-printer`: what it prints is a configuration with which the rest of the command line can use it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from tests.e2e.bench import ROOT
from tests.servers.process import Child, wait_until


def command(config: Path, *argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "bambu_connector", "--config", str(config), *argv],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=40,
    )  # fmt: skip


def test_the_item_that_it_prints_can_be_pasted_as_it_is(tmp_path: Path) -> None:
    argv: list[str | Path] = [
        sys.executable,
        "-u",
        "-m",
        "bambu_connector",
        "virtual-printer",
        "--model",
        "h2d",
        "--no-announce",
        "--speed",
        "60",
    ]
    with Child(argv, tmp_path / "printer.log", cwd=ROOT) as printer:
        wait_until("it is ready", lambda: "ready: H2D" in printer.text(), 20)
        config = tmp_path / "connector.yaml"
        config.touch(0o600)
        item = printer.text().partition("put this under")[0]
        config.write_text(f"connector: {{id: bench, state_dir: {tmp_path / 'state'}}}\nprinters:\n{item}")
        done = command(config, "status", "Virtual H2D", "--json")
        assert done.returncode == 0, done.stderr
        machine = json.loads(done.stdout)["machines"][0]
        assert machine["hardware"]["dev_display_name"] == "Bambu Lab H2D"
        assert len(machine["current"]["nozzles"]) == 2
        done = command(config, "send", "Virtual H2D", "movement_control/home")
        assert done.returncode == 0, done.stderr
        wait_until("it homes", lambda: "homed" in printer.text())
        printer.send_signal(signal.SIGTERM)
        assert printer.wait() == 0
