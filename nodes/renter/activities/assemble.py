"""Activity `assemble`: join the parts in row order, run the local program (H3, T3), write the output."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nodes.data.results import write_csv
from nodes.programs import runtime
from nodes.programs.program import Program
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import Running, Workbench
from nodes.renter.files import outputs
from nodes.renter.files.parts import read_part
from nodes.renter.protocol.outcomes import JobAssembled, JobSpoiled
from nodes.renter.protocol.records import BatchRecord, Job
from nodes.renter.protocol.split import ranges
from schemas.errors import BadInput, SubletError

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Result:
    """All accepted parts of one job."""

    running: Running
    job: Job
    digests: dict[int, str]


async def assemble(
    services: Services, workbench: Workbench, params: dict[str, Any], job_id: str
) -> list[tuple[str, Struct]]:
    """Write the job's output; done again it gives the same file."""
    running, records = await workbench.running(job_id), await services.store.read(job_id)
    job = records["job"]
    assert isinstance(job, Job)
    digests = {record.number: record.digest for record in records.values() if isinstance(record, BatchRecord)}
    try:
        rows, digest = await asyncio.to_thread(_write, _Result(running, job, digests))
    except BadInput as error:  # the local program has no result for what came back
        return [("job.spoiled", JobSpoiled(code="bad-program", reason=str(error)))]
    except SubletError as error:
        return [("job.spoiled", JobSpoiled(code="not-assembled", reason=str(error)))]
    return [("job.assembled", JobAssembled(rows=rows, digest=digest))]


def header(program: Program, names: Sequence[str], id_column: str | None) -> list[str]:
    """The output's column names: the id column, then one per output element; a sum over rows has no ids."""
    return list(names) if program.sum_rows else [id_column or "row", *names]


def finish(local: Sequence[Program], rows: Rows) -> Rows:
    """The local programs on decrypted results, or the results themselves (H3, T3)."""
    for program in local:
        rows = runtime.evaluate(program, rows)
    return rows


def _write(result: _Result) -> tuple[int, str]:
    running, at_hand = result.running, result.running.job
    told = outputs.read(at_hand.folder.path)
    names = header(running.program, told.names, at_hand.spec.id_column)
    if running.program.sum_rows:
        rows = _write_sum(result, names)
    else:
        rows = write_csv(at_hand.folder.output, names, _chunks(result), told.whole)
    return rows, file_digest(at_hand.folder.output)


def _parts(result: _Result) -> Iterator[tuple[int, int, Rows]]:
    """First row, rows, and the result of every batch, in row order."""
    folder, width = result.running.job.folder, result.running.program.width_out
    for batch, first, count in ranges(result.job.parts, result.job.batch_rows):
        yield first, count, read_part(folder, batch, result.digests[batch], width)


def _chunks(result: _Result) -> Iterator[tuple[list[str], Rows]]:
    for first, count, part in _parts(result):
        yield result.running.job.table.ids(first, count), finish(result.running.local_programs, part)


def _write_sum(result: _Result, names: list[str]) -> int:
    running, parts = result.running, [part for _, _, part in _parts(result)]
    total = finish(running.local_programs, runtime.combine(running.program, parts))
    first, *rest = total.tolist()[0]
    values = np.array([rest], dtype=np.float64).reshape(1, len(rest))
    return write_csv(running.job.folder.output, names, [([repr(first)], values)])


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
