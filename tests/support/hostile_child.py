"""An enclave child whose program does what no program can: as if somebody had found a way out of the evaluator.

A batch whose first number is `1000 + n` makes it try the n-th escape; every other batch is computed as usual.
"""

from __future__ import annotations

import ctypes
import math
import os
import socket
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from nodes.enclave.child import engine, main
from nodes.programs.program import Program
from nodes.programs.runtime import Rows, evaluate

FIRST: Final = 1000
_PTRACE_ATTACH: Final = 16
_LIBC: Final = ctypes.CDLL(None)


def _endless() -> None:
    while True:
        pass


ESCAPES: Final[Mapping[str, Callable[[], Any]]] = MappingProxyType(
    {
        "open a file": lambda: os.open("/etc/hostname", os.O_RDONLY),
        "make a TCP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "make a UDP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "fork": os.fork,
        "run a program": lambda: os.execv("/bin/true", ["true"]),
        "start a thread": lambda: threading.Thread(target=_endless).start(),
        "trace the parent": lambda: _LIBC.ptrace(_PTRACE_ATTACH, os.getppid(), 0, 0),
        "read the parent's memory": lambda: _LIBC.process_vm_readv(os.getppid(), 0, 0, 0, 0, 0),
        "take 3 GiB of memory": lambda: bytearray(3 * 1024**3),
        "never end": _endless,
    }
)


def hostile(program: Program, rows: Rows) -> Rows:
    """Escape or evaluate."""
    wish = int(rows[0, 0]) - FIRST if math.isfinite(rows[0, 0]) else -1
    if 0 <= wish < len(ESCAPES):
        list(ESCAPES.values())[wish]()
        rows = rows * 0.0  # it came back alive: a result that no test expects
    return evaluate(program, rows)


if __name__ == "__main__":
    vars(engine)["evaluate"] = hostile
    main.main()
