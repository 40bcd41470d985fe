"""Runs one task over ranges of blocks on several cores. GMP works outside the interpreter lock, so threads serve.

With one thread nothing is started: an enclave child may not start any.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import gmpy2

THREADS_MAX: Final = 256

T = TypeVar("T")


def over_ranges(task: Callable[[range], list[T]], count: int, threads: int) -> list[T]:
    """Join `task(range)` over contiguous ranges that cover 0..count, in order, on at most `threads` threads."""
    workers = max(1, min(threads, count, THREADS_MAX))
    if workers == 1:
        return task(range(count))
    cuts = [count * index // workers for index in range(workers + 1)]
    ranges = [range(start, stop) for start, stop in itertools.pairwise(cuts)]

    def released(part: range) -> list[T]:
        with gmpy2.context(gmpy2.get_context(), allow_release_gil=True):
            return task(part)

    with ThreadPoolExecutor(workers) as pool:
        return [item for part in pool.map(released, ranges) for item in part]
