"""What the C library is told about memory.

glibc gives every freed mebibyte back to the kernel and takes it anew with 256 page faults, each of which costs more
than copying the page: a fifth of a batch's journey (`make bench ONLY=transport`). Changes nothing but speed and how
much memory a process holds when it is idle. Other C libraries are left as they are.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable
from typing import Final

KEPT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Free memory at the end of a heap beyond which it is given back."""
OWN_MAPPING_BYTES_MIN: Final = 32 * 1024 * 1024
"""Larger pieces are mapped apart and given back at once. The most that glibc allows."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8


def keep_memory() -> bool:
    """Apply both bounds to this process; whether it took them. May be called again."""
    return _set(((_M_MMAP_THRESHOLD, OWN_MAPPING_BYTES_MIN), (_M_TRIM_THRESHOLD, KEPT_BYTES_MAX)))


def share_heap() -> bool:
    """Let all threads of this process share one heap; whether they will. May be called again.

    glibc gives each its own, and every one keeps the largest batch it has seen. Threads rarely allocate at the same
    time, for Python's lock lets one run.
    """
    return _set(((_M_ARENA_MAX, 1),))


def _set(options: Iterable[tuple[int, int]]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(option, value) == 1 for option, value in options)
