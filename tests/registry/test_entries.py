"""One entry of the file."""

from pathlib import Path

import pytest

from bambu_connector.config import Ports
from bambu_connector.config.document import parse
from bambu_connector.errors import ConfigError
from bambu_connector.registry.entries import Paired, Unsound, clean, mapping, read_entry, written_entry
from bambu_connector.sealing import Sealer
from bambu_connector.secret import Secret

SERIAL = "030120000000007"


@pytest.fixture
def sealer(tmp_path: Path) -> Sealer:
    return Sealer(tmp_path / "secret.key")


def test_an_entry_is_read_as_text_and_typed_by_what_is_known_of_its_keys(sealer: Sealer) -> None:
    node = parse(b"{name: 012, host: 10.0.0.9, ports: {mqtt: 08883, ftps: ~, web: x}, developer_mode: True, more: [1]}")
    assert read_entry(SERIAL, 1, node, sealer) == Paired(
        serial=SERIAL, name="012", host="10.0.0.9", ports=Ports(), developer_mode=True
    )


def test_what_is_null_is_not_known(sealer: Sealer) -> None:
    keys = "fingerprint host access_code id name model ports developer_mode firmware".split()
    node = parse("".join(f"{key}:\n" for key in keys).encode())
    assert read_entry(SERIAL, 1, node, sealer) == Paired(serial=SERIAL)


def test_a_mistake_names_its_line_and_key_and_quotes_nothing(sealer: Sealer) -> None:
    with pytest.raises(Unsound) as told:
        read_entry(SERIAL, 1, parse(b"name: Left\naccess_code: [hidden]\n"), sealer)
    assert told.value.line == 2
    assert str(told.value) == f"the entry of {SERIAL} cannot be understood: `access_code` is not what belongs there"


def test_what_is_usual_or_not_known_is_not_written(sealer: Sealer) -> None:
    assert written_entry(Paired(serial=SERIAL), None, {}, sealer) == {}
    paired = Paired(serial=SERIAL, ports=Ports(ftps=1), developer_mode=False, name="")
    assert written_entry(paired, None, {}, sealer) == {"name": "", "ports": {"ftps": 1}, "developer_mode": False}


def test_a_code_is_written_sealed_for_its_printer(sealer: Sealer) -> None:
    paired = Paired(serial=SERIAL, access_code=Secret("0123"), is_paired=True)
    code = written_entry(paired, None, {}, sealer)["access_code"]
    assert code.startswith("sealed:")
    assert sealer.open(code.removeprefix("sealed:"), f"access_code of {SERIAL}") == b"0123"


def test_a_code_that_is_taken_away_is_not_written_again(sealer: Sealer) -> None:
    standing = {"access_code": "sealed:AAAA", "since": "1999"}
    unpaired, unreadable = Paired(serial=SERIAL), Paired(serial=SERIAL, is_paired=True)
    assert written_entry(unpaired, unreadable, standing, sealer) == {"since": "1999"}
    assert written_entry(unreadable, unreadable, standing, sealer) == standing


def test_cleaning_changes_nothing_that_is_text() -> None:
    paired = Paired(serial=SERIAL, name="Gerät \U0001f40c\x00\u2028", access_code=Secret("\udc80"))
    assert clean(paired) == paired
    assert clean(Paired(serial=SERIAL, firmware="\ud800")).firmware == "?"
    with pytest.raises(ConfigError, match="no serial"):
        clean(Paired(serial="x"))


def test_what_is_no_mapping_is_an_empty_one() -> None:
    assert (mapping(None), mapping(["a"]), mapping({"a": "b"})) == ({}, {}, {"a": "b"})
