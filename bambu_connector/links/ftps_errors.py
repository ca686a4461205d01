"""What the replies and failures of FTPS mean."""

import ftplib
from typing import Final

from bambu_connector.errors import (
    AccessDenied,
    ConnectorError,
    NotSupported,
    StorageFull,
    StorageMissing,
    Unreachable,
    UploadFailed,
)
from bambu_connector.links.ftps_session import STALL_TIMEOUT_S, FtpsSession, TooManyFilesError

FAULTS: Final = (OSError, EOFError, ftplib.Error, TooManyFilesError)  # ftputil's own errors are OSErrors, too

_SHOWN: Final = 200  # characters of a reply

_REFUSALS: Final[dict[int, type[ConnectorError]]] = {
    452: StorageFull,
    530: AccessDenied,
    552: StorageFull,
    553: StorageMissing,
}


def session_error(host: str, exc: BaseException) -> ConnectorError:
    """Return what a failure outside of an upload means."""
    match exc:
        case TooManyFilesError():
            return NotSupported(f"The folder on the printer's storage holds {exc}: so many are not listed.")
        case TimeoutError():
            return Unreachable(f"the file service of {host} has stopped answering")
        case ftplib.error_proto():
            return Unreachable(f"the file service of {host} answers what no file service says: {words_of(exc)}")
        case ftplib.Error():
            return _REFUSALS.get(code_of(exc), Unreachable)(f"the file service of {host} refuses: {words_of(exc)}")
        case _:
            return Unreachable(f"the connection to the file service of {host} broke: {_reason(exc)}")


def explained(exc: BaseException, session: FtpsSession) -> BaseException:
    """Return the server's reply where it explains why a data connection broke."""
    if isinstance(exc, TimeoutError | ftplib.Error):
        return exc
    return session.last_words() or exc


def upload_error(exc: BaseException, name: str, done: int, size: int) -> ConnectorError:
    """Return what a failure while `name` was stored means, as a sentence that tells how far it was."""
    where = f"{name}, after {done} of {size} bytes"
    if isinstance(exc, TimeoutError):
        return UploadFailed(f"{where}: the printer took nothing for {STALL_TIMEOUT_S:g} s")
    if not isinstance(exc, ftplib.Error):
        return UploadFailed(f"{where}: the connection broke: {_reason(exc)}")
    match code_of(exc):
        case 553:
            return StorageMissing(
                f"{where}: the printer has nothing to write to ({words_of(exc)}): is there a card or stick?"
            )
        case 552 | 452:
            return StorageFull(f"{where}: the printer's storage is full ({words_of(exc)})")
        case 425 | 426 | 522:
            return UploadFailed(
                f"{where}: the data connection failed ({words_of(exc)}); quirk ftps_protection: C may help"
            )
        case code:
            return _REFUSALS.get(code, UploadFailed)(f"{where}: the printer refuses it: {words_of(exc)}")


def original(exc: BaseException) -> BaseException:
    """Return what ftputil wrapped."""
    while isinstance(exc, OSError) and isinstance(exc.__cause__, FAULTS):
        exc = exc.__cause__
    return exc


def code_of(exc: ftplib.Error) -> int:
    """Return the three digits of the reply; 0 when it has none."""
    digits = str(exc)[:3]
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def words_of(exc: BaseException) -> str:
    """Return what the server said, so much and in such a way that it can stand in a sentence."""
    text = "".join(each if each.isprintable() else " " for each in str(exc)[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _reason(exc: BaseException) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or words_of(exc) or "it hung up"
