"""A renter's jobs in a line each, and what each rented: kept by who asks, who reads only what changed since."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from nodes.renter.protocol.records import JOB_PREFIX, ContractRecord, Job, Ledger, Progress, Subtask
from nodes.store.errors import RecordUnreadable
from nodes.store.port import Stamp, Store
from nodes.views.report import UNREADABLE
from schemas.joint import Learned

KINDS: Final = ("job", "progress", "contract", "subtask", "ledger")
READ_MAX: Final = 250
"""Jobs read at a time."""
LINES_MAX: Final = 20_000
"""Jobs kept; further ones are counted."""


@dataclass(frozen=True, slots=True)
class RentalLine:
    """What a job rented from one lessor under one contract."""

    lessor: str
    protection: str
    rows: int
    batches: int
    core_seconds: float
    cost_micros: int
    """As its receipt says; 0 before there is one."""
    state: str
    """Of the subtask."""
    heard_at: float


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job. Times are seconds since 1970 (UTC), 0 when not reached."""

    id: str
    phase: str
    protection: str = ""
    rows: int = 0
    rows_done: int = 0
    submitted_at: float = 0.0
    ended_at: float = 0.0
    code: str = ""
    partner: str = ""
    dataset: str = ""
    """Of the partner, as it calls it."""
    learned: tuple[Learned, ...] = ()
    """What each party of a joint job learned, a line per kind."""
    rentals: tuple[RentalLine, ...] = ()
    causes: tuple[tuple[str, str], ...] = ()
    """Code and text of what went wrong on the way."""


def _never() -> bool:
    return False


class JobLines:
    """The jobs of one store; see `refresh`."""

    def __init__(self) -> None:
        self._lines: dict[str, JobLine] = {}
        self._stamps: dict[str, Stamp] = {}
        self._sorted: list[JobLine] | None = None
        self.unread = 0
        """Jobs that were not read yet, or for which there is no room."""

    @property
    def newest_first(self) -> Sequence[JobLine]:
        """All that were read."""
        if self._sorted is None:
            self._sorted = sorted(self._lines.values(), key=lambda each: -each.submitted_at)
        return self._sorted

    async def refresh(self, store: Store, go_on: Callable[[], bool] = _never) -> bool:
        """Read what changed, `READ_MAX` jobs and more for as long as `go_on` says; whether that was all.

        What changed is asked once: with many jobs that takes as long as reading some. Raises as the store does.
        """
        stamps = await store.stamps(JOB_PREFIX)
        for gone in self._stamps.keys() - stamps.keys():
            del self._stamps[gone], self._lines[gone]
            self._sorted = None
        changed = [name for name, stamp in stamps.items() if self._stamps.get(name) != stamp]
        room = LINES_MAX - len(self._lines)
        wanted = [name for name in changed if name in self._lines or (room := room - 1) >= 0]
        for start in range(0, len(wanted), READ_MAX):
            if start and not go_on():
                break
            await self._read(store, wanted[start : start + READ_MAX], stamps)
        else:
            start = len(wanted)
        self.unread = len(stamps) - len(self._lines)
        return start >= len(wanted)

    async def _read(self, store: Store, names: Sequence[str], stamps: Mapping[str, Stamp]) -> None:
        found = await store.select(names, KINDS)
        for name in names:
            self._lines[name] = _line(name, found.get(name, {}))
            self._stamps[name] = stamps[name]
        self._sorted = None


def _line(name: str, records: Mapping[str, Struct] | RecordUnreadable) -> JobLine:
    if isinstance(records, RecordUnreadable):
        return JobLine(name, UNREADABLE, code=records.code)
    job, progress, ledger = (records.get(kind) for kind in ("job", "progress", "ledger"))
    if not isinstance(job, Job) or not isinstance(progress, Progress):
        return JobLine(name, "new")
    subtasks = {each.contract: each for each in records.values() if isinstance(each, Subtask)}
    contracts = [each for each in records.values() if isinstance(each, ContractRecord)]
    return JobLine(
        id=name,
        phase=progress.phase,
        protection=job.assessment.chosen if job.assessment else job.spec.protection,
        rows=job.facts.rows if job.facts else 0,
        rows_done=progress.rows_done,
        submitted_at=job.submitted_at,
        ended_at=job.ended_at,
        code=job.code,
        partner=job.spec.joint.partner if job.spec.joint else "",
        dataset=job.spec.joint.dataset if job.spec.joint else "",
        learned=_learned(ledger) if isinstance(ledger, Ledger) else (),
        rentals=tuple(_rental(each, subtasks.get(each.contract.id)) for each in contracts),
        causes=job.causes,
    )


def _learned(ledger: Ledger) -> tuple[Learned, ...]:
    """Without rounds, of which there may be many."""
    by: dict[tuple[str, str], Learned] = {}
    for each in ledger.lines:
        known = by.get((each.party, each.kind))
        count = each.count + (known.count if known else 0)
        by[each.party, each.kind] = Learned(party=each.party, kind=each.kind, count=count, shape=each.shape)
    return tuple(by.values())


def _rental(record: ContractRecord, subtask: Subtask | None) -> RentalLine:
    return RentalLine(
        lessor=record.contract.lessor,
        protection=record.contract.protection,
        rows=subtask.rows_done if subtask else 0,
        batches=subtask.batches_done if subtask else 0,
        core_seconds=subtask.core_seconds if subtask else 0.0,
        cost_micros=subtask.cost_micros if subtask else 0,
        state=subtask.phase if subtask else "new",
        heard_at=subtask.heard_at if subtask else 0.0,
    )
