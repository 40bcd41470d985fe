"""Parts become the output in row order; what stands in the way ends the job with its cause."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec import Struct, structs

from nodes.data.manifest import VALUES
from nodes.data.table import open_table
from nodes.programs.check import check
from nodes.renter.activities.assemble import assemble, block, header
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import Workbench
from nodes.renter.files.outputs import Outputs
from nodes.renter.files.parts import write_part
from nodes.renter.protocol.outcomes import JobAssembled, JobSpoiled
from nodes.renter.protocol.records import LOCAL, BatchRecord, Job, Part
from schemas.errors import BadProgram
from tests.unit.nodes.programs.models import data, model, node
from tests.unit.nodes.renter.activities.records import JOB, prepared, put

RESULTS = np.array([[float(row)] for row in range(6)])
LOGARITHM = data(model([node("Log", ["x"], ["y"])], {"x": 1}))
"""A local program that has no result for 0."""


async def outcome(services: Services) -> tuple[str, Any]:
    (told,) = await assemble(services, Workbench(services), {}, JOB)
    return told


@pytest.fixture
async def written(services: Services) -> Services:
    """A job of two batches, both of which have their parts."""
    await prepared(services, "assembling")
    job = (await services.store.get(JOB, ["job"]))["job"]
    assert isinstance(job, Job)
    folder = services.folder(JOB)
    records: dict[str, Struct] = {
        "job": structs.replace(
            job,
            batches=2,
            parts=(Part(owner=LOCAL, first_batch=0, batches=2, first_row=0, rows=6, rows_each=4),),
        )
    }
    for number, rows in enumerate((RESULTS[:4], RESULTS[4:])):
        digest = write_part(folder, number, rows)
        records[f"batch/{number}"] = BatchRecord(
            number=number, first_row=4 * number, rows=len(rows), owner=LOCAL, attempt=1, digest=digest
        )
    await put(services.store, records)
    return services


async def test_parts_are_joined_in_row_order(written: Services) -> None:
    event_type, told = await outcome(written)
    assert event_type == "job.assembled"
    assert isinstance(told, JobAssembled)
    assert told.rows == 6
    output = open_table(written.folder(JOB).output, told.digest)
    assert (output.ids(0, 6), output.read(0, 6).tolist()) == (list("123456"), RESULTS.tolist())
    assert await outcome(written) == (event_type, told)
    assert {each.name for each in written.folder(JOB).path.iterdir()} == {
        "format",
        "table",
        "parts",
        "outputs.json",
        "output",
    }


async def test_an_output_that_was_tampered_with_is_not_taken_for_the_jobs(written: Services) -> None:
    await outcome(written)
    (written.folder(JOB).output / VALUES).write_bytes(bytes(48))
    _, told = await outcome(written)
    assert (told.code, "values.f64 has changed" in told.reason) == ("not-assembled", True)


async def test_an_output_that_cannot_be_written_ends_the_job(written: Services) -> None:
    written.folder(JOB).output.write_text("in its place")
    _, told = await outcome(written)
    assert (told.code, "cannot write" in told.reason) == ("not-assembled", True)


async def test_a_part_that_is_gone_ends_the_job(written: Services) -> None:
    next(written.folder(JOB).parts.iterdir()).unlink()
    event_type, told = await outcome(written)
    assert event_type == "job.spoiled"
    assert isinstance(told, JobSpoiled)
    assert told.code == "not-assembled"
    assert "is gone" in told.reason


@pytest.mark.parametrize("damaged", [b"", b"{}", b"not json", None])
async def test_a_job_whose_results_have_lost_their_names_ends(written: Services, damaged: bytes | None) -> None:
    (file,) = written.folder(JOB).path.glob("outputs.json")
    file.unlink() if damaged is None else file.write_bytes(damaged)
    event_type, told = await outcome(written)
    assert event_type == "job.spoiled"
    assert isinstance(told, JobSpoiled)
    assert (told.code, "gone or damaged" in told.reason) == ("not-assembled", True)


def test_labels_are_text_again_and_whole_numbers_stay_in_their_place() -> None:
    told = Outputs(names=("t", "p", "n", "u"), whole={0: ("no", "yes"), 2: (), 3: ("only",)})
    rows = np.array([[1.0, 0.5, -7.0, 0.0], [0.0, 0.25, 2.0**52, 0.0]])
    made = block(rows, told, ["a", "b"])
    assert made.texts == (["a", "b"], ["yes", "no"], ["only", "only"])
    assert made.values.tolist() == [[0.5, -7.0], [0.25, 2.0**52]]
    assert [each.kind for each in header(check(LOGARITHM), told, None)] == ["text", "text", "float64", "int64", "text"]


@pytest.mark.parametrize(("column", "odd"), [(0, 2.0), (0, -1.0), (0, 0.5), (1, 0.5), (1, 2.0**53)])
def test_what_is_no_label_or_whole_number_is_refused(column: int, odd: float) -> None:
    rows = np.zeros((2, 2))
    rows[1, column] = odd
    with pytest.raises(BadProgram, match=f"the result {'ln'[column]} is not one of the whole numbers"):
        block(rows, Outputs(names=("l", "n"), whole={0: ("no", "yes"), 1: ()}))


async def test_a_local_program_without_a_result_ends_the_job(written: Services) -> None:
    program = check(LOGARITHM)
    written.blobs.put(program.canonical)
    job = (await written.store.get(JOB, ["job"]))["job"]
    assert isinstance(job, Job)
    spec = structs.replace(job.spec, local_program=program.digest)
    await put(written.store, {"job": structs.replace(job, spec=spec)})
    event_type, told = await outcome(written)
    assert event_type == "job.spoiled"
    assert isinstance(told, JobSpoiled)
    assert told.code == "bad-program"
