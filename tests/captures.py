"""Reports of real printers that lie beside the project on some machines and are not part of it.

They are the only input here that nobody of us has written. `captured()` is the one way to them: a test that asks for
them is skipped, by name, where they are not there.
"""

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "shared" / "captures"


def captured() -> dict[str, dict[str, Any]]:
    """Return the full report of each printer by the file's name; skips the test that asks where there are none."""
    found = read()
    if not found:
        pytest.skip(f"no captures of real printers in {FOLDER}")
    return found


def read() -> dict[str, dict[str, Any]]:
    """Return the full reports, empty where there are none."""
    return {path.stem: _report(json.loads(path.read_bytes())) for path in sorted(FOLDER.glob("*.json"))}


def _report(whole: dict[str, Any]) -> dict[str, Any]:
    said = whole.get("pushall") or whole["push_all"]
    report: dict[str, Any] = said.get("print", said)
    return report
