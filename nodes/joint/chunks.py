"""In which sizes masked ids travel. Pure."""

from __future__ import annotations

from typing import Final

MASKED_BYTES: Final = 32
REMASKED_BYTES: Final = 16
"""Of a double mask: two of 10^6 ids each collide with a probability below 2^-88."""
IDS_PER_CHUNK: Final = 16_384
"""512 KiB of masks; a core masks them in one or two seconds."""


def chunks(ids: int) -> int:
    """How many there are of so many ids."""
    return -(-ids // IDS_PER_CHUNK)


def span(ids: int, number: int) -> tuple[int, int]:
    """(first id, ids) of a chunk, counted from 0."""
    first = number * IDS_PER_CHUNK
    return first, min(IDS_PER_CHUNK, ids - first)
