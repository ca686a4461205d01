"""What the README says to copy: it must work as it stands."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Final

import click
import pytest

from bambu_connector.cli.main import cli

ROOT: Final = Path(__file__).parents[1]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
STOPS_WITHIN_S: Final = 10


def unit() -> str:
    """Return the unit of systemd."""
    (text,) = re.findall(r"^```ini\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert isinstance(text, str)
    return text


def service() -> dict[str, str]:
    """Return the section [Service] of the unit."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the way to keep capitals
    parser.read_string(unit())
    return dict(parser["Service"])


def test_the_unit_starts_the_service_as_the_command_line_is() -> None:
    program, *argv = shlex.split(service()["ExecStart"])
    assert program == "/opt/bambu-connector/bin/bambu-connector"
    with cli.make_context("bambu-connector", argv) as context:
        assert context.params["config_file"] == Path("/etc/bambu-connector/connector.yaml")
    assert argv[-1] == "run"
    assert f"/opt/bambu-connector\n    sudo {Path(program).parent}/pip install" in README


def test_the_unit_confines_the_service_and_gives_it_time() -> None:
    found = service()
    assert found["Type"] == "notify"
    assert int(found["WatchdogSec"]) >= 30
    assert int(found["TimeoutStopSec"]) > STOPS_WITHIN_S
    confined = ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "RestrictSUIDSGID")
    assert {key: found[key] for key in confined} == dict.fromkeys(confined, "yes")
    assert (found["ProtectSystem"], found["StateDirectory"]) == ("strict", "bambu-connector")
    assert found["User"] != "root"


def test_the_unit_lets_the_service_ask_whether_the_clock_is_right() -> None:
    """adjtimex(2) is not among @system-service, and ProtectClock denies it: after a power cut it would be a kill."""
    found = service()
    assert "ProtectClock" not in found
    assert {"@system-service", "adjtimex", "clock_adjtime"} <= {*found["SystemCallFilter"].split()}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    # What it names must exist for the check: the program, and a user that every machine has.
    text = (
        unit().replace(service()["ExecStart"].split()[0], "/usr/bin/env").replace("User=bambu-connector", "User=daemon")
    )
    path = tmp_path / "bambu-connector.service"
    path.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    path.write_text(text.replace("WatchdogSec", "WatchdogSeconds"))
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False, timeout=30)
    assert "WatchdogSeconds" in done.stderr


def test_every_command_of_the_command_line_is_in_its_table() -> None:
    assert isinstance(cli, click.Group)
    with click.Context(cli) as context:
        names = cli.list_commands(context)
    assert [name for name in names if f"\n| `{name}" not in README] == []


def test_the_line_that_renews_the_lock_file_names_what_is_there() -> None:
    (line,) = re.findall(r"^ {4}(echo .* uv pip compile .*)$", README, re.MULTILINE)
    words = shlex.split(line)
    assert {"--universal", "--generate-hashes"} <= set(words)
    assert (ROOT / words[words.index("-o") + 1]).is_file()
    assert words[words.index("--python-version") + 1] == "3.11"
