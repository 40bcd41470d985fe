"""Splitting gives every row to exactly one owner, in proportion to units."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nodes.renter.protocol.records import LOCAL
from nodes.renter.protocol.split import ranges, rows_in_time, rows_of, rows_per_batch, split
from schemas import limits
from schemas.errors import BadInput
from schemas.ids import derive_id
from schemas.jobs import JobSpec

OWNERS = st.lists(st.integers(1, 50), min_size=1, max_size=6).map(
    lambda units: [(f"subtask-{n}", unit) for n, unit in enumerate(units)]
)


@given(rows=st.integers(1, 5000), each=st.integers(1, 700), owners=OWNERS, share=st.floats(0, 1))
def test_every_row_is_in_exactly_one_batch_in_order(
    rows: int, each: int, owners: list[tuple[str, int]], share: float
) -> None:
    parts = split(rows, each, owners, share)
    covered = [(first, first + count) for _, first, count in ranges(parts)]
    assert covered[0][0] == 0
    assert covered[-1][1] == rows
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(covered))
    assert all(0 < end - start <= each for start, end in covered)
    assert [batch for batch, _, _ in ranges(parts)] == list(range(sum(part.batches for part in parts)))


@given(rows=st.integers(1, 5000), each=st.integers(1, 700), owners=OWNERS, share=st.floats(0, 1))
def test_parts_are_in_proportion_to_units(rows: int, each: int, owners: list[tuple[str, int]], share: float) -> None:
    parts = split(rows, each, owners, share)
    assert [part.owner for part in parts] == [owner for owner, _ in owners] + [LOCAL]
    local = parts[-1].rows
    assert local == round(rows * share)
    units = sum(unit for _, unit in owners)
    for part, (_, unit) in zip(parts, owners, strict=False):
        assert abs(part.rows - (rows - local) * unit / units) <= 1


def test_a_batch_knows_its_rows() -> None:
    parts = split(100, 30, [("one", 1), ("two", 1)], 0.1)
    assert rows_of(parts, 0) == (0, 30)
    assert rows_of(parts, 1) == (30, 15)
    assert rows_of(parts, 4) == (90, 10)
    with pytest.raises(LookupError):
        rows_of(parts, 5)


@dataclass(frozen=True)
class Packed:
    """47 rows in a ciphertext of 3072 bits."""

    slots: int = 47
    ciphertext_bytes: int = 768


def cut(rows: int, width: int, lessors: int, scheme: Packed | None = None, *, each: int | None = None) -> int:
    spec = JobSpec(id=derive_id("job", 1), data="0" * 64, program="0" * 64, batch_rows=each)
    return rows_per_batch(spec, rows, width, lessors, scheme)


@given(rows=st.integers(1, 10**7), lessors=st.integers(1, 64), width=st.integers(1, 4096))
def test_batches_stay_near_the_target_size(rows: int, lessors: int, width: int) -> None:
    assume(rows * width * 8 < limits.BATCHES_PER_JOB_MAX // 2 * limits.BODY_BYTES_TARGET)
    chosen = cut(rows, width, lessors)
    assert chosen == 1 or chosen * width * 8 <= limits.BODY_BYTES_TARGET


@given(rows=st.integers(1, 10**6), lessors=st.integers(1, 8), width=st.integers(1, 300))
def test_packed_batches_are_whole_ciphertexts(rows: int, lessors: int, width: int) -> None:
    chosen = cut(rows, width, lessors, Packed())
    assert chosen % 47 == 0
    assert chosen == 47 or chosen // 47 * 768 * width <= limits.BODY_BYTES_TARGET


@pytest.mark.parametrize(("elements", "expected"), [(1, 131_072), (128, 131_072), (8831, 1899), (1 << 25, 1)])
def test_batches_fit_into_memory_by_what_the_program_makes_of_a_row(elements: int, expected: int) -> None:
    spec = JobSpec(id=derive_id("job", 1), data="0" * 64, program="0" * 64)
    assert rows_per_batch(spec, 90_000 if expected == 1 else 10**8, 1, 2, row_elements=elements) == expected


@pytest.mark.parametrize(("rows", "each"), [(10**9, None), (200_000, 1)])
def test_a_job_of_too_many_batches_is_refused(rows: int, each: int | None) -> None:
    """However its batches were chosen."""
    with pytest.raises(BadInput, match="more than 100000 batches"):
        cut(rows, 4096, 2, each=each)


@pytest.mark.parametrize(
    ("rows", "row_seconds", "expected"),
    [
        pytest.param(16_000, 0.0, 334, id="not known"),
        pytest.param(16_000, 0.01, 334, id="short enough"),
        pytest.param(16_000, 0.053, 94, id="heavy"),
        pytest.param(16_000, 60.0, 1, id="one row at least"),
        pytest.param(10**6, 60.0, 11, id="no more batches than a job may have"),
    ],
)
def test_a_batch_takes_no_longer_than_it_may(rows: int, row_seconds: float, expected: int) -> None:
    spec = JobSpec(id=derive_id("job", 1), data="0" * 64, program="0" * 64)
    assert rows_per_batch(spec, rows, 1, 2, row_seconds=row_seconds) == expected


@pytest.mark.parametrize(("row_seconds", "expected"), [(0.01, 470), (0.1, 47), (60.0, 47)])
def test_a_batch_that_is_cut_for_time_is_whole_ciphertexts_too(row_seconds: float, expected: int) -> None:
    assert rows_in_time(4700, row_seconds, 47) == expected


def test_a_job_has_the_batches_that_it_asks_for() -> None:
    assert cut(1000, 3, 2, Packed(), each=7) == 7
