"""Predicts what memory a lessor's enclave needs for a program and its batches. Pure."""

from __future__ import annotations

from typing import Final

from nodes.programs.program import Program

MIB: Final = 2**20
BASE_MIB: Final = 32
"""Of the smallest program: an enclave for it starts and computes a few rows in 16."""
PER_LIST_BYTE: Final = 24
"""Address space that a program takes while it is checked and loaded, per byte of its lists of numbers and texts, of
which trees are made: 20.8 to 22.3 with random forests of 4.1, 16.6 and 49.7 MiB."""
PER_WEIGHT_BYTE: Final = 12
"""Per byte of its tensors: 10.4 with dense layers of 14.0 and 55.6 MiB."""
WEIGHT_BYTES: Final = 4
"""Of one number in a tensor, at least."""
VALUE_BYTES: Final = 8
PROBE_ROWS: Final = 200
"""A program is tried on so many rows in all, every value kept, before it gets any (`nodes/programs/probe.py`)."""


def memory_mib(program: Program, rows: int) -> int:
    """MiB that one unit needs, beside what an enclave takes to start, for batches of so many rows."""
    weights = WEIGHT_BYTES * sum(array.size for array in program.constants.values())
    weights = min(weights, len(program.canonical))
    lists = len(program.canonical) - weights
    batch = max(rows, PROBE_ROWS) * (program.live_row_elements + program.width_in + program.width_out) * VALUE_BYTES
    return BASE_MIB + -(-(lists * PER_LIST_BYTE + weights * PER_WEIGHT_BYTE + batch) // MIB)
