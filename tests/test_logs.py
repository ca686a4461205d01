import base64
import io
import json
import logging
import re
import threading
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from bambu_connector.logs import MARK, Redactor, configure, printer_logger, short_serial
from bambu_connector.secret import Secret

CODE = "s3cr3t-c0de"
SERIAL = "01P00A000000001"
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO |WARN |ERROR|FATAL) (.*?): (.*)", re.DOTALL)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Give logging back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in ("paho", "asyncio", "amqtt", "aioftp", "aiohttp")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, each in levels.items():
        logging.getLogger(name).setLevel(each)


class Log:
    """A configured log whose text can be read."""

    def __init__(self, level: str = "info", layout: str = "text", *secrets: str) -> None:
        logging.getLogger().handlers.clear()  # pytest's own fail a test whose record cannot be formatted
        self.stream = io.StringIO()
        redactor = Redactor(Secret(text) for text in secrets)
        configure(level, "json" if layout == "json" else "text", redactor=redactor, stream=self.stream)
        # The printers that other tests share may still be speaking, in a thread of their own.
        here = threading.get_ident()
        for handler in logging.getLogger().handlers:
            handler.addFilter(lambda record: record.thread == here)
        self.logger = logging.getLogger("bambu_connector.service.jobs")

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def parsed(self) -> dict[str, str]:
        """Return the one JSON line."""
        (line,) = self.text.splitlines()
        fields = json.loads(line)
        assert isinstance(fields, dict)
        return fields


# -- the lines -------------------------------------------------------------------------------------


def test_a_text_line_has_time_level_logger_and_message() -> None:
    log = Log()
    log.logger.warning("%d jobs wait", 3)
    match = LINE.fullmatch(log.text.rstrip("\n"))
    assert match
    assert match.groups() == ("WARN ", "service.jobs", "3 jobs wait")


def test_a_json_line_has_the_same_as_fields() -> None:
    log = Log(layout="json")
    log.logger.info("ready: %s", "ä")
    fields = log.parsed()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields.pop("time"))
    assert fields == {"level": "info", "logger": "bambu_connector.service.jobs", "message": "ready: ä"}


def test_a_printers_line_names_it_with_a_short_serial() -> None:
    log = Log()
    printer_logger("Left P1S", SERIAL).info("paused")
    printer_logger(None, SERIAL).info("gone")
    assert "INFO  Left P1S[01P…0001]: paused\n" in log.text
    assert "INFO  printer[01P…0001]: gone\n" in log.text
    assert SERIAL not in log.text


def test_a_printers_json_line_names_it_in_a_field() -> None:
    log = Log(layout="json")
    printer_logger("Left P1S", SERIAL, "bambu_connector.links.printer_mqtt").info("paused", extra={"other": 1})
    fields = log.parsed()
    assert (fields["printer"], fields["logger"]) == ("Left P1S[01P…0001]", "bambu_connector.links.printer_mqtt")


@pytest.mark.parametrize(
    ("serial", "short"), [(SERIAL, "01P…0001"), ("12345678", "12345678"), ("123456789", "123…6789")]
)
def test_a_short_serial_is_its_beginning_and_end(serial: str, short: str) -> None:
    assert short_serial(serial) == short


def test_nothing_that_is_logged_can_pass_for_a_line_of_its_own() -> None:
    log = Log()
    printer_logger("Evil\n2026-01-01", SERIAL).info("one\n2026-11-22T18:20:00.123Z INFO  x: forged\r\x1b[31m")
    assert [line for line in log.text.splitlines() if line.startswith("20")] == log.text.splitlines()[:1]
    assert "\x1b" not in log.text
    assert "\r" not in log.text


def test_a_json_line_is_one_line_to_every_reader_and_can_be_encoded() -> None:
    log = Log(layout="json")
    odd = "a\n\x85\u2028\x7f\udcff\x00"
    log.logger.info(odd)
    assert log.parsed()["message"] == odd
    assert log.text.encode("utf-8")


def test_a_traceback_follows_its_message_indented_or_as_a_field() -> None:
    for layout in ("text", "json"):
        log = Log(layout=layout)
        try:
            raise KeyError("lost")
        except KeyError:
            log.logger.exception("failed")
        trouble = log.text if layout == "text" else log.parsed()["exception"]
        assert "Traceback (most recent call last):" in trouble
        assert "KeyError: 'lost'" in trouble
        assert layout == "json" or all(line.startswith("    ") for line in log.text.splitlines()[1:])


def test_where_a_stack_is_asked_for_it_is_there() -> None:
    log = Log()
    log.logger.info("here", stack_info=True)
    assert "Stack (most recent call last):" in log.text


# -- levels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "told"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_a_level_tells_itself_and_what_is_above(level: str, told: int) -> None:
    log = Log(level)
    for each in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        log.logger.log(each, "x")
    assert len(log.text.splitlines()) == told


@pytest.mark.parametrize("name", ["paho.mqtt.client", "amqtt.broker", "asyncio", "aioftp.server", "aiohttp.access"])
def test_libraries_tell_their_trouble_only_unless_debugging(name: str) -> None:
    for level, told in (("info", 1), ("debug", 3), ("error", 0)):
        log = Log(level)
        for each in (logging.DEBUG, logging.INFO, logging.WARNING):
            logging.getLogger(name).log(each, "x")
        assert len(log.text.splitlines()) == told, level


def test_configuring_again_replaces_the_first_time() -> None:
    first, second = Log(), Log()
    second.logger.info("once")
    assert first.text == ""
    assert len(second.text.splitlines()) == 1


# -- secrets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["text", "json"])
def test_a_secret_is_replaced_wherever_it_comes_from(layout: str) -> None:
    log = Log("debug", layout, CODE)
    logger = printer_logger(CODE, SERIAL)
    try:
        raise ValueError(f"login with {CODE} failed")
    except ValueError:
        logger.exception("bytes %r, text %s", CODE.encode(), CODE)
    assert CODE not in log.text
    assert log.text.count(MARK) >= 4


@pytest.mark.parametrize("code", ['pa"ss\\word', "päss wörd", "a&b=c/d?e", "it's"])
def test_a_secret_is_recognised_in_the_spelling_of_others(code: str) -> None:
    log = Log("debug", "text", code)
    log.logger.info("%s %r %s %s", code, code, json.dumps({"code": code}), quote(code, safe=""))
    log.logger.info("%r %s", code.encode(), json.dumps(code, ensure_ascii=False))
    for spelling in (code, repr(code)[1:-1], json.dumps(code)[1:-1], quote(code, safe=""), repr(code.encode())[2:-1]):
        assert spelling not in log.text
    assert log.text.count(MARK) == 6


@pytest.mark.parametrize("layout", ["text", "json"])
def test_a_secret_is_replaced_in_every_link_of_a_chain_of_exceptions(layout: str) -> None:
    log = Log("debug", layout, CODE)
    try:
        try:
            try:
                raise KeyError(CODE)
            except KeyError as error:
                raise OSError(f"cannot log in with {CODE!r}") from error
        except OSError as error:
            error.add_note(f"the password was {quote(CODE)}")
            raise ExceptionGroup(f"several with {CODE}", [ValueError(CODE.encode()), error])  # noqa: B904 - a context is a link too
    except ExceptionGroup:
        log.logger.exception("failed", stack_info=True)
    shown = log.text if layout == "text" else log.parsed()["exception"]
    assert "direct cause" in shown
    assert "During handling" in shown
    assert shown.count(MARK) >= 6
    assert CODE not in log.text


@pytest.mark.parametrize("code", ["24681357", "farm-password-3Lw", "päss wörd", "s3cr3t&c0de=?/"])
@pytest.mark.parametrize("user", ["", "b", "bb", "bblp", "farm5"])
def test_a_secret_is_recognised_in_base64_wherever_it_stands(code: str, user: str) -> None:
    pair = f"{user}:{code}\n".encode()
    redactor = Redactor([Secret(code)])
    for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes):
        for raw in (code.encode(), pair):
            cleaned = redactor.clean(f"Authorization: Basic {encode(raw).decode()}")
            left = cleaned.removeprefix("Authorization: Basic ").replace(MARK, "")
            assert MARK in cleaned
            assert len(left) < len(encode(user.encode())) + 8, cleaned


@pytest.mark.parametrize("code", ["päss wörd", "a&b=c/d?e+f", "s3cr3t%2Fc0de"])
def test_a_secret_is_recognised_as_forms_urls_and_dumps_write_it(code: str) -> None:
    redactor = Redactor([Secret(code)])
    url = URL.build(scheme="ftp", host="x", user=code, password=code, path=f"/{code}", query={"q": code})
    spellings = [urlencode({"q": code}), quote_plus(code), quote(code), url.raw_user, url.raw_path, code.encode().hex()]
    for spelling in spellings:
        assert MARK in redactor.clean(f"x {spelling} y"), spelling


def test_a_secret_can_be_registered_while_running() -> None:
    stream = io.StringIO()
    redactor = configure(stream=stream)
    redactor.register(Secret(CODE))
    redactor.register(None)
    logging.getLogger("x").info("code %s", CODE)
    assert f"code {MARK}" in stream.getvalue()


def test_very_short_secrets_do_not_take_words_out_of_every_line() -> None:
    assert Redactor([Secret("a"), Secret("abc"), Secret("")]).clean("abc a") == "abc a"


def test_a_short_secret_is_a_whole_word() -> None:
    redactor = Redactor([Secret("1234"), Secret("x9!kQ")])
    assert redactor.clean("1234 of 12345 bytes, :1234@, 'x9!kQ'") == f"{MARK} of 12345 bytes, :{MARK}@, '{MARK}'"


def test_a_word_of_any_sentence_is_left_in_it() -> None:
    assert Redactor([Secret("printer")]).clean("the printer is off") == "the printer is off"
    assert Redactor([Secret("Printer"), Secret("printer1")]).clean("Printer printer1 x") == f"{MARK} {MARK} x"


def test_an_access_code_is_replaced_wherever_it_stands() -> None:
    assert Redactor([Secret("01234567"), Secret("abcdefgh")]).clean("x01234567y zabcdefgh") == f"x{MARK}y z{MARK}"


def test_overlapping_secrets_leave_nothing_of_either() -> None:
    assert Redactor([Secret("abcdefgh"), Secret("efghijkl")]).clean("xabcdefghijklx") == f"x{MARK}x"
    assert Redactor([Secret("aaaaaaaa")]).clean("a" * 12) == MARK
    assert Redactor([Secret("abcdefgh"), Secret("abcdefghij")]).clean("abcdefghij abcdefgh") == f"{MARK} {MARK}"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("get https://x.org/a.3mf?sig=1&exp=2 failed", "get https://x.org/a.3mf?[redacted] failed"),
        ("URL('http://x/a?sig=1')", "URL('http://x/a?[redacted]')"),
        ("HTTPS://x/?a, https://y/?b", "HTTPS://x/?[redacted] https://y/?[redacted]"),
        ("https://user:pass@x/a", "https://[redacted]@x/a"),
        ("what? https://x/a is fine", "what? https://x/a is fine"),
        ("ftp://name.3mf?", "ftp://name.3mf?"),
    ],
)
def test_urls_lose_what_signs_or_opens_them(text: str, cleaned: str) -> None:
    assert Redactor().clean(text) == cleaned


class Unprintable:
    """What some libraries' objects are like."""

    def __str__(self) -> str:
        raise RuntimeError(CODE)

    __repr__ = __str__


@pytest.mark.parametrize("args", [(Unprintable(),), ("one", "two"), ()])
@pytest.mark.parametrize("layout", ["text", "json"])
def test_a_record_that_cannot_be_formatted_says_so_without_its_arguments(
    layout: str, args: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log("info", layout, CODE)
    log.logger.info(f"%d {CODE}", *(args or (CODE,)))  # noqa: G004 - a mistake is what is needed here
    assert "could not be written" in log.text
    assert CODE not in log.text + capsys.readouterr().err


def test_a_log_that_nobody_reads_any_more_does_not_stop_the_work() -> None:
    log = Log()
    log.stream.close()
    log.logger.info("into the void")


# What cannot be told from the mark itself is left out: a secret "redacted" stands in every "[redacted]".
secrets = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="[]"), min_size=8, max_size=12).filter(
        lambda text: not any(text in word for word in ("[secret]", "[redacted]"))
    ),
    min_size=1,
    max_size=3,
)
pieces = st.one_of(
    st.integers(0, 2),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(["https://x/?", "%s", "\n"]),
)


@given(
    secrets=secrets, message=st.lists(pieces, max_size=6), argument=st.lists(pieces, max_size=4), trouble=st.booleans()
)
@pytest.mark.parametrize("layout", ["text", "json"])
def test_no_registered_secret_is_ever_in_the_output(
    layout: str, secrets: list[str], message: list[int | str], argument: list[int | str], trouble: bool
) -> None:
    def text(parts: list[int | str]) -> str:
        return "".join(secrets[part % len(secrets)] if isinstance(part, int) else part for part in parts)

    log = Log("debug", layout, *secrets)
    try:
        raise ValueError(text(argument))
    except ValueError as exc:
        printer_logger(text(argument), SERIAL).info(text(message), text(argument), exc_info=exc if trouble else None)
    output = list(log.parsed().values()) if layout == "json" else [log.text]
    for secret in secrets:
        assert not any(secret in each for each in output)
