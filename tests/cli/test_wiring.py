"""The real links, put together for a configuration."""

from dataclasses import replace

import pytest

from bambu_connector.bambu.models import TRAITS, Model
from bambu_connector.cli.wiring import PinnedTrust, printago_link, wires_of
from bambu_connector.config import Config, PrinterTls, load
from bambu_connector.errors import ConfigError
from bambu_connector.links.tls import Trust
from bambu_connector.logs import MARK, Redactor
from bambu_connector.registry import Paired, Registry
from bambu_connector.secret import Secret
from bambu_connector.service.memory import Learned
from bambu_connector.virtual.pki import Authority
from tests.e2e.bench import Service
from tests.e2e.cloud import Tree

SERIAL = "01P00A000000001"
FINGERPRINT, OTHER = ("sha256:" + digit * 64 for digit in "ab")


def loaded(desk: Service, config: Tree, tls: Tree) -> Config:
    config["printers"][0]["tls"] = tls
    desk.write(config)
    return load(desk.config_file, {})


def test_the_first_contact_is_pinned_and_trusted_from_then_on(desk: Service, config: Tree) -> None:
    (printer, _) = loaded(desk, config, {}).printers
    trust = PinnedTrust(Registry(desk.state_dir))
    assert trust.trust(printer) == Trust(SERIAL)
    assert trust.wants(SERIAL)
    trust.remember(SERIAL, FINGERPRINT)
    for each in (trust, PinnedTrust(Registry(desk.state_dir))):
        assert (each.wants(SERIAL), each.trust(printer)) == (False, Trust(SERIAL, FINGERPRINT))


@pytest.mark.parametrize("tls", [{"fingerprint": OTHER}, {"ca_file": "ca.crt"}, {"verify": False}], ids=str)
def test_what_the_configuration_says_goes_before_what_was_pinned(desk: Service, config: Tree, tls: Tree) -> None:
    Authority(desk.folder, "ca")
    (printer, _) = loaded(desk, config, tls).printers
    trust = PinnedTrust(Registry(desk.state_dir))
    trust.remember(SERIAL, FINGERPRINT)
    judged = trust.trust(printer)
    assert not trust.wants(SERIAL)
    assert (judged.fingerprint, judged.verify) == (tls.get("fingerprint"), tls.get("verify", True))
    assert (judged.ca_file is not None) == ("ca_file" in tls)
    assert trust.trust(replace(printer, tls=PrinterTls())) == Trust(SERIAL, FINGERPRINT)


def test_what_another_process_pinned_is_trusted_at_the_next_contact(desk: Service, config: Tree) -> None:
    (printer, _) = loaded(desk, config, {}).printers
    trust = PinnedTrust(Registry(desk.state_dir))
    assert trust.trust(printer).fingerprint is None
    Registry(desk.state_dir).learn(SERIAL, fingerprint=OTHER)
    assert (trust.wants(SERIAL), trust.trust(printer).fingerprint) == (False, OTHER)


def test_a_damaged_registry_trusts_nobody(desk: Service, config: Tree) -> None:
    (printer, _) = loaded(desk, config, {}).printers
    desk.state_dir.mkdir(mode=0o700)
    (desk.state_dir / "printers.yaml").touch(0o600)
    with pytest.raises(ConfigError, match="the file is empty"):
        PinnedTrust(Registry(desk.state_dir)).trust(printer)


def test_what_is_learned_of_a_printer_is_in_the_registry(desk: Service) -> None:
    registry = Registry(desk.state_dir)
    memory = PinnedTrust(registry)
    assert memory.place(SERIAL) is None
    memory.moved(SERIAL, "192.0.2.9")
    memory.learned({SERIAL: Learned(None, "01.08")})
    memory.learned({SERIAL: Learned(True, None)})
    assert memory.place(SERIAL) == "192.0.2.9"
    assert registry.entry(SERIAL) == Paired(serial=SERIAL, host="192.0.2.9", developer_mode=True, firmware="01.08")


def test_the_wires_are_made_anew_each_time_and_leave_no_thread(desk: Service) -> None:
    config = load(desk.config_file, {})
    with wires_of(config) as wires:
        left = config.printers[0]
        wires.registry.learn(SERIAL, fingerprint=FINGERPRINT)
        assert wires.trust(left).fingerprint == FINGERPRINT
        assert wires.link(left) is not wires.link(left)
        assert wires.storage(left, TRAITS[Model.P1S]) is not wires.storage(left, TRAITS[Model.P1S])
        assert wires.files.submit(sum, [1, 2]).result(5) == 3
        assert config.printago is not None
        printago_link(config, config.printago, wires.dialer)
    with pytest.raises(RuntimeError):
        wires.files.submit(sum, [1, 2])


def test_every_access_code_that_is_used_is_kept_out_of_the_log_also_one_that_was_paired_later(desk: Service) -> None:
    config = load(desk.config_file, {})
    redactor = Redactor(config.secrets())
    later = replace(config.printers[0], access_code=Secret("86420975"))
    assert redactor.clean("86420975") == "86420975"
    with wires_of(config, redactor.register) as wires:
        wires.link(later)
        assert redactor.clean("it says 86420975") == f"it says {MARK}"
        wires.storage(replace(later, access_code=Secret("13579246")), TRAITS[Model.P1S])
    assert redactor.clean("13579246") == MARK
