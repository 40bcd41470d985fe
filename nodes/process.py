"""What a process asks of the kernel about its own end: that it ends with its parent, and leaves no memory on a disk.

Linux only, as enclaves are; elsewhere nothing happens.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4


def end_with(parent: int) -> None:
    """From now on the kernel kills this process when the thread that started it ends; at once, when it has ended.

    An input that ends is not enough: whoever computes does not read it.
    """
    if _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def leave_no_core() -> None:
    """No core file, and no other process of this user may read the memory (ptrace, /proc): it may hold keys.

    Both, for a core that goes to a program (core_pattern) is made whatever the limit.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> bool:
    """Whether this kernel does that."""
    return sys.platform.startswith("linux") and int(ctypes.CDLL(None).prctl(option, value, 0, 0, 0)) == 0
