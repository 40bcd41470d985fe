"""What the C library is told about memory."""

from __future__ import annotations

import ctypes
import platform
import resource
import subprocess
import sys

import pytest

from nodes import allocator

PROGRAM = f"""
import resource
from nodes.allocator import keep_memory
assert keep_memory() if {{kept}} else True
for _ in range(3):
    [bytes(1 << 20) for _ in range(8)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    [bytes(1 << 20) for _ in range(8)]
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * {resource.getpagesize()} >> 20)
"""


def faulted_mebibytes(*, kept: bool) -> int:
    """Memory taken anew from the kernel for 400 bodies, by a process of its own."""
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(kept=kept)], capture_output=True, check=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_memory_of_bodies_is_not_given_back_and_taken_again() -> None:
    assert faulted_mebibytes(kept=True) < faulted_mebibytes(kept=False) / 4


@pytest.mark.parametrize("at", ["linux", "darwin", "win32"])
def test_a_c_library_without_the_option_is_left_as_it_is(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", at)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not allocator.keep_memory()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_threads_share_one_heap_where_the_c_library_can() -> None:
    assert allocator.share_heap()
