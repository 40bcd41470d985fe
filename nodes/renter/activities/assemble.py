"""Activity `assemble`: join the parts in row order, run the local program (H3, T3), write the output."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nodes.data.making import WHOLE_MAX, write_table
from nodes.data.manifest import Column, Kind
from nodes.data.port import Block
from nodes.data.table import open_table
from nodes.joint.encoding import read_encoding
from nodes.programs import runtime
from nodes.programs.program import Program
from nodes.renter.activities.services import Services
from nodes.renter.activities.solve import Fitted, write_scores
from nodes.renter.activities.workbench import Running, Workbench
from nodes.renter.files import outputs
from nodes.renter.files.outputs import Outputs
from nodes.renter.files.parts import read_output, read_part
from nodes.renter.files.solutions import ROUND, read_solved
from nodes.renter.protocol.outcomes import JobAssembled, JobSpoiled
from nodes.renter.protocol.records import BatchRecord, Job, Round, Target
from nodes.renter.protocol.split import ranges
from schemas.errors import BadData, BadInput, BadProgram, JobFailed, SubletError

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Result:
    """All accepted parts of one job."""

    running: Running
    job: Job
    digests: dict[int, str]
    rounds: dict[int, str]
    """Digests of the outputs of a joint job's rounds."""
    norm: float
    """Of the partner's part of a model."""


async def assemble(
    services: Services, workbench: Workbench, params: dict[str, Any], job_id: str
) -> list[tuple[str, Struct]]:
    """Write the job's output; done again it gives the same table."""
    running, records = await workbench.running(job_id), await services.store.read(job_id)
    job = records["job"]
    assert isinstance(job, Job)
    digests = {record.number: record.digest for record in records.values() if isinstance(record, BatchRecord)}
    rounds = {record.number: record.output for record in records.values() if isinstance(record, Round)}
    norm = sum(record.norm for record in records.values() if isinstance(record, Round))
    try:
        rows, digest = await asyncio.to_thread(_write, _Result(running, job, digests, rounds, norm))
    except BadInput as error:  # the local program has no result for what came back
        return [("job.spoiled", JobSpoiled(code="bad-program", reason=str(error)))]
    except SubletError as error:
        return [("job.spoiled", JobSpoiled(code="not-assembled", reason=str(error)))]
    return [("job.assembled", JobAssembled(rows=rows, digest=digest))]


def header(program: Program, told: Outputs, id_column: str | None) -> list[Column]:
    """The output's columns: the ids as text, then one per output element; a sum over rows has no ids."""
    found = [Column(name, _kind(told.whole.get(column))) for column, name in enumerate(told.names)]
    return found if program.sum_rows else [Column(id_column or "row", "text"), *found]


def _kind(texts: tuple[str, ...] | None) -> Kind:
    return "float64" if texts is None else "text" if texts else "int64"


def finish(local: Sequence[Program], rows: Rows) -> Rows:
    """The local programs on decrypted results, or the results themselves (H3, T3)."""
    for program in local:
        rows = runtime.evaluate(program, rows)
    return rows


def block(rows: Rows, told: Outputs, *before: list[str]) -> Block:
    """Results as they are written, behind other columns of text: labels are text again.

    Raises:
        BadProgram: what its file says are whole numbers, or labels, are none.
    """
    for column, texts in told.whole.items():
        values, (low, high) = rows[:, column], (0, len(texts) - 1) if texts else (-WHOLE_MAX, WHOLE_MAX)
        if not ((np.rint(values) == values) & (low <= values) & (values <= high)).all():
            raise BadProgram(f"the result {told.names[column]} is not one of the whole numbers that its file declares")
    labels = {column: texts for column, texts in told.whole.items() if texts}
    meant = ([texts[int(at)] for at in rows[:, column]] for column, texts in sorted(labels.items()))
    return Block(np.delete(rows, list(labels), axis=1), (*before, *meant))


def _write(result: _Result) -> tuple[int, str]:
    """The output in its place, whole: it is written aside and renamed. Rows, and the table's digest."""
    running, folder, joint = result.running, result.running.job.folder, result.job.spec.joint
    told, output = outputs.read(folder.path), folder.output
    columns = header(running.program, told, "round" if result.rounds else running.job.spec.id_column)
    try:
        with tempfile.TemporaryDirectory(prefix=".output-", dir=output.parent) as beside:
            aside = Path(beside) / output.name
            if result.job.joined is not None and result.job.joined.target is not None:
                table = _fitted(result, result.job.joined.target).write(folder, aside)
            elif joint is not None and joint.score is not None:
                table = write_scores(folder, aside, running.job.table, _scores(result))
            elif result.rounds:
                table = write_table(aside, columns, _rounds(result, told), id_column=columns[0].name)
            elif running.program.sum_rows:
                table = write_table(aside, columns, _sum(result, told), id_column=None)
            else:
                table = write_table(aside, columns, _blocks(result, told), id_column=columns[0].name)
            _put(aside, output, table.digest)
    except OSError as error:
        raise JobFailed(f"cannot write {output}: {error.strerror or error}") from error
    return table.rows, table.digest


def _fitted(result: _Result, target: Target) -> Fitted:
    """A model, of which this is the renter's part."""
    inputs = result.running.job
    joint = inputs.spec.joint
    assert joint is not None
    assert joint.fitting is not None
    return Fitted(
        fitting=joint.fitting,
        encoding=read_encoding(inputs.folder.encoding),
        columns=inputs.folder.integers.read(),
        target=target,
        solved=read_solved(inputs.folder, result.rounds[ROUND]),
        partner_norm=result.norm,
    )


def _scores(result: _Result) -> Rows:
    """Of every row, [rows]."""
    inputs = result.running.job
    return read_output(inputs.folder, ROUND, result.rounds[ROUND], inputs.table.rows).reshape(-1)


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
    folder, width = result.running.job.folder, result.running.program.width_out
    for batch, first, count in ranges(result.job.parts):
        yield first, count, read_part(folder, batch, result.digests[batch], width)


def _blocks(result: _Result, told: Outputs) -> Iterator[Block]:
    running = result.running
    for first, count, part in _parts(result):
        yield block(finish(running.local_programs, part), told, running.job.table.ids(first, count))


def _rounds(result: _Result, told: Outputs) -> Iterator[Block]:
    """A joint job's output: a line per round (J6)."""
    running, joint = result.running, result.job.spec.joint
    assert joint is not None
    for number, digest in sorted(result.rounds.items()):
        if digest:
            values = read_output(running.job.folder, number, digest, joint.outputs)
            yield block(finish(running.local_programs, values), told, [str(number)])


def _sum(result: _Result, told: Outputs) -> Iterator[Block]:
    running, parts = result.running, [part for _, _, part in _parts(result)]
    yield block(finish(running.local_programs, runtime.combine(running.program, parts)), told)
