"""Fields that say who and where somebody is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.cli.masking import Masker
from bambu_connector.cli.personal_fields import host_alias, learn_names, masked_config, masked_report
from bambu_connector.config import Config, Connector, Printago, PrinterConfig
from bambu_connector.config.tree import BrokerTls, Listen, PrinterTls, Topics, Web
from bambu_connector.logs import Redactor
from bambu_connector.registry import Paired
from bambu_connector.secret import Secret
from bambu_connector.virtual.faults import Faults
from bambu_connector.virtual.models import find_model
from bambu_connector.virtual.printer import Machine

SERIAL = "01P00A000000077"
CONFIG = Config(
    connector=Connector("annas-shed", Path("/srv/annas/state")),
    printago=Printago(
        host="broker.annas-farm.example",
        port=8883,
        tls=BrokerTls(ca_file=Path("/etc/annas.crt")),
        username="anna.smith",
        password=Secret("farm-password"),
        client_id="annas-client",
        topics=Topics(commands=("annasfarm/{printer_id}/commands",)),
    ),
    printers=(
        PrinterConfig(
            serial=SERIAL,
            id="clx0000000077",
            name="Anna's Left",
            model="P1S",
            host="192.168.77.5",
            access_code=Secret("24681357"),
            tls=PrinterTls(fingerprint=f"sha256:{'ab' * 32}"),
        ),
    ),
    web=Web(Listen("192.168.77.2", 8888)),
    warnings=("/srv/annas/connector.yaml can be read by others",),
)
KNOWN = {SERIAL: Paired(serial=SERIAL, host="annas-p1s.fritz.box", access_code=Secret("24681357"), is_paired=True)}


def masker() -> Masker:
    return Masker(Redactor(CONFIG.secrets()))


def test_nothing_of_a_configuration_says_who_or_where() -> None:
    m = masker()
    learn_names(m, CONFIG, KNOWN)
    shown = json.dumps([masked_config(m, CONFIG), masked_config(m, KNOWN)], ensure_ascii=False).lower()
    for personal in ("anna", "0077", "192.168", "24681357", "farm-password", "fritz", "abab", "smith"):
        assert personal not in shown, personal


def test_what_a_maintainer_needs_of_a_configuration_stays() -> None:
    m = masker()
    learn_names(m, CONFIG, KNOWN)
    shown = masked_config(m, CONFIG)
    printer = shown["printers"][0]
    assert printer["model"] == "P1S"
    assert printer["ports"] == {"mqtt": 8883, "ftps": 990, "camera": 6000, "rtsps": 322}
    assert (printer["access_code"], shown["printago"]["password"]) == ("[secret]", "[secret]")
    assert printer["serial"] == m.alias("serial", SERIAL) == "01P-…-A1"
    assert shown["printago"]["topics"]["commands"] == ["‹topic-1›/{printer_id}/commands"]
    assert shown["status"]["heartbeat"] == 60.0
    assert masked_config(m, replace(CONFIG.printers[0], access_code=None))["access_code"] is None


@pytest.mark.parametrize("host", [None, "localhost", "127.0.0.1", "0.0.0.0"])
def test_this_computers_own_loopback_is_no_secret(host: str | None) -> None:
    assert host_alias(masker(), host) == host


def test_a_host_is_known_by_its_first_label_too() -> None:
    m = masker()
    alias = host_alias(m, "annas-p1s.fritz.box")
    assert m.text("annas-p1s does not answer") == f"{alias} does not answer"


TRAY = {"tray_sub_brands": "PLA Matte", "tray_uuid": "3912400D8BFC4A4D", "tag_uid": "0000"}
REPORT: dict[str, Any] = {
    "gcode_state": "RUNNING",
    "subtask_name": "Vase for Anna",
    "gcode_file": "Vase for Anna.gcode.3mf",
    "task_id": "715417867",
    "project_id": "0",
    "job_id": 4711,
    "print_error": 50348044,
    "hms": [{"attr": 50331904, "code": 65543}],
    "fun": "3EC18FFF9CFF",
    "wifi_signal": "-45dBm",
    "net": {"conf": 16, "info": [{"ip": 84060352, "mask": 16777215}]},
    "ssid": "Anna's WLAN",
    "owner_note": "ring at the Smiths",
    "ams": {
        "ams": [
            {"id": "0", "tray": [{"tray_sub_brands": "PLA Matte", "tray_uuid": "3912400D8BFC4A4D", "tag_uid": "0000"}]}
        ]
    },
    "upgrade_state": {"sn": SERIAL, "new_ver_list": [{"name": "ota", "cur_ver": "01.08.02.00"}]},
    "ipcam": {"rtsp_url": "rtsps://192.168.77.5/streaming/live/1", "ipcam_dev": "1"},
    "name": "Anna's Left",
    "access_code": "99887766",
    "upload": {"url": ""},
    "online": {"ahb": False},
}


def test_nothing_of_a_report_says_who_or_where() -> None:
    shown = json.dumps(masked_report(masker(), REPORT), ensure_ascii=False).lower()
    for personal in ("anna", "vase", "715417867", "4711", "84060352", "smith", "3912", "0077", "192.168", "99887766"):
        assert personal not in shown, personal


def test_what_a_maintainer_needs_of_a_report_stays() -> None:
    shown = masked_report(masker(), REPORT)
    for key in ("gcode_state", "print_error", "hms", "fun", "wifi_signal", "project_id", "upload", "online"):
        assert shown[key] == REPORT[key], key
    assert shown["upgrade_state"]["new_ver_list"] == REPORT["upgrade_state"]["new_ver_list"]
    assert shown["ams"]["ams"][0]["tray"][0]["tray_sub_brands"] == "PLA Matte"
    assert shown["ams"]["ams"][0]["tray"][0]["tag_uid"] == "0000"
    assert shown["upgrade_state"]["sn"] == "01P-…-A1"
    assert shown["subtask_name"] == "‹file-1›"
    assert shown["gcode_file"].endswith(".gcode.3mf›")


@pytest.mark.parametrize("model", ["P1S", "X1C", "A1 mini", "H2D"])
def test_of_a_whole_report_only_names_and_numbers_of_things_change(model: str) -> None:
    class NoFiles:
        def open(self, path: str) -> None:
            del path

    machine = Machine(find_model(model), SERIAL, NoFiles(), Faults(()), now=0.0)
    before = machine.report.fields
    after = masked_report(masker(), before)
    changed = {key for key in before if before[key] != after[key]}
    assert changed <= {
        "ams", "net", "upgrade_state", "gcode_file", "subtask_name", "task_id", "subtask_id", "project_id",
        "profile_id", "job_id", "file", "job", "device", "vt_tray", "vir_slot", "ipcam", "sn", "model_id", "design_id",
    }, changed  # fmt: skip
