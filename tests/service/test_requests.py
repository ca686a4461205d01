"""Requests that are out, and whose reply is whose."""

import json

from bambu_connector.bambu.report import Reply, VersionInfo, parse_report
from bambu_connector.bambu.request import GcodeLine, GetVersion, Pause, Request
from bambu_connector.service.requests import Requests, Ticket


class Wire:
    """Takes what is published."""

    def __init__(self) -> None:
        self.published: list[tuple[bytes, int]] = []
        self.requests = Requests()

    def send(self, request: Request) -> Ticket:
        return self.requests.send(
            request, lambda payload, qos: self.published.append((payload, qos)), now=5.0, reports=3
        )


def reply(ticket: Ticket, **changes: object) -> Reply | VersionInfo:
    """Return the reply to a request, with some of its fields changed."""
    request = ticket.request
    fields = {"command": request.command, "sequence_id": ticket.sequence_id, "result": "success", **changes}
    parsed = parse_report(json.dumps({request.group: fields}).encode())
    assert isinstance(parsed, Reply | VersionInfo)
    return parsed


def test_each_request_is_published_under_an_id_of_its_own() -> None:
    wire = Wire()
    tickets = [wire.send(Pause()), wire.send(Pause()), wire.send(GetVersion())]
    ids = [next(iter(json.loads(payload).values()))["sequence_id"] for payload, _ in wire.published]
    assert ids == [each.sequence_id for each in tickets]
    assert len(set(ids)) == 3
    assert tickets[0].sent_at == 5.0
    assert tickets[0].reports_before == 3


def test_our_ids_are_not_those_of_the_slicer_nor_of_another_connector() -> None:
    ids = {int(Wire().send(Pause()).sequence_id) for _ in range(20)}
    assert len(ids) == 20
    assert not ids & set(range(20000, 30000))


def test_a_reply_finds_its_request_once() -> None:
    wire = Wire()
    first, second = wire.send(Pause()), wire.send(Pause())
    answer = reply(second)
    assert wire.requests.take(answer) is second
    assert second.reply is answer
    assert first.reply is None
    assert wire.requests.take(answer) is None


def test_after_an_empty_echo_the_reply_may_still_come() -> None:
    wire = Wire()
    ticket = wire.send(Pause())
    assert wire.requests.take(reply(ticket, result=None)) is ticket
    refused = reply(ticket, result="fail")
    assert wire.requests.take(refused) is ticket
    assert ticket.reply is refused
    assert wire.requests.take(reply(ticket)) is None


def test_a_request_knows_on_which_session_it_was_published() -> None:
    wire = Wire()
    ticket = wire.requests.send(Pause(), lambda _payload, _qos: None, now=5.0, reports=3, session=7)
    assert ticket.session == 7


def test_a_number_does_for_an_id() -> None:
    wire = Wire()
    ticket = wire.send(Pause())
    assert wire.requests.take(reply(ticket, sequence_id=int(ticket.sequence_id))) is ticket


def test_what_is_not_the_answer_to_a_request_of_ours_is_nobodys() -> None:
    wire = Wire()
    ticket, question = wire.send(GcodeLine(("G28",))), wire.send(GetVersion())
    version = VersionInfo((), ticket.sequence_id, {})
    for other in (
        reply(ticket, command="pause"),
        reply(ticket, sequence_id="4711"),
        reply(ticket, sequence_id=None),
        version,
        Reply("print", "get_version", question.sequence_id, {}),
    ):
        assert wire.requests.take(other) is None
    assert ticket.reply is None
    assert question.reply is None


def test_the_answer_to_a_question_is_a_reply_too() -> None:
    wire = Wire()
    question = wire.send(GetVersion())
    assert wire.requests.take(VersionInfo((), question.sequence_id, {})) is question


def test_after_a_session_nothing_is_waited_for() -> None:
    wire = Wire()
    ticket = wire.send(Pause())
    wire.requests.clear()
    assert wire.requests.take(reply(ticket)) is None


def test_requests_that_are_never_answered_do_not_pile_up() -> None:
    wire = Wire()
    tickets = [wire.send(Pause()) for _ in range(300)]
    assert wire.requests.take(reply(tickets[0])) is None
    assert wire.requests.take(reply(tickets[-1])) is tickets[-1]
    assert wire.requests.take(reply(tickets[100])) is tickets[100]
