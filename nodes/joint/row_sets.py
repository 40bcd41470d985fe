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
    if found < rows_min or not len(asked):
        raise TooRevealing(
            f"with the renter's earlier jobs the sums would show {found} rows alone: at least {rows_min} are wanted",
            code="rows-too-alike",
        )


def kept(asked: NDArray[np.uint64], earlier: Sequence[RowSet], rows_min: int, seed: bytes) -> NDArray[np.bool_]:
    """Which of the rows asked for, in any order, make no group that is too small: as many as there can be.

    Of people who were in the same earlier sets, too few may be asked for, or too few be left out: then none of them is
    kept, or as many more left out, whom `seed` names. People who were in none have only to be enough.
    """
    everybody, groups = _groups(earlier, asked)
    inside = np.isin(everybody, asked)
    known = np.isin(everybody, np.concatenate(earlier)) if earlier else np.zeros(len(everybody), dtype=np.bool_)
    for members in np.split(np.argsort(groups, kind="stable"), np.flatnonzero(np.diff(np.sort(groups))) + 1):
        here = members[inside[members]]
        away = len(members) - len(here)
        more = rows_min - away if 0 < away < rows_min else 0
        if len(here) - more < rows_min and (away or not known[members[0]]):
            more = len(here)
        inside[_drawn(here, more, seed)] = False
    return np.asarray(inside[np.searchsorted(everybody, asked)])


def _drawn(rows: NDArray[np.int64], count: int, seed: bytes) -> NDArray[np.int64]:
    """So many of them, by the seed."""
    order = np.frombuffer(hashlib.shake_256(seed).digest(8 * len(rows)), dtype="<u8").argsort()
    return rows[order[:count]]


def smallest_group(sets: Sequence[RowSet]) -> int:
    """People in the smallest group of those who are in the same sets; 0 where there is nobody."""
    groups = _groups(sets)[1]
    return int(np.bincount(groups).min()) if len(groups) else 0


def _groups(sets: Sequence[RowSet], *others: NDArray[np.uint64]) -> tuple[RowSet, NDArray[np.int64]]:
    """Everybody in the sets, and others; and the number of the group of each by the sets that it is in."""
    everybody = np.unique(np.concatenate([*sets, *others]))
    groups = np.zeros(len(everybody), dtype=np.int64)
    for each in sets:
        groups = np.unique(groups * 2 + np.isin(everybody, each, assume_unique=True), return_inverse=True)[1]
    return everybody, groups


def overlap(one: RowSet, other: RowSet) -> bool:
    """Whether anybody is in both."""
    return bool(np.isin(one, other, assume_unique=True).any())


def _digest(row_id: str) -> bytes:
    return hashlib.sha256(row_id.encode(errors="surrogatepass")).digest()[:DIGEST_BYTES]
