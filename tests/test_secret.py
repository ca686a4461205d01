"""Text that must not be seen: not in a log, not in a traceback, not in a message."""

import json
import logging
import traceback
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from bambu_connector.secret import Secret

CODE = "s3cr3t-c0de"
SECRET = Secret(CODE)


def test_a_secret_is_revealed_to_who_asks_for_it() -> None:
    assert SECRET.reveal() == CODE


@pytest.mark.parametrize("shown", [str(SECRET), repr(SECRET), f"{SECRET}", f"{SECRET!r:>40}", repr({"code": [SECRET]})])
def test_a_secret_cannot_be_seen_where_it_is_shown(shown: str) -> None:
    assert CODE not in shown


def test_a_secret_cannot_be_seen_in_a_log_or_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="refused") as raised:
        raise ValueError("refused", SECRET)
    assert CODE not in "".join(traceback.format_exception(raised.value))
    logging.getLogger("test").error("refused: %s", SECRET, exc_info=raised.value)
    assert "refused" in caplog.text
    assert CODE not in caplog.text


def test_a_secret_is_no_text_and_cannot_be_joined_or_encoded_by_accident() -> None:
    secret: Any = SECRET
    pair = ["code", secret]
    accidents: list[Callable[[], object]] = [
        lambda: "code=" + secret,
        lambda: "=".join(pair),
        lambda: json.dumps(pair),
        lambda: bytes(secret),
    ]
    for accident in accidents:
        with pytest.raises(TypeError):
            accident()


def test_what_encodes_our_messages_does_not_reveal_a_secret() -> None:
    try:
        encoded = orjson.dumps({"code": SECRET})
    except TypeError:
        encoded = b""
    assert CODE.encode() not in encoded


def test_secrets_are_compared_by_their_text() -> None:
    assert Secret(CODE) == SECRET
    assert Secret("another") != SECRET


def test_an_empty_secret_is_none() -> None:
    assert SECRET
    assert not Secret("")
