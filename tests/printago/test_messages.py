"""The envelope and the answers: exactly the fields of the contract, section 5."""

import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.errors import (
    AccessDenied,
    Cancelled,
    CommandError,
    ConnectorError,
    InvalidMessage,
    LinkError,
    PrinterBusy,
    Unreachable,
)
from bambu_connector.printago.commands import Header, Refusal, parse_command
from bambu_connector.printago.messages import (
    Message,
    MessageType,
    envelope,
    failure,
    print_failure,
    response,
    success,
    timestamp_text,
    trouble,
)
from tests.bambu.reports import JSON_VALUES

MOMENT: Final = datetime(2026, 11, 22, 18, 20, 0, 123000, tzinfo=UTC).timestamp()
HEADER: Final = Header(command="movement_control/jog", action="jog", command_id="c-1", tags=["a"])
# Contract, section 5.
CODES: Final = frozenset(
    "invalid_message unknown_command invalid_parameters unknown_printer printer_offline not_ready printer_busy"
    " wrong_state not_homed too_cold out_of_range not_supported developer_mode_required access_denied"
    " identity_mismatch download_failed file_invalid filament_mismatch storage_missing storage_full upload_failed"
    " start_failed start_unknown cancelled printer_error timeout camera_unavailable expired internal".split()
)


def made(kind: MessageType, data: dict[str, Any], **more: Any) -> Message:
    return envelope(kind, "left", data, moment=MOMENT, message_id="m-1", **more)


def body(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(message.payload)
    return found


def test_the_six_types_are_those_of_the_contract() -> None:
    assert {str(kind) for kind in MessageType} == {"pairing", "status", "event", "success", "error", "response"}


def test_an_answer_has_exactly_the_fields_of_the_contract() -> None:
    message = made(MessageType.SUCCESS, {"success": True}, command="movement_control/jog", command_id="c-1")
    assert list(body(message).items()) == [
        ("type", "success"),
        ("timestamp", "2026-11-22T18:20:00.123Z"),
        ("message_id", "m-1"),
        ("printer_id", "left"),
        ("client_type", "bambu"),
        ("command", "movement_control/jog"),
        ("command_id", "c-1"),
        ("data", {"success": True}),
    ]


def test_a_message_that_answers_nothing_names_no_command() -> None:
    assert set(body(made(MessageType.EVENT, {}))) == {
        "type", "timestamp", "message_id", "printer_id", "client_type", "data",
    }  # fmt: skip


def test_an_answer_without_an_id_names_its_command_only() -> None:
    told = body(made(MessageType.SUCCESS, {}, command="movement_control/home"))
    assert told["command"] == "movement_control/home"
    assert "command_id" not in told


@pytest.mark.parametrize("identifier", [0, 7, 1.5, "c"])
def test_the_command_id_is_echoed_in_its_own_type(identifier: object) -> None:
    told = body(made(MessageType.ERROR, {}, command="a/b", command_id=identifier))
    assert (told["command_id"], type(told["command_id"])) == (identifier, type(identifier))


def test_only_a_status_that_answers_nothing_is_retained_and_may_be_lost() -> None:
    for kind in MessageType:
        for command in (None, "printer_control/get_status"):
            message = made(kind, {}, command=command)
            unasked = kind is MessageType.STATUS and command is None
            assert (message.retain, message.qos) == ((True, 0) if unasked else (False, 1)), (kind, command)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (MOMENT, "2026-11-22T18:20:00.123Z"),
        (MOMENT - 0.123, "2026-11-22T18:20:00.000Z"),
    ],
)
def test_times_are_iso_8601_in_utc_with_milliseconds(moment: float, text: str) -> None:
    assert timestamp_text(moment) == text


@given(st.floats(0, 4e9))
def test_every_time_can_be_read_back(moment: float) -> None:
    assert datetime.fromisoformat(timestamp_text(moment)).timestamp() == pytest.approx(moment, abs=2e-3)


@given(JSON_VALUES)
def test_what_is_told_can_be_read_back(value: Any) -> None:
    assert body(made(MessageType.RESPONSE, {"value": value}))["data"] == {"value": value}


@pytest.mark.parametrize("value", [2**64, -(2**80), "\ud800 half a pair", 10**100])
def test_what_the_fast_encoder_refuses_is_told_all_the_same(value: object) -> None:
    told = body(made(MessageType.STATUS, {"report": value}))["data"]["report"]
    assert told == (value if isinstance(value, int) else "? half a pair")


# -- the answers -----------------------------------------------------------------------------------


def test_a_success_says_what_was_done() -> None:
    answer = success(HEADER, "The move was taken.", acknowledged=False, size=7)
    assert answer.type is MessageType.SUCCESS
    assert answer.data == {
        "success": True,
        "local_command": "jog",
        "local_command_detail": "The move was taken.",
        "acknowledged": False,
        "size": 7,
        "tags": ["a"],
    }


def test_an_error_says_why_in_one_sentence_twice() -> None:
    answer = failure(HEADER, PrinterBusy("The printer is busy."))
    assert answer.type is MessageType.ERROR
    assert answer.data == {
        "success": False,
        "error": "The printer is busy.",
        "error_detail": "The printer is busy.",
        "code": "printer_busy",
        "local_command": "jog",
        "tags": ["a"],
    }


def test_the_error_of_a_job_says_its_stage() -> None:
    assert failure(HEADER, Cancelled("Stopped.", stage="upload")).data["stage"] == "upload"


def test_a_print_that_the_printer_stopped_is_an_error_of_its_job() -> None:
    assert print_failure("It was stopped by error 0300-8003.", "J7") == {
        "success": False,
        "error": "It was stopped by error 0300-8003.",
        "error_detail": "It was stopped by error 0300-8003.",
        "code": "printer_error",
        "local_command": None,
        "job_id": "J7",
    }


def test_what_a_person_must_put_right_is_an_error_without_a_command() -> None:
    assert trouble(AccessDenied("The access code is refused.")) == {
        "success": False,
        "error": "The access code is refused.",
        "error_detail": "The access code is refused.",
        "code": "access_denied",
        "local_command": None,
    }


def test_a_message_that_could_not_be_read_is_answered_too() -> None:
    answer = failure(Header(), InvalidMessage("The message is not JSON."))
    assert answer.data["code"] == "invalid_message"
    assert isinstance(answer.data["local_command"], str)
    assert "tags" not in answer.data


def test_a_response_is_the_answer_itself() -> None:
    answer = response(HEADER, {"folder": "/"})
    assert (answer.type, answer.data) == (MessageType.RESPONSE, {"folder": "/", "tags": ["a"]})


def test_an_answer_does_not_change_what_it_was_made_of() -> None:
    data = {"folder": "/"}
    response(HEADER, data)
    assert data == {"folder": "/"}


def descendants(kind: type[ConnectorError]) -> list[type[ConnectorError]]:
    return [kind, *(found for each in kind.__subclasses__() for found in descendants(each))]


@pytest.mark.parametrize("kind", [*descendants(CommandError), *descendants(LinkError)], ids=lambda kind: kind.__name__)
def test_every_error_is_told_with_a_code_of_the_contract(kind: type[ConnectorError]) -> None:
    assert failure(HEADER, kind("A sentence.")).data["code"] in CODES


def test_every_code_of_the_contract_has_an_error() -> None:
    assert {kind.code for kind in descendants(ConnectorError)} == CODES


def test_a_printer_that_cannot_be_reached_is_offline() -> None:
    assert failure(HEADER, Unreachable("Nobody answers.")).data["code"] == "printer_offline"


@pytest.mark.parametrize("depth", [100, 250, 500, 1000])
def test_tags_are_echoed_however_deep_they_are(depth: int) -> None:
    tags = "[" * depth + "]" * depth
    raw = b'{"type":"movement_control","action":"fly","parameters":{"tags":%s}}' % tags.encode()
    parsed = parse_command(raw)
    assert isinstance(parsed, Refusal)
    answer = failure(parsed.header, parsed.error)
    told = made(answer.type, answer.data, command=parsed.header.command).payload.decode()
    assert parsed.error.code == "invalid_message" or tags in told.replace(" ", "")
