"""Which rows jobs of one renter rest on: what differs between two of them shows what its rows have. Pure.

A renter that holds sums over two sets of rows holds the sum over what only one of them has, and so with every number of
sets: whatever it adds and subtracts weighs people alike who are in the same sets. So all people of the sets fall into
groups by the sets they are in, and each group has to be as large as the rows under one output.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from nodes.joint.errors import TooRevealing

RowSet = NDArray[np.uint64]
"""Digests of row ids, ascending; two of a billion are equal by chance with a probability of 3 %."""
DIGEST_BYTES = 8


def row_set(ids: Iterable[list[str]]) -> NDArray[np.uint64]:
    """Of ids in the order of their table: not a `RowSet` before it is sorted."""
    raw = b"".join(_digest(each) for some in ids for each in some)
    return np.frombuffer(raw, dtype="<u8").astype(np.uint64)


def require_groups(asked: RowSet, earlier: Sequence[RowSet], rows_min: int) -> None:
    """Raises TooRevealing `rows-too-alike`: sums over these rows and those of earlier jobs would show too few people.

    `earlier` are those that have rows of `asked`. One set alone is as large as it is: that is judged elsewhere.
    """
    found = smallest_group((asked, *earlier)) if earlier else rows_min
    if found < rows_min:
        raise TooRevealing(
            f"with the renter's earlier jobs the sums would show {found} rows alone: at least {rows_min} are wanted",
            code="rows-too-alike",
        )


def smallest_group(sets: Sequence[RowSet]) -> int:
    """People in the smallest group of those who are in the same sets; 0 where there is nobody."""
    everybody = np.unique(np.concatenate(sets))
    groups = np.zeros(len(everybody), dtype=np.int64)
    for each in sets:
        inside = np.isin(everybody, each, assume_unique=True)
        groups = np.unique(groups * 2 + inside, return_inverse=True)[1]
    return int(np.bincount(groups).min()) if len(everybody) else 0


def overlap(one: RowSet, other: RowSet) -> bool:
    """Whether anybody is in both."""
    return bool(np.isin(one, other, assume_unique=True).any())


def _digest(row_id: str) -> bytes:
    return hashlib.sha256(row_id.encode(errors="surrogatepass")).digest()[:DIGEST_BYTES]
