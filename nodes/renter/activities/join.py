"""Activity `join`: the table that a joint job's lessors compute on, made of the rows that both sides have."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from nodes.data.making import write_table
from nodes.data.manifest import Column
from nodes.data.port import Block
from nodes.data.table import Table
from nodes.joint.alignment import Places
from nodes.joint.encoding import Chosen, read_encoding
from nodes.joint.errors import TooRevealing
from nodes.joint.masks import read_places
from nodes.joint.records import Alignment
from nodes.renter.activities.quantise import quantised
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import JobAtHand, Workbench
from nodes.renter.errors import OWN_FAULTS, JobGone
from nodes.renter.protocol.outcomes import JobJoined, JobSpoiled, own_fault
from nodes.renter.protocol.records import Job, Joined, Progress


async def join(
    services: Services, workbench: Workbench, params: dict[str, Any], job_id: str
) -> list[tuple[str, Struct]]:
    """Make the table; done again it gives the same one."""
    records = await services.store.get(job_id, ["job", "progress", "alignment"])
    job, progress = records.get("job"), records.get("progress")
    if not isinstance(job, Job) or not isinstance(progress, Progress) or progress.phase != "joining":
        raise JobGone(f"no job {job_id} here that is to be joined")
    try:
        inputs, masked = await workbench.inputs(job.spec), isinstance(records.get("alignment"), Alignment)
        joined = await asyncio.to_thread(_join, inputs, masked)
    except TooRevealing as error:
        return [("job.spoiled", JobSpoiled(code=error.code, reason=f"your columns: {error}"))]
    except OWN_FAULTS as error:
        return [("job.spoiled", own_fault(error))]
    return [("job.joined", JobJoined(joined=joined))]


def _join(inputs: JobAtHand, masked: bool) -> Joined:
    folder = inputs.folder
    places = read_places(folder.places) if masked else np.arange(inputs.table.rows)
    with tempfile.TemporaryDirectory(prefix=".joined-", dir=folder.path) as beside:
        aside = Path(beside) / folder.joined.name
        joined = _made(inputs, places, aside)
        shutil.rmtree(folder.joined, ignore_errors=True)  # made before by a worker that was killed, of the same rows
        aside.rename(folder.joined)
    return joined


def _made(inputs: JobAtHand, places: Places, aside: Path) -> Joined:
    joint = inputs.spec.joint
    if joint is not None and joint.fitting is not None:
        rows = Chosen(inputs.table, places, read_encoding(inputs.folder.encoding))
        return quantised(rows, joint.fitting, inputs.folder.integers, aside)
    table = chosen(inputs.table, places, aside)
    return Joined(data=table.digest, rows=table.rows)


def chosen(table: Table, places: Places, folder: Path) -> Table:
    """Make `folder` and in it a table of some of the rows, whose places ascend."""
    columns = (*(Column(name, "text") for name in table.known.texts), *map(Column, table.columns))
    return write_table(folder, columns, _rows(table, places), id_column=table.known.id_column)


def _rows(table: Table, places: Places) -> Iterator[Block]:
    first = 0
    for block in table.blocks():
        last = first + len(block.values)
        here = places[slice(*np.searchsorted(places, (first, last)))] - first
        yield Block(block.values[here], tuple([text[at] for at in here.tolist()] for text in block.texts))
        first = last
