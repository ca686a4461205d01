"""A printer's `LIST` output, which looks like `ls -l`, read into files."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from bambu_connector.links.file_names import is_one_name
from bambu_connector.links.wire import StoredFile

_LINE: Final = re.compile(
    r"-\S+ +\d+ +\S+ +\S+ +(?P<size>[0-9]{1,15}) +(?P<month>\S+) +(?P<day>\S+) +(?P<when>\S+) (?P<name>.+)"
)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK_SLACK: Final = timedelta(days=1)  # a time of day means the last year, but clocks and time zones differ


def parse_listing(text: str, now: datetime) -> tuple[StoredFile, ...]:
    """Return the regular files in a listing.

    Lines that are none, that nobody can read, or whose name leads to somewhere else are left out.
    """
    matches = (_LINE.fullmatch(line.rstrip("\r")) for line in text.split("\n"))
    return tuple(
        StoredFile(match["name"], int(match["size"]), _modified(match["month"], match["day"], match["when"], now))
        for match in matches
        if match is not None and is_one_name(match["name"])
    )


def _modified(month: str, day: str, when: str, now: datetime) -> datetime | None:
    try:
        number = _MONTHS.index(month.lower()) + 1
        if ":" not in when:
            return datetime(int(when), number, int(day), tzinfo=UTC)
        hour, minute = when.split(":")
        for year in (now.year, now.year - 1):
            moment = datetime(year, number, int(day), int(hour), int(minute), tzinfo=UTC)
            if moment <= now + _CLOCK_SLACK:
                return moment
    except (ValueError, OverflowError):
        pass
    return None
