"""`check`: every mistake at once."""

import pytest

from bambu_connector.registry import Paired, Registry
from bambu_connector.secret import Secret
from tests.e2e.bench import Service
from tests.e2e.cloud import Tree


def test_a_right_configuration_is_called_valid(desk: Service) -> None:
    done = desk.cli("check")
    assert done.returncode == 0
    assert done.stdout == f"{desk.config_file}: valid, 2 printers\n"
    assert "note: Right X1C has no `host`: it is found by its announcements" in done.stderr
    assert "note: Right X1C has no `access_code` that can be used: it waits to be paired" in done.stderr
    assert "bambu-connector pair 00M00A000000002" in done.stderr
    assert "24681357" not in done.stderr


def test_what_pairing_knows_is_counted_and_fills_the_gaps(desk: Service) -> None:
    registry = Registry(desk.state_dir)
    code = Secret("13572468")
    registry.store(Paired(serial="00M00A000000002", host="192.0.2.7", access_code=code, is_paired=True))
    registry.store(Paired(serial="030120000000007", host="192.0.2.8", access_code=code, is_paired=True))
    done = desk.cli("check")
    assert done.stdout == f"{desk.config_file}: valid, 3 printers, 1 of them only paired\n"
    assert done.stderr == ""


def test_a_written_key_that_hides_what_pairing_knows_is_told_and_no_secret(desk: Service) -> None:
    paired = Paired(serial="01P00A000000001", host="192.0.2.99", access_code=Secret("13572468"), is_paired=True)
    Registry(desk.state_dir).store(paired)
    done = desk.cli("check")
    start = f"in {desk.config_file} goes before what is in printers.yaml"
    assert f"note: Left P1S: `host` {start} (`192.0.2.99`)\n" in done.stderr
    assert f"note: Left P1S: `access_code` {start}, which is another one\n" in done.stderr
    assert "13572468" not in done.stderr
    assert "24681357" not in done.stderr


def test_an_id_that_a_paired_printer_has_is_a_mistake(desk: Service) -> None:
    paired = Paired(serial="030120000000007", id="left", access_code=Secret("13572468"), is_paired=True)
    Registry(desk.state_dir).store(paired)
    done = desk.cli("check")
    assert (done.returncode, done.stdout) == (3, "")
    assert "printers.yaml gives 030120000000007 the id `left`" in done.stderr


def test_a_damaged_registry_is_a_mistake(desk: Service) -> None:
    desk.state_dir.mkdir(mode=0o700)
    (desk.state_dir / "printers.yaml").touch(0o600)
    done = desk.cli("check")
    assert (done.returncode, done.stdout) == (3, "")
    assert f"{desk.state_dir / 'printers.yaml'}:1: the file is empty" in done.stderr


MISTAKES = """\
connector:
  id: desk
  state_dri: /tmp/x
printago:
  username: farm
  password: "${NO_SUCH_VARIABLE}"
  protocol: "4"
  port: 99999
printers:
  - serial: short
    access_code: 24681357
  - serial: 00M00A000000002
    id: a/b
  - serial: 00M00A000000002
status: {min_interval: soon, min_interval: 1}
"""


def test_every_mistake_is_said_at_once_with_its_place(desk: Service) -> None:
    desk.config_file.write_text(MISTAKES)
    done = desk.cli("check")
    assert (done.returncode, done.stdout) == (3, "")
    lines = done.stderr.splitlines()
    for number, key in (
        (3, "state_dri"), (6, "password"), (7, "protocol"), (8, "port"), (10, "serial"), (13, "id"), (14, "serial"),
        (15, "min_interval"),
    ):  # fmt: skip
        place = f"{desk.config_file}:{number}:"
        assert [line for line in lines if place in line and key in line], (place, key, done.stderr)
    assert any("host" in line for line in lines)
    assert any("state_dir" in line for line in lines), "the nearest known key is named"
    assert "24681357" not in done.stderr


def test_without_printago_there_is_a_note(desk: Service, config: Tree) -> None:
    del config["printago"]
    desk.write(config)
    done = desk.cli("check")
    assert done.returncode == 0
    assert "`run` has nobody to serve" in done.stderr


def test_a_file_with_secrets_that_others_can_read_is_warned_about(desk: Service) -> None:
    desk.config_file.chmod(0o644)
    done = desk.cli("check")
    assert done.returncode == 0
    assert "warning: " in done.stderr


@pytest.mark.parametrize("text", ["", "printers: [", "- a\n- b\n", "\x00", "printers: &a [*a]\n"], ids=repr)
def test_what_is_no_configuration_never_ends_in_a_traceback(desk: Service, text: str) -> None:
    desk.config_file.write_text(text)
    done = desk.cli("check")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"bambu-connector: {desk.config_file}:")
