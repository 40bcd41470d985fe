"""Numbers and times for people. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from htpy import Element, time

KIB: Final = 1024.0
UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def clock(seconds: float) -> Element | str:
    """A moment (seconds since 1970) as a time of the day, UTC; with its date where that helps."""
    if not seconds:
        return "–"
    at = datetime.fromtimestamp(seconds, UTC)
    return time(datetime=at.isoformat(timespec="milliseconds"), title=f"{at:%Y-%m-%d %H:%M:%S} UTC")[f"{at:%H:%M:%S}"]


def day(seconds: float) -> Element | str:
    """A moment with its date, UTC."""
    if not seconds:
        return "–"
    at = datetime.fromtimestamp(seconds, UTC)
    return time(datetime=at.isoformat(timespec="seconds"))[f"{at:%Y-%m-%d %H:%M:%S}"]


def span(seconds: float) -> str:
    """A length of time: 0.42 s, 12.3 s, 4 min 10 s, 2 h 3 min."""
    if seconds < 60:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(count: float) -> str:
    """Bytes: 512 B, 1.5 MiB."""
    for unit in UNITS:
        if count < KIB or unit == UNITS[-1]:
            break
        count /= KIB
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"


def number(count: int, one: str, many: str = "") -> str:
    """A count with its noun: 1 batch, 3 batches."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
