import struct

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.bambu.detect import Detected, Frames, NotAFrame, frame, is_request, parse_reply, reply, request

ANSWER = (
    b'{"login":{"bind":"free","command":"detect","connect":"lan","dev_cap":1,"id":"01P00A000000001","model":"C12",'
    b'"name":"Workshop","sequence_id":3021,"version":"01.08.02.00"}}'
)
WORKSHOP = Detected(
    serial="01P00A000000001",
    model_code="C12",
    name="Workshop",
    firmware="01.08.02.00",
    connection="lan",
    is_bound=False,
)


def body_of(whole: bytes) -> bytes:
    (body,) = Frames().feed(whole)
    return body


def test_the_request_is_the_printers_frame_to_the_byte() -> None:
    body = b'{"login":{"command":"detect","sequence_id":"20000"}}'
    assert request() == b"\xa5\xa5" + bytes([len(body) + 6, 0]) + body + b"\xa7\xa7"
    assert is_request(body_of(request()))


def test_an_answer_is_read() -> None:
    assert parse_reply(body_of(frame(ANSWER))) == WORKSHOP


def test_what_we_answer_is_what_we_read() -> None:
    assert orjson.loads(body_of(reply(WORKSHOP))) == orjson.loads(ANSWER)
    bare = Detected(serial="01P00A000000001", model_code="C12")
    assert parse_reply(body_of(reply(bare))) == bare


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"login":[]}',
        b'{"login":{"command":"bind","id":"01P00A000000001","model":"C12"}}',
        b'{"login":{"command":"detect","model":"C12"}}',
        b'{"login":{"command":"detect","id":"01P00A000000001"}}',
        b'{"login":{"command":"detect","id":"../../../etc/passwd","model":"C12"}}',
        b'{"login":{"command":"detect","id":123456789012,"model":"C12"}}',
        b"[" * 3000,
    ],
)
def test_what_is_no_answer_is_none(body: bytes) -> None:
    assert parse_reply(body) is None


def test_a_name_that_was_cut_within_a_character_spoils_nothing() -> None:
    found = parse_reply(ANSWER.replace(b"Workshop", b"Werkst\xc3"))
    assert found is not None
    assert found.name == "Werkst\N{REPLACEMENT CHARACTER}"


def test_a_farm_is_a_free_printer_on_the_lan() -> None:
    found = parse_reply(ANSWER.replace(b'"lan"', b'"farm"').replace(b'"free"', b'"occupied"'))
    assert found == WORKSHOP


def test_other_commands_are_not_the_request() -> None:
    assert not is_request(b'{"login":{"command":"bind"}}')
    assert not is_request(b"{}")


@pytest.mark.parametrize(
    "wrong",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\xa5\x00",
        struct.pack("<2sH", b"\xa5\xa5", 5),
        struct.pack("<2sH", b"\xa5\xa5", 4097),
        request()[:-2] + b"\xa7\xa5",
    ],
)
def test_what_is_no_frame_is_found_as_early_as_can_be(wrong: bytes) -> None:
    with pytest.raises(NotAFrame):
        Frames().feed(wrong)


def test_a_frame_that_never_ends_does_not_grow() -> None:
    frames = Frames()
    assert frames.feed(b"\xa5\xa5" + struct.pack("<H", 4096)) == []
    assert frames.feed(b"x" * 4091) == []
    with pytest.raises(NotAFrame):
        frames.feed(b"x")


def test_a_body_that_fits_into_no_frame_is_refused() -> None:
    assert frame(b"x" * 4090)
    with pytest.raises(ValueError, match="4091 bytes"):
        frame(b"x" * 4091)


@given(st.lists(st.binary(max_size=64)), st.data())
def test_frames_survive_any_slicing(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(frame, bodies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    frames = Frames()
    found = [
        body
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for body in frames.feed(stream[begin:end])
    ]
    assert found == bodies


@given(st.lists(st.binary(max_size=64)))
def test_any_bytes_are_frames_or_refused(chunks: list[bytes]) -> None:
    frames = Frames()
    try:
        for chunk in chunks:
            for body in frames.feed(chunk):
                assert len(body) <= 4096
    except NotAFrame:
        pass


@given(st.binary(max_size=200))
def test_no_body_makes_it_raise(body: bytes) -> None:
    for begin in (b"", b'{"login":{"command":"detect","id":"01P00A000000001","model":"C12","name":"'):
        parse_reply(begin + body)
        is_request(begin + body)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_no_value_of_a_field_makes_it_raise(value: object) -> None:
    for key in ("id", "model", "name", "version", "connect", "bind"):
        login = {"command": "detect", "id": "01P00A000000001", "model": "C12", key: value}
        try:
            body = orjson.dumps({"login": login})
        except orjson.JSONEncodeError:
            continue
        parse_reply(body)
