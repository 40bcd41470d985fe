"""Times as people write them: a date, a date and time, or how long ago. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

from schemas.errors import BadConfig

UNITS: Final = MappingProxyType({"m": "minutes", "h": "hours", "d": "days", "w": "weeks"})
_AGO: Final = re.compile(r"(\d{1,5})([mhdw])")


def parse_time(text: str, option: str, now: float) -> float:
    """An ISO 8601 date or time, in UTC where it does not say; or `90m`, `12h`, `7d`, `2w` before `now`.

    Both `now` and what is returned are seconds since 1970.

    Raises:
        BadConfig: it is none; `option` is how it was given.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return now - timedelta(**{UNITS[ago[2]]: int(ago[1])}).total_seconds()
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        said = f"--{option} {text!r} is not a time; write 2026-03-01, 2026-03-01T12:00:00Z, or 7d for seven days ago"
        raise BadConfig(said, field=option) from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
