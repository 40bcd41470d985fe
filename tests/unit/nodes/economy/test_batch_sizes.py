"""A batch takes about as long as it may, however heavy the program and however slow its lessor; nobody is blamed."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.renter.protocol.cutting import CUTS_PER_SUBTASK_MAX
from nodes.renter.protocol.split import ranges
from schemas import codec
from schemas.jobs import Batch
from schemas.limits import BATCH_DEADLINE_SECONDS, BATCH_SECONDS
from tests.support.economy import Economy

HEAVY = 0.053
"""Seconds a row."""
ROWS = 20_000


def sizes(economy: Economy) -> list[int]:
    """Rows of all batches that were sent, in their order."""
    return [codec.batch_of(event).rows for event in economy.wire("batch.dispatched")]


def completed(economy: Economy, job: str) -> None:
    """The job is done, every row of it once, and no lessor was lost."""
    done, progress = economy.finish(job), economy.progress(job)
    assert (progress.phase, done.causes, done.avoid) == ("completed", (), ())
    assert (progress.rows_done, progress.batches_done) == (done.facts.rows if done.facts else 0, done.batches)
    covered = [(first, first + rows) for _, first, rows in ranges(done.parts)]
    assert (covered[0][0], covered[-1][1]) == (0, progress.rows_done)
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(covered))
    assert len({batch for batch, _, _ in ranges(done.parts)}) == done.batches


def test_a_heavy_program_gets_small_batches_from_the_start() -> None:
    """In sixteen batches for each lessor each would take longer than the deadline after which it is called silent."""
    assert ROWS / 16 * HEAVY > BATCH_DEADLINE_SECONDS
    economy = Economy(lessors=1, batch_seconds=0.0)
    economy.row_seconds = lambda batch: HEAVY
    completed(economy, economy.submit(rows=ROWS, batch_rows=None, rehearsed=ROWS * HEAVY, lessors=1))
    assert max(sizes(economy)) == int(BATCH_SECONDS / HEAVY)


def test_batches_that_were_asked_for_are_no_larger_than_time_allows_either() -> None:
    economy = Economy(lessors=1, batch_seconds=0.0)
    economy.row_seconds = lambda batch: HEAVY
    completed(economy, economy.submit(rows=2000, batch_rows=2000, rehearsed=2000 * HEAVY, lessors=1))
    assert max(sizes(economy)) == int(BATCH_SECONDS / HEAVY)


def test_a_lessor_that_is_slower_than_the_rehearsal_gets_smaller_batches_after_its_first_answer() -> None:
    economy, planned = Economy(lessors=1, batch_seconds=0.0), 0.005
    economy.row_seconds = lambda batch: 8 * planned
    completed(economy, economy.submit(rows=16_000, batch_rows=None, rehearsed=16_000 * planned, lessors=1))
    window, small = int(BATCH_SECONDS / planned), int(BATCH_SECONDS / planned / 8)
    assert set(sizes(economy)[:4]) == {window}
    assert set(sizes(economy)[4:-1]) == {small}


def test_a_lessor_that_is_faster_gets_larger_ones_as_large_as_they_were_without_a_rehearsal() -> None:
    economy = Economy(lessors=1, batch_seconds=0.1)
    economy.row_seconds = lambda batch: 0.0001
    completed(economy, economy.submit(rows=16_000, batch_rows=None, rehearsed=16_000 * HEAVY, lessors=1))
    assert set(sizes(economy)[4:-1]) == {16_000 // 16}


def test_batches_are_as_large_as_for_all_the_lessors_that_were_asked_for() -> None:
    """Precision was proved for those; fewer of them are no reason for larger sums."""
    economy = Economy(lessors=1)
    completed(economy, economy.submit(rows=16_000, batch_rows=None, lessors=2))
    assert set(sizes(economy)) == {16_000 // (2 * 16)}


def test_each_lessor_has_batches_of_its_own_size() -> None:
    economy = Economy(lessors=2, batch_seconds=0.0)
    slow = economy.lessors[0]
    economy.row_seconds = lambda batch: HEAVY if batch.subtask in taken else 0.001
    taken: set[str] = set()
    job = economy.submit(rows=16_000, batch_rows=None, rehearsed=16_000 * 0.01, lessors=2)
    economy.run(seconds=600, until=lambda: bool(economy.wire("subtask.announced")))
    taken |= {each.id for each in economy.subtasks(job) if each.lessor == slow}
    completed(economy, job)
    batches = [(event.to, codec.batch_of(event).rows) for event in economy.wire("batch.dispatched")]
    assert {rows for to, rows in batches if to != slow} == {int(BATCH_SECONDS / 0.01)}
    assert {rows for to, rows in batches[8:] if to == slow} >= {int(BATCH_SECONDS / HEAVY)}


def test_a_lessor_that_says_a_larger_number_each_time_has_its_batches_cut_a_few_times_only() -> None:
    economy, said = Economy(lessors=1, batch_seconds=0.1), (0.01 * 2.0**at for at in itertools.count())
    economy.said_seconds = lambda batch: next(said)
    job = economy.submit(rows=1_000, batch_rows=None, rehearsed=10.0, lessors=1)
    completed(economy, job)
    assert [each.cuts for each in economy.subtasks(job)] == [CUTS_PER_SUBTASK_MAX]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), lessors=st.integers(1, 3), share=st.sampled_from([0.0, 0.3]))
def test_every_row_is_computed_once_however_long_each_batch_takes(seed: int, lessors: int, share: float) -> None:
    random, economy = Random(seed), Economy(lessors=lessors, batch_seconds=0.1)
    known: dict[tuple[str, int], float] = {}

    def row_seconds(batch: Batch) -> float:
        limit = BATCH_DEADLINE_SECONDS / 8 / batch.rows
        return known.setdefault((batch.subtask, batch.batch), min(limit, random.choice((0.0001, 0.01, 0.1))))

    economy.row_seconds = row_seconds
    job = economy.submit(rows=4_000, batch_rows=None, rehearsed=4_000 * 0.01, lessors=lessors, local_share=share)
    completed(economy, job)


@pytest.mark.parametrize("lost", [0, 5])
def test_rows_of_a_lost_lessor_are_computed_by_others_though_its_batches_were_cut(lost: int) -> None:
    economy = Economy(lessors=2, batch_seconds=0.0)
    economy.row_seconds = lambda batch: HEAVY
    job = economy.submit(rows=8_000, batch_rows=None, rehearsed=8_000 * HEAVY / 8, lessors=2)
    economy.run(seconds=600, until=lambda: economy.progress(job).batches_done > lost)
    for node in economy.nodes[economy.lessors[0]]:
        node.alive = False
    done = economy.finish(job)
    assert (economy.progress(job).phase, economy.progress(job).rows_done) == ("completed", 8_000)
    assert economy.progress(job).batches_done == done.batches
