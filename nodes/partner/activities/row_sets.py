"""Which rows every renter had sums of: kept when a part ends, as digests of ids, by the job.

A job's rows are written down before they are compared: of two jobs at a time each may see the other, and at least one
does. What a job was refused, or ended before it had any sum, is removed with its other files.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import numpy as np

from nodes.data.table import open_table
from nodes.joint import guards
from nodes.joint.alignment import Places
from nodes.joint.guards import Limits
from nodes.joint.row_sets import RowSet, overlap, require_groups, row_set
from nodes.partner.activities.services import Services
from nodes.partner.protocol.records import Part
from nodes.partner.protocol.states import LIVE
from nodes.whole import write_whole
from schemas.joint import JointRequested

JOB_PREFIX: Final = "job-"


async def require_apart(services: Services, request: JointRequested, places: Places | None, rows_min: int) -> None:
    """Hold a job's rows, all of its table or those at `places`, against those of the renter's other jobs here.

    Raises:
        TooRevealing: `rows-too-alike`; of a model also `budget-spent`.
    """
    mine = await asyncio.to_thread(_written, services, request.job, places)
    received, sets = 0, list[RowSet]()
    async for other in _others(services, request):
        theirs = await asyncio.to_thread(_read, services.rows_of(other.job))
        if theirs is None or not await asyncio.to_thread(overlap, mine, theirs):
            continue
        sets.append(theirs)
        received += other.received if other.algorithm is not None else 0
    if request.algorithm is not None:
        guards.require_budget(len(mine), received, request.received, Limits())
    await asyncio.to_thread(require_groups, mine, sets, rows_min)


async def _others(services: Services, request: JointRequested) -> AsyncIterator[Part]:
    """The renter's jobs that have sums, or may get some yet; results of single rows are by consent."""
    for name in await services.store.aggregates(JOB_PREFIX):
        other = (await services.store.get(name, ["part"])).get("part")
        if not isinstance(other, Part) or other.job == request.job or other.score:
            continue
        if other.renter == request.introduction.renter and (other.phase in LIVE or other.answered):
            yield other


def _written(services: Services, job: str, places: Places | None) -> RowSet:
    folder = services.folder(job)
    found = row_set(open_table(folder.table, folder.digest.read_text()).all_ids())
    mine = np.unique(found if places is None else found[places])
    services.rows_of(job).unlink(missing_ok=True)  # of a try before, when the table may have been another
    write_whole(services.rows_of(job), mine.astype("<u8").tobytes())
    return mine


def _read(path: Path) -> RowSet | None:
    """Of another job; None where its rows are not known yet: it will see this one's."""
    try:
        return np.frombuffer(path.read_bytes(), dtype="<u8").astype(np.uint64)
    except FileNotFoundError:
        return None
