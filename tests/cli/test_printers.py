"""`printers`: what is configured and what is paired, never a secret."""

import json

import pytest
from click.testing import CliRunner

from bambu_connector.cli import presenting
from bambu_connector.cli.main import cli
from bambu_connector.cli.printers import printer_rows
from bambu_connector.config import load
from bambu_connector.registry import Paired, Registry
from bambu_connector.secret import Secret
from tests.e2e.bench import Service
from tests.e2e.cloud import Tree

FINGERPRINT = "sha256:" + "ab" * 32


def test_the_table_names_every_printer_and_no_secret(desk: Service) -> None:
    done = desk.cli("printers")
    assert (done.returncode, done.stderr) == (0, "")
    heading, left, right = done.stdout.splitlines()
    assert heading.split()[:3] == ["name", "model", "serial"]
    assert left.split()[:2] == ["Left", "P1S"]
    assert "01P00A000000001" in left
    assert "yes" in left
    assert "missing" in right
    assert "24681357" not in done.stdout


def test_json_is_an_array_of_them(desk: Service) -> None:
    done = desk.cli("printers", "--json")
    left, right = json.loads(done.stdout)
    assert left == {
        "id": "left", "name": "Left P1S", "serial": "01P00A000000001", "model": "Bambu Lab P1S", "model_code": "C12",
        "host": "192.0.2.1", "has_access_code": True, "trust": "first contact", "fingerprint": None,
        "paired": False, "developer_mode": None, "source": "connector.yaml",
    }  # fmt: skip
    assert (right["id"], right["host"], right["has_access_code"]) == ("00M00A000000002", None, False)


def test_each_way_to_trust_has_its_word(desk: Service, config: Tree) -> None:
    ca_file = desk.folder / "ca.crt"
    ca_file.write_text("")
    entries = [
        {"serial": f"01P00A00000001{number}", "tls": tls}
        for number, tls in enumerate([{"fingerprint": FINGERPRINT}, {"verify": False}, {}, {}])
    ]
    desk.write(config | {"printers": entries})
    registry = Registry(desk.state_dir)
    registry.learn("01P00A000000012", fingerprint=FINGERPRINT)
    rows = printer_rows(load(desk.config_file, {}), registry.entries())
    assert [row["trust"] for row in rows] == ["pinned", "not checked", "pinned", "first contact"]
    assert [row["fingerprint"] for row in rows] == [FINGERPRINT, None, FINGERPRINT, None]


def test_paired_printers_are_listed_with_what_is_known_of_them(desk: Service) -> None:
    registry = Registry(desk.state_dir)
    both = Paired(
        serial="00M00A000000002", host="192.0.2.7", access_code=Secret("13572468"), is_paired=True, developer_mode=False
    )
    registry.store(both)
    registry.store(
        Paired(
            serial="030120000000007", id="mini", name="Mini [red]", access_code=Secret("99887766"), is_paired=True,
            fingerprint=FINGERPRINT, developer_mode=True,
        )
    )  # fmt: skip
    registry.learn("01S00A000000009", fingerprint=FINGERPRINT)
    registry.learn("01P00A000000001", firmware="01.04.00.00")  # before commands had to be signed
    done = desk.cli("printers", "--json")
    assert "13572468" not in done.stdout
    left, right, mini = json.loads(done.stdout)
    keys = ("id", "name", "host", "has_access_code", "trust", "paired", "developer_mode", "source")
    assert [left[key] for key in keys[5:]] == [False, None, "connector.yaml"]
    assert [right[key] for key in keys] == [
        "00M00A000000002", "Right X1C", "192.0.2.7", True, "first contact", True, False, "both",
    ]  # fmt: skip
    assert [mini[key] for key in keys] == ["mini", "Mini [red]", None, True, "pinned", True, True, "paired"]
    heading, *rows = desk.cli("printers").stdout.splitlines()
    assert heading.split()[-3:] == ["developer", "mode", "from"]
    assert [row.split()[-2:] for row in rows] == [["needed", "connector.yaml"], ["off", "both"], ["on", "paired"]]
    assert "Mini [red]" in rows[2]


def test_an_id_is_shown_where_it_is_not_the_serial(desk: Service, config: Tree) -> None:
    heading, left, right = desk.cli("printers").stdout.splitlines()
    assert heading.split()[:5] == ["name", "model", "serial", "id", "address"]
    assert "left" in left.split()
    assert right.split().count("00M00A000000002") == 1
    del config["printers"][0]["id"]
    desk.write(config)
    assert "id" not in desk.cli("printers").stdout.splitlines()[0].split()


def test_what_must_be_copied_is_whole_at_80_columns(desk: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presenting, "_FILE_WIDTH", 80)
    done = CliRunner().invoke(cli, ["--config", str(desk.config_file), "printers"])
    heading, left, right = done.stdout.splitlines()
    assert max(map(len, (heading, left, right))) <= 80
    for cell in ("Left P1S", "01P00A000000001", "192.0.2.1", "left", "yes"):
        assert cell in left
    assert "00M00A000000002" in right
    assert "Bambu Lab" not in left


def test_a_printer_that_is_not_checked_is_warned_about(desk: Service, config: Tree) -> None:
    config["printers"][0]["tls"] = {"verify": False}
    desk.write(config)
    done = desk.cli("printers")
    assert "not checked" in done.stdout
    assert done.stderr.startswith("warning: ")
    assert "certificate is not checked" in done.stderr


def test_a_code_that_cannot_be_opened_is_missing_and_a_warning(desk: Service) -> None:
    Registry(desk.state_dir).store(Paired(serial="030120000000007", access_code=Secret("99887766"), is_paired=True))
    (desk.state_dir / "secret.key").unlink()
    done = desk.cli("printers", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)[2]["has_access_code"] is False
    assert "bambu-connector pair 030120000000007" in done.stderr


def test_no_printers_are_an_empty_array(desk: Service, config: Tree) -> None:
    desk.write(config | {"printers": []})
    assert json.loads(desk.cli("printers", "--json").stdout) == []
