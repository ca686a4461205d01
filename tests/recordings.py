"""The recordings in `fixtures/`: each as a test needs it. `python -m tests.recordings` writes their `status.json` anew.

That is for a change of the status that is meant; look at the difference before you believe it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from bambu_connector.translate.replay import recorded_status, report_in

FIXTURES: Final = Path(__file__).parents[1] / "fixtures"
Tree = dict[str, Any]


@dataclass(frozen=True)
class Recording:
    """One folder. `deltas` are messages with the milliseconds since the first."""

    folder: Path
    about: Tree
    first: Tree
    deltas: list[tuple[int, Tree]]
    version: Tree
    status: Tree

    @property
    def serial(self) -> str:
        """The pseudonym of the printer's serial."""
        found: str = self.status["machines"][0]["connection_info"]["dev_id"]
        return found

    def status_now(self) -> Tree:
        """Return what this version of the connector makes of the report."""
        report = report_in(self.first)
        assert report is not None
        about = self.about
        return recorded_status(report, serial=self.serial, model=about["model"], firmware=about["firmware"])


def load(folder: Path) -> Recording:
    """Read one folder."""
    lines = [orjson.loads(line) for line in (folder / "deltas.jsonl").read_bytes().splitlines()]
    return Recording(
        folder,
        yaml.safe_load((folder / "about.yaml").read_text(encoding="utf-8")),
        orjson.loads((folder / "report.json").read_bytes()),
        [(line["ms"], line["message"]) for line in lines],
        orjson.loads((folder / "version.json").read_bytes()),
        orjson.loads((folder / "status.json").read_bytes()),
    )


def folders() -> list[Path]:
    """Return all folders of recordings."""
    return sorted(path for path in FIXTURES.iterdir() if path.is_dir())


def main() -> None:
    for folder in folders():
        status = orjson.dumps(load(folder).status_now(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        (folder / "status.json").write_bytes(status)


if __name__ == "__main__":
    main()
