"""The fixtures of virtual printers, recorded anew: `python -m tests.virtual_fixtures` (a minute).

Through the real command line, from virtual printers on their real wires, while a short print runs from its start to its
end. What such a fixture says is what we believe of a printer, and no more: its folder is called `virtual-…`, and its
`about.yaml` says so.
"""

import shutil
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.e2e.bench import Printer, Service, Workshop
from tests.fixtures_table import FIXTURES, write_readme
from tests.recordings import load

# Those that report everything each time are recorded for a shorter while, for they say much more.
SECONDS: Final[Mapping[str, int]] = MappingProxyType({"P1S": 12, "X1C": 3, "A1 mini": 12, "H2D": 12})
_NOTE: Final = "A short print, started at the screen."
_STARTS_AFTER_S: Final = 2.5  # when the command has connected, and has the full report


def record(workshop: Workshop, folder: Path, model: str, seconds: int) -> Path:
    """Record a short print of a virtual printer below `folder`; return the fixture."""
    printer = Printer(
        workshop, model, id="Left", speed=300.0, print_seconds=900.0, layers=3, announces=True, announce_every=0.5
    )
    service = Service(folder / "service", {"connector": {"id": "desk"}, "printers": [printer.entry()]})
    target = folder / "recording"
    begin = threading.Timer(_STARTS_AFTER_S, printer.start_at_screen, ("A bracket of somebody",))
    begin.start()
    try:
        done = service.cli("record", "Left", "-o", str(target), "--seconds", str(seconds), "--note", _NOTE)
        assert done.returncode == 0, done.stderr
    finally:
        begin.cancel()
        printer.close()
    return target


def main() -> None:
    """Replace the fixtures of all virtual printers."""
    for old in FIXTURES.glob("virtual-*"):
        shutil.rmtree(old)
    with tempfile.TemporaryDirectory() as path, Workshop(Path(path)) as workshop:
        for number, (model, seconds) in enumerate(SECONDS.items()):
            place = Path(path) / str(number)
            place.mkdir()
            made = record(workshop, place, model, seconds)
            firmware = load(made).about["firmware"]
            name = f"virtual-{model.lower().replace(' ', '-')}-{firmware}"
            shutil.copytree(made, FIXTURES / name)
            print(name, len((made / "deltas.jsonl").read_bytes()), "bytes of deltas")
    write_readme()


if __name__ == "__main__":
    main()
