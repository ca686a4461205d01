"""The options before the command, and how errors end."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bambu_connector.cli import main as main_module
from bambu_connector.cli.main import Settings, accidents_are_logged, cli, main
from bambu_connector.errors import AccessDenied, ConfigError, ConnectorError, NotAPrinter, UsageError
from bambu_connector.logs import Redactor, configure
from bambu_connector.registry import Paired, Registry
from bambu_connector.secret import Secret
from tests.e2e.bench import ROOT, Service

COMMANDS = [
    "discover", "pair", "unpair", "run", "status", "send", "printers", "check", "doctor", "record", "virtual-printer",
    "demo",
]  # fmt: skip


def ended(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *argv: str) -> tuple[int, str, str]:
    """Return exit code and output of the whole command line, in this process."""
    monkeypatch.setattr(sys, "argv", ["bambu-connector", *argv])
    with pytest.raises(SystemExit) as ending:
        main()
    out, err = capsys.readouterr()
    code = ending.value.code
    assert isinstance(code, int)
    return code, out, err


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in result.output] == []


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_each_command_explains_itself(command: str, option: str) -> None:
    result = CliRunner().invoke(cli, [command, option])
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")
    assert len(result.output.splitlines()) > 4


def test_help_loads_nothing_heavy() -> None:
    heavy = {"aiohttp", "paho", "cryptography", "yaml", "orjson", "rich", "ftputil", "amqtt"}
    code = (
        "import sys; sys.argv = ['bambu-connector', '--help']\n"
        "from bambu_connector.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"sys.exit(' '.join({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "\n")  # sys.exit("") is 1, and prints what was loaded


@pytest.mark.parametrize(
    "argv",
    [
        ["fly"],
        ["--log-level", "loud", "check"],
        ["--log-format", "xml", "check"],
        ["send"],
        ["send", "left"],
        ["send", "left", "home"],
        ["send", "left", "movement_control/"],
        ["status", "--fast"],
        ["printers", "left"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_says_why(
    argv: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = ended(capsys, monkeypatch, *argv)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: ")
    assert "Error: " in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectorError("It failed."), 1),
        (UsageError("That cannot be."), 2),
        (ConfigError("a.yaml:1: x: no", "a.yaml:2: y: no"), 3),
        (AccessDenied("The code is refused."), 5),
        (NotAPrinter("That is a toaster."), 6),
    ],
)
def test_an_error_is_told_in_a_sentence_and_decides_the_exit_code(
    error: ConnectorError, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(main_module, "cli", failing)
    assert ended(capsys, monkeypatch) == (code, "", f"bambu-connector: {error}\n")


def test_ctrl_c_ends_without_a_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "cli", interrupted)
    code, _, err = ended(capsys, monkeypatch)
    assert code == 130
    assert "Traceback" not in err


CODE = "s3cr3t-c0de"


def test_what_nobody_expected_is_logged_without_secrets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def failing() -> None:
        configure(redactor=Redactor([Secret(CODE)]))
        try:
            raise KeyError(CODE)
        except KeyError as error:
            raise ZeroDivisionError(f"https://x/a?sig={CODE} and {CODE}") from error

    monkeypatch.setattr(main_module, "cli", failing)
    code, out, err = ended(capsys, monkeypatch)
    assert (code, out) == (1, "")
    assert "ZeroDivisionError: https://x/a?[redacted] and [secret]" in err
    assert CODE not in err


def test_what_nobody_expected_before_the_log_was_set_up_is_logged_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def failing() -> None:
        raise ZeroDivisionError("https://x/a?sig=1")

    logging.getLogger().handlers.clear()
    monkeypatch.setattr(main_module, "cli", failing)
    code, _, err = ended(capsys, monkeypatch)
    assert code == 1
    assert "ZeroDivisionError: https://x/a?[redacted]" in err


class Fragile:
    """Fails when it goes."""

    def __del__(self) -> None:
        raise ZeroDivisionError(CODE)


def fail_in_a_thread() -> None:
    def failing() -> None:
        raise ZeroDivisionError(CODE)

    thread = threading.Thread(target=failing)
    thread.start()
    thread.join()


@pytest.mark.parametrize("accident", [fail_in_a_thread, Fragile])
def test_accidents_in_threads_and_destructors_are_logged_without_secrets(
    accident: Callable[[], object], capsys: pytest.CaptureFixture[str]
) -> None:
    hooks = threading.excepthook, sys.unraisablehook
    configure(redactor=Redactor([Secret(CODE)]))
    with accidents_are_logged():
        accident()
    out, err = capsys.readouterr()
    assert "ZeroDivisionError: [secret]" in err
    assert CODE not in out + err
    assert (threading.excepthook, sys.unraisablehook) == hooks


def test_a_reader_that_goes_away_is_no_accident(desk: Service) -> None:
    with subprocess.Popen(
        [*desk.argv, "printers", "--json"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait(20) == 1


def test_a_configuration_that_is_not_there_ends_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "nowhere.yaml"
    code, out, err = ended(capsys, monkeypatch, "--config", str(path), "check")
    assert (code, out) == (3, "")
    assert str(path) in err


def test_a_configuration_that_this_user_cannot_read_ends_with_3_as_what_else_is_wrong_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "theirs.yaml"
    path.touch()
    monkeypatch.setattr(os, "access", lambda *_arguments, **_more: False)

    def refused(*_arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    code, out, err = ended(capsys, monkeypatch, "--config", str(path), "check")
    assert (code, out) == (3, "")
    assert f"{path}: the file cannot be read: Permission denied" in err


def test_settings_find_the_file_by_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("connector: {id: by-environment}\n")
    settings = Settings(environ={"BAMBU_CONNECTOR_CONFIG": str(path), "HOME": str(tmp_path)})
    assert settings.load().connector.id == "by-environment"


def settings_of(tmp_path: Path) -> Settings:
    """Return settings whose state directory is `state`."""
    path = tmp_path / "mine.yaml"
    path.write_text("connector: {id: desk, state_dir: state}\nprinters: [{serial: 01P00A000000001, name: Left}]\n")
    return Settings(path, environ={"HOME": str(tmp_path)})


def test_settings_know_the_paired_printers_and_their_secrets(tmp_path: Path) -> None:
    code = Secret("13572468")
    Registry(tmp_path / "state").store(Paired(serial="030120000000007", access_code=code, is_paired=True))
    config = settings_of(tmp_path).load()
    assert [each.serial for each in config.printers] == ["01P00A000000001", "030120000000007"]
    assert config.secrets() == (code,)
    (tmp_path / "state" / "secret.key").unlink()
    assert "bambu-connector pair 030120000000007" in settings_of(tmp_path).load().warnings[0]


def test_who_may_not_look_into_the_state_directory_is_told_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Registry(tmp_path / "state").store(Paired(serial="030120000000007", access_code=Secret("1"), is_paired=True))
    usual = os.open

    def refuse(path: Path, *arguments: int) -> int:
        if Path(path) == tmp_path / "state" / "printers.yaml":
            raise PermissionError(13, "Permission denied")
        return usual(path, *arguments)

    monkeypatch.setattr(os, "open", refuse)
    config = settings_of(tmp_path).load()
    assert [each.serial for each in config.printers] == ["01P00A000000001"]
    (warning,) = config.warnings
    assert "printers.yaml: the file cannot be read: Permission denied; printers that are only paired" in warning


def test_what_is_paired_is_known_without_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(environ={"HOME": str(tmp_path)})
    with pytest.raises(ConfigError, match="there is no configuration"):
        settings.load()
    Registry(tmp_path / ".local/state/bambu-connector").store(
        Paired(serial="01P00A000000001", access_code=Secret("12345678"))
    )
    assert [each.serial for each in settings.load().printers] == ["01P00A000000001"]
    with pytest.raises(ConfigError, match="there is no configuration"):
        settings.require_file()
    with pytest.raises(ConfigError, match="no such file"):
        Settings(tmp_path / "named.yaml", environ={"HOME": str(tmp_path)}).load()
