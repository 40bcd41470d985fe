"""Predicts what memory a lessor's enclave needs for a program and its batches. Pure."""

from __future__ import annotations

from typing import Final

from nodes.programs.program import Program

MIB: Final = 2**20
BYTES_PER_PROGRAM_BYTE: Final = 16
BASE_MIB: Final = 64
VALUE_BYTES: Final = 8


def memory_mib(program: Program, rows: int) -> int:
    """MiB that one unit needs, beside what an enclave takes to start, for batches of so many rows."""
    batch = rows * (program.live_row_elements + program.width_in + program.width_out) * VALUE_BYTES
    return BASE_MIB + -(-(len(program.canonical) * BYTES_PER_PROGRAM_BYTE + batch) // MIB)
