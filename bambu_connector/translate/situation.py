"""What the guards look at: one printer at one moment, as plain data."""

from dataclasses import dataclass

from bambu_connector.bambu.models import Traits
from bambu_connector.bambu.view import View
from bambu_connector.errors import LinkError


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """One printer now. Ages in seconds."""

    traits: Traits
    connected: bool
    view: View | None
    """The newest folded report; None until a full one has arrived since the connect."""
    developer_mode: bool | None = None
    """Whether unsigned commands are obeyed; None: not known."""
    link_error: LinkError | None = None
    """Why there is no session."""
    report_age: float | None = None
    """Since anything was reported; None: nothing was."""
    saw_home: bool = False
    """A whole homing was seen since the connect."""
    job_under_way: bool = False
    """A job of ours has not ended."""
    start_out: bool = False
    """A start of ours is published and its outcome is not known."""
    start_unexplained: bool = False
    """A start of ours ended unknown less than 300 s ago, and nothing has explained it since."""
