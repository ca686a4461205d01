"""Classification of what printers say, and that it takes anything."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.bambu.report import (
    MAX_DEPTH,
    MAX_REPORT_BYTES,
    MAX_TEXT,
    Fields,
    Outcome,
    PushStatus,
    Reply,
    Unrecognised,
    VersionInfo,
    parse_report,
)
from tests import captures
from tests.bambu.reports import JSON_VALUES, h2d, p1s

SEEDS = [orjson.dumps({"print": report}) for report in (p1s(), h2d(), *captures.read().values())]


def status(raw: bytes) -> Fields:
    report = parse_report(raw)
    assert isinstance(report, PushStatus)
    return report.fields


def reply(**fields: object) -> Reply:
    report = parse_report(json.dumps({"print": {"command": "pause", "sequence_id": "20001", **fields}}).encode())
    assert isinstance(report, Reply)
    return report


def test_a_push_status_is_a_report_of_the_state() -> None:
    assert status(b'{"print": {"command": "push_status", "msg": 1, "mc_percent": 4}}') == {
        "command": "push_status",
        "msg": 1,
        "mc_percent": 4,
    }


def test_the_reports_of_real_printers_are_read_as_they_are() -> None:
    for name, report in captures.captured().items():
        raw = json.dumps({"print": {"command": "push_status", **report}}, indent=4).encode()
        assert status(raw) == {"command": "push_status", **report}, name


def test_fun_beside_print_counts_as_if_inside() -> None:
    assert status(b'{"print": {"command": "push_status"}, "fun": "20000000"}')["fun"] == "20000000"
    assert status(b'{"fun": "1", "print": {"command": "push_status", "fun": "2"}}')["fun"] == "2"


def test_the_modules_of_a_version_are_those_that_are_objects() -> None:
    report = parse_report(b'{"info": {"command": "get_version", "sequence_id": "7", "module": [{"name": "ota"}, 3]}}')
    assert isinstance(report, VersionInfo)
    assert report.modules == ({"name": "ota"},)
    assert report.sequence_id == "7"


def test_a_get_version_without_modules_is_somebody_s_reply() -> None:
    assert isinstance(parse_report(b'{"info": {"command": "get_version", "module": null}}'), Reply)


@pytest.mark.parametrize("group", ["print", "system", "info", "pushing", "camera", "xcam", "upgrade", "mc_print"])
def test_a_reply_names_its_group_and_command(group: str) -> None:
    report = parse_report(json.dumps({"t_utc": 5, group: {"command": "do", "sequence_id": "1", "x": 2}}).encode())
    assert report == Reply(group, "do", "1", {"command": "do", "sequence_id": "1", "x": 2})


@pytest.mark.parametrize(
    ("told", "kept"), [("20001", "20001"), (3021, "3021"), (None, None), (True, None), ([1], None)]
)
def test_a_sequence_id_is_text_or_unknown(told: object, kept: str | None) -> None:
    assert reply(sequence_id=told).sequence_id == kept


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"result": "success"}, Outcome.SUCCESS),
        ({"result": "SUCCESS", "err_code": 0, "errno": 0}, Outcome.SUCCESS),
        ({"result": "fail"}, Outcome.FAILED),
        ({"result": "FAIL"}, Outcome.FAILED),
        ({"result": "Failed"}, Outcome.FAILED),
        ({"err_code": 84033543}, Outcome.FAILED),
        ({"err_code": "84033543"}, Outcome.FAILED),
        ({"errno": -2}, Outcome.FAILED),
        ({"result": "success", "errno": -4}, Outcome.FAILED),
        ({}, Outcome.UNTOLD),
        ({"result": ""}, Outcome.UNTOLD),
        ({"result": None, "err_code": None}, Outcome.UNTOLD),
        ({"result": 1, "errno": True}, Outcome.UNTOLD),
        ({"result": ["success"], "err_code": {}}, Outcome.UNTOLD),
    ],
)
def test_an_outcome_is_told_or_it_is_untold(fields: dict[str, object], outcome: Outcome) -> None:
    assert reply(**fields).outcome is outcome


def test_a_refusal_keeps_its_reason_and_number() -> None:
    refusal = reply(result="failed", reason="mqtt message verify failed", err_code=84033543)
    assert (refusal.reason, refusal.error_code) == ("mqtt message verify failed", 0x05024007)


def test_no_reason_and_no_number_are_unknown() -> None:
    assert (reply(reason="", err_code=0).reason, reply(reason=3, err_code=0).error_code) == (None, None)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'"print"',
        b"{}",
        b"{",
        b'{"print": 1}',
        b'{"print": {}}',
        b'{"print": {"command": 1}}',
        b"\xff",
    ],
)
def test_what_is_no_message_is_kept_as_bytes(raw: bytes) -> None:
    assert parse_report(raw) == Unrecognised(raw)


def test_invalid_utf8_spoils_only_its_characters() -> None:
    fields = status(b'{"print": {"command": "push_status", "subtask_name": "a\xffb", "mc_percent": 4}}')
    assert (fields["subtask_name"], fields["mc_percent"]) == ("a\N{REPLACEMENT CHARACTER}b", 4)


def test_nan_and_infinity_are_null() -> None:
    fields = status(b'{"print": {"command": "push_status", "a": NaN, "b": [-Infinity], "c": 1e999, "d": 2}}')
    assert (fields["a"], fields["b"], fields["c"], fields["d"]) == (None, [None], None, 2)


def test_what_stands_beside_a_nan_is_read_as_ever() -> None:
    raw = b'{"print": {"command": "push_status", "a": NaN, "b": null, "c": true, "d": 99999999999999999999}}'
    assert status(raw) == {"command": "push_status", "a": None, "b": None, "c": True, "d": 1e20}


def test_numbers_that_are_too_large_spoil_only_themselves() -> None:
    fields = status(b'{"print": {"command": "push_status", "a": ' + b"9" * 5000 + b', "b": NaN, "c": 7}}')
    assert (fields["a"], fields["c"]) == (None, 7)


def test_half_a_character_can_be_written_again() -> None:
    fields = status(b'{"print": {"command": "push_status", "subtask_name": "\\ud83d", "\\ud800": 1}}')
    assert orjson.loads(orjson.dumps(fields)) == fields


def test_a_byte_order_mark_is_passed_over() -> None:
    assert status(b'\xef\xbb\xbf{"print": {"command": "push_status"}}') == {"command": "push_status"}


def test_a_report_beyond_every_size_is_not_read() -> None:
    def padded(size: int) -> bytes:
        raw = b'{"print": {"command": "push_status"}}'
        return raw + b" " * (size - len(raw))

    assert isinstance(parse_report(padded(MAX_REPORT_BYTES)), PushStatus)
    assert isinstance(parse_report(padded(MAX_REPORT_BYTES + 1)), Unrecognised)


def test_a_text_beyond_every_length_is_null_and_spoils_nothing_else() -> None:
    raw = b'{"print": {"command": "push_status", "a": "%s", "b": "%s"}}' % (b"x" * MAX_TEXT, b"x" * (MAX_TEXT + 1))
    assert status(raw) == {"command": "push_status", "a": "x" * MAX_TEXT, "b": None}


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 1000, 1024, 5000, 100_000])
def test_what_is_nested_too_deep_is_not_recognised(depth: int) -> None:
    raw = b'{"print": {"command": "push_status", "x": ' + b"[" * depth + b"]" * depth + b"}}"
    assert isinstance(parse_report(raw), Unrecognised)


def test_many_brackets_side_by_side_are_not_deep() -> None:
    raw = b'{"print": {"command": "push_status", "x": [' + b"[]," * 1000 + b"[]]}}"
    assert len(status(raw)["x"]) == 1001


@given(st.binary(max_size=200))
def test_any_bytes_are_classified(raw: bytes) -> None:
    assert isinstance(parse_report(raw), PushStatus | VersionInfo | Reply | Unrecognised)


@given(
    st.dictionaries(
        st.sampled_from(["print", "info", "system", "t_utc"]) | st.text(max_size=4), JSON_VALUES, max_size=3
    )
)
def test_any_json_is_classified(message: dict[str, object]) -> None:
    parse_report(orjson.dumps(message))


@given(st.sampled_from(SEEDS), st.data())
def test_a_damaged_report_is_classified_and_can_be_written_again(raw: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(raw)))
    damaged = raw[:at] + data.draw(st.binary(max_size=4)) + raw[at + data.draw(st.integers(0, 4)) :]
    report = parse_report(damaged)
    if not isinstance(report, Unrecognised):
        orjson.dumps(report.fields)


@given(JSON_VALUES, JSON_VALUES, JSON_VALUES, JSON_VALUES)
def test_a_reply_of_any_values_has_an_outcome(result: object, reason: object, err_code: object, errno: object) -> None:
    answer = Reply("print", "pause", None, {"result": result, "reason": reason, "err_code": err_code, "errno": errno})
    assert answer.outcome in Outcome
    assert answer.reason is None or isinstance(answer.reason, str)
    assert answer.error_code is None or answer.error_code != 0
