"""Batch numbers as runs: what is to be sent takes a few numbers however many batches it is. Pure."""

from __future__ import annotations

from collections.abc import Iterable

Runs = tuple[tuple[int, int], ...]
"""Runs [first, end) of batch numbers, in the order in which they are to be sent; none is empty."""


def single(numbers: Iterable[int]) -> Runs:
    """Each number as a run of its own."""
    return tuple((number, number + 1) for number in numbers)


def of(numbers: Iterable[int]) -> Runs:
    """Ascending numbers in as few runs as they make."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return tuple(found)


def count(runs: Runs) -> int:
    """How many batches these are."""
    return sum(end - first for first, end in runs)


def take(runs: Runs) -> tuple[int, Runs]:
    """The first batch, and the others; there must be one."""
    (first, end), *rest = runs
    return first, ((first + 1, end), *rest) if first + 1 < end else tuple(rest)


def shares(runs: Runs, parts: int) -> list[Runs]:
    """Cut into `parts` in order, their sizes differing by one at most."""
    total = count(runs)
    found: list[Runs] = []
    for index in range(parts):
        wanted = total * (index + 1) // parts - total * index // parts
        share, runs = _cut(runs, wanted)
        found.append(share)
    return found


def _cut(runs: Runs, wanted: int) -> tuple[Runs, Runs]:
    taken: list[tuple[int, int]] = []
    for index, (first, end) in enumerate(runs):
        if end - first > wanted:
            head = ((first, first + wanted),) if wanted else ()
            return (*taken, *head), ((first + wanted, end), *runs[index + 1 :])
        taken.append((first, end))
        wanted -= end - first
    return tuple(taken), ()
