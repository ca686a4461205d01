"""The demo, from its first line to its last."""

import signal
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


@pytest.mark.parametrize("line", ["A broker in the place of Printago's", "-> movement_control/home"])
def test_ctrl_c_ends_it_at_once_and_it_says_no_more_than_that(line: str) -> None:
    argv = [sys.executable, "-u", "-m", "bambu_connector", "demo"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            assert any(line in each for each in running.stdout)
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=20)
        finally:
            running.kill()
    assert (running.returncode, err) == (130, "bambu-connector: The demo was ended before its end.\n")
