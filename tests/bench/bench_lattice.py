"""BFV against stock phe on gmpy2, packed Paillier of ours, and bare SEAL, in processor time of one core.

Numbers and weights are as wide as an error of 1e-4 asks for on 30 columns within ±4. Whole bodies: read, checked and
written; keys, contexts and noise tables are made beforehand, and answers are checked. phe is used as its documentation
does, with keys of 3072 bits. `job` encrypts, computes and decrypts; an audit is in none of them. Bare SEAL does the
same work as `job` on SEAL's own bytes, uncompressed, and looks at nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nodes.homomorphic.bfv import linear as bfv
from nodes.homomorphic.bfv.linear import BfvSecret
from nodes.homomorphic.costs import TABLES_AFTER
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.port import IntegerProgram
from tests.bench.harness import Result, faster, interleave

ROWS: Final = 8192
FEATURES: Final = 30
VALUE_BITS: Final = 18
WEIGHT_BITS: Final = 17
PAILLIER_BITS: Final = 3072
PAILLIER_BLOCKS: Final = 12
"""Full ciphertexts per column; Paillier's figures per row do not depend on them."""
FEW: Final = 8
"""Values that phe encrypts or decrypts in a round."""
ROUNDS: Final = 7
PHE: Final = "phe on gmpy2"
NAMES: Final = ("encrypt", "dot30", "decrypt", "job", "seal")

Integers = NDArray[np.int64]


def run(only: str) -> Iterator[Result]:
    """Measures the names that start with `only`."""
    if not any(f"lattice.{name}".startswith(only) for name in NAMES):
        return
    rng = np.random.default_rng(30)
    reach = 1 << VALUE_BITS
    values = rng.integers(-reach, reach, size=(ROWS, FEATURES), dtype=np.int64)
    weights = rng.normal(0, (1 << WEIGHT_BITS) / FEATURES, size=FEATURES).round().astype(np.int64).tolist()
    program = IntegerProgram((tuple(weights),), (5,), input_max=reach)
    secret, theirs = bfv.generate_for(program, ROWS), paillier.generate(PAILLIER_BITS)
    checked(secret, values, program)
    measures: dict[str, Callable[[], Result]] = {
        "job": partial(_against_paillier, secret, theirs, values, program),
        "seal": partial(_against_seal, secret, values, program),
    }
    for name in NAMES:
        if f"lattice.{name}".startswith(only):
            yield measures[name]() if name in measures else _against_phe(name, secret, theirs, values, program)


def checked(secret: BfvSecret | PaillierSecret, values: Integers, program: IntegerProgram) -> None:
    """The answer is right."""
    shown = job(secret, values, program)
    assert (shown == values @ np.array(program.weights).T + np.array(program.bias)).all()


def job(secret: BfvSecret | PaillierSecret, values: Integers, program: IntegerProgram) -> Integers:
    """All arithmetic of a job, without its audit."""
    result = secret.public.evaluate(secret.encrypt(values), len(values), program)
    return secret.decrypt(result, len(values), program.width_out)


def _against_phe(
    name: str, secret: BfvSecret, theirs: PaillierSecret, values: Integers, program: IntegerProgram
) -> Result:
    phe, row = theirs.to_phe(), values[0].tolist()
    body = secret.encrypt(values)
    result = secret.public.evaluate(body, ROWS, program)
    weights = program.weights[0]
    ours: dict[str, tuple[str, int, Callable[[], object]]] = {
        "encrypt": ("µs/value", values.size, lambda: secret.encrypt(values)),
        "dot30": ("µs/row", ROWS, lambda: secret.public.evaluate(body, ROWS, program)),
        "decrypt": ("µs/value", ROWS, lambda: secret.decrypt(result, ROWS, 1)),
    }
    numbers = [phe.public_key.encrypt(value) for value in row]
    assert phe.decrypt(_dot(numbers, weights)) == int(values[0] @ np.array(weights))
    peers: dict[str, tuple[int, Callable[[], object]]] = {
        "encrypt": (FEW, lambda: [phe.public_key.encrypt(value) for value in row[:FEW]]),
        "dot30": (FEW, lambda: [_dot(numbers, weights) for _ in range(FEW)]),
        "decrypt": (FEW, lambda: [phe.decrypt(number) for number in numbers[:FEW]]),
    }
    unit, count, work = ours[name]
    few, peer = peers[name]
    times = interleave(partial(_microseconds, work, count), partial(_microseconds, peer, few), ROUNDS)
    return faster(f"lattice.{name}", *times, PHE, unit)


def _against_paillier(secret: BfvSecret, theirs: PaillierSecret, values: Integers, program: IntegerProgram) -> Result:
    part = values[: theirs.public.slots * PAILLIER_BLOCKS]
    for _ in range(-(-TABLES_AFTER[-1] // (PAILLIER_BLOCKS * FEATURES))):  # so that its tables of noise are made
        theirs.encrypt(part)
    checked(theirs, part, program)
    times = interleave(
        partial(_microseconds, lambda: job(secret, values, program), ROWS),
        partial(_microseconds, lambda: job(theirs, part, program), len(part)),
        ROUNDS,
    )
    return faster("lattice.job", *times, f"packed Paillier, {PAILLIER_BITS} bits", "µs/row")


def _against_seal(secret: BfvSecret, values: Integers, program: IntegerProgram) -> Result:
    shown = _bare(secret, values, program)
    assert (shown == values @ np.array(program.weights[0]) + program.bias[0]).all()
    times = interleave(
        partial(_microseconds, lambda: job(secret, values, program), ROWS),
        partial(_microseconds, lambda: _bare(secret, values, program), ROWS),
        ROUNDS,
    )
    return faster("lattice.seal", *times, "bare SEAL", "µs/row")


def _bare(secret: BfvSecret, values: Integers, program: IntegerProgram) -> Integers:
    """By SEAL alone: no frames and no checks."""
    engine, t = secret.public.engine, secret.public.parameters.t
    context, evaluator, slots = engine.context, engine.evaluator, secret.public.slots
    residues = np.where(values < 0, values + t, values).T.astype("<u8")
    constants = [engine.constant(abs(weight)) for weight in program.weights[0]]
    bias = engine.plaintext(np.full(slots, program.bias[0], "<u8"))
    shown = []
    for at in range(0, len(values), slots):
        sent = [
            secret.encryptor.encrypt_symmetric(engine.plaintext(column[at : at + slots])).to_string()
            for column in residues
        ]
        total = secret.public.encryptor.encrypt(bias)
        for stream, weight, constant in zip(sent, program.weights[0], constants, strict=True):
            product = evaluator.multiply_plain(context.from_cipher_str(stream), constant)
            if weight < 0:
                evaluator.negate_inplace(product)
            evaluator.add_inplace(total, product)
        back = context.from_cipher_str(total.to_string())
        shown.append(engine.coefficients(secret.decryptor.decrypt(back)))
    found = np.concatenate(shown).astype(np.int64)
    return np.where(found > t // 2, found - t, found)


def _dot(numbers: list[Any], weights: tuple[int, ...]) -> Any:
    return sum(number * weight for number, weight in zip(numbers, weights, strict=True))


def _microseconds(work: Callable[[], object], count: int) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) / count * 1e6
