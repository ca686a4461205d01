"""A virtual printer without wires: its clock is turned by hand, its storage is a dictionary."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from bambu_connector.virtual.faults import Faults
from bambu_connector.virtual.models import find_model
from bambu_connector.virtual.printer import Machine
from bambu_connector.virtual.report import Fields

NAME = "bracket.gcode.3mf"


class Shelf:
    """Files in memory."""

    def __init__(self, **files: bytes) -> None:
        self.files = dict(files)

    def open(self, path: str) -> BinaryIO | None:
        return io.BytesIO(self.files[path]) if path in self.files else None


def sliced(*, target: str = "C12", layers: int | None = 4, seconds: int | None = 120, plate: int = 1) -> bytes:
    """Return a sliced 3MF."""
    info = f'<metadata key="index" value="{plate}"/><metadata key="printer_model_id" value="{target}"/>'
    if seconds is not None:
        info += f'<metadata key="prediction" value="{seconds}"/>'
    head = "" if layers is None else f"; total layer number: {layers}\n"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"Metadata/plate_{plate}.gcode", f"{head}G28\n")
        archive.writestr("Metadata/slice_info.config", f"<config><plate>{info}</plate></config>")
    return file.getvalue()


def project_file(content: bytes, **changes: Any) -> Fields:
    """Return a `project_file` as it should be, with some fields changed; None leaves a field out."""
    fields = {
        "sequence_id": "20001", "command": "project_file", "param": "Metadata/plate_1.gcode",
        "project_id": "4711", "profile_id": "0", "task_id": "4711", "subtask_id": "4711", "subtask_name": "bracket",
        "file": NAME, "url": f"ftp://{NAME}", "md5": hashlib.md5(content).hexdigest().upper(), "bed_type": "auto",
        "bed_leveling": True, "use_ams": True, "ams_mapping": [0], "ams_mapping2": [{"ams_id": 0, "slot_id": 0}],
        **changes,
    }  # fmt: skip
    return {key: value for key, value in fields.items() if value is not None}


class Bench:
    """One machine and its clock. `said` is everything it has published since the last look."""

    def __init__(self, model: str = "P1S", *, faults: Iterable[str] = (), speed: float = 1.0) -> None:
        row = find_model(model)
        self.content = sliced(target=row.code)
        self.shelf = Shelf(**{NAME: self.content})
        self.faults = Faults(faults)
        self.now = 1000.0
        self.machine = Machine(row, "01P00A000000001", self.shelf, self.faults, now=self.now, speed=speed)
        self.said: list[Fields] = []

    def send(self, group: str, command: str, **fields: Any) -> Fields | None:
        """Send one request; return its reply."""
        return self.request({group: {"sequence_id": "20009", "command": command, **fields}})

    def request(self, message: Fields) -> Fields | None:
        """Send one message; return its reply."""
        said = self.machine.handle(message, self.now)
        self.said += said
        ((group, body),) = message.items()
        replies = [each[group] for each in said if group in each and each[group].get("command") != "push_status"]
        assert all(reply["sequence_id"] == body["sequence_id"] for reply in replies)
        return replies[0] if replies else None

    def start(self, **changes: Any) -> Fields | None:
        """Send `project_file`; return its reply."""
        return self.request({"print": project_file(self.content, **changes)})

    def pass_time(self, seconds: float, tick: float = 0.5) -> None:
        """Let time pass in ticks."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + tick, end)
            self.said += self.machine.tick(self.now)

    def until(self, condition: Callable[[], bool], within: float = 3600.0) -> None:
        """Let time pass until something is so."""
        end = self.now + within
        while not condition():
            assert self.now < end, "it never came to that"
            self.pass_time(0.5)

    def until_state(self, state: str) -> None:
        """Let time pass until `gcode_state` is this."""
        self.until(lambda: self.field("gcode_state") == state)

    def field(self, *path: str) -> Any:
        """Return a field as it would be reported now."""
        return self.machine.report.get(*path)

    def take_said(self) -> list[Fields]:
        """Return what was said, and forget it."""
        said, self.said = self.said, []
        return said

    def statuses(self) -> list[Fields]:
        """Return the `push_status` of what was said."""
        return [
            each["print"] for each in self.said if "print" in each and each["print"].get("command") == "push_status"
        ]

    def seen(self, key: str) -> list[Any]:
        """Return the values that a field went through in what was said, without repetitions."""
        values = [status[key] for status in self.statuses() if key in status]
        return [value for place, value in enumerate(values) if not place or values[place - 1] != value]
