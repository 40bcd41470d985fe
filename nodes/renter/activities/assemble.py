"""Activity `assemble`: join the parts in row order, run the local program (H3, T3), write the output."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nodes.data.making import write_table
from nodes.data.manifest import Column
from nodes.data.port import Block
from nodes.data.table import open_table
from nodes.programs import runtime
from nodes.programs.program import Program
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import JobAtHand, Workbench
from nodes.renter.files.parts import read_part
from nodes.renter.protocol.outcomes import JobAssembled, JobSpoiled
from nodes.renter.protocol.records import BatchRecord, Job
from nodes.renter.protocol.split import ranges
from schemas.errors import BadData, BadInput, JobFailed, SubletError

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
    """Write the job's output; done again it gives the same table."""
    running, records = await workbench.running(job_id), await services.store.read(job_id)
    job = records["job"]
    assert isinstance(job, Job)
    digests = {record.number: record.digest for record in records.values() if isinstance(record, BatchRecord)}
    try:
        rows, digest = await asyncio.to_thread(_write, _Result(running.job, job, digests))
    except BadInput as error:  # the local program has no result for what came back
        return [("job.spoiled", JobSpoiled(code="bad-program", reason=str(error)))]
    except SubletError as error:
        return [("job.spoiled", JobSpoiled(code="not-assembled", reason=str(error)))]
    return [("job.assembled", JobAssembled(rows=rows, digest=digest))]


def header(program: Program, local: Program | None, id_column: str | None) -> list[Column]:
    """The output's columns: the ids as text, then one per output element; a sum over rows has no ids."""
    outputs = [Column(name) for name in (local or program).output_names]
    return outputs if program.sum_rows else [Column(id_column or "row", "text"), *outputs]


def finish(program: Program, local: Program | None, rows: Rows) -> Rows:
    """The renter's local program on decrypted results, or the results themselves (H3, T3)."""
    return rows if local is None else runtime.evaluate(local, rows)


def _write(result: _Result) -> tuple[int, str]:
    """The output in its place, whole: it is written aside and renamed. Rows, and the table's digest."""
    at_hand = result.at_hand
    columns = header(at_hand.program, at_hand.local_program, at_hand.spec.id_column)
    output = at_hand.folder.output
    try:
        with tempfile.TemporaryDirectory(prefix=".output-", dir=output.parent) as folder:
            aside = Path(folder) / output.name
            if at_hand.program.sum_rows:
                table = write_table(aside, columns, _sum(result), id_column=None)
            else:
                table = write_table(aside, columns, _blocks(result), id_column=columns[0].name)
            _put(aside, output, table.digest)
    except OSError as error:
        raise JobFailed(f"cannot write {output}: {error.strerror or error}") from error
    return table.rows, table.digest


def _put(aside: Path, output: Path, digest: str) -> None:
    try:
        aside.rename(output)
    except OSError:  # it was made before, of the same parts
        try:
            open_table(output, digest)
        except BadData as error:
            raise JobFailed(f"{output} is not what was made before: {error}") from error


def _parts(result: _Result) -> Iterator[tuple[int, int, Rows]]:
    """First row, rows, and the result of every batch, in row order."""
    folder, width = result.at_hand.folder, result.at_hand.program.width_out
    for batch, first, count in ranges(result.job.parts, result.job.batch_rows):
        yield first, count, read_part(folder, batch, result.digests[batch], width)


def _blocks(result: _Result) -> Iterator[Block]:
    at_hand = result.at_hand
    for first, count, part in _parts(result):
        values = finish(at_hand.program, at_hand.local_program, part)
        yield Block(values, (at_hand.table.ids(first, count),))


def _sum(result: _Result) -> Iterator[Block]:
    at_hand, parts = result.at_hand, [part for _, _, part in _parts(result)]
    yield Block(finish(at_hand.program, at_hand.local_program, runtime.combine(at_hand.program, parts)))
