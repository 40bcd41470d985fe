"""paillier.cores.*: batches encrypted, computed and decrypted by a crew of all cores, against a crew of one, by the
clock. Same code, same batches; processes and keys are made beforehand.

paillier.cores_bare.*: the same crews multiplying numbers of the same size and nothing else, in the same rounds: what
the machine's cores give to anybody. Cores that are threads of one core, or lent to others, give less than their count.

Both ratios are medians of each round's own ratio: what the machine lends changes from round to round, and less within.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any, Final

import gmpy2
import numpy as np

from nodes.crew.crew import Crew, Kit
from nodes.homomorphic.costs import TABLES_AFTER
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.port import IntegerProgram
from tests.bench.harness import Result, in_turns

KEY_SIZES: Final = (2048, 3072)
BATCHES: Final = 16
BLOCKS, COLUMNS = 16, 8
ROUNDS: Final = 11
"""A core that the machine lends elsewhere for one round moves this figure most: the median is of many."""
BARE_PRODUCTS: Final = 8_000
"""Of one bare task: 65 to 120 ms where this was chosen, beside which handing it over is little."""
PROGRAM: Final = IntegerProgram((tuple(range(40_000, 40_000 + COLUMNS)),), (7,), input_max=2**40)


def run(only: str) -> Iterator[Result]:
    """Measures the names that start with `only`."""
    with asyncio.Runner() as runner:
        for bits in KEY_SIZES:
            names = (f"paillier.cores.{bits}", f"paillier.cores_bare.{bits}")
            if any(name.startswith(only) for name in names):
                results = runner.run(_cores(bits, names))
                yield from (result for result in results if result.name.startswith(only))


async def _cores(bits: int, names: tuple[str, str]) -> list[Result]:
    kit, size = Kit.of(paillier.generate(bits)), Kit.of(bits)
    every, one = Crew(len(os.sched_getaffinity(0))), Crew(1)
    try:
        for crew in (every, one):
            await _use_up_small_tables(crew, kit)
        loop = asyncio.get_running_loop()

        def measure(crew: Crew, task: Callable[[Any, int], int], shared: Kit[Any]) -> float:
            return asyncio.run_coroutine_threadsafe(_rate(crew, task, shared), loop).result()

        measures = [
            partial(measure, crew, task, shared)
            for task, shared in ((batch, kit), (bare, size))
            for crew in (every, one)
        ]
        rounds = await asyncio.to_thread(in_turns, measures, ROUNDS)
    finally:
        await every.close()
        await one.close()
    units = ("values/s", "products/s")
    return [
        _paired(name, unit, [(figures[2 * place], figures[2 * place + 1]) for figures in rounds])
        for place, (name, unit) in enumerate(zip(names, units, strict=True))
    ]


def _paired(name: str, unit: str, rounds: list[tuple[float, float]]) -> Result:
    every, one = (median(figures) for figures in zip(*rounds, strict=True))
    return Result(name, every, one, "one core", unit, median(ours / peer for ours, peer in rounds))


async def _use_up_small_tables(crew: Crew, kit: Kit[PaillierSecret]) -> None:
    batches = crew.hands * -(-TABLES_AFTER[-1] // (BLOCKS * COLUMNS))
    await asyncio.gather(*(crew.call(batch, kit, seed) for seed in range(batches)))


async def _rate(crew: Crew, task: Callable[[Any, int], int], kit: Kit[Any]) -> float:
    start = time.perf_counter()
    sizes = await asyncio.gather(*(crew.call(task, kit, seed) for seed in range(BATCHES)))
    return sum(size.result for size in sizes) / (time.perf_counter() - start)


def batch(secret: PaillierSecret, seed: int) -> int:
    """One batch through all three steps; how many values it has."""
    public, rows = secret.public, secret.public.slots * BLOCKS
    values = np.random.default_rng(seed).integers(-(2**40), 2**40, size=(rows, COLUMNS), dtype=np.int64)
    result = public.evaluate(public.encrypt(values), rows, PROGRAM)
    assert secret.decrypt(result, rows, 1)[:, 0].tolist() == (values @ np.array(PROGRAM.weights[0]) + 7).tolist()
    return values.size


def bare(bits: int, seed: int) -> int:
    """Products modulo a number as long as a ciphertext; how many."""
    modulus = gmpy2.mpz(2) ** (2 * bits) - 17
    number, factor = modulus // (seed + 3), modulus // 7
    for _ in range(BARE_PRODUCTS):
        number = number * factor % modulus
    assert 0 <= number < modulus
    return BARE_PRODUCTS
