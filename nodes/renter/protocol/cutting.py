"""How many rows a batch has: so many as take no longer than `BATCH_SECONDS`, as far as is known by then (S1). Pure.

Before the first batch that is what the rehearsal measured. Later it is what the lessor's batches took: what its queue
holds and was never sent is cut anew when they take far longer, or far less, than was planned for them. A batch that was
sent once keeps its rows. Whoever lies about its seconds gets other batches itself, and nobody else does.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from nodes.protections import traits_of
from nodes.renter.protocol import runs
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.records import Job, Part
from nodes.renter.protocol.runs import Runs
from nodes.renter.protocol.split import part_of, rows_per_batch
from schemas import limits

FACTOR_MIN: Final = 2.0
"""Batches are cut anew when they should have so many times the rows that they have, or be so many times smaller."""
CUTS_PER_SUBTASK_MAX: Final = 4


def planned(job: Job) -> int:
    """Rows per batch by what is known before the first one; raises BadInput as `rows_per_batch`."""
    _, assessment = job.decided
    return _rows_each(job, assessment.costs.lessor_seconds / max(1, assessment.rows))


def follow(draft: Draft, subtask_id: str) -> None:
    """Cut what this subtask's lessor has yet to be sent by what its batches took so far."""
    job, subtask = draft.job, draft.subtask(subtask_id)
    if job.spec.joint is not None or not subtask.rows_done or subtask.cuts >= CUTS_PER_SUBTASK_MAX:
        return
    wanted = _rows_each(job, subtask.core_seconds / subtask.rows_done)
    queue: Runs = ()
    for run in subtask.queue:
        queue += _cut(draft, run, wanted)
    if queue != subtask.queue:
        draft.change_subtask(subtask_id, queue=queue, cuts=subtask.cuts + 1)
        draft.note("cut", f"batches of {wanted} rows from here on", lessor=subtask.lessor, batches=runs.count(queue))


def _adds_up(job: Job) -> bool:
    """Whether results are sums over a batch on ciphertext: what was proved of them counts batches and their rows."""
    facts, assessment = job.decided
    return facts.sum_rows and traits_of(assessment.chosen).on_ciphertext


def _rows_each(job: Job, lessor_seconds: float) -> int:
    """Where a lessor takes so long for a row. By the number of lessors asked for: precision was proved for that."""
    facts, assessment = job.decided
    renter_seconds = max(assessment.costs.encrypt_seconds, assessment.costs.decrypt_seconds) / max(1, assessment.rows)
    scheme = facts.of(assessment.scheme) if traits_of(assessment.chosen).on_ciphertext else None
    return rows_per_batch(
        job.spec,
        facts.rows,
        facts.width,
        job.spec.lessors,
        scheme,
        row_elements=1 if scheme else facts.row_elements,
        row_seconds=0.0 if _adds_up(job) else max(renter_seconds, lessor_seconds),
    )


def _cut(draft: Draft, run: tuple[int, int], wanted: int) -> Runs:
    """The batches that take this run's place: itself, where it is well as it is or was sent before."""
    first, end = run
    part = next(each for each in draft.job.parts if each.first_batch <= first < each.first_batch + each.batches)
    if end > part.first_batch + part.batches or not _differs(part, wanted):
        return (run,)
    before, middle, after = _thirds(part, run)
    number = max(each.first_batch + each.batches for each in draft.job.parts)
    new = part_of(part.owner, number, middle.first_row, middle.rows, wanted)
    if new.batches == middle.batches or number + new.batches > limits.BATCHES_PER_JOB_MAX:
        return (run,)
    if any(draft.batch(known) is not None for known in range(first, end)):
        return (run,)
    parts = [each for each in draft.job.parts if each != part]
    parts += [each for each in (before, new, after) if each.rows]
    batches = draft.job.batches - middle.batches + new.batches
    draft.change_job(parts=tuple(sorted(parts, key=lambda each: each.first_row)), batches=batches)
    return ((number, number + new.batches),)


def _differs(part: Part, wanted: int) -> bool:
    return not part.rows_each / FACTOR_MIN < wanted < part.rows_each * FACTOR_MIN


def _thirds(part: Part, run: tuple[int, int]) -> tuple[Part, Part, Part]:
    """The part before a run of its batches, the run, and what is after it."""
    found, row = [], part.first_row
    for first, end in ((part.first_batch, run[0]), run, (run[1], part.first_batch + part.batches)):
        rows = min((end - first) * part.rows_each, part.first_row + part.rows - row)
        found.append(structs.replace(part, first_batch=first, batches=end - first, first_row=row, rows=rows))
        row += rows
    before, middle, after = found
    return before, middle, after
