"""Measures the units of `costs.py` on this machine: tasks for a process that does nothing else meanwhile.

Every unit is a difference of runs through the scheme port, the shortest of several: what disturbs only makes longer.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

import gmpy2
import msgspec
import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from nodes.homomorphic import noise, paillier
from nodes.homomorphic.costs import Units, steps
from nodes.homomorphic.scheme import IntegerProgram, SecretKey
from nodes.homomorphic.schemes import DEPTHS, KEY_BITS, generate, read_public
from schemas.jobs import APPROXIMATE, Scheme

ROUNDS: Final = 3
WIDTH: Final = 8
DRAWS: Final = 64
OUTPUTS: Final = 4
PAILLIER_BLOCKS: Final = 4
"""Full ciphertexts per column; of CKKS, whose ciphertexts hold thousands of rows, one."""
WEIGHTS: Final = tuple((-1) ** at * (40503 + 2654 * at) for at in range(WIDTH))
"""Of 16 bits, as programs have them."""
INPUT_BITS: Final = 30
T = TypeVar("T")

_PROBE_BITS: Final = 2048
_PROBE_ROUNDS: Final = 5


def probe(kit: None) -> float:
    """A fixed piece of big-number work, some milliseconds: tells whether the machine is as fast as it was."""
    modulus = (gmpy2.mpz(1) << _PROBE_BITS) - 1942289
    base = gmpy2.mpz(3) << (_PROBE_BITS // 2)
    return _shortest(partial(gmpy2.powmod, base, modulus - 1, modulus), _PROBE_ROUNDS)


def measure_paillier(kit: None) -> dict[str, Units]:
    """Units of Paillier with ordinary and with subgroup keys, which differ in decrypting only."""
    secret = paillier.generate(KEY_BITS, subgroup=True)
    units = _units("paillier", secret)
    few = _rows(secret, 1)
    exact = _shortest(lambda: secret.encrypt(few, noise="exact")) / WIDTH
    ordinary = _decrypt_seconds(replace(secret, orders=None))
    tables, draws = _noise_seconds(secret.public.n, secret.public.base)
    (small,) = units.encrypt  # what was measured drew from the first table
    subgroup = msgspec.structs.replace(
        units,
        encrypt=tuple(max(0.0, small + draw - draws[1]) for draw in draws),
        tables=tables,
        encrypt_exact=exact,
        output=max(0.0, units.output + draws[-1] - draws[1]),
    )
    return {"paillier-subgroup": subgroup, "paillier": msgspec.structs.replace(subgroup, decrypt=ordinary)}


def _noise_seconds(n: mpz, base: mpz) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(of making each table, of a draw: without a table, then with each)."""
    exponents = [mpz(secrets.randbits(noise.exponent_bits(n))) for _ in range(WIDTH)]
    tables, draws = [], [_each(partial(noise.direct, n, base), exponents)]
    for digit_bits in noise.DIGIT_BITS:
        table, seconds = _made(partial(noise.build_table, n, base, digit_bits))
        tables.append(seconds)
        draws.append(_each(table.draw, noise.random_exponents(DRAWS, noise.digits_for(n, digit_bits), digit_bits)))
    return tuple(tables), tuple(draws)


def measure_ckks(kit: None, scheme: Scheme) -> dict[str, Units]:
    """Units of a kind of CKKS, in a process that has not used it yet; raises BadConfig without TenSEAL."""
    first, again = (_timed(partial(generate, scheme, INPUT_BITS)) for _ in range(2))
    secret = generate(scheme, INPUT_BITS)
    product = _product_seconds(secret) if scheme in DEPTHS else 0.0
    units = _units(scheme, secret)
    return {scheme: msgspec.structs.replace(units, start=max(0.0, first - again), product=product)}


def _units(scheme: Scheme, secret: SecretKey) -> Units:
    public, blocks = secret.public, 1 if scheme in APPROXIMATE else PAILLIER_BLOCKS
    values = _rows(secret, blocks)
    secret.encrypt(values)  # makes what a key needs first
    encrypt = _shortest(partial(secret.encrypt, values)) / (blocks * WIDTH)
    bare, body = (1, *[0] * (WIDTH - 1)), public.encrypt(values)
    programs = [_program((bare,)), _program((bare,) * OUTPUTS), _program((WEIGHTS,))]
    one, several, weighted = (_shortest(partial(public.evaluate, body, len(values), each)) for each in programs)
    in_one = steps(scheme, programs[0])
    step = max(0.0, weighted - one) / (blocks * (steps(scheme, programs[2]) - in_one))
    each = max(0.0, several - one) / (blocks * (OUTPUTS - 1))
    return Units(
        start=0.0,
        encrypt=(encrypt,),
        tables=(),
        encrypt_exact=encrypt,
        read_key=_shortest(partial(read_public, scheme, public.to_bytes())),
        receive=max(0.0, one - blocks * each) / (blocks * WIDTH),
        step=step,
        output=max(0.0, each - in_one * step),
        decrypt=_decrypt_seconds(secret),
    )


def _product_seconds(secret: SecretKey) -> float:
    """Of two columns, beyond the term that a column would be."""
    public, values = secret.public, _rows(secret, 1)
    body, pairs = public.encrypt(values), tuple((at, at + 1) for at in range(0, WIDTH, 2))
    columns, rest = (1,) * len(pairs), (0,) * (WIDTH - len(pairs))
    linear = _program(((*columns, *rest),))
    multiplied = replace(linear, weights=((*rest, *(0,) * len(pairs), *columns),), products=pairs)
    plain, made = (_shortest(partial(public.evaluate, body, len(values), each)) for each in (linear, multiplied))
    return max(0.0, made - plain) / len(pairs)


def _decrypt_seconds(secret: SecretKey) -> float:
    values = _rows(secret, 1)
    body = secret.public.encrypt(values)
    return _shortest(partial(secret.decrypt, body, len(values), WIDTH)) / WIDTH


def _program(weights: tuple[tuple[int, ...], ...]) -> IntegerProgram:
    return IntegerProgram(weights, (5,) * len(weights), input_max=1 << INPUT_BITS)


def _rows(secret: SecretKey, blocks: int) -> NDArray[np.int64]:
    shape = (secret.public.slots * blocks, WIDTH)
    return np.random.default_rng(7).integers(-(1 << INPUT_BITS), 1 << INPUT_BITS, size=shape, dtype=np.int64)


def _shortest(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    return min(_timed(work) for _ in range(rounds))


def _each(work: Callable[[T], object], inputs: Sequence[T]) -> float:
    return _shortest(lambda: [work(one) for one in inputs]) / len(inputs)


def _timed(work: Callable[[], object]) -> float:
    return _made(work)[1]


def _made(work: Callable[[], T]) -> tuple[T, float]:
    start = time.process_time()
    made = work()
    return made, time.process_time() - start
