"""The partner's pass and row alignment, in processor time of one core.

The pass is a whole task: rows are parsed and checked, columns of 1024 levels summed up, results serialised. Its peer is
what stock phe does for the same sums: one multiplication and one addition of encrypted numbers per row, column and
number of a row, with the same weights. Ours handles all numbers of a row at once; phe's figure is for *one* number, so
that the ratio does not count the slots. Both sides' answers are checked first.

Alignment is hashing, masking, checking and masking again; its peer is the same on the curve P-256 of `cryptography`,
multiplications and checks of points only.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from gmpy2 import mpz

from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.paillier.slots import Layout
from nodes.joint import alignment, partner, renter
from nodes.joint.alignment import Masking
from tests.bench.harness import Result, faster, interleave, more

KEY_SIZES: Final = (2048, 3072)
WIDTH: Final = 31
"""Numbers of a row: 30 columns and a label."""
ROWS: Final = 8192
COLUMNS: Final = 32
"""Enough for reading the rows to weigh little, as it does with the hundreds of columns of a real partner."""
LEVELS: Final = 1024
THEIR_ROWS: Final = 200
IDS: Final = 1000


def run(only: str) -> Iterator[Result]:
    """Measures the names that start with `only`."""
    for bits in KEY_SIZES:
        if f"joint.pass.{bits}".startswith(only):
            figures = interleave(*_pass(paillier.generate(bits)))
            yield faster(f"joint.pass.{bits}", *figures, "phe on gmpy2, one slot", "µs/row/column")
    if "joint.psi".startswith(only):
        ids = [f"patient {at}" for at in range(IDS)]
        rates = interleave(partial(_rate, _aligned, ids), partial(_rate, _on_p256, ids))
        yield more("joint.psi", *rates, "P-256, without hashing", "ids/s")


def _pass(secret: PaillierSecret) -> tuple[Callable[[], float], Callable[[], float]]:
    rng = np.random.default_rng(WIDTH)
    public, theirs = secret.public, secret.to_phe()
    given = rng.integers(-(2**15), 2**15, size=(ROWS, WIDTH))
    weights = rng.integers(-LEVELS // 2, LEVELS // 2, size=(ROWS, COLUMNS)).astype(np.int16)
    body = renter.encrypted(public, given, 2**15)
    moments, size = partner.cross_moments(public, body, weights), public.ciphertext_bytes
    numbers = [mpz.from_bytes(moments[at : at + size], "big") for at in range(0, len(moments), size)]
    layout = Layout.widest(public.bits, WIDTH)
    opened = layout.unpack(secret.decrypt_plaintexts(numbers), public.n, layout.limit)
    assert opened == (weights.T.astype(np.int64) @ given).tolist()

    factors = weights[:THEIR_ROWS, 0].tolist()
    column = [theirs.public_key.encrypt(value) for value in given[:THEIR_ROWS, 0].tolist()]
    peer = partial(_weighted, column, factors)
    assert theirs.decrypt(peer()) == int(given[:THEIR_ROWS, 0] @ factors)
    ours = partial(_microseconds, lambda: partner.cross_moments(public, body, weights), ROWS * COLUMNS)
    return ours, partial(_microseconds, peer, THEIR_ROWS)


def _weighted(column: list[Any], factors: list[int]) -> Any:
    return sum(number * factor for number, factor in zip(column, factors, strict=True))


def _microseconds(work: Callable[[], object], count: int) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1e6 / count


def _rate(work: Callable[[list[str]], object], ids: list[str]) -> float:
    """Ids per second of one core: each is hashed and masked once, and one of the other side's masked again."""
    start = time.process_time()
    work(ids)
    return len(ids) / (time.process_time() - start)


def _aligned(ids: list[str]) -> bytes:
    masking = Masking(secrets.token_bytes(alignment.SECRET_BYTES), bytes(alignment.SALT_BYTES))
    return alignment.remasked(masking, alignment.masked(masking, ids))


def _on_p256(ids: list[str]) -> list[bytes]:
    key, curve = ec.generate_private_key(ec.SECP256R1()), ec.SECP256R1()
    point = key.public_key().public_numbers()
    read = partial(ec.EllipticCurvePublicNumbers, point.x, point.y, curve)
    return [key.exchange(ec.ECDH(), read().public_key()) for _ in range(2) for _ in ids]
