"""Packed Paillier against stock phe on gmpy2, in processor time of one core.

phe is used as its documentation does: one `encrypt` per value, `sum(x * w)` over encrypted numbers with the same
integer weights, one `decrypt` per value. Ours works on whole bodies; its figures are per value or per row, packing,
checks and serialisation included, tables and keys made beforehand. Both sides' answers are checked before measuring.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import numpy as np

from nodes.homomorphic import paillier
from nodes.homomorphic.paillier import PaillierSecret
from nodes.homomorphic.scheme import IntegerProgram
from tests.bench.harness import Result, faster, interleave

FEATURES: Final = 30
WEIGHT_BITS: Final = 16
VALUE_BITS: Final = 40
BLOCKS: Final = 12
"""Full ciphertexts per column, so that ours is measured over hundreds of rows."""
PEER: Final = "phe on gmpy2"

Operation = tuple[str, str, Callable[[], float], Callable[[], float]]


def run(only: str) -> Iterator[Result]:
    """Measures the names that start with `only`."""
    for bits in (2048, 3072):
        if not any(f"paillier.{name}.{bits}".startswith(only) for name in ("encrypt", "dot30", "decrypt")):
            continue
        for name, unit, ours, peer in _operations(paillier.generate(bits)):
            if f"paillier.{name}.{bits}".startswith(only):
                yield faster(f"paillier.{name}.{bits}", *interleave(ours, peer), PEER, unit)


def _operations(secret: PaillierSecret) -> Iterator[Operation]:
    public, theirs = secret.public, secret.to_phe()
    rng = np.random.default_rng(30)
    rows = public.slots * BLOCKS
    limit = 2**VALUE_BITS
    values = rng.integers(-limit, limit, size=(rows, FEATURES), dtype=np.int64)
    weights = rng.integers(-(2 ** (WEIGHT_BITS - 1)), 2 ** (WEIGHT_BITS - 1), size=FEATURES).tolist()
    program = IntegerProgram((tuple(weights),), (0,), input_max=limit)
    body = public.encrypt(values)
    result = public.evaluate(body, rows, program)
    their_row = [theirs.public_key.encrypt(value) for value in values[0].tolist()]
    expected = (values @ np.array(weights)).tolist()
    assert secret.decrypt(result, rows, 1)[:, 0].tolist() == expected
    assert theirs.decrypt(_dot(their_row, weights)) == expected[0]

    yield (
        "encrypt",
        "µs/value",
        partial(_microseconds, lambda: public.encrypt(values), values.size),
        partial(_microseconds, lambda: [theirs.public_key.encrypt(value) for value in values[0, :8].tolist()], 8),
    )
    yield (
        "dot30",
        "µs/row",
        partial(_microseconds, lambda: public.evaluate(body, rows, program), rows),
        partial(_microseconds, lambda: [_dot(their_row, weights) for _ in range(10)], 10),
    )
    yield (
        "decrypt",
        "µs/value",
        partial(_microseconds, lambda: secret.decrypt(body, rows, FEATURES), values.size),
        partial(_microseconds, lambda: [theirs.decrypt(number) for number in their_row], FEATURES),
    )


def _dot(numbers: list[Any], weights: list[int]) -> Any:
    return sum(number * weight for number, weight in zip(numbers, weights, strict=True))


def _microseconds(work: Callable[[], object], count: int) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) / count * 1e6
