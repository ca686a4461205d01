"""What was seen, put together: by serial, newest word first, nothing forgotten."""

from pathlib import Path
from typing import Any

import pytest

from bambu_connector.bambu.detect import Detected
from bambu_connector.bambu.ssdp import Announcement
from bambu_connector.cli.main import Settings
from bambu_connector.cli.sightings import Ours, Sightings, controllable, known
from bambu_connector.errors import ConfigError
from bambu_connector.links.identify import Identified
from bambu_connector.registry import Paired, Registry
from bambu_connector.secret import Secret

SERIAL = "01P00A000000001"
NOBODY = Ours()


def announced(**said: Any) -> Announcement:
    return Announcement(**{"serial": SERIAL, "model_code": "C12", "host": "192.0.2.40", **said})


def only(sightings: Sightings, ours: Ours = NOBODY) -> dict[str, Any]:
    (row,) = sightings.rows(ours)
    return row


def test_a_row_has_the_keys_of_the_contract() -> None:
    sightings = Sightings()
    sightings.hear(announced(name="Workshop", signal_dbm=-53, connection="lan", firmware="01.08.02.00"))
    assert only(sightings) == {
        "serial": SERIAL,
        "name": "Workshop",
        "model": "Bambu Lab P1S",
        "model_code": "C12",
        "host": "192.0.2.40",
        "signal_dbm": -53,
        "connection": "lan",
        "firmware": "01.08.02.00",
        "paired": False,
        "developer_mode": None,
        "found_by": "announcement",
    }


def test_the_newest_address_counts_and_what_was_known_stays() -> None:
    sightings = Sightings()
    sightings.hear(announced(name="Workshop", signal_dbm=-53, firmware="01.08.02.00"))
    sightings.hear(announced(host="192.0.2.41", signal_dbm=-60, is_answer=True))
    row = only(sightings)
    assert (row["host"], row["signal_dbm"], row["name"], row["firmware"]) == (
        "192.0.2.41",
        -60,
        "Workshop",
        "01.08.02.00",
    )
    assert row["found_by"] == "announcement"


def test_an_answer_to_a_search_and_a_probe_are_known_as_such() -> None:
    sightings = Sightings()
    sightings.hear(announced(is_answer=True))
    sightings.probed(Identified(host="192.0.2.7", serial="00M00A000000007", fingerprint="sha256:00", detected=None))
    found = {row["serial"]: row for row in sightings.rows(NOBODY)}
    assert found[SERIAL]["found_by"] == "search"
    probed = found["00M00A000000007"]
    assert (probed["found_by"], probed["model"], probed["model_code"], probed["name"]) == (
        "probe",
        "Bambu Lab X1 Carbon",
        "BL-P001",
        None,
    )


def test_what_a_probed_printer_says_of_itself_is_taken() -> None:
    told = Detected(serial=SERIAL, model_code="C12", name="Workshop", firmware="01.08.02.00", connection="cloud")
    sightings = Sightings()
    sightings.probed(Identified(host="192.0.2.7", serial=SERIAL, fingerprint="sha256:00", detected=told))
    row = only(sightings)
    assert (row["name"], row["firmware"], row["connection"]) == ("Workshop", "01.08.02.00", "cloud")


def test_who_says_goodbye_is_gone_until_it_comes_again() -> None:
    sightings = Sightings()
    sightings.hear(announced(is_goodbye=True))
    sightings.hear(announced())
    sightings.hear(announced(is_goodbye=True))
    assert sightings.rows(NOBODY) == []
    sightings.hear(announced())
    assert only(sightings)["serial"] == SERIAL


def test_rows_are_sorted_by_name_and_then_serial_with_the_nameless_last() -> None:
    sightings = Sightings()
    for number, name in enumerate(["beta", None, "Alpha", "beta", "alpha"]):
        sightings.hear(announced(serial=f"01P00A00000000{5 - number}", name=name))
    assert [(row["name"], row["serial"][-1]) for row in sightings.rows(NOBODY)] == [
        ("alpha", "1"),
        ("Alpha", "3"),
        ("beta", "2"),
        ("beta", "5"),
        (None, "4"),
    ]


def test_a_flood_of_printers_that_do_not_exist_has_an_end() -> None:
    sightings = Sightings()
    for number in range(3000):
        sightings.hear(announced(serial=f"01P{number:012d}"))
    sightings.hear(announced(serial="01P000000000000", name="still heard"))
    assert len(sightings.rows(NOBODY)) == 2000
    assert sightings.rows(NOBODY)[0]["name"] == "still heard"


def test_an_unknown_model_is_shown_as_what_it_says_it_is() -> None:
    sightings = Sightings()
    sightings.hear(announced(serial="99Z00A000000001", model_code="Z9"))
    row = only(sightings)
    assert (row["model"], row["model_code"]) == ("Bambu Lab printer", "Z9")


# -- can it be controlled? -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "learned", "developer_mode", "obeys"),
    [
        ({}, None, None, None),
        ({"connection": "lan", "firmware": "01.08.02.00"}, None, None, None),
        ({"connection": "lan", "firmware": "01.08.02.00"}, True, True, True),
        ({"connection": "lan", "firmware": "01.08.02.00"}, False, False, False),
        ({"connection": "cloud", "firmware": "01.08.02.00"}, None, False, False),
        ({"connection": "cloud", "firmware": "01.08.02.00"}, True, False, False),  # it has left the LAN since
        ({"connection": "cloud", "firmware": "01.07.00.00"}, None, None, None),
        ({"connection": "cloud"}, None, None, None),
        ({"connection": "lan", "firmware": "01.07.00.00"}, None, None, True),
        ({"firmware": "01.07.00.00"}, None, None, None),
    ],
)
def test_a_printer_is_said_to_obey_or_not_only_where_that_is_certain(
    said: dict[str, Any], learned: bool | None, developer_mode: bool | None, obeys: bool | None
) -> None:
    sightings = Sightings()
    sightings.hear(announced(**said))
    row = only(sightings, Ours(developer_mode={SERIAL: learned}))
    assert row["developer_mode"] is developer_mode
    assert controllable(row) is obeys


# -- what is known already -------------------------------------------------------------------------


def settings(folder: Path, config: str | None = None, **environ: str) -> Settings:
    """Settings for a user whose home is `folder`, with that connector.yaml in the usual place."""
    if config is not None:
        place = folder / ".config" / "bambu-connector"
        place.mkdir(parents=True)
        (place / "connector.yaml").write_text(config)
    return Settings(environ={"HOME": str(folder), **environ})


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_a_configuration_nothing_is_known_and_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, ours = known(settings(tmp_path))
    assert config.printers == ()
    assert ours == Ours()
    assert capsys.readouterr() == ("", "")


def test_what_was_paired_or_learned_is_known_with_and_without_a_configuration(tmp_path: Path) -> None:
    registry = Registry(tmp_path / ".local" / "state" / "bambu-connector")
    registry.store(Paired(serial=SERIAL, access_code=Secret("12345678"), name="Shelf", developer_mode=True))
    registry.learn("00M00A000000007", developer_mode=False)
    for config in (None, "connector: {id: here}\n"):
        _, ours = known(settings(tmp_path, config))
        assert ours.paired == {SERIAL}
        assert ours.names == {SERIAL: "Shelf"}
        assert ours.developer_mode == {SERIAL: True, "00M00A000000007": False}


def test_a_printer_of_the_configuration_is_paired_when_it_has_an_access_code(tmp_path: Path) -> None:
    config = f"printers: [{{serial: {SERIAL}, access_code: '12345678'}}, {{serial: 00M00A000000007, name: Right}}]\n"
    _, ours = known(settings(tmp_path, config))
    assert ours.paired == {SERIAL}
    assert ours.names["00M00A000000007"] == "Right"


def test_a_configuration_with_mistakes_is_told_of_and_does_not_stop_a_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, ours = known(settings(tmp_path, "printers: 7\n"))
    assert ours.paired == frozenset()
    assert "warning: which printers are paired is not known:" in capsys.readouterr().err


def test_a_configuration_that_was_named_must_be_right(tmp_path: Path) -> None:
    for wrong in (
        Settings(tmp_path / "none.yaml", environ={"HOME": str(tmp_path)}),
        settings(tmp_path, BAMBU_CONNECTOR_CONFIG=str(tmp_path / "none.yaml")),
    ):
        with pytest.raises(ConfigError):
            known(wrong)


def test_a_serial_that_is_seen_at_two_addresses_is_told_of() -> None:
    sightings = Sightings()
    sightings.hear(announced())
    sightings.hear(announced())
    assert sightings.contested() == ()
    sightings.hear(announced(host="192.0.2.66", is_goodbye=True))  # which does not make it forgotten
    sightings.hear(announced(host="192.0.2.66"))
    (told,) = sightings.contested()
    assert told.startswith(f"{SERIAL} was seen at 192.0.2.40 and at 192.0.2.66")
    for number in range(100):
        sightings.hear(announced(host=f"192.0.2.{number}"))
    assert len(sightings.contested()[0]) < 400


def test_announcements_of_printers_that_do_not_exist_do_not_hide_one_that_was_probed() -> None:
    sightings = Sightings()
    for number in range(3000):
        sightings.hear(announced(serial=f"01P00B{number:09d}"))
    sightings.probed(Identified(host="192.0.2.41", serial=SERIAL, fingerprint=None, detected=None))
    assert SERIAL in {row["serial"] for row in sightings.rows(NOBODY)}
