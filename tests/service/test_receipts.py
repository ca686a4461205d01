"""Receipts: what is kept of a command until its answer, and what the next process makes of it."""

import json
from pathlib import Path
from typing import Final

import pytest

from bambu_connector.errors import Internal
from bambu_connector.printago import messages
from bambu_connector.printago.commands import parse_command
from bambu_connector.printago.messages import Message
from bambu_connector.service import records
from bambu_connector.service.journal import Journal
from bambu_connector.service.receipts import Receipts
from bambu_connector.service.store import StoreFailed
from bambu_connector.service.voice import Voice
from tests.service.fakes import FakeClock, FakeStore, fake_journal
from tests.simulated import simulated

SECRET: Final = "signature=hidden-in-the-query"
START: Final[dict[str, object]] = {
    "type": "printer_control",
    "action": "start_print_bbl",
    "parameters": {"url": f"https://files.example/a.3mf?{SECRET}", "tags": ["t"]},
    "command_id": "c1",
}
HOME: Final[dict[str, object]] = {"type": "movement_control", "action": "home", "parameters": {}, "command_id": 7}


class Office:
    """A journal on a disk that is kept, and everything that is posted."""

    def __init__(self, folder: Path, store: FakeStore | None = None) -> None:
        self.store = store or FakeStore()
        self.clock = FakeClock()
        self.journal: Journal = fake_journal(folder, self.clock, self.store)
        self.receipts = Receipts(self.journal)
        self.posted: list[Message] = []

    def voice(self, printer_id: str | None) -> Voice:
        return Voice(printer_id or "connector", self.posted.append, self.clock)

    def keep(self, message: dict[str, object], printer_id: str | None = "left") -> str:
        payload = json.dumps(message).encode()
        receipt = self.receipts.issue()
        self.receipts.keep(receipt, parse_command(payload), payload, printer_id)
        return receipt


@simulated
async def test_a_job_comes_back_whole_and_its_secret_is_nowhere_on_the_disk(tmp_path: Path) -> None:
    office = Office(tmp_path)
    receipt = office.keep(START)
    await office.journal.secure()
    assert SECRET.encode() not in b"".join(office.store.records.values())
    later = Office(tmp_path, office.store)
    (left,) = later.receipts.reopen(later.voice, later.posted.append).items()
    assert left[0] == receipt
    assert left[1].command is not None
    assert SECRET in left[1].command.order.url.reveal()  # type: ignore[union-attr]
    assert (left[1].header.command_id, left[1].header.tags) == ("c1", ["t"])


@simulated
async def test_what_is_no_job_is_kept_without_what_it_says(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.keep(HOME)
    await office.journal.secure()
    (left,) = Office(tmp_path, office.store).receipts.reopen(office.voice, office.posted.append).values()
    assert left.command is None
    assert (left.header.command, left.header.command_id) == ("movement_control/home", 7)


@simulated
async def test_the_answer_and_the_end_of_the_receipt_are_one_transaction(tmp_path: Path) -> None:
    office = Office(tmp_path)
    receipt = office.keep(HOME)
    await office.journal.secure()
    before = len(office.store.commits)
    header = parse_command(json.dumps(HOME).encode()).header

    def post(message: Message) -> None:
        office.journal.put(records.MESSAGE, office.journal.new_key(), records.message_body(message))

    office.receipts.replier(receipt, office.voice("left"), header, post)(
        messages.success(header, "Done.", acknowledged=True)
    )
    await office.journal.secure()
    (batch,) = office.store.commits[before:]
    assert sorted((kind, body is None) for (kind, _), body in batch.records.items()) == [
        (records.COMMAND, True),
        (records.MESSAGE, False),
    ]


@simulated
async def test_a_command_whose_key_is_lost_can_be_answered_and_not_gone_on_with(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.keep(START)
    await office.journal.secure()
    (tmp_path / "secret.key").unlink()
    (left,) = Office(tmp_path, office.store).receipts.reopen(office.voice, office.posted.append).values()
    assert left.command is None
    left.reply(messages.success(left.header, "Done.", acknowledged=True))
    assert json.loads(office.posted[0].payload)["command_id"] == "c1"


@simulated
async def test_a_job_is_not_taken_where_it_could_be_forgotten(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.store.failure = StoreFailed("the disk is full")
    office.keep(HOME)
    with pytest.raises(Internal, match="the disk is full"):
        await office.journal.secure()
    with pytest.raises(Internal, match="the disk is full"):
        office.keep(START)


@simulated
async def test_a_record_that_cannot_be_read_is_forgotten(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.journal.put(records.COMMAND, "1", {"printer_id": "left"})
    assert office.receipts.reopen(office.voice, office.posted.append) == {}
    assert list(office.journal.all(records.COMMAND)) == []
