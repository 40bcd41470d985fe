"""Splitting (S1): one part per contract in proportion to its units, and the local part. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Final

from nodes.renter.protocol.records import LOCAL, Part
from schemas import limits
from schemas.errors import BadInput

BATCHES_PER_PART_MIN: Final = 16
"""Parts are cut at least this often where rows allow, so that a part's workers share it and a loss costs little."""
ROWS_PER_BATCH_MIN: Final = 47
"""Fewer rows than one full ciphertext holds (3072 bits) waste encryption."""
VALUE_BYTES: Final = 8
"""A row's value in plaintext (float64), which is what an enclave batch carries."""


def batch_rows(rows: int, parts: int, width: int, *, slots: int = 1, ciphertext_bytes: int = VALUE_BYTES) -> int:
    """Rows per batch: near the target body size, often enough to share, whole ciphertexts where packed.

    Args:
        rows: of the whole job.
        parts: that share them.
        width: the larger of input and output columns.
        slots: rows per ciphertext (1 where nothing is packed).
        ciphertext_bytes: of one packed column block.

    Raises:
        BadInput: the job would have more than `BATCHES_PER_JOB_MAX` batches.
    """
    by_size = max(1, limits.BODY_BYTES_TARGET // (width * ciphertext_bytes)) * slots
    by_share = max(ROWS_PER_BATCH_MIN, ceil(rows / (parts * BATCHES_PER_PART_MIN)))
    chosen = min(by_size, ceil(by_share / slots) * slots, limits.ROWS_PER_BATCH_MAX)
    if ceil(rows / chosen) + parts > limits.BATCHES_PER_JOB_MAX:
        raise BadInput(f"{rows} rows in batches of {chosen} are more than {limits.BATCHES_PER_JOB_MAX} batches")
    return chosen


def split(rows: int, rows_per_batch: int, owners: Sequence[tuple[str, int]], local_share: float) -> tuple[Part, ...]:
    """Parts in row order; the local part comes last. Every row belongs to exactly one part.

    Args:
        rows: of the job, at least 1.
        rows_per_batch: rows of every batch but a part's last.
        owners: (subtask id, units) per contract, at least one.
        local_share: share of the rows for the renter itself, 0 to 1.
    """
    local_rows = min(rows, round(rows * local_share))
    rented = rows - local_rows
    units = sum(weight for _, weight in owners)
    parts: list[Part] = []
    first_row = first_batch = given = 0
    for owner, weight in owners:
        given += weight
        end_row = rented * given // units
        part = _part(owner, first_batch, first_row, end_row - first_row, rows_per_batch)
        parts.append(part)
        first_row, first_batch = end_row, first_batch + part.batches
    parts.append(_part(LOCAL, first_batch, first_row, rows - first_row, rows_per_batch))
    return tuple(parts)


def rows_of(parts: Sequence[Part], rows_per_batch: int, batch: int) -> tuple[int, int]:
    """(first row, number of rows) of a batch."""
    for part in parts:
        if part.first_batch <= batch < part.first_batch + part.batches:
            start = (batch - part.first_batch) * rows_per_batch
            return part.first_row + start, min(rows_per_batch, part.rows - start)
    raise LookupError(f"no batch {batch}")


def ranges(parts: Sequence[Part], rows_per_batch: int) -> Iterator[tuple[int, int, int]]:
    """(batch, first row, rows) of every batch, in order."""
    for part in parts:
        for batch in range(part.first_batch, part.first_batch + part.batches):
            yield batch, *rows_of((part,), rows_per_batch, batch)


def _part(owner: str, first_batch: int, first_row: int, rows: int, rows_per_batch: int) -> Part:
    return Part(
        owner=owner, first_batch=first_batch, batches=ceil(rows / rows_per_batch), first_row=first_row, rows=rows
    )
