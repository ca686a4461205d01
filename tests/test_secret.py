"""Text that must not be seen: not in a log, not in a traceback, not in a message."""

import asyncio
import copy
import dataclasses
import faulthandler
import json
import logging
import pickle
import pprint
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from rich.console import Console
from rich.pretty import pretty_repr

from bambu_connector.secret import Secret

CODE = "s3cr3t-c0de"
SECRET = Secret(CODE)


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """What holds a secret in the configuration."""

    code: Secret
    others: tuple[Secret, ...] = ()


HOLDER = Holder(SECRET, (SECRET,))


def test_a_secret_is_revealed_to_who_asks_for_it() -> None:
    assert SECRET.reveal() == CODE


@pytest.mark.parametrize(
    "shown",
    [
        str(SECRET), repr(SECRET), f"{SECRET}", f"{SECRET!r:>40}", f"{SECRET:>40}", format(SECRET, "^9"),
        "{0} {0!r} {0!s} {0!a}".format(SECRET), "%s %r %a" % (SECRET, SECRET, SECRET), ascii(SECRET),  # noqa: UP031, UP032 - each is a way to show something
        repr({"code": [SECRET]}), repr(HOLDER), str(HOLDER), pprint.pformat(HOLDER),
        pretty_repr(HOLDER), repr(dataclasses.asdict(HOLDER)), repr(dataclasses.astuple(HOLDER)),
        str(dir(SECRET)), repr(ValueError("refused", SECRET)), str(ValueError(SECRET)), repr(copy.deepcopy([SECRET])),
        repr(type(SECRET).__dict__), repr(hash(SECRET)),
    ],
)  # fmt: skip
def test_a_secret_cannot_be_seen_where_it_is_shown(shown: str) -> None:
    assert CODE not in shown


def test_what_shows_dataclasses_field_by_field_finds_a_secret_and_not_its_text() -> None:
    assert dataclasses.asdict(HOLDER) == {"code": SECRET, "others": (SECRET,)}
    screen = Console(width=200)
    with screen.capture() as capture:
        screen.print(HOLDER)
    assert "code=Secret()" in capture.get()


def test_a_secret_cannot_be_seen_in_a_log_or_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="refused") as raised:
        raise ValueError("refused", SECRET)
    assert CODE not in "".join(traceback.format_exception(raised.value))
    logging.getLogger("test").error("refused: %s %r %a", SECRET, SECRET, HOLDER, exc_info=raised.value)
    assert "refused" in caplog.text
    assert CODE not in caplog.text


def test_a_traceback_with_the_local_variables_does_not_show_it() -> None:
    def login(code: Secret, holder: Holder) -> None:
        kept = {"code": code, "holder": [holder]}
        raise ValueError(len(kept))

    with pytest.raises(ValueError, match="2") as raised:
        login(SECRET, HOLDER)
    shown = "".join(traceback.TracebackException.from_exception(raised.value, capture_locals=True).format())
    assert "kept = " in shown
    assert CODE not in shown


def test_the_debug_mode_of_asyncio_does_not_show_it(caplog: pytest.LogCaptureFixture) -> None:
    def slow(code: Secret) -> None:
        time.sleep(0.02)
        raise ValueError(code)

    async def work() -> None:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 0.01
        loop.call_soon(slow, SECRET)
        await asyncio.sleep(0.05)

    with caplog.at_level(logging.DEBUG):
        asyncio.run(work(), debug=True)
    assert "slow(Secret())" in caplog.text, "the log that was searched says too little"
    assert CODE not in caplog.text


def test_a_dump_of_the_stacks_does_not_show_it(tmp_path: Path) -> None:
    def dump(code: Secret) -> str:
        with (tmp_path / "dump").open("w+") as file:
            faulthandler.dump_traceback(file)
            file.seek(0)
            return file.read() + repr(code)

    shown = dump(SECRET)
    assert "in dump" in shown
    assert CODE not in shown


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_cannot_be_pickled(protocol: int) -> None:
    for each in (SECRET, [SECRET], HOLDER):
        with pytest.raises(TypeError, match="cannot be serialised"):
            pickle.dumps(each, protocol)


def test_a_copy_is_the_secret_itself() -> None:
    assert copy.copy(SECRET) is SECRET
    assert copy.deepcopy(HOLDER).code is SECRET


def test_a_secret_is_no_text_and_cannot_be_joined_or_encoded_by_accident() -> None:
    secret: Any = SECRET
    pair = ["code", secret]
    accidents: list[Callable[[], object]] = [
        lambda: "code=" + secret,
        lambda: "=".join(pair),
        lambda: json.dumps(pair),
        lambda: orjson.dumps(pair),
        lambda: orjson.dumps({"holder": HOLDER}),
        lambda: yaml.safe_dump(pair),
        lambda: yaml.dump(pair),
        lambda: bytes(secret),
        lambda: list(secret),
        lambda: vars(secret),
        lambda: secret[0],
    ]
    for number, accident in enumerate(accidents):
        with pytest.raises((TypeError, yaml.YAMLError)):
            pytest.fail(f"accident {number} gives {accident()!r}")


def test_a_pattern_does_not_take_the_text_out() -> None:
    assert not hasattr(Secret, "__match_args__")
    assert not dataclasses.is_dataclass(Secret)


def test_a_secret_does_not_change() -> None:
    secret: Any = Secret(CODE)
    with pytest.raises(AttributeError, match="does not change"):
        secret._text = "x"
    with pytest.raises(AttributeError, match="does not change"):
        del secret._text
    assert secret.reveal() == CODE


def test_secrets_are_compared_by_their_text() -> None:
    assert Secret(CODE) == SECRET
    assert Secret("another") != SECRET
    assert {Secret(CODE), SECRET} == {SECRET}
    other: Any = CODE
    assert other != SECRET


def test_an_empty_secret_is_none() -> None:
    assert SECRET
    assert not Secret("")
