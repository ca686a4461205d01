"""Every exception that the connector raises, as one tree.

    ConnectorError
    ├── ConfigError                      the configuration cannot be used (exit 3)
    ├── UsageError                       the command line asks for something impossible (exit 2)
    ├── CommandError                     a command was refused or failed; `code` goes on the wire
    │   ├── InvalidMessage, UnknownCommand, InvalidParameters, UnknownPrinter
    │   ├── NotReady, PrinterBusy, WrongState, NotHomed, TooCold, OutOfRange, NotSupported
    │   ├── DeveloperModeRequired, Expired, Cancelled
    │   ├── DownloadFailed, FileInvalid, FilamentMismatch
    │   ├── StorageMissing, StorageFull, UploadFailed
    │   ├── StartFailed, StartUnknown, PrinterError, TimedOut
    │   └── PrinterOffline, CameraUnavailable, Internal
    └── LinkError                        a wire failed; `retryable` says whether trying again can help
        ├── Unreachable                  nobody answers at the address, or the connection broke
        │   └── HungUp                   somebody answers, and hangs up on the login
        ├── NotAPrinter                  somebody answers, and it is not what we look for
        ├── Mute                         connected, and not a word: most likely a wrong serial
        ├── TooManyClients               the printer has no slot left for us
        ├── MessageRefused               the broker does not take one message, and never will
        ├── ProtocolRefused              the broker does not speak this version of MQTT
        ├── AccessDenied                 the access code or password was refused
        └── IdentityMismatch             the certificate is not the one we trust
            └── AnotherDevice            it is for somebody else: the address is another device's

The class is the policy: `code` is what Printago reads and never changes its meaning,
`retryable` is what the reconnecting loops obey, `exit_code` is what the command line ends with.
"""

from typing import ClassVar


class ConnectorError(Exception):
    """Base of all; its text is one sentence for a person, without a secret. `stage`: how far the failed job was."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1
    stage: str | None = None


class ConfigError(ConnectorError):
    """The configuration cannot be used. `problems` holds every mistake, one sentence each."""

    exit_code = 3

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class UsageError(ConnectorError):
    """The command line asks for something that cannot be."""

    exit_code = 2


# -- commands --------------------------------------------------------------------------------------


class CommandError(ConnectorError):
    """A command was refused or failed."""

    def __init__(self, sentence: str, *, stage: str | None = None) -> None:
        super().__init__(sentence)
        self.stage = stage


class InvalidMessage(CommandError):
    """The message is not a command at all."""

    code = "invalid_message"
    exit_code = 2


class UnknownCommand(CommandError):
    """There is no such type and action."""

    code = "unknown_command"
    exit_code = 2


class InvalidParameters(CommandError):
    """A parameter is missing or has a value that cannot be."""

    code = "invalid_parameters"
    exit_code = 2


class UnknownPrinter(CommandError):
    """No printer here has that name."""

    code = "unknown_printer"
    exit_code = 2


class NotReady(CommandError):
    """The printer is connected and has not told its state yet."""

    code = "not_ready"


class PrinterBusy(CommandError):
    """Something is under way that this command would disturb."""

    code = "printer_busy"


class WrongState(CommandError):
    """There is nothing to do this to: no print to pause, nothing to stop."""

    code = "wrong_state"


class NotHomed(CommandError):
    """The printer does not know where an axis is."""

    code = "not_homed"


class TooCold(CommandError):
    """The nozzle is too cold to move filament."""

    code = "too_cold"


class OutOfRange(CommandError):
    """A value is beyond what this model allows."""

    code = "out_of_range"


class NotSupported(CommandError):
    """This printer, or this version, cannot do that."""

    code = "not_supported"
    exit_code = 1


class DeveloperModeRequired(CommandError):
    """The printer obeys only signed commands as long as Developer Mode is off."""

    code = "developer_mode_required"


class Expired(CommandError):
    """The command came, or its turn came, too late."""

    code = "expired"


class Cancelled(CommandError):
    """The job was stopped before it was done."""

    code = "cancelled"


class DownloadFailed(CommandError):
    """The file could not be fetched."""

    code = "download_failed"


class FileInvalid(CommandError):
    """The file was fetched and is not what it should be."""

    code = "file_invalid"


class FilamentMismatch(CommandError):
    """The filaments of the file and those in the printer do not fit together."""

    code = "filament_mismatch"


class StorageMissing(CommandError):
    """The printer has no card or stick to put the file on."""

    code = "storage_missing"


class StorageFull(CommandError):
    """The printer's card or stick is full."""

    code = "storage_full"


class UploadFailed(CommandError):
    """The file did not arrive at the printer whole."""

    code = "upload_failed"


class StartFailed(CommandError):
    """The printer refused to start the print."""

    code = "start_failed"


class StartUnknown(CommandError):
    """The start was sent and nobody knows what became of it."""

    code = "start_unknown"


class PrinterError(CommandError):
    """The printer answered that it failed."""

    code = "printer_error"


class TimedOut(CommandError):
    """The command was sent, and no evidence that it was done came in time."""

    code = "timeout"
    exit_code = 4


class PrinterOffline(CommandError):
    """There is no session with the printer."""

    code = "printer_offline"
    exit_code = 4


class CameraUnavailable(CommandError):
    """No picture can be had."""

    code = "camera_unavailable"


class Internal(CommandError):
    """The fault is ours."""

    code = "internal"


# -- wires -----------------------------------------------------------------------------------------


class LinkError(ConnectorError):
    """A wire failed; trying again may help."""

    code = "printer_offline"
    retryable = True
    exit_code = 4


class Unreachable(LinkError):
    """Nobody answers there, or the connection broke."""


class HungUp(Unreachable):
    """Somebody answers, and hangs up on the login without a word."""


class NotAPrinter(LinkError):
    """Somebody answers there, and it is not a printer (or broker) as we know it."""

    exit_code = 6


class Mute(LinkError):
    """The session is up and nothing is ever said on it."""


class TooManyClients(LinkError):
    """The printer refuses because all of its client slots are taken."""


class MessageRefused(LinkError):
    """The broker does not take this message: it may not be published there, or is too large."""

    retryable = False


class ProtocolRefused(LinkError):
    """The broker does not speak the version of MQTT that was asked for."""


class AccessDenied(LinkError):
    """The access code or password was refused: a person must act, hammering does not help."""

    code = "access_denied"
    retryable = False
    exit_code = 5


class IdentityMismatch(LinkError):
    """The certificate is not the printer's, or not the one that was trusted before."""

    code = "identity_mismatch"
    retryable = False
    exit_code = 6


class AnotherDevice(IdentityMismatch):
    """The certificate names somebody else: another device has this address now."""
