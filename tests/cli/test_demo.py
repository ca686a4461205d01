"""The demo, from its first line to its last."""

import subprocess
import sys

import pytest

from tests.e2e.bench import ROOT


@pytest.mark.timeout(120)
def test_the_demo_plays_to_its_end() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bambu_connector", "demo"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = iter(done.stdout.splitlines())
    for wanted in (
        "A broker in the place of Printago's", "A virtual P1S", "The service runs.", "demo/mqtt: connected",
        "-> movement_control/home", "success  movement_control/home", "-> movement_control/jog",
        "-> printer_control/start_print_bbl", "TransferDone", "success  printer_control/start_print_bbl",
        "PrintStarted", "printing layer", "PrintDone", "demo/mqtt: disconnected", "The print has finished",
    ):  # fmt: skip
        assert any(wanted in line for line in lines), f"{wanted!r} is missing, or not in its place:\n{done.stdout}"


@pytest.mark.parametrize("package", ["amqtt", "aioftp"])
def test_without_the_extra_one_sentence_says_how_to_install_it(package: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv = ['bambu-connector', 'demo']\n"
        "from bambu_connector.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("pip install 'bambu-connector[virtual]'\n")
    assert done.stderr.count("\n") == 1
