"""What a node's receipts add up to, kept by who asks: whole days are read, and only those that changed since.

Sums are of all receipts, to the micro; of single ones the last are kept. A day that changes all the time, as a busy
hub's does, is read again after `REST_TIMES` as long as reading it took.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nlargest
from pathlib import Path
from typing import Final

from nodes import receipts
from nodes.lessor.receipts import days
from nodes.store.errors import RecordUnreadable
from nodes.store.port import Stamp, Store
from nodes.views.accounts import Fault, Line, line_of, verified_file
from schemas.contracts import Settlement
from schemas.errors import VerificationFailed

LINES_MAX: Final = 2_000
"""Single receipts kept of a day, and in all."""
FAULTS_MAX: Final = 100
FILES_MAX: Final = 100
"""Receipts of a lessor that are verified at a time."""
REST_TIMES: Final = 20
Stopwatch = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Total:
    """Of receipts; `ended_at` is the last one's, seconds since 1970."""

    contracts: int = 0
    rows: int = 0
    batches: int = 0
    unit_seconds: float = 0.0
    cost_micros: int = 0
    ended_at: float = 0.0

    def __add__(self, other: Total) -> Total:
        return Total(
            self.contracts + other.contracts,
            self.rows + other.rows,
            self.batches + other.batches,
            self.unit_seconds + other.unit_seconds,
            self.cost_micros + other.cost_micros,
            max(self.ended_at, other.ended_at),
        )


Pair = tuple[str, str]
"""A renter and a lessor."""


@dataclass(slots=True)
class _Day:
    totals: dict[Pair, Total] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    stamp: Stamp | None = None
    rests_until: float = 0.0
    files: dict[str, int] = field(default_factory=dict)
    """Of a lessor: when each file that was read was written (nanoseconds)."""
    faults: dict[str, Fault] = field(default_factory=dict)

    def add(self, line: Line) -> None:
        pair = line.renter, line.lessor
        seconds = line.units * (line.ended_at - line.started_at)
        one = Total(1, line.rows, line.batches, seconds, line.cost_micros, line.ended_at)
        self.totals[pair] = self.totals.get(pair, Total()) + one
        self.lines.append(line)
        if len(self.lines) >= 2 * LINES_MAX:
            self.lines = _newest(self.lines)


class Balance:
    """Of one node; see `refresh` and `refresh_files`. `stopwatch` gives seconds from anywhere."""

    def __init__(self, stopwatch: Stopwatch) -> None:
        self._stopwatch = stopwatch
        self._days: dict[str, _Day] = {}
        self.unread = 0
        """Days (of lessors, files) that were not read yet."""

    def totals(self, *, renter: str | None = None, lessor: str | None = None) -> Mapping[Pair, Total]:
        """By renter and lessor, dearest first: of all, or of these."""
        by: dict[Pair, Total] = {}
        for day in self._days.values():
            for pair, total in day.totals.items():
                if renter in (None, pair[0]) and lessor in (None, pair[1]):
                    by[pair] = by.get(pair, Total()) + total
        return dict(sorted(by.items(), key=lambda each: (-each[1].cost_micros, each[0])))

    def newest(self, count: int, *, lessor: str | None = None) -> list[Line]:
        """The last receipts, newest first, as far as they are kept."""
        lines = (line for day in self._days.values() for line in day.lines if lessor in (None, line.lessor))
        return nlargest(count, lines, key=_ended)

    @property
    def faults(self) -> list[Fault]:
        """Files that are no receipts any more; they count for nothing."""
        return [fault for day in self._days.values() for fault in day.faults.values()]

    # ------------------------------------------------------------ hubs and renters: from the store

    async def refresh(self, store: Store) -> bool:
        """Read one day that changed, the newest first; whether none is left to read now. Raises as the store does."""
        stamps = await store.stamps(receipts.PREFIX)
        for gone in self._days.keys() - stamps.keys():
            del self._days[gone]
        now = self._stopwatch()
        known = {name: self._days.get(name) for name in stamps}
        changed = [name for name, day in known.items() if day is None or day.stamp != stamps[name]]
        ready = sorted(name for name in changed if (day := known[name]) is None or day.rests_until <= now)
        if ready:
            await self._read(store, ready[-1], stamps[ready[-1]])
            self._trim()
        self.unread = sum(name not in self._days for name in stamps)
        return len(ready) <= 1

    async def _read(self, store: Store, name: str, stamp: Stamp) -> None:
        began = self._stopwatch()
        found = (await store.select([name], [receipts.RECORD])).get(name, {})
        day = _Day(stamp=stamp)
        for each in () if isinstance(found, RecordUnreadable) else found.values():
            if isinstance(each, Settlement):
                day.add(line_of(each))
        now = self._stopwatch()
        day.rests_until = now + REST_TIMES * (now - began)
        self._days[name] = day

    # ------------------------------------------------------------ lessors: from their files

    def refresh_files(self, folder: Path, hub_keys: Mapping[str, bytes]) -> bool:
        """Verify at most `FILES_MAX` files that are new; whether those were all. Blocking."""
        found = {day.name: {each.name: each for each in day.glob("*.json")} for day in days(folder)}
        for gone in self._days.keys() - found.keys():
            del self._days[gone]
        wanted = [path for name in sorted(found, reverse=True) for path in self._new(name, found[name])]
        for path in wanted[:FILES_MAX]:
            self._take(self._days[path.parent.name], path, hub_keys)
        self._trim()
        self.unread = max(0, len(wanted) - FILES_MAX)
        return not self.unread

    def _new(self, name: str, files: Mapping[str, Path]) -> Iterable[Path]:
        """What is to be read of a day: nothing twice, but all of it again where a file that counts was changed."""
        written = {each: _written(path) for each, path in files.items()}
        day = self._days.setdefault(name, _Day())
        if any(written.get(each) != at for each, at in day.files.items()):
            day = self._days[name] = _Day()
        return [path for each, path in files.items() if each not in day.files]

    @staticmethod
    def _take(day: _Day, path: Path, hub_keys: Mapping[str, bytes]) -> None:
        day.files[path.name] = _written(path)
        try:
            day.add(line_of(verified_file(path, hub_keys)))
        except VerificationFailed as error:
            if len(day.faults) < FAULTS_MAX:
                day.faults[path.name] = Fault(file=path, code=error.code, reason=str(error))

    def _trim(self) -> None:
        """Forget single receipts that are older than the last `LINES_MAX`."""
        if sum(len(day.lines) for day in self._days.values()) <= 2 * LINES_MAX:
            return
        oldest = self.newest(LINES_MAX)[-1].ended_at
        for day in self._days.values():
            day.lines = [line for line in day.lines if line.ended_at >= oldest][-LINES_MAX:]


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _newest(lines: Iterable[Line]) -> list[Line]:
    return nlargest(LINES_MAX, lines, key=_ended)[::-1]


def _ended(line: Line) -> tuple[float, str]:
    return line.ended_at, line.contract
