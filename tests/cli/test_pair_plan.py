"""What is asked to pair a printer, and what a person has to know before."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.bambu.models import TRAITS, Model
from bambu_connector.cli.candidates import Candidate
from bambu_connector.cli.pair_plan import Located, known_as, out_of_date, plan, written_keys
from bambu_connector.cli.without_config import Records
from bambu_connector.config import Config, Connector, Ports, PrinterConfig, PrinterTls
from bambu_connector.config.merging import merged
from bambu_connector.errors import IdentityMismatch, UsageError
from bambu_connector.registry import Paired
from bambu_connector.secret import Secret

SERIAL = "01P00A000000042"
OTHER = "00M00A000000001"
PIN = f"sha256:{'ab' * 32}"
NEW_PIN = f"sha256:{'cd' * 32}"
HERE = Located(serial=SERIAL, host="192.0.2.9", fingerprint=PIN, name="Its own name", model_code="C12")
NOBODY = Candidate(host="192.0.2.9")


def records(*written: PrinterConfig, known: tuple[Paired, ...] = ()) -> Records:
    config = Config(connector=Connector("t", Path("state")), printers=written, path=Path("connector.yaml"))
    entries = {each.serial: each for each in known}
    return Records(config, entries, merged(config, entries))


def by_hand(**more: Any) -> PrinterConfig:
    return PrinterConfig(**{"serial": SERIAL, "id": SERIAL, **more})


def test_a_new_printer_keeps_the_name_and_the_model_that_it_tells() -> None:
    made = plan(NOBODY, HERE, {"mqtt": 18883}, records())
    assert made.request == {
        "do": "pair", "serial": SERIAL, "host": "192.0.2.9", "fingerprint": PIN, "id": None,
        "name": "Its own name", "model": "C12", "ports": {"mqtt": 18883}, "replaces": None,
    }  # fmt: skip
    assert (made.certificate, made.name, made.known_code) == ("new", "Its own name", None)
    assert made.traits == TRAITS[Model.P1S]


def test_a_name_that_another_printer_has_is_warned_of() -> None:
    others = records(PrinterConfig(serial=OTHER, id=OTHER, name="Its own name"))
    assert plan(NOBODY, HERE, {}, others).warnings == (
        f"{OTHER} is called Its own name as well: give one of them another name",
    )
    assert plan(Candidate(serial=SERIAL, name="Mine"), HERE, {}, others).warnings == ()
    assert plan(NOBODY, HERE, {}, records(by_hand(name="Its own name"))).warnings == ()


@pytest.mark.parametrize(
    ("firmware", "words"),
    [
        ("01.08.02.00", "its firmware (01.08.02.00) takes no commands from here then. Switch on LAN Only Mode"),
        (None, "newer firmware takes no commands from here then. Switch on LAN Only Mode"),
        ("01.04.00.00", "which gives it orders as well"),
    ],
)
def test_a_printer_that_is_bound_to_the_cloud_is_warned_of(firmware: str | None, words: str) -> None:
    (told,) = plan(NOBODY, replace(HERE, connection="cloud", firmware=firmware), {}, records()).warnings
    assert "bound to Bambu's cloud" in told
    assert words in told
    announced = replace(NOBODY, connection="cloud", firmware=firmware)
    assert plan(announced, HERE, {}, records()).warnings == (told,)
    assert plan(announced, replace(HERE, connection="lan"), {}, records()).warnings == ()


def test_a_printer_is_known_by_its_id_or_its_name_and_never_by_an_address_or_a_serial_of_another() -> None:
    ours = records(
        by_hand(id="left", name="Left P1S"),
        PrinterConfig(serial=OTHER, id=OTHER, name="192.0.2.7"),
        PrinterConfig(serial="030120000000007", id="mini", name="01P00A000000099"),
    )
    assert [known_as(each, ours) for each in ("left", "Left P1S", "mini", OTHER)] == [
        SERIAL, SERIAL, "030120000000007", OTHER,
    ]  # fmt: skip
    assert [known_as(each, ours) for each in ("192.0.2.7", "01P00A000000099", "nobody")] == [None, None, None]


def test_a_name_that_two_printers_have_is_not_guessed() -> None:
    twins = records(by_hand(name="Twin"), PrinterConfig(serial=OTHER, id=OTHER, name="Twin"))
    with pytest.raises(UsageError, match=f"{SERIAL}, {OTHER}"):
        known_as("Twin", twins)


def test_what_the_person_says_goes_before_and_what_is_configured_stays() -> None:
    configured = records(by_hand(name="Left", model="P1S", access_code=Secret("12345678")))
    assert plan(Candidate(serial=SERIAL, name="Mine"), HERE, {}, configured).name == "Mine"
    made = plan(NOBODY, HERE, {}, configured)
    assert (made.name, made.request["model"], made.known_code) == ("Left", "P1S", Secret("12345678"))


def test_a_model_that_nobody_knows_is_not_passed_on() -> None:
    strange = Located(serial=SERIAL, host="192.0.2.9", fingerprint=PIN, model_code="Z99")
    made = plan(NOBODY, strange, {}, records())
    assert (made.request["model"], made.name) == (None, SERIAL)


@pytest.mark.parametrize(
    ("tls", "pinned", "certificate"),
    [
        (PrinterTls(), PIN, "same"),
        (PrinterTls(), NEW_PIN, "changed"),
        (PrinterTls(), None, "new"),
        (PrinterTls(ca_file=Path("ca.pem")), NEW_PIN, "authority"),
        (PrinterTls(verify=False), NEW_PIN, "unchecked"),
        (PrinterTls(fingerprint=PIN), NEW_PIN, "same"),
    ],
)
def test_the_certificate_is_compared_with_what_is_trusted(
    tls: PrinterTls, pinned: str | None, certificate: str
) -> None:
    known = (Paired(serial=SERIAL, fingerprint=pinned),)
    assert plan(NOBODY, HERE, {}, records(by_hand(tls=tls), known=known)).certificate == certificate


def test_a_pin_of_connector_yaml_that_does_not_fit_is_for_the_person_to_change() -> None:
    with pytest.raises(IdentityMismatch, match=r"change `tls\.fingerprint` there"):
        plan(NOBODY, HERE, {}, records(by_hand(tls=PrinterTls(fingerprint=NEW_PIN))))


@pytest.mark.parametrize("taken", ["right", OTHER])
def test_an_id_of_another_printer_is_refused(taken: str) -> None:
    known = (Paired(serial=OTHER, is_paired=True, id="right", access_code=Secret("12345678")),)
    with pytest.raises(UsageError, match="belongs to"):
        plan(Candidate(serial=SERIAL, id=taken), HERE, {}, records(known=known))


def test_an_id_of_connector_yaml_is_changed_there() -> None:
    configured = records(by_hand(id="left"))
    assert plan(Candidate(serial=SERIAL, id="left"), HERE, {}, configured).request["id"] == "left"
    with pytest.raises(UsageError, match="change it there"):
        plan(Candidate(serial=SERIAL, id="new"), HERE, {}, configured)


def test_every_key_of_connector_yaml_that_says_something_else_is_named_and_no_code_shown() -> None:
    result = {"serial": SERIAL, "fingerprint": PIN, "host": "192.0.2.9", "id": SERIAL, "name": "Left"}
    old = records(by_hand(host="192.0.2.1", access_code=Secret("oldcode1"), name="Left"))
    said = out_of_date(result, Secret("newcode1"), {}, old)
    assert len(said) == 2
    assert "`host`" in said[0]
    assert "`access_code`" in said[1]
    assert not any(code in "".join(said) for code in ("oldcode1", "newcode1"))
    assert out_of_date(result, Secret("newcode1"), {}, records()) == ()


def test_what_connector_yaml_has_of_a_printer_is_named_by_key() -> None:
    assert written_keys(SERIAL, records()) is None
    assert written_keys(SERIAL, records(by_hand())) == []
    full = by_hand(name="Left", host="192.0.2.1", access_code=Secret("12345678"), ports=Ports(mqtt=1))
    assert written_keys(SERIAL, records(full)) == ["name", "host", "access_code", "ports"]
