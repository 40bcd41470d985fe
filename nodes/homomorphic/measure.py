"""Measures the units of `costs.py` on this machine: tasks for a process that does nothing else meanwhile.

Every unit is a difference of runs through the scheme port, the shortest of several: what disturbs only makes longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import gmpy2
import msgspec
import numpy as np
from numpy.typing import NDArray

from nodes.homomorphic import paillier
from nodes.homomorphic.costs import TABLE_AFTER, Units, steps
from nodes.homomorphic.scheme import IntegerProgram, SecretKey
from nodes.homomorphic.schemes import DEPTHS, KEY_BITS, generate, read_public
from schemas.jobs import APPROXIMATE, Scheme

ROUNDS: Final = 3
WIDTH: Final = 8
OUTPUTS: Final = 4
PAILLIER_BLOCKS: Final = 4
"""Full ciphertexts per column; of CKKS, whose ciphertexts hold thousands of rows, one."""
WEIGHTS: Final = tuple((-1) ** at * (40503 + 2654 * at) for at in range(WIDTH))
"""Of 16 bits, as programs have them."""
INPUT_BITS: Final = 30
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
    subgroup = msgspec.structs.replace(units, encrypt_exact=exact)
    return {"paillier-subgroup": subgroup, "paillier": msgspec.structs.replace(subgroup, decrypt=ordinary)}


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
    first = _timed(partial(secret.encrypt, values[:1])) / WIDTH
    with_tables = _timed(partial(secret.encrypt, _rows(secret, TABLE_AFTER // WIDTH)))
    encrypt = _shortest(partial(secret.encrypt, values)) / (blocks * WIDTH)
    bare, body = (1, *[0] * (WIDTH - 1)), public.encrypt(values)
    programs = [_program((bare,)), _program((bare,) * OUTPUTS), _program((WEIGHTS,))]
    one, several, weighted = (_shortest(partial(public.evaluate, body, len(values), each)) for each in programs)
    in_one = steps(scheme, programs[0])
    step = max(0.0, weighted - one) / (blocks * (steps(scheme, programs[2]) - in_one))
    each = max(0.0, several - one) / (blocks * (OUTPUTS - 1))
    return Units(
        start=0.0,
        encrypt=encrypt,
        encrypt_first=first,
        tables=max(0.0, with_tables - TABLE_AFTER * encrypt),
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


def _timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
