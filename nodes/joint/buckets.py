"""Sums of encrypted rows, each with its own weight for every column: the arithmetic of the partner's pass. Pure.

A ciphertext E = high n + low is low (1 + n t) modulo n^2 with t = high / low modulo n. One batched inversion gives all
t, and is the check that all are units. So for a column x the product of E_i^x_i is the product of low_i^x_i, times
1 + n sum of x_i t_i. The sums are a matrix product of machine words: the t go in as 16-bit limbs.

The product of the lows is taken by value: one bucket per level holds the product of all lows whose row has that level,
which is one product of half a size by a full size per row. With levels u_1 > u_2 > ... > 0, the running products of the
buckets are then raised to the *gaps* u_1 - u_2, ..., so that the cost depends on the number of levels, not on their
bits; negative levels likewise, with one inverse. Rows at level 0 cost nothing.

Columns of few levels share their buckets: one per combination of levels, from which each column's own are added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from gmpy2 import invert, mpz, powmod
from numpy.typing import NDArray

from nodes.homomorphic.paillier import ciphertexts
from nodes.joint.columns import Integers

LIMB_BLOCK_ROWS = 2048
"""Rows of one matrix product of limbs: exact in float64 for columns of up to 26 bits, 2^11 2^16 2^25 < 2^53."""
MERGE_COST = 1.8
"""Of adding one combination's bucket up into a column's, in products of a row into a bucket."""
LEVELS_JOINT_MAX = 65_536
"""Combinations of levels that are ever considered."""

_LIMB_BITS = 16
_EXACT_BITS = 53


@dataclass(frozen=True, slots=True)
class Rows:
    """Encrypted rows, checked: row i is heads[i] (1 + n tails[i]) modulo n^2."""

    heads: list[mpz]
    tails: list[mpz]


def read(body: bytes, n: mpz, ciphertext_bytes: int, rows: int) -> Rows:
    """The rows of a body of one ciphertext each; raises BadCiphertext unless every one is valid."""
    pairs = ciphertexts.parse_unproven(body, n, ciphertext_bytes, rows * ciphertext_bytes)
    heads = [low for _, low in pairs]
    inverses = ciphertexts.inverses(heads, n)
    tails = [high * inverse % n for (high, _), inverse in zip(pairs, inverses, strict=True)]
    return Rows(heads, tails)


def weighted_sums(rows: Rows, integers: Integers, n: mpz) -> list[mpz]:
    """For every column of `integers` [rows, width] the ciphertext of the sum over rows of weight times row."""
    n_squared = n * n
    products: list[mpz] = [mpz(1)] * integers.shape[1]
    for group in groups(integers):
        for column, product in zip(group, joint_products(rows.heads, integers[:, group], n_squared), strict=True):
            products[column] = product
    tails = weighted_tails(rows.tails, integers, n)
    return [product * (1 + n * tail) % n_squared for product, tail in zip(products, tails, strict=True)]


def weighted_tails(tails: Sequence[mpz], integers: Integers, n: mpz) -> list[mpz]:
    """The sum of weight times tail modulo n, for every column."""
    size = -(-n.bit_length() // _LIMB_BITS) * _LIMB_BITS // 8
    largest = int(np.abs(integers.astype(np.int64)).max(initial=0))
    exact = 1 << max(_EXACT_BITS - _LIMB_BITS - largest.bit_length(), 0)
    step = min(LIMB_BLOCK_ROWS, exact)
    sums = np.zeros((integers.shape[1], size * 8 // _LIMB_BITS), dtype=np.int64)
    for start in range(0, len(tails), step):
        raw = b"".join([tail.to_bytes(size, "little") for tail in tails[start : start + step]])
        limbs = np.frombuffer(raw, dtype="<u2").reshape(-1, sums.shape[1]).astype(np.float64)
        sums += (integers[start : start + step].T.astype(np.float64) @ limbs).astype(np.int64)
    return [_from_limbs(row) % n for row in sums.tolist()]


def _from_limbs(limbs: Sequence[int]) -> mpz:
    total = mpz(0)
    for limb in reversed(limbs):
        total = (total << _LIMB_BITS) + limb
    return total


def groups(integers: Integers) -> list[list[int]]:
    """Which columns share buckets: those of the fewest levels together, as long as each is cheaper for it."""
    rows, width = integers.shape
    alone = [int(np.count_nonzero(column)) for column in integers.T]
    levels = [len(np.unique(column[column != 0])) + 1 for column in integers.T]
    made: list[list[int]] = []
    group: list[int] = []
    combinations = 1
    for column in sorted(range(width), key=lambda each: (levels[each], -alone[each])):
        wider = combinations * levels[column]
        members = len(group) + 1
        together = min(rows, sum(alone[each] for each in group) + alone[column]) + MERGE_COST * members * wider
        if group and wider <= LEVELS_JOINT_MAX and together < _cost(group, combinations, alone, rows) + alone[column]:
            group.append(column)
            combinations = wider
        else:
            group, combinations = [column], levels[column]
            made.append(group)
    return made


def _cost(group: Sequence[int], combinations: int, alone: Sequence[int], rows: int) -> float:
    if len(group) == 1:
        return alone[group[0]]
    return min(rows, sum(alone[each] for each in group)) + MERGE_COST * len(group) * combinations


def joint_products(heads: Sequence[mpz], integers: Integers, n_squared: mpz) -> list[mpz]:
    """The product of heads[i]^integers[i, j] modulo n^2, for every column j."""
    used = np.flatnonzero((integers != 0).any(axis=1))
    combinations, codes = _codes(integers[used])
    buckets: list[mpz | None] = [None] * len(combinations)
    for code, row in zip(codes, used.tolist(), strict=True):
        held = buckets[code]
        buckets[code] = heads[row] if held is None else held * heads[row] % n_squared
    filled = [(levels, bucket) for levels, bucket in zip(combinations, buckets, strict=True) if bucket is not None]
    return [
        finished(_marginal([(levels[column], bucket) for levels, bucket in filled], n_squared), n_squared)
        for column in range(integers.shape[1])
    ]


def _codes(integers: Integers) -> tuple[list[list[int]], list[int]]:
    """The combinations of levels that there are, and for each row which one it has."""
    joint: NDArray[np.int64] = np.zeros(len(integers), dtype=np.int64)
    for column in integers.T:
        found, codes = np.unique(column, return_inverse=True)
        joint = joint * len(found) + codes
    _, first, codes = np.unique(joint, return_index=True, return_inverse=True)
    return integers[first].tolist(), codes.tolist()


def _marginal(buckets: Sequence[tuple[int, mpz]], n_squared: mpz) -> dict[int, mpz]:
    """One bucket per level of a column, of buckets that may share levels."""
    found: dict[int, mpz] = {}
    for level, bucket in buckets:
        if level:
            found[level] = found[level] * bucket % n_squared if level in found else bucket
    return found


def finished(buckets: dict[int, mpz], n_squared: mpz) -> mpz:
    """The product of bucket^level, negative levels too."""
    rising = _rising({level: bucket for level, bucket in buckets.items() if level > 0}, n_squared)
    falling = _rising({-level: bucket for level, bucket in buckets.items() if level < 0}, n_squared)
    return rising if falling == 1 else rising * invert(falling, n_squared) % n_squared


def _rising(buckets: dict[int, mpz], n_squared: mpz) -> mpz:
    running, total = mpz(1), mpz(1)
    for level, following in pairwise([*sorted(buckets, reverse=True), 0]):
        running = running * buckets[level] % n_squared
        total = total * powmod(running, level - following, n_squared) % n_squared
    return total
