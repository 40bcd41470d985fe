"""The partner's tasks for a crew: the pass over encrypted rows, and the rotation of what it gives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from gmpy2 import mpz

from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.joint import buckets, fresh, rotation
from nodes.joint.columns import Integers


def cross_moments(public: PaillierPublic, body: bytes, integers: Integers) -> bytes:
    """For every column of `integers` [rows, width] the ciphertext of the sum over rows of weight times row.

    For one block of rows and some or all columns; `added` joins blocks, and columns are joined by joining bytes. Its
    noise is that of the rows: it must not leave the partner. Raises BadCiphertext.
    """
    rows = buckets.read(body, public.n, public.ciphertext_bytes, len(integers))
    return public.serialise(buckets.weighted_sums(rows, integers, public.n))


def added(public: PaillierPublic, left: bytes, right: bytes) -> bytes:
    """The sums of two blocks' moments, both made here: they are not checked again."""
    pairs = zip(_numbers(public, left), _numbers(public, right), strict=True)
    return public.serialise([a * b % public.n_squared for a, b in pairs])


def rotated(public: PaillierPublic, moments: bytes, weights: list[list[int]]) -> bytes:
    """Some rows of R times all moments, under noise that hides everything else from the key's owner."""
    rows = np.array(weights, dtype=np.int64)
    return public.serialise(
        fresh.rerandomised(public, rotation.rotated(list(_numbers(public, moments)), rows, public.n))
    )


def _numbers(public: PaillierPublic, body: bytes) -> Iterator[mpz]:
    size = public.ciphertext_bytes
    return (mpz.from_bytes(body[at : at + size], "big") for at in range(0, len(body), size))
