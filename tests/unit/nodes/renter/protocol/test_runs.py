"""Runs of batch numbers lose none, repeat none, and stay few."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodes.renter.protocol.runs import Runs, count, shares, single, take

RUNS = st.lists(st.integers(1, 60), max_size=8).map(
    lambda sizes: tuple((100 * index, 100 * index + size) for index, size in enumerate(sizes))
)


def numbers(runs: Runs) -> list[int]:
    return [number for first, end in runs for number in range(first, end)]


@given(runs=RUNS, parts=st.integers(1, 9))
def test_shares_keep_order_and_differ_by_one_at_most(runs: Runs, parts: int) -> None:
    cut = shares(runs, parts)
    assert len(cut) == parts
    assert [number for share in cut for number in numbers(share)] == numbers(runs)
    assert max(map(count, cut)) - min(map(count, cut)) <= 1
    assert sum(map(len, cut)) <= len(runs) + parts
    assert all(first < end for share in cut for first, end in share)


@given(runs=RUNS)
def test_taking_gives_them_one_by_one(runs: Runs) -> None:
    taken = []
    rest = runs
    while rest:
        number, rest = take(rest)
        taken.append(number)
    assert taken == numbers(runs)
    assert count(runs) == len(taken)


def test_single_numbers_are_runs_of_one() -> None:
    assert single([7, 3]) == ((7, 8), (3, 4))
