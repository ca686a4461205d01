"""connector.yaml and what pairing knows, as one: what was written by hand goes first, and nothing is invented."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.config import Config, Connector, Ports, PrinterConfig, PrinterTls
from bambu_connector.config.merging import merged, overridden
from bambu_connector.errors import ConfigError
from bambu_connector.registry import Paired
from bambu_connector.secret import Secret

SERIAL, OTHER, THIRD = "01P00A000000001", "00M00A000000002", "030120000000003"
PIN, NEW = ("sha256:" + digit * 64 for digit in "ab")
WHOLE = Paired(
    serial=SERIAL,
    fingerprint=PIN,
    host="192.168.1.50",
    access_code=Secret("12345678"),
    is_paired=True,
    id="left",
    name="Left",
    model="P1S",
    ports=Ports(mqtt=18883, ftps=10990),
    developer_mode=True,
    firmware="01.08",
)


def written(*printers: PrinterConfig) -> Config:
    return Config(connector=Connector("desk", Path("/state")), printers=printers, path=Path("/etc/connector.yaml"))


def entries(*known: Paired) -> dict[str, Paired]:
    return {each.serial: each for each in known}


def test_a_printer_that_is_only_paired_comes_in_and_its_trust_is_left_to_the_registry() -> None:
    assert merged(written(), entries(WHOLE)).printers == (
        PrinterConfig(
            serial=SERIAL,
            id="left",
            name="Left",
            model="P1S",
            host="192.168.1.50",
            access_code=Secret("12345678"),
            ports=Ports(mqtt=18883, ftps=10990),
            tls=PrinterTls(),
        ),
    )


def test_a_paired_printer_without_an_id_is_called_by_its_serial() -> None:
    (printer,) = merged(written(), entries(Paired(serial=SERIAL, is_paired=True))).printers
    assert printer == PrinterConfig(serial=SERIAL, id=SERIAL)


def test_a_printer_whose_code_cannot_be_opened_is_one_of_ours_without_a_code() -> None:
    (printer,) = merged(written(), entries(replace(WHOLE, access_code=None))).printers
    assert (printer.id, printer.access_code) == ("left", None)


def test_what_was_only_learned_is_no_printer_of_ours() -> None:
    assert merged(written(), entries(Paired(serial=SERIAL, host="h", fingerprint=PIN))).printers == ()


def test_every_gap_of_a_written_printer_is_filled() -> None:
    tls = PrinterTls(fingerprint=NEW)
    (printer,) = merged(written(PrinterConfig(serial=SERIAL, id=SERIAL, tls=tls)), entries(WHOLE)).printers
    (paired,) = merged(written(), entries(WHOLE)).printers
    assert printer == replace(paired, tls=tls)


def test_what_was_learned_fills_the_gaps_of_a_written_printer_too() -> None:
    (printer,) = merged(
        written(PrinterConfig(serial=SERIAL, id="a")), entries(Paired(serial=SERIAL, host="h"))
    ).printers
    assert printer == PrinterConfig(serial=SERIAL, id="a", host="h")


def test_every_key_that_is_written_wins() -> None:
    mine = PrinterConfig(
        serial=SERIAL,
        id="mine",
        name="Mine",
        model="X1C",
        host="10.0.0.1",
        access_code=Secret("87654321"),
        ports=Ports(1, 2, 3, 4),
    )
    assert merged(written(mine), entries(WHOLE)).printers == (mine,)


def test_a_port_that_is_written_wins_and_the_others_are_filled() -> None:
    mine = PrinterConfig(serial=SERIAL, id="mine", ports=Ports(mqtt=28883))
    (printer,) = merged(written(mine), entries(WHOLE)).printers
    assert printer.ports == Ports(mqtt=28883, ftps=10990)


@pytest.mark.parametrize(
    ("known", "name"), [("", None), (" \t", "\ufffd"), (" a ", "a"), ("Left\n\x1b[31mP1S", "Left\ufffd\ufffd[31mP1S")]
)
def test_a_name_that_a_printer_gave_itself_cannot_write_on_a_terminal_what_it_wants(
    known: str, name: str | None
) -> None:
    (printer,) = merged(written(), entries(replace(WHOLE, name=known))).printers
    assert printer.name == name


def test_written_printers_come_first_each_in_its_order() -> None:
    mine = [PrinterConfig(serial=THIRD, id="c"), PrinterConfig(serial=SERIAL, id="a")]
    known = entries(Paired(serial=OTHER, is_paired=True), WHOLE)
    assert [each.serial for each in merged(written(*mine), known).printers] == [THIRD, SERIAL, OTHER]


HAND, FILE = "/etc/connector.yaml", "printers.yaml"


@pytest.mark.parametrize(
    ("printers", "known", "places", "told"),
    [
        ([PrinterConfig(serial=OTHER, id="left")], [WHOLE], (FILE, HAND), (SERIAL, "left", "id as well", OTHER)),
        (
            [PrinterConfig(serial=OTHER, id=SERIAL)],
            [replace(WHOLE, id=None)],
            (HAND, FILE),
            (OTHER, SERIAL, "serial", SERIAL),
        ),
        (
            [PrinterConfig(serial=OTHER, id=OTHER)],
            [replace(WHOLE, id=OTHER)],
            (FILE, HAND),
            (SERIAL, OTHER, "serial", OTHER),
        ),
        (
            [],
            [WHOLE, Paired(serial=OTHER, is_paired=True, id="left")],
            (FILE, FILE),
            (OTHER, "left", "id as well", SERIAL),
        ),
        (
            [PrinterConfig(serial=OTHER, id="left"), PrinterConfig(serial=SERIAL, id=SERIAL)],
            [WHOLE],
            (FILE, HAND),
            (SERIAL, "left", "id as well", OTHER),
        ),
    ],
    ids=["id", "id is a paired serial", "paired id is a serial", "both paired", "filled in"],
)
def test_two_printers_with_one_id_are_a_mistake_that_names_both_places(
    printers: list[PrinterConfig], known: list[Paired], places: tuple[str, str], told: tuple[str, str, str, str]
) -> None:
    serial, name, what, owner = told
    with pytest.raises(ConfigError) as refused:
        merged(written(*printers), entries(*known))
    where, owners_place = places
    (problem,) = refused.value.problems
    start = f"{where} gives {serial} the id `{name}`, and this is the {what} of {owner} in {owners_place}: "
    assert problem == start + "give one of them another id"


def test_what_is_overridden_is_told_and_no_secret_with_it() -> None:
    mine = PrinterConfig(
        serial=SERIAL,
        id="mine",
        name="Mine",
        model="X1C",
        host="10.0.0.1",
        access_code=Secret("87654321"),
        ports=Ports(mqtt=28883),
        tls=PrinterTls(fingerprint=NEW),
    )
    start = "in /etc/connector.yaml goes before what is in printers.yaml"
    assert overridden(written(mine), entries(WHOLE)) == (
        f"Mine: `id` {start} (`left`)",
        f"Mine: `name` {start} (`Left`)",
        f"Mine: `model` {start} (`P1S`)",
        f"Mine: `host` {start} (`192.168.1.50`)",
        f"Mine: `tls.fingerprint` {start} ({PIN})",
        f"Mine: `access_code` {start}, which is another one",
        f"Mine: `ports.mqtt` {start} (18883)",
    )


@pytest.mark.parametrize(
    "mine",
    [
        PrinterConfig(serial=SERIAL, id=SERIAL),
        PrinterConfig(serial=SERIAL, id="left", name="Left", model="P1S", host="192.168.1.50"),
        PrinterConfig(serial=SERIAL, id="left", access_code=Secret("12345678"), tls=PrinterTls(PIN)),
        PrinterConfig(serial=SERIAL, id=SERIAL, host="left.local"),
        PrinterConfig(serial=SERIAL, id=SERIAL, ports=Ports(camera=1)),
        PrinterConfig(serial=OTHER, id="mine", host="10.0.0.1"),
    ],
    ids=["nothing", "the same", "the same secrets", "a host name", "a port that is not known", "another printer"],
)
def test_what_says_the_same_overrides_nothing(mine: PrinterConfig) -> None:
    assert overridden(written(mine), entries(WHOLE)) == ()


serials = st.sampled_from([SERIAL, OTHER, THIRD])
some_ids = st.sampled_from(["a", "b", "c", SERIAL, OTHER])
texts = st.none() | st.text("ab ü", min_size=1, max_size=5).filter(lambda text: text == text.strip())
ports = st.builds(Ports, *[st.sampled_from([1, port]) for port in asdict(Ports()).values()])
configs = st.builds(
    PrinterConfig,
    serial=serials,
    id=some_ids,
    name=texts,
    model=texts,
    host=texts,
    access_code=st.none() | st.text(min_size=1, max_size=3).map(Secret),
    ports=ports,
    tls=st.sampled_from([PrinterTls(), PrinterTls(verify=False), PrinterTls(PIN)]),
)
knowledge = st.builds(
    Paired,
    serial=serials,
    is_paired=st.booleans(),
    id=st.none() | some_ids,
    name=texts,
    model=texts,
    host=texts,
    access_code=st.none() | st.text(min_size=1, max_size=3).map(Secret),
    ports=ports,
    fingerprint=st.none() | st.just(NEW),
)


@given(
    st.lists(configs, max_size=3, unique_by=lambda each: each.serial),
    st.lists(knowledge, max_size=3, unique_by=lambda each: each.serial),
)
def test_merging_keeps_what_is_written_fills_only_gaps_and_names_are_unique(
    printers: list[PrinterConfig], known: list[Paired]
) -> None:
    config, found = written(*printers), entries(*known)
    overridden(config, found)
    ours = {each.serial: each.id for each in printers}
    ours |= {each.serial: ours.get(each.serial, each.serial) for each in known if each.is_paired}
    learned = {serial: each.id or serial for serial, each in found.items()}
    ids = {serial: name if name != serial else learned.get(serial, serial) for serial, name in ours.items()}
    names = [name for serial, own in ids.items() for name in {serial, own}]
    if len(names) > len(set(names)):
        with pytest.raises(ConfigError):
            merged(config, found)
        return
    result = merged(config, found)
    assert {each.serial: each.id for each in result.printers} == ids
    assert len(result.printers) == len(ids)
    for mine, one in zip(printers, result.printers, strict=False):
        other = found.get(mine.serial, Paired(serial=mine.serial))
        for key in ("name", "model", "host", "access_code"):
            assert getattr(one, key) == (getattr(mine, key) or getattr(other, key))
        assert (one.serial, one.tls, one.quirks) == (mine.serial, mine.tls, mine.quirks)
    assert replace(result, printers=()) == replace(config, printers=())
    assert merged(result, found) == result
