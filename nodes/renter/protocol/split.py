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
    spec: JobSpec,
    rows: int,
    width: int,
    lessors: int,
    scheme: Packing | None = None,
    *,
    row_elements: int = 1,
    row_seconds: float = 0.0,
) -> int:
    """As the job asks; otherwise near the target body size, often enough to share, whole ciphertexts where packed.

    Either way no more than `BATCH_SECONDS` of work, as far as the job may have so many batches.

    Args:
        spec: the job.
        rows: of the whole job.
        width: the larger of input and output columns.
        lessors: that share them, beside the local part.
        scheme: in which the data travels; None for plain values.
        row_elements: numbers that the program makes of a row, where it runs on plain values.
        row_seconds: of one core, that the slowest step takes for a row; 0 where it is not known.

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
    fewest = ceil(rows / (limits.BATCHES_PER_JOB_MAX - parts))
    return max(fewest, rows_in_time(chosen, row_seconds, slots))


def rows_in_time(rows: int, row_seconds: float, slots: int = 1) -> int:
    """So many of these rows as take no longer than a batch may; whole ciphertexts, and one at least."""
    if rows * row_seconds <= limits.BATCH_SECONDS:
        return rows
    return min(rows, max(1, int(limits.BATCH_SECONDS / row_seconds / slots)) * slots)


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
        part = part_of(owner, first_batch, first_row, end_row - first_row, rows_per_batch)
        parts.append(part)
        first_row, first_batch = end_row, first_batch + part.batches
    parts.append(part_of(LOCAL, first_batch, first_row, rows - first_row, rows_per_batch))
    return tuple(parts)


def rows_of(parts: Sequence[Part], batch: int) -> tuple[int, int]:
    """(first row, number of rows) of a batch."""
    for part in parts:
        if part.first_batch <= batch < part.first_batch + part.batches:
            start = (batch - part.first_batch) * part.rows_each
            return part.first_row + start, min(part.rows_each, part.rows - start)
    raise LookupError(f"no batch {batch}")


def ranges(parts: Sequence[Part]) -> Iterator[tuple[int, int, int]]:
    """(batch, first row, rows) of every batch, in row order."""
    for part in parts:
        for batch in range(part.first_batch, part.first_batch + part.batches):
            yield batch, *rows_of((part,), batch)


def part_of(owner: str, first_batch: int, first_row: int, rows: int, rows_each: int) -> Part:
    """A part of so many rows, in batches of so many each."""
    return Part(
        owner=owner,
        first_batch=first_batch,
        batches=ceil(rows / rows_each),
        first_row=first_row,
        rows=rows,
        rows_each=rows_each,
    )
