"""An event as one line of the log."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_TOLD: Final = (
    *("from", "to", "code", "severity", "print_error", "active_slot", "error"),
    *("job_id", "command_id", "file", "percent", "late"),
)
_LONGEST: Final = 120
_ODD: Final = re.compile(r"[^\w.:/+-]")


def event_line(name: str, details: Mapping[str, Any]) -> str:
    """Return the name and, as `key=value`, what is known of the state, the code, the job and how far it is."""
    return " ".join((name, *_facts({**details, **details.get("job", {})})))


def _facts(details: Mapping[str, Any]) -> Iterator[str]:
    for key in _TOLD:
        value = details.get(key)
        if value is not None:
            text = str(value) if isinstance(value, str | int | float) else json.dumps(value)
            short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
            yield f"{key}={json.dumps(short, ensure_ascii=False) if _ODD.search(short) or not short else short}"
