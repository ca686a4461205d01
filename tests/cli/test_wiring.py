"""The real links, put together for a configuration."""

import pytest

from bambu_connector.bambu.models import TRAITS, Model
from bambu_connector.cli.wiring import PinnedTrust, printago_link, wires_of
from bambu_connector.config import Config, load
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
    found = loaded(desk, config, {})
    trust = PinnedTrust(found)
    printer = found.printers[0]
    assert (trust.wants(SERIAL), trust.trust(printer).fingerprint, trust.trust(printer).serial) == (True, None, SERIAL)
    trust.remember(SERIAL, FINGERPRINT)
    assert (trust.wants(SERIAL), trust.trust(printer).fingerprint) == (False, FINGERPRINT)
    again = PinnedTrust(found)
    assert (again.wants(SERIAL), again.trust(printer).fingerprint) == (False, FINGERPRINT)


@pytest.mark.parametrize("tls", [{"fingerprint": OTHER}, {"ca_file": "ca.crt"}, {"verify": False}], ids=str)
def test_what_the_configuration_says_goes_before_what_was_pinned(desk: Service, config: Tree, tls: Tree) -> None:
    Authority(desk.folder, "ca")
    found = loaded(desk, config, tls)
    trust = PinnedTrust(found)
    trust.remember(SERIAL, FINGERPRINT)
    judged = trust.trust(found.printers[0])
    assert not trust.wants(SERIAL)
    assert (judged.fingerprint, judged.verify) == (tls.get("fingerprint"), tls.get("verify", True))
    assert (judged.ca_file is not None) == ("ca_file" in tls)


def test_the_wires_are_made_anew_each_time_and_leave_no_thread(desk: Service) -> None:
    config = load(desk.config_file, {})
    with wires_of(config) as wires:
        left = config.printers[0]
        assert wires.link(left) is not wires.link(left)
        assert wires.storage(left, TRAITS[Model.P1S]) is not wires.storage(left, TRAITS[Model.P1S])
        assert wires.files.submit(sum, [1, 2]).result(5) == 3
        assert config.printago is not None
        printago_link(config, config.printago, wires.dialer)
    with pytest.raises(RuntimeError):
        wires.files.submit(sum, [1, 2])
