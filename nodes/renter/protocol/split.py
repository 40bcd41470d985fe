"""Splitting (S1): one part per contract in proportion to its units, and the local part. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Final, Protocol

from nodes.renter.protocol.records import LOCAL, VALUE_BYTES, Part
from schemas import limits
from schemas.errors import BadInput
from schemas.jobs import JobSpec

BATCHES_PER_PART_MIN: Final = 16
"""Parts are cut at least this often where rows allow, so that a part's workers share it and a loss costs little."""
ROWS_PER_BATCH_MIN: Final = 47
"""Fewer rows than one full ciphertext holds (3072 bits) waste encryption."""


class Packing(Protocol):
    """What packs rows into ciphertexts: `SchemeFacts`, or a scheme's shape."""

    @property
    def slots(self) -> int:
        """Rows per ciphertext."""
        ...

    @property
    def ciphertext_bytes(self) -> int:
        """Of one."""
        ...


def rows_per_batch(
    spec: JobSpec, rows: int, width: int, lessors: int, scheme: Packing | None = None, *, row_elements: int = 1
) -> int:
    """As the job asks; otherwise near the target body size, often enough to share, whole ciphertexts where packed.

    Args:
        spec: the job.
        rows: of the whole job.
        width: the larger of input and output columns.
        lessors: that share them, beside the local part.
        scheme: in which the data travels; None for plain values.
        row_elements: numbers that the program makes of a row, where it runs on plain values.

    Raises:
        BadInput: the job would have more than `BATCHES_PER_JOB_MAX` batches.
    """
    slots, value_bytes = (1, VALUE_BYTES) if scheme is None else (scheme.slots, scheme.ciphertext_bytes)
    parts = lessors + (1 if spec.local_share else 0)
    by_size = max(1, limits.BODY_BYTES_TARGET // (width * value_bytes)) * slots
    by_share = max(ROWS_PER_BATCH_MIN, ceil(rows / (parts * BATCHES_PER_PART_MIN)))
    by_memory = max(1, limits.ROW_ELEMENTS_PER_BATCH_MAX // row_elements)
    chosen = spec.batch_rows or min(by_size, ceil(by_share / slots) * slots, by_memory, limits.ROWS_PER_BATCH_MAX)
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
