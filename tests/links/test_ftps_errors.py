import ftplib

import pytest

from bambu_connector.errors import AccessDenied, ConnectorError, StorageFull, StorageMissing, Unreachable, UploadFailed
from bambu_connector.links.ftps_errors import code_of, original, session_error, upload_error
from bambu_connector.links.ftps_session import NonsenseError


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (ftplib.error_perm("553 no card"), StorageMissing),
        (ftplib.error_perm("552 full"), StorageFull),
        (ftplib.error_temp("452 full"), StorageFull),
        (ftplib.error_perm("530 log in first"), AccessDenied),
        (ftplib.error_temp("426 broke"), UploadFailed),
        (ftplib.error_proto("gibberish"), UploadFailed),
        (TimeoutError("timed out"), UploadFailed),
        (BrokenPipeError(32, "Broken pipe"), UploadFailed),
        (EOFError(), UploadFailed),
    ],
)
def test_a_failed_upload_is_told_by_its_cause_and_how_far_it_was(
    failure: Exception, kind: type[ConnectorError]
) -> None:
    error = upload_error(failure, "a.3mf", 7, 10)
    assert type(error) is kind
    assert "a.3mf, after 7 of 10 bytes" in str(error)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (ftplib.error_perm("553 no card"), StorageMissing),
        (ftplib.error_temp("421 too many"), Unreachable),
        (TimeoutError(), Unreachable),
        (EOFError(), Unreachable),
    ],
)
def test_any_other_failure_names_the_printer(failure: Exception, kind: type[ConnectorError]) -> None:
    error = session_error("192.168.1.50", failure)
    assert type(error) is kind
    assert "192.168.1.50" in str(error)


def test_what_ftputil_wrapped_is_found() -> None:
    inner = ftplib.error_perm("553 no card")
    outer = OSError("553 no card\nDebugging info: ftputil 5")
    outer.__cause__ = inner
    assert original(outer) is inner
    assert original(inner) is inner
    assert code_of(inner) == 553
    assert code_of(ftplib.error_reply("what?")) == 0


def test_a_code_of_odd_digits_is_none() -> None:
    assert code_of(ftplib.error_perm("²³¹ what?")) == 0
    assert code_of(ftplib.error_perm("٥٥٠ what?")) == 0


def test_a_reply_stands_in_a_sentence_short_and_without_control_characters() -> None:
    refusal = ftplib.error_perm("550 a\r\n\0\x1b[2J" + "b" * 100_000)
    for error in (session_error("192.168.1.50", refusal), upload_error(refusal, "a.3mf", 7, 10)):
        assert str(error).isprintable()
        assert len(str(error)) < 400


def test_nonsense_is_told_as_such() -> None:
    assert "what no file service says: HTTP/1.1 400" in str(session_error("h", NonsenseError("HTTP/1.1 400")))
