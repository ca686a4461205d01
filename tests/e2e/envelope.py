"""What every message must look like, whatever it says (contract, section 5)."""

import re

from tests.e2e.cloud import Message

CODES = frozenset(
    """
    invalid_message unknown_command invalid_parameters unknown_printer printer_offline not_ready printer_busy
    wrong_state not_homed too_cold out_of_range not_supported developer_mode_required access_denied identity_mismatch
    download_failed file_invalid filament_mismatch storage_missing storage_full upload_failed start_failed
    start_unknown cancelled printer_error timeout camera_unavailable expired internal
    """.split()
)
# What is told without having been asked: a message that names no command, a print that failed, a printer that needs
# a person.
_UNASKED = ("invalid_message", "printer_error", "access_denied", "identity_mismatch")
_TYPES = ("pairing", "status", "event", "success", "error", "response")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def flaws(message: Message) -> list[str]:
    """Return what is wrong with a message; what is not JSON is none of ours to judge."""
    if not message.fields:
        return []
    body, data = message.fields, message.data
    unasked = message.kind == "status" and "command" not in body
    checks = {
        "the type is that of the topic": body.get("type") == message.kind in _TYPES,
        "client_type": body.get("client_type") == "bambu",
        "printer_id is that of the topic": message.topic == f"bambu/{body.get('printer_id')}/{message.kind}",
        "message_id is a UUID": bool(_UUID.fullmatch(str(body.get("message_id")))),
        "timestamp": bool(_TIME.fullmatch(str(body.get("timestamp")))),
        "data is an object": isinstance(body.get("data"), dict),
        "QoS and retain": (message.qos, message.retain) == ((0, True) if unasked else (1, False)),
        "a command_id only in an answer": "command_id" not in body or "command" in body,
        "an answer names its command": message.kind not in ("success", "error", "response")
        or "command" in body
        or (message.kind == "error" and data.get("code") in _UNASKED),
        "only an answer carries the report": not unasked or "report" not in data,
    }
    if message.kind == "success":
        checks |= {
            "success is true": data.get("success") is True,
            "local_command": bool(data.get("local_command")),
            "a sentence": str(data.get("local_command_detail")).endswith("."),
            "acknowledged": isinstance(data.get("acknowledged"), bool),
        }
    if message.kind == "error":
        checks |= {
            "success is false": data.get("success") is False,
            "a code of the list": data.get("code") in CODES,
            "one sentence, twice": bool(data.get("error")) and data.get("error") == data.get("error_detail"),
        }
    return [f"{what}: {message}" for what, holds in checks.items() if not holds]
