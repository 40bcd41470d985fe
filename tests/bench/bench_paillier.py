"""Packed Paillier against stock phe on gmpy2, in processor time of one core.

phe is used as its documentation does: one `encrypt` per value, `a + b` and `sum(x * w)` over encrypted numbers with
the same integer weights, one `decrypt` per value. Ours works on whole bodies; its figures are per value or per row,
packing, checks and serialisation included, tables and keys made beforehand. Both sides' answers are checked before
measuring. `add` is of ciphertexts in memory, as phe's is; `add_body` reads, checks and writes bodies. Neither puts
fresh noise on the sum.

`paillier.slots.*` holds slots as narrow as a job's proof allows against the widest: 30 columns up to 4 in size, normal
weights and an error of 1e-4.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import numpy as np

from nodes.homomorphic.costs import TABLES_AFTER
from nodes.homomorphic.encoding import integer_program, quantise
from nodes.homomorphic.paillier import ciphertexts
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.port import IntegerProgram
from nodes.programs.affine import AffineMap
from tests.bench.harness import Result, faster, interleave

FEATURES: Final = 30
WEIGHT_BITS: Final = 16
VALUE_BITS: Final = 40
BLOCKS: Final = 12
"""Full ciphertexts per column, so that ours is measured over hundreds of rows."""
PEER: Final = "phe on gmpy2"
KEY_SIZES: Final = (2048, 3072)
SLOTS_NAMES: Final = tuple(f"paillier.slots.{name}" for name in ("encrypt", "dot30", "decrypt", "bytes"))
SLOTS_KEY_BITS: Final = 3072
SLOTS_BOUND, SLOTS_ERROR = 4.0, 1e-4
ROUNDS: Final = 11
"""Enough for a median that one busy moment of the machine does not move."""

Operation = tuple[str, str, Callable[[], float], Callable[[], float]]


def run(only: str) -> Iterator[Result]:
    """Measures the names that start with `only`."""
    for bits in KEY_SIZES:
        if any(
            f"paillier.{name}.{bits}".startswith(only) for name in ("encrypt", "add", "add_body", "dot30", "decrypt")
        ):
            yield from _measured(_operations(paillier.generate(bits)), bits, only)
        if f"paillier.decrypt_subgroup.{bits}".startswith(only):
            yield from _measured(_decryptions(paillier.generate(bits, subgroup=True), "decrypt_subgroup"), bits, only)

    if any(name.startswith(only) for name in SLOTS_NAMES):
        yield from (result for result in _slots(paillier.generate(SLOTS_KEY_BITS)) if result.name.startswith(only))


def _slots(wide: PaillierSecret) -> Iterator[Result]:
    rng = np.random.default_rng(42)
    mapped = AffineMap(rng.normal(size=(FEATURES, 1)) / FEATURES**0.5, np.zeros(1))
    fixed, _ = quantise(mapped, np.full(FEATURES, SLOTS_BOUND), 1, 1, SLOTS_ERROR)
    program = integer_program(mapped, fixed)
    narrow = wide.laid_out(program)
    rows = narrow.public.slots * wide.public.slots
    values = rng.integers(-program.input_max, program.input_max, size=(rows, FEATURES), dtype=np.int64)
    expected = values @ np.array(program.weights[0]) + program.bias[0]
    peer = f"slots of {wide.public.slot_bits} bits"
    bodies: dict[int, tuple[bytes, bytes]] = {}
    for secret in (narrow, wide):
        body = secret.encrypt(values)
        result = secret.public.evaluate(body, rows, program)
        assert (secret.decrypt(result, rows, 1)[:, 0] == expected).all()
        bodies[secret.public.slot_bits] = body, result

    def each(work: Callable[[PaillierSecret, bytes, bytes], object], count: int) -> tuple[float, float]:
        ours, theirs = (
            partial(_microseconds, partial(work, secret, *bodies[secret.public.slot_bits]), count)
            for secret in (narrow, wide)
        )
        return interleave(ours, theirs)

    encrypt, dot, decrypt, size = SLOTS_NAMES
    yield faster(encrypt, *each(lambda secret, body, result: secret.encrypt(values), values.size), peer, "µs/value")
    yield faster(
        dot, *each(lambda secret, body, result: secret.public.evaluate(body, rows, program), rows), peer, "µs/row"
    )
    yield faster(decrypt, *each(lambda secret, body, result: secret.decrypt(result, rows, 1), rows), peer, "µs/row")
    ours, theirs = (len(bodies[secret.public.slot_bits][0]) / values.size for secret in (narrow, wide))
    yield faster(size, ours, theirs, peer, "B/value")


def _measured(operations: Iterator[Operation], bits: int, only: str) -> Iterator[Result]:
    for name, unit, ours, peer in operations:
        if f"paillier.{name}.{bits}".startswith(only):
            yield faster(f"paillier.{name}.{bits}", *interleave(ours, peer, ROUNDS), PEER, unit)


def _operations(secret: PaillierSecret) -> Iterator[Operation]:
    public, theirs = secret.public, secret.to_phe()
    rng = np.random.default_rng(30)
    rows = public.slots * BLOCKS
    limit = 2**VALUE_BITS
    values = rng.integers(-limit, limit, size=(rows, FEATURES), dtype=np.int64)
    weights = rng.integers(-(2 ** (WEIGHT_BITS - 1)), 2 ** (WEIGHT_BITS - 1), size=FEATURES).tolist()
    program = IntegerProgram((tuple(weights),), (0,), input_max=limit)
    for _ in range(-(-TABLES_AFTER[-1] // (BLOCKS * FEATURES))):
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
    yield from _additions(secret, values, their_row)
    yield (
        "dot30",
        "µs/row",
        partial(_microseconds, lambda: public.evaluate(body, rows, program), rows),
        partial(_microseconds, lambda: [_dot(their_row, weights) for _ in range(10)], 10),
    )
    yield from _decryptions(secret, "decrypt")


def _additions(secret: PaillierSecret, values: Any, their_row: list[Any]) -> Iterator[Operation]:
    public = secret.public
    left, right = (np.ascontiguousarray(values[:, :1]), np.ascontiguousarray(values[:, 1:2]))
    bodies = public.encrypt(left), public.encrypt(right)
    added = public.add(*bodies, len(values), 1)
    assert secret.decrypt(added, len(values), 1).tolist() == (left + right).tolist()
    first, second = their_row[:2]
    size = public.ciphertext_bytes
    numbers = [ciphertexts.read(body, public.n, size, len(body)) for body in bodies]
    peer = partial(_microseconds, lambda: [first + second for _ in range(1000)], 1000)
    in_memory = partial(
        _microseconds,
        lambda: [ciphertexts.added(numbers[0], numbers[1], public.n_squared) for _ in range(50)],
        50 * len(values),
    )
    whole = partial(_microseconds, lambda: [public.add(*bodies, len(values), 1) for _ in range(20)], 20 * len(values))
    yield "add", "µs/value", in_memory, peer
    yield "add_body", "µs/value", whole, peer


def _decryptions(secret: PaillierSecret, name: str) -> Iterator[Operation]:
    theirs = secret.to_phe()
    rows = secret.public.slots * BLOCKS
    values = np.random.default_rng(31).integers(-(2**62), 2**62, size=(rows, 2), dtype=np.int64)
    body = secret.public.encrypt(values)
    numbers = [theirs.public_key.encrypt(value) for value in values[:8, 0].tolist()]
    assert secret.decrypt(body, rows, 2).tolist() == values.tolist()
    assert [theirs.decrypt(number) for number in numbers] == values[:8, 0].tolist()
    yield (
        name,
        "µs/value",
        partial(_microseconds, lambda: secret.decrypt(body, rows, 2), values.size),
        partial(_microseconds, lambda: [theirs.decrypt(number) for number in numbers], len(numbers)),
    )


def _dot(numbers: list[Any], weights: list[int]) -> Any:
    return sum(number * weight for number, weight in zip(numbers, weights, strict=True))


def _microseconds(work: Callable[[], object], count: int) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) / count * 1e6
