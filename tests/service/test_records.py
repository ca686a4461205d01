"""The records of the journal: there and back through JSON, and whatever is not one is unreadable."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bambu_connector.bambu.view import GcodeState, JobIdentity
from bambu_connector.printago.commands import Header
from bambu_connector.printago.messages import Message, MessageType
from bambu_connector.service.clock import Moment
from bambu_connector.service.records import (
    Body,
    FileRecord,
    JobRecord,
    OpenCommand,
    PrintRecord,
    Unreadable,
    decode_message,
    message_body,
    read,
)
from bambu_connector.translate.job import STARTING, Kind, Phase
from bambu_connector.translate.recognise import StartMark

Decode = Callable[[Body], object]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
wholes = st.integers(0, 2**53)
seconds = st.floats(0, 1e12)
maybe_texts = st.none() | texts
command_ids = st.none() | texts | wholes | st.floats(-1e9, 1e9)
moments = st.builds(Moment, seconds, texts, seconds)
identities = st.builds(JobIdentity, *[maybe_texts] * 5)
marks = st.builds(
    StartMark,
    job_number=st.none() | wholes,
    name=texts,
    file=texts,
    before=identities,
    before_state=st.none() | st.sampled_from([*GcodeState, GcodeState("DREAMING")]),
    before_error=st.none() | wholes,
)
prints = st.builds(
    PrintRecord,
    mark=marks,
    file=maybe_texts,
    job_id=maybe_texts,
    command_id=command_ids,
    published=moments,
    is_certain=st.booleans(),
    stop_asked=st.booleans(),
)
before_start, starting = (
    st.builds(
        JobRecord,
        serial=texts,
        number=wholes,
        kind=st.sampled_from(Kind),
        phase=st.sampled_from(phases),
        saved=moments,
        receipt=maybe_texts,
        file=maybe_texts,
        wrote=st.booleans(),
        stored=st.booleans(),
        out=out,
    )
    for phases, out in (
        ([each for each in Phase if each not in STARTING], st.none()),
        (sorted(STARTING, key=lambda phase: phase.value), prints),
    )
)
jobs = before_start | starting
files = st.builds(FileRecord, serial=texts, name=texts, doomed=st.booleans(), requested=texts, size=wholes, md5=texts)
headers = st.builds(
    Header, command=maybe_texts, action=maybe_texts, command_id=command_ids, tags=st.none() | st.lists(texts)
)
commands = st.builds(OpenCommand, printer_id=maybe_texts, header=headers, payload=maybe_texts)
messages = st.builds(
    Message, type=st.sampled_from(MessageType), printer_id=texts, payload=texts.map(lambda text: text.encode())
)
KINDS: dict[str, tuple[Any, Decode, Callable[[Any], Body]]] = {
    "print": (prints, PrintRecord.decode, PrintRecord.body),
    "job": (jobs, JobRecord.decode, JobRecord.body),
    "file": (files, FileRecord.decode, FileRecord.body),
    "command": (commands, OpenCommand.decode, OpenCommand.body),
    "message": (messages, decode_message, message_body),
}
MARK = StartMark(
    job_number=7,
    name="part-7",
    file="part-7.3mf",
    before=JobIdentity("3", None, None, "older-3", ""),
    before_state=GcodeState("FINISH"),
    before_error=0,
)
PRINT = PrintRecord(
    mark=MARK, file="part-7.3mf", job_id="J", command_id=17, published=Moment(1e9, "b", 5.0), is_certain=True
)
EXAMPLES: dict[str, Any] = {
    "print": PRINT,
    "job": JobRecord(
        serial="S", number=7, kind=Kind.PRINT, phase=Phase.OUT, saved=Moment(1e9, "b", 5.0), receipt="1", out=PRINT
    ),
    "file": FileRecord(serial="S", name="a.3mf", doomed=False),
    "command": OpenCommand(printer_id="p", header=Header(command="a/b", action="b", command_id="c"), payload="sealed"),
    "message": Message(type=MessageType.EVENT, printer_id="p", payload=b"{}"),
}
# What an earlier program need not have written.
OPTIONAL = {
    "payload",
    "tags",
    "before_error",
    "stop_asked",
    "file",
    "wrote",
    "stored",
    "requested",
    "size",
    "md5",
    "kept_at",
}


def through_disk(body: Body) -> Body:
    """Return what the journal makes of it."""
    found: Body = orjson.loads(orjson.dumps(body))
    return found


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_record_comes_back_as_it_was_also_with_what_a_later_version_added(kind: str, data: st.DataObject) -> None:
    strategy, decode, body_of = KINDS[kind]
    record = data.draw(strategy)
    body = through_disk(body_of(record))
    assert read(decode, body) == record
    assert read(decode, body | {"colour": "blue", "nested": {"deep": [1]}}) == record


def _places(body: Body, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, value in body.items():
        found.append((*path, key))
        if isinstance(value, dict):
            found += _places(value, (*path, key))
    return found


def _changed(body: Body, path: tuple[str, ...], change: Callable[[Body, str], object]) -> Body:
    copy = through_disk(body)
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    change(inner, path[-1])
    return copy


PLACES = [(kind, place) for kind, example in EXAMPLES.items() for place in _places(KINDS[kind][2](example))]


@pytest.mark.parametrize(("kind", "place"), PLACES, ids=lambda part: part if isinstance(part, str) else ".".join(part))
def test_a_field_that_is_missing_makes_a_record_unreadable_or_is_optional(kind: str, place: tuple[str, ...]) -> None:
    _, decode, body_of = KINDS[kind]
    body = _changed(body_of(EXAMPLES[kind]), place, lambda inner, key: inner.pop(key))
    if place[-1] in OPTIONAL - ({"payload"} if kind == "message" else set()) - (
        {"file"} if kind == "print" or len(place) > 1 else set()
    ):
        read(decode, body)
        return
    with pytest.raises(Unreadable):
        read(decode, body)


WRONG: tuple[object, ...] = ({"a": 1}, [[]], -1.5, True, "word", 12)


@pytest.mark.parametrize(("kind", "place"), PLACES, ids=lambda part: part if isinstance(part, str) else ".".join(part))
def test_a_field_of_a_wrong_type_makes_a_record_unreadable(kind: str, place: tuple[str, ...]) -> None:
    _, decode, body_of = KINDS[kind]
    refused = 0
    for wrong in WRONG:
        body = _changed(body_of(EXAMPLES[kind]), place, lambda inner, key: inner.__setitem__(key, wrong))  # noqa: B023
        try:
            read(decode, body)
        except Unreadable:
            refused += 1
    assert refused >= (3 if place[-1] == "command_id" else 4) or place[-1] == "tags"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(("kind", "place"), PLACES, ids=lambda part: part if isinstance(part, str) else ".".join(part))
@settings(max_examples=12, deadline=None)
@given(value=json_values)
def test_whatever_stands_in_a_field_nothing_but_unreadable_comes_of_it(
    kind: str, place: tuple[str, ...], value: object
) -> None:
    _, decode, body_of = KINDS[kind]
    body = _changed(body_of(EXAMPLES[kind]), place, lambda inner, key: inner.__setitem__(key, value))
    try:
        found = read(decode, body)
    except Unreadable as error:
        assert len(str(error)) < 300  # noqa: PT017 - any other error fails the test
    else:
        assert type(found) is type(EXAMPLES[kind])


def test_a_start_and_what_it_is_recognised_by_are_there_together_or_not_at_all() -> None:
    body = EXAMPLES["job"].body()
    for wrong in (body | {"phase": "JUDGING"}, body | {"out": None}, body | {"phase": "QUEUED"}):
        with pytest.raises(Unreadable, match="belong together"):
            read(JobRecord.decode, wrong)
    read(JobRecord.decode, body | {"phase": "STORING", "out": None})


def test_a_message_comes_back_with_the_same_bytes_and_as_one_that_must_arrive() -> None:
    message = Message(type=MessageType.EVENT, printer_id="p", payload='{"name":"Bücher"}'.encode())
    again = decode_message(through_disk(message_body(message)))
    assert (again.payload, again.qos, again.retain) == (message.payload, 1, False)


def test_files_of_two_printers_have_two_keys() -> None:
    keys = {FileRecord(serial=serial, name="a.3mf", doomed=False).key for serial in ("S1", "S2")}
    assert len(keys) == 2
