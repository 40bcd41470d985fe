"""Activity `assemble`: join the parts in row order, run the local program (H3, T3), write the output."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nodes.data.results import write_csv
from nodes.programs import runtime
from nodes.programs.check import check
from nodes.programs.program import Program
from nodes.renter.activities.rounds import outputs
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import JobAtHand, Workbench
from nodes.renter.files.parts import read_part
from nodes.renter.protocol.outcomes import JobAssembled, JobSpoiled
from nodes.renter.protocol.records import BatchRecord, Job, Round
from nodes.renter.protocol.split import ranges
from schemas.errors import BadInput, SubletError

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Result:
    """All accepted parts of one job."""

    at_hand: JobAtHand
    job: Job
    digests: dict[int, str]


async def assemble(
    services: Services, workbench: Workbench, params: dict[str, Any], job_id: str
) -> list[tuple[str, Struct]]:
    """Write the job's output; done again it gives the same file."""
    running, records = await workbench.running(job_id), await services.store.read(job_id)
    job = records["job"]
    assert isinstance(job, Job)
    if job.spec.joint is not None:
        return await _assemble_rounds(services, running.job, job, records)
    digests = {record.number: record.digest for record in records.values() if isinstance(record, BatchRecord)}
    try:
        rows, digest = await asyncio.to_thread(_write, _Result(running.job, job, digests))
    except BadInput as error:  # the local program has no result for what came back
        return [("job.spoiled", JobSpoiled(code="bad-program", reason=str(error)))]
    except SubletError as error:
        return [("job.spoiled", JobSpoiled(code="not-assembled", reason=str(error)))]
    return [("job.assembled", JobAssembled(rows=rows, digest=digest))]


async def _assemble_rounds(
    services: Services, at_hand: JobAtHand, job: Job, records: Mapping[str, Struct]
) -> list[tuple[str, Struct]]:
    """A joint job's output: a line per round (J6)."""
    assert job.spec.joint is not None
    partner = check(await asyncio.to_thread(services.blobs.get, job.spec.joint.program))
    names = ["round", *(at_hand.local_program or partner).output_names]
    rounds = {each.number: each for each in records.values() if isinstance(each, Round)}

    def write() -> tuple[int, str]:
        found = outputs(at_hand.folder, job, rounds)
        lines = (([str(number)], finish(partner, at_hand.local_program, values)) for number, values in found)
        return write_csv(at_hand.folder.output, names, lines), file_digest(at_hand.folder.output)

    try:
        written, digest = await asyncio.to_thread(write)
    except SubletError as error:
        return [("job.spoiled", JobSpoiled(code="not-assembled", reason=str(error)))]
    return [("job.assembled", JobAssembled(rows=written, digest=digest))]


def header(program: Program, local: Program | None, id_column: str | None) -> list[str]:
    """The output's column names: the id column, then one per output element; a sum over rows has no ids."""
    names = list((local or program).output_names)
    return names if program.sum_rows else [id_column or "row", *names]


def finish(program: Program, local: Program | None, rows: Rows) -> Rows:
    """The renter's local program on decrypted results, or the results themselves (H3, T3)."""
    return rows if local is None else runtime.evaluate(local, rows)


def _write(result: _Result) -> tuple[int, str]:
    at_hand = result.at_hand
    names = header(at_hand.program, at_hand.local_program, at_hand.spec.id_column)
    if at_hand.program.sum_rows:
        rows = _write_sum(result, names)
    else:
        rows = write_csv(at_hand.folder.output, names, _chunks(result))
    return rows, file_digest(at_hand.folder.output)


def _parts(result: _Result) -> Iterator[tuple[int, int, Rows]]:
    """First row, rows, and the result of every batch, in row order."""
    folder, width = result.at_hand.folder, result.at_hand.program.width_out
    for batch, first, count in ranges(result.job.parts, result.job.batch_rows):
        yield first, count, read_part(folder, batch, result.digests[batch], width)


def _chunks(result: _Result) -> Iterator[tuple[list[str], Rows]]:
    at_hand = result.at_hand
    for first, count, part in _parts(result):
        yield at_hand.table.ids(first, count), finish(at_hand.program, at_hand.local_program, part)


def _write_sum(result: _Result, names: list[str]) -> int:
    at_hand, parts = result.at_hand, [part for _, _, part in _parts(result)]
    total = finish(at_hand.program, at_hand.local_program, runtime.combine(at_hand.program, parts))
    first, *rest = total.tolist()[0]
    values = np.array([rest], dtype=np.float64).reshape(1, len(rest))
    return write_csv(at_hand.folder.output, names, [([repr(first)], values)])


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
