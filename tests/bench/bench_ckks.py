"""CKKS against packed Paillier of 3072 bits, both ours, on the same rows and program, in processor time.

Whole bodies on both sides, read, checked and written, and encrypted by the owner of the key; neither uses a second
core. Keys, contexts and noise tables are made beforehand. `ckks.error` is the largest error of the program's results as
a part of the largest possible result, half a unit when all are exact; its peer is the bound that the adapter promises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import numpy as np

from nodes.homomorphic.ckks import linear as ckks
from nodes.homomorphic.ckks.seal import SLOTS
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.port import IntegerProgram
from tests.bench.harness import Result, faster, interleave

ROWS: Final = SLOTS
PEER_ROWS: Final = 47 * 12
"""Paillier takes seconds for all of them; its figures per value do not depend on the number of full blocks."""
FEATURES: Final = 30
VALUE_BITS: Final = 30
WEIGHT_BITS: Final = 16
NAMES: Final = ("encrypt", "dot30", "decrypt", "error")
PEER: Final = "packed Paillier, 3072 bits"

Operation = tuple[str, str, Callable[[], float], Callable[[], float]]


def run(only: str) -> Iterator[Result]:
    """Measures the names that start with `only`."""
    if not any(f"ckks.{name}".startswith(only) for name in NAMES):
        return
    rng = np.random.default_rng(30)
    limit = 2**VALUE_BITS
    values = rng.integers(-limit, limit, size=(ROWS, FEATURES), dtype=np.int64)
    weights = rng.integers(-(2 ** (WEIGHT_BITS - 1)), 2 ** (WEIGHT_BITS - 1), size=FEATURES).tolist()
    program = IntegerProgram((tuple(weights),), (0,), input_max=limit)
    secret, theirs = ckks.generate(VALUE_BITS), paillier.generate(3072)
    public, part = secret.public, values[:PEER_ROWS]
    body, their_body = public.encrypt(values), theirs.public.encrypt(part)
    result, their_result = public.evaluate(body, ROWS, program), theirs.public.evaluate(their_body, PEER_ROWS, program)
    expected = values @ np.array(weights)
    wrong = float(np.abs(secret.decrypt(result, ROWS, 1)[:, 0] - expected).max())
    error = max(wrong, ckks.EXACT_ERROR) / program.largest(ROWS)
    assert error <= public.relative_error
    assert theirs.decrypt(their_result, PEER_ROWS, 1)[:, 0].tolist() == expected[:PEER_ROWS].tolist()
    yield faster("ckks.error", error, public.relative_error, "the promised bound", "of the largest result")
    operations: tuple[Operation, ...] = (
        (
            "encrypt",
            "µs/value",
            partial(_microseconds, lambda: secret.encrypt(values), values.size),
            partial(_microseconds, lambda: theirs.encrypt(part), part.size),
        ),
        (
            "dot30",
            "µs/row",
            partial(_microseconds, lambda: public.evaluate(body, ROWS, program), ROWS),
            partial(_microseconds, lambda: theirs.public.evaluate(their_body, PEER_ROWS, program), PEER_ROWS),
        ),
        (
            "decrypt",
            "µs/value",
            partial(_microseconds, lambda: secret.decrypt(result, ROWS, 1), ROWS),
            partial(_microseconds, lambda: theirs.decrypt(their_result, PEER_ROWS, 1), PEER_ROWS),
        ),
    )
    for name, unit, ours, peer in operations:
        if f"ckks.{name}".startswith(only):
            yield faster(f"ckks.{name}", *interleave(ours, peer), PEER, unit)


def _microseconds(work: Callable[[], object], count: int) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) / count * 1e6
