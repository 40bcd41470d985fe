"""Which rows every renter had sums of: kept when a part ends, as digests of ids, by the job.

A job's rows are written down before they are compared: of two jobs at a time each may see the other, and at least one
does. Where rows are found by masked ids, those that sums would show are left out; what is kept is written down and
compared again. What a job was refused, or ended before it had any sum, is removed with its other files.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nodes.data.table import open_table
from nodes.joint import guards, row_sets
from nodes.joint.alignment import Places
from nodes.joint.guards import Limits
from nodes.joint.row_sets import RowSet, overlap, require_groups, row_set
from nodes.partner.activities.services import Services
from nodes.partner.protocol.records import Part
from nodes.partner.protocol.states import LIVE
from nodes.secrets import derived
from nodes.whole import write_whole
from schemas.joint import JointRequested

JOB_PREFIX: Final = "job-"


async def rows_apart(
    services: Services, request: JointRequested, places: Places | None, rows_min: int
) -> NDArray[np.bool_]:
    """Hold a job's rows against those of the renter's other jobs here: which of those at `places` may be summed up.

    All rows of its table, where there are no places, or none.

    Raises:
        TooRevealing: `rows-too-alike`; of a model also `budget-spent`.
    """
    rows = await asyncio.to_thread(_digests, services, request.job, places)
    await asyncio.to_thread(_write, services, request.job, rows)
    others, received = await _sets(services, request, rows)
    kept = np.ones(len(rows), dtype=np.bool_)
    if places is not None:
        seed = derived(await services.keys.joint(request.job), "joint/rows-omitted")
        kept = await asyncio.to_thread(row_sets.kept, rows, others, rows_min, seed)
    if not kept.all():
        await asyncio.to_thread(_write, services, request.job, rows[kept])
        others, received = await _sets(services, request, rows)  # one of two jobs at a time sees what the other keeps
    if request.algorithm is not None:
        guards.require_budget(int(kept.sum()), received, request.received, Limits())
    await asyncio.to_thread(require_groups, np.unique(rows[kept]), others, rows_min)
    return kept


async def _sets(services: Services, request: JointRequested, rows: NDArray[np.uint64]) -> tuple[list[RowSet], int]:
    """The rows of the renter's other jobs that share some with these, and how many columns models had of them."""
    mine, received, sets = np.unique(rows), 0, list[RowSet]()
    async for other in _others(services, request):
        theirs = await asyncio.to_thread(_read, services.rows_of(other.job))
        if theirs is None or not await asyncio.to_thread(overlap, mine, theirs):
            continue
        sets.append(theirs)
        received += other.received if other.algorithm is not None else 0
    return sets, received


async def _others(services: Services, request: JointRequested) -> AsyncIterator[Part]:
    """The renter's jobs that have sums, or may get some yet; results of single rows are by consent."""
    for name in await services.store.aggregates(JOB_PREFIX):
        other = (await services.store.get(name, ["part"])).get("part")
        if not isinstance(other, Part) or other.job == request.job or other.score:
            continue
        if other.renter == request.introduction.renter and (other.phase in LIVE or other.answered):
            yield other


def _digests(services: Services, job: str, places: Places | None) -> NDArray[np.uint64]:
    folder = services.folder(job)
    found = row_set(open_table(folder.table, folder.digest.read_text()).all_ids())
    return found if places is None else found[places]


def _write(services: Services, job: str, rows: NDArray[np.uint64]) -> None:
    services.rows_of(job).unlink(missing_ok=True)  # of a try before, when the table may have been another
    write_whole(services.rows_of(job), np.unique(rows).astype("<u8").tobytes())


def _read(path: Path) -> RowSet | None:
    """Of another job; None where its rows are not known yet: it will see this one's."""
    try:
        return np.frombuffer(path.read_bytes(), dtype="<u8").astype(np.uint64)
    except FileNotFoundError:
        return None
