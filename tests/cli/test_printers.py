"""`printers`: what is configured, never a secret."""

import json

from bambu_connector.cli.printers import printer_rows
from bambu_connector.config import load
from bambu_connector.pins import PinStore
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
    PinStore(desk.state_dir / "printers.yaml").remember("01P00A000000012", FINGERPRINT)
    rows = printer_rows(load(desk.config_file, {}))
    assert [row["trust"] for row in rows] == ["pinned", "not checked", "pinned", "first contact"]
    assert [row["fingerprint"] for row in rows] == [FINGERPRINT, None, FINGERPRINT, None]


def test_no_printers_are_an_empty_array(desk: Service, config: Tree) -> None:
    desk.write(config | {"printers": []})
    assert json.loads(desk.cli("printers", "--json").stdout) == []
