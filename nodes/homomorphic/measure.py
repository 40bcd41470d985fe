"""Measures the units of `costs.py` on this machine: tasks for a process that does nothing else meanwhile.

Every unit is a difference of runs, most of them through the scheme port. Runs are timed in probes, a fixed piece of
work done just before and just after each: what slows the machine down for a while slows both.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Final, TypeVar

import gmpy2
import msgspec
import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from nodes.homomorphic.costs import Units, steps
from nodes.homomorphic.paillier import noise
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.port import IntegerProgram, SecretKey
from nodes.homomorphic.schemes import DEPTHS, KEY_BITS, generate, kind_of, read_public
from schemas.jobs import Scheme

ROUNDS: Final = 5
CACHE_BYTES: Final = 16 * 2**20
"""More than a core has of its own."""
WIDTH: Final = 8
OUTPUTS: Final = 4
DRAWS: Final = 16
PAILLIER_BLOCKS: Final = 4
"""Full ciphertexts per column; of CKKS, whose ciphertexts hold thousands of rows, one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Numbers that keys have room for."""

    input_bits: int
    weights: tuple[int, ...]


ORDINARY: Final = Sample(30, tuple((-1) ** at * (40503 + 2654 * at) for at in range(WIDTH)))
"""Weights of 16 bits, as programs have them."""
SMALL: Final = Sample(4, tuple((-1) ** at * (1 + at) for at in range(WIDTH)))
"""For keys made for little, where the sizes of numbers cost nothing."""

T = TypeVar("T")
Runs = dict[str, Callable[[], object]]
"""What is measured, by name."""
Probes = dict[str, float]
"""What runs took."""

_PROBE_BITS: Final = 2048
_PROBE_ROUNDS: Final = 11
_BARE: Final = (1, *[0] * (WIDTH - 1))


def probe(kit: None) -> float:
    """Seconds of a probe, in the median of several: how fast this core is now, beside what the others do."""
    return median(_probe() for _ in range(_PROBE_ROUNDS))


def measure_paillier(kit: None) -> dict[str, Units]:
    """Units, in probes, of Paillier with ordinary and with subgroup keys, which differ in decrypting only."""
    secret = paillier.generate(KEY_BITS, subgroup=True)
    few = _rows(secret, 1)
    watch = Watch()
    tables, drawing = _noise(watch, secret.public.n, secret.public.base)
    runs: Runs = {
        "exact": partial(secret.encrypt, few, noise="exact"),
        "decrypt ordinary": partial(replace(secret, orders=None).decrypt, secret.public.encrypt(few), len(few), WIDTH),
    }
    taken = watch.each(_port_runs("paillier", secret, PAILLIER_BLOCKS) | runs | drawing)
    draws = [taken[name] / DRAWS for name in drawing]
    units = _units("paillier", taken, PAILLIER_BLOCKS)
    (small,) = units.encrypt  # what was measured drew from the first table
    subgroup = msgspec.structs.replace(
        units,
        encrypt=tuple(max(0.0, small + draw - draws[1]) for draw in draws),
        tables=tables,
        encrypt_exact=taken["exact"] / WIDTH,
        output=max(0.0, units.output + draws[-1] - draws[1]),
    )
    ordinary = msgspec.structs.replace(subgroup, decrypt=(taken["decrypt ordinary"] - units.open) / WIDTH)
    return {"paillier-subgroup": subgroup, "paillier": ordinary}


def measure_ckks(kit: None, scheme: Scheme) -> dict[str, Units]:
    """Units, in probes, of a kind of CKKS, in a process that has not used it yet; raises BadConfig without TenSEAL."""
    watch = Watch()
    program = _program((_BARE,))
    (_, first), (secret, again) = (watch.time(partial(generate, scheme, program)) for _ in range(2))
    pairs = tuple((at, at + 1) for at in range(0, WIDTH, 2)) if scheme in DEPTHS else ()
    taken = watch.each(_port_runs(scheme, secret, 1) | _product_runs(secret, pairs))
    product = max(0.0, taken["products"] - taken["columns"]) / len(pairs) if pairs else 0.0
    units = _units(scheme, taken, 1)
    return {scheme: msgspec.structs.replace(units, start=max(0.0, first - again), product=product)}


def measure_bfv(kit: None, at: int) -> dict[str, Units]:
    """Units, in probes, of BFV under keys of one shape, in a process that has not used it yet; raises BadConfig without
    SEAL."""
    watch = Watch()
    program = _program((SMALL.weights,), SMALL)
    (_, first), (secret, again) = (watch.time(partial(generate, "bfv", program, at=at)) for _ in range(2))
    units = _units("bfv", watch.each(_port_runs("bfv", secret, 1, SMALL)), 1, SMALL)
    return {kind_of("bfv", at): msgspec.structs.replace(units, start=max(0.0, first - again))}


def _port_runs(scheme: Scheme, secret: SecretKey, blocks: int, sample: Sample = ORDINARY) -> Runs:
    """What `_units` takes apart."""
    public, values, few = secret.public, _rows(secret, blocks, sample), _rows(secret, 1, sample)
    program = partial(_program, sample=sample)
    body = secret.encrypt(values)
    return {
        "encrypt": partial(secret.encrypt, values),
        "read key": partial(read_public, scheme, public.to_bytes()),
        "decrypt one": partial(secret.decrypt, secret.encrypt(few[:, :1]), len(few), 1),
        "decrypt": partial(secret.decrypt, secret.encrypt(few), len(few), WIDTH),
        "one output": partial(public.evaluate, body, len(values), program((_BARE,))),
        "outputs": partial(public.evaluate, body, len(values), program((_BARE,) * OUTPUTS)),
        "weights": partial(public.evaluate, body, len(values), program((sample.weights,) * OUTPUTS)),
    }


def _units(scheme: Scheme, taken: Probes, blocks: int, sample: Sample = ORDINARY) -> Units:
    one, outputs = taken["one output"], taken["outputs"]
    in_one = steps(scheme, _program((_BARE,)))
    more = OUTPUTS * (steps(scheme, _program((sample.weights,))) - in_one)
    step = max(0.0, taken["weights"] - outputs) / (blocks * more)
    each = max(0.0, outputs - one) / (blocks * (OUTPUTS - 1))
    encrypt = taken["encrypt"] / (blocks * WIDTH)
    decrypt = max(0.0, taken["decrypt"] - taken["decrypt one"]) / (WIDTH - 1)
    return Units(
        start=0.0,
        encrypt=(encrypt,),
        tables=(),
        encrypt_exact=encrypt,
        read_key=taken["read key"],
        receive=max(0.0, one - blocks * each) / (blocks * WIDTH),
        step=step,
        output=max(0.0, each - in_one * step),
        decrypt=decrypt,
        open=max(0.0, taken["decrypt one"] - decrypt),
    )


def _product_runs(secret: SecretKey, pairs: tuple[tuple[int, int], ...]) -> Runs:
    """As many products of two columns as `pairs`, and as many columns in their place."""
    if not pairs:
        return {}
    public, values = secret.public, _rows(secret, 1)
    body = public.encrypt(values)
    columns, rest = (1,) * len(pairs), (0,) * (WIDTH - len(pairs))
    linear = _program(((*columns, *rest),))
    multiplied = replace(linear, weights=((*rest, *(0,) * len(pairs), *columns),), products=pairs)
    return {
        "columns": partial(public.evaluate, body, len(values), linear),
        "products": partial(public.evaluate, body, len(values), multiplied),
    }


def _noise(watch: Watch, n: mpz, base: mpz) -> tuple[tuple[float, ...], Runs]:
    """(probes of making each table, DRAWS draws: without a table, then with each)."""
    exponents = [mpz(secrets.randbits(noise.exponent_bits(n))) for _ in range(DRAWS)]
    tables: list[float] = []
    drawing: Runs = {"draw": partial(_all, partial(noise.direct, n, base), exponents)}
    for digit_bits in noise.DIGIT_BITS:
        table, probes = watch.time(partial(noise.build_table, n, base, digit_bits))
        tables.append(probes)
        digits = noise.random_exponents(DRAWS, noise.digits_for(n, digit_bits), digit_bits)
        drawing[f"draw, {digit_bits} bits"] = partial(_all, table.draw, digits)
    return tuple(tables), drawing


def _program(weights: tuple[tuple[int, ...], ...], sample: Sample = ORDINARY) -> IntegerProgram:
    return IntegerProgram(weights, (5,) * len(weights), input_max=1 << sample.input_bits)


def _rows(secret: SecretKey, blocks: int, sample: Sample = ORDINARY) -> NDArray[np.int64]:
    shape, reach = (secret.public.slots * blocks, WIDTH), 1 << sample.input_bits
    return np.random.default_rng(7).integers(-reach, reach, size=shape, dtype=np.int64)


def _all(work: Callable[[T], object], inputs: Sequence[T]) -> None:
    for one in inputs:
        work(one)


class Watch:
    """Times work in probes. Between a job's tasks others compute: the processor's caches hold nothing of the work."""

    def __init__(self) -> None:
        self._others = np.zeros(CACHE_BYTES, np.uint8)
        self._before = _probe()

    def time(self, work: Callable[[], T]) -> tuple[T, float]:
        """What the work makes, and how many probes it takes."""
        self._others.fill(1)
        made, seconds = _timed(work)
        before, self._before = self._before, _probe()
        return made, 2 * seconds / (before + self._before)

    def each(self, runs: Runs) -> Probes:
        """How many probes each run takes, in the median of several that take turns."""
        taken = [{name: self.time(work)[1] for name, work in runs.items()} for _ in range(ROUNDS)]
        return {name: median(each[name] for each in taken) for name in runs}


def _probe() -> float:
    """Seconds of a fixed piece of big-number work, some milliseconds."""
    modulus = (gmpy2.mpz(1) << _PROBE_BITS) - 1942289
    base = gmpy2.mpz(3) << (_PROBE_BITS // 2)
    return _timed(partial(gmpy2.powmod, base, modulus - 1, modulus))[1]


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.process_time()
    made = work()
    return made, time.process_time() - start
