"""What a partner's records say to a person: who asked what of which data, what was decided, what each side learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import Struct

from nodes.joint.categories import Categories, Omitted
from nodes.partner.protocol.records import ContractRecord, Ledger, Part, Round
from nodes.renter.protocol.records import JOB_PREFIX
from nodes.store.port import Store
from nodes.views import journal
from nodes.views.errors import UnknownJob
from nodes.views.ids import beginning, unique
from schemas.joint import Algorithm, Learned


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReport:
    """A partner's part in one job. Times are seconds since 1970 (UTC), 0 when not reached."""

    job: str
    renter: str
    phase: str
    dataset: str
    columns: tuple[str, ...]
    program: str
    rows: int
    received: int
    """Values per row that enclaves seal."""
    outputs: int
    rounds: int
    answered: int
    algorithm: Algorithm | None
    """Of a model instead of a program."""
    texts: tuple[Categories, ...]
    """How the last of a model's columns were made of text."""
    omitted: tuple[Omitted, ...]
    """Columns of the dataset that a model does not have."""
    weights: Mapping[str, float]
    """Of this partner's columns, when a model was fitted and it may know them."""
    offset: float
    """Makes the mean of its scores 0."""
    lessors: tuple[str, ...]
    """Whose results may come, as long as the part goes on."""
    rows_in: int
    """Of the round that is open."""
    asked_at: float
    ended_at: float
    code: str
    reason: str
    ledger: tuple[Learned, ...]


async def part(store: Store, job: str) -> PartReport:
    """One part; raises UnknownJob."""
    found = _report(await store.read(job))
    if found is None:
        raise UnknownJob(job)
    return found


async def find(store: Store, wanted: str) -> str:
    """The id of the job that `wanted` is, or the beginning of; raises UnknownJob, or UnknownId where several are."""
    known = await store.aggregates(JOB_PREFIX)
    if not beginning(wanted, known):
        raise UnknownJob(wanted)
    return unique(wanted, known, "job")


async def said(store: Store, job: str) -> tuple[str, ...]:
    """Why this partner refused, in words that are for itself. Raises UnknownJob."""
    notes = (note for line in await journal.explain(store, job) for note in line["notes"])
    return tuple(note["text"] for note in notes if note["kind"] == "unfit" and note["text"])


async def parts(store: Store) -> list[PartReport]:
    """All parts of this partner, newest first."""
    found = [_report(await store.read(name)) for name in await store.aggregates(JOB_PREFIX)]
    return sorted((each for each in found if each is not None), key=lambda each: -each.asked_at)


def summed(lines: tuple[Learned, ...]) -> list[tuple[str, str, int, int, str]]:
    """A ledger by party and kind: rounds, numbers in all, and the last line's shape, with what noise is on it."""
    by: dict[tuple[str, str], list[Learned]] = {}
    for each in lines:
        by.setdefault((each.party, each.kind), []).append(each)
    return [
        (party, kind, len([each for each in found if each.round]), sum(each.count for each in found), _shape(found[-1]))
        for (party, kind), found in by.items()
    ]


def _shape(line: Learned) -> str:
    return f"{line.shape}, {line.noise}" if line.noise else line.shape


def _report(records: Mapping[str, Struct]) -> PartReport | None:
    known, ledger = records.get("part"), records.get("ledger")
    if not isinstance(known, Part):
        return None
    contracts = [each.contract.lessor for each in records.values() if isinstance(each, ContractRecord)]
    open_rows = [each.rows for each in records.values() if isinstance(each, Round) and each.phase != "answered"]
    return PartReport(
        job=known.job,
        renter=known.renter,
        phase=known.phase,
        dataset=known.dataset,
        columns=known.columns,
        program=known.program,
        rows=known.rows,
        received=known.received,
        outputs=known.outputs,
        rounds=known.rounds,
        answered=known.answered,
        algorithm=known.algorithm,
        texts=known.texts,
        omitted=known.omitted,
        weights=dict(zip(known.columns, known.weights, strict=True)) if known.weights else {},
        offset=known.offset,
        lessors=tuple(sorted(set(contracts))),
        rows_in=sum(open_rows),
        asked_at=known.asked_at,
        ended_at=known.ended_at,
        code=known.code,
        reason=known.reason,
        ledger=ledger.lines if isinstance(ledger, Ledger) else (),
    )
