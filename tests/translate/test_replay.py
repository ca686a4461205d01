"""A recording read again."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.bambu.fold import fold
from bambu_connector.bambu.models import Model
from bambu_connector.translate.replay import is_virtual, message_in, recorded_status, replayed, report_in
from bambu_connector.virtual.models import MODELS
from tests.bambu.reports import as_delta, h2d, p1s
from tests.virtual.bench import Bench


def test_a_message_is_read_as_it_came() -> None:
    assert message_in(b'{"print": {"command": "push_status", "a": 1.50, "b": "\xc3\xa4"}}') == {
        "print": {"command": "push_status", "a": 1.5, "b": "ä"}
    }


def test_what_some_firmware_sends_is_read_leniently() -> None:
    assert message_in(b'{"print": {"command": "push_status", "title": "caf\xe9", "x": NaN}}') == {
        "print": {"command": "push_status", "title": "caf\ufffd", "x": None}
    }


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no JSON",
        b"[]",
        b'{"print": {"command": "push_status", "half": "\\ud800"}}',
        b'{"print": {"command": "push_status", "n": ' + b"9" * 5000 + b"}}",
        b'{"print": {"command": "push_status", "deep": ' + b"[" * 400 + b"]" * 400 + b"}}",
    ],
)
def test_what_nobody_can_read_is_no_message(raw: bytes) -> None:
    assert message_in(raw) is None


@given(st.binary(max_size=64) | st.text(max_size=64).map(str.encode))
def test_any_bytes_are_a_message_that_can_be_written_or_none(raw: bytes) -> None:
    message = message_in(raw)
    assert message is None or orjson.loads(orjson.dumps(message)) == message


def test_a_recording_is_folded_as_the_service_does() -> None:
    delta = as_delta(mc_percent=7, ams={"ams": [{"id": "0", "humidity": "2"}]})
    reply = {"print": {"command": "pause", "result": "success"}}
    assert replayed([reply, {"print": p1s()}, reply, {"print": delta}]) == fold(p1s(), delta)
    assert replayed([{"print": delta}, reply]) is None
    assert report_in(reply) is None
    beside = {"print": {"command": "push_status"}, "fun": "20"}
    assert report_in(beside) == {"command": "push_status", "fun": "20"}


def test_a_recorded_status_is_that_of_a_connected_printer() -> None:
    status = recorded_status(h2d(), serial="094000000000001", model="H2D", firmware="01.02.00.00")
    machine = status["machines"][0]
    assert machine["hardware"]["dev_model"] == "O1D"
    assert machine["hardware"]["firmware"] == "01.02.00.00"
    assert machine["connection_info"]["dev_id"] == "094000000000001"
    assert machine["connection_info"]["is_connected"]
    assert len(machine["current"]["nozzles"]) == 2
    unknown = recorded_status(p1s(), serial="999000000000001", model=Model.GENERIC.value, firmware=None)
    assert unknown["machines"][0]["hardware"]["dev_model"] == ""


def test_a_virtual_printer_is_known_by_its_module() -> None:
    assert is_virtual([{"name": "ota"}, {"name": "virtual"}])
    assert not is_virtual([{"name": "ota"}, {}])


@pytest.mark.parametrize("model", MODELS)
def test_every_virtual_printer_says_that_it_is_one(model: str) -> None:
    reply = Bench(model).send("info", "get_version")
    assert reply is not None
    assert is_virtual(reply["module"])
