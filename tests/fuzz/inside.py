"""A process that lets programs meet the engine, for the fuzzer, which what ends the engine would end: `python -m
tests.fuzz.inside`.

Requests and answers on standard input and output: four bytes of length, then so many bytes. An answer is the traceback
of what should not have been raised; mostly empty.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import subprocess
import sys
import traceback
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import numpy as np

from nodes.programs.check import check
from nodes.programs.limits import ProgramLimits
from nodes.programs.runtime import evaluate
from schemas.errors import BadInput, BadProgram

SMALL: Final = ProgramLimits(
    row_multiplications_max=1 << 16,
    row_elements_max=1 << 14,
    live_row_elements_max=1 << 14,
    tensor_elements_max=1 << 16,
)
"""Bounds for fuzzing: the same rules, and no time lost in large products."""
MEMORY_BYTES: Final = 2 * 1024**3
SECONDS_MAX: Final = 8
EXPECTED_ENDS: Final = frozenset({-signal.SIGALRM, -signal.SIGKILL})
"""Time is up, or memory; supervisors of enclaves end children likewise."""
ROWS: Final = 5
HEAD_BYTES: Final = 4


@dataclass
class Inside:
    """The process, started again whenever it ended."""

    process: subprocess.Popen[bytes] | None = None
    restarts: int = field(default=0)

    def feed(self, data: bytes) -> None:
        """Raises AssertionError when the program did what none may do."""
        if self.process is None or self.process.poll() is not None:
            command = [sys.executable, "-m", "tests.fuzz.inside"]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.restarts += 1
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            write(process.stdin, data)
        answer = read(process.stdout)
        assert answer is not None or process.wait() in EXPECTED_ENDS, f"the engine ended its process: {process.wait()}"
        assert not answer, answer.decode()


def write(stream: BinaryIO | Any, data: bytes) -> None:
    """A length and so many bytes."""
    stream.write(len(data).to_bytes(HEAD_BYTES, "big") + data)
    stream.flush()


def read(stream: BinaryIO | Any) -> bytes | None:
    """As many bytes as announced; None at the end."""
    head = stream.read(HEAD_BYTES)
    return stream.read(int.from_bytes(head, "big")) if len(head) == HEAD_BYTES else None


def serve() -> None:
    """Answer until nobody asks any more."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    np.seterr(all="ignore")
    while (data := read(sys.stdin.buffer)) is not None:
        signal.alarm(SECONDS_MAX)
        said = _tried(data)
        signal.alarm(0)
        write(sys.stdout.buffer, said)


def _tried(data: bytes) -> bytes:
    """Gate, probe and engine: refused by typed errors, or a result of the right shape, the same for a row alone."""
    try:
        program = check(data, limits=SMALL)
        rows = np.sin(np.arange(1.0, ROWS * program.width_in + 1)).reshape(ROWS, program.width_in)
        rows[:, [column for column, whole in enumerate(_whole(program)) if whole]] = 1.0
        result = evaluate(program, rows)
        assert result.shape == (1 if program.sum_rows else ROWS, program.width_out)
        assert check(program.canonical, limits=SMALL).digest == program.digest
    except (BadProgram, BadInput, MemoryError):
        return b""
    except Exception:
        return traceback.format_exc().encode()
    return b""


def _whole(program: Any) -> list[bool]:
    return [each.dtype.kind != "f" for each in program.inputs for _ in range(each.width)]


if __name__ == "__main__":
    serve()
