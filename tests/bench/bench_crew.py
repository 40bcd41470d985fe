"""paillier.cores.*: batches encrypted, computed and decrypted by a crew of all cores, against a crew of one, by the
clock. Same code, same batches; processes and keys are made beforehand.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Final

import numpy as np

from nodes.crew.crew import Crew, Kit
from nodes.homomorphic import paillier
from nodes.homomorphic.costs import TABLES_AFTER
from nodes.homomorphic.paillier import PaillierSecret
from nodes.homomorphic.scheme import IntegerProgram
from tests.bench.harness import Result, interleave, more

KEY_SIZES: Final = (2048, 3072)
BATCHES: Final = 16
BLOCKS, COLUMNS = 16, 8
ROUNDS: Final = 11
"""A core that the machine lends elsewhere for one round moves this figure most: the median is of many."""
PROGRAM: Final = IntegerProgram((tuple(range(40_000, 40_000 + COLUMNS)),), (7,), input_max=2**40)


def run(only: str) -> Iterator[Result]:
    """Measures the names that start with `only`."""
    with asyncio.Runner() as runner:
        for bits in KEY_SIZES:
            if f"paillier.cores.{bits}".startswith(only):
                yield runner.run(_cores(bits))


async def _cores(bits: int) -> Result:
    kit = Kit.of(paillier.generate(bits))
    every, one = Crew(len(os.sched_getaffinity(0))), Crew(1)
    try:
        for crew in (every, one):
            await _use_up_small_tables(crew, kit)
        loop = asyncio.get_running_loop()

        def measured(crew: Crew) -> float:
            return asyncio.run_coroutine_threadsafe(_rate(crew, kit), loop).result()

        ours, peer = await asyncio.to_thread(interleave, lambda: measured(every), lambda: measured(one), ROUNDS)
    finally:
        await every.close()
        await one.close()
    return more(f"paillier.cores.{bits}", ours, peer, "one core", "values/s")


async def _use_up_small_tables(crew: Crew, kit: Kit[PaillierSecret]) -> None:
    batches = crew.hands * -(-TABLES_AFTER[-1] // (BLOCKS * COLUMNS))
    await asyncio.gather(*(crew.call(batch, kit, seed) for seed in range(batches)))


async def _rate(crew: Crew, kit: Kit[PaillierSecret]) -> float:
    start = time.perf_counter()
    sizes = await asyncio.gather(*(crew.call(batch, kit, seed) for seed in range(BATCHES)))
    return sum(size.result for size in sizes) / (time.perf_counter() - start)


def batch(secret: PaillierSecret, seed: int) -> int:
    """One batch through all three steps; how many values it has."""
    public, rows = secret.public, secret.public.slots * BLOCKS
    values = np.random.default_rng(seed).integers(-(2**40), 2**40, size=(rows, COLUMNS), dtype=np.int64)
    result = public.evaluate(public.encrypt(values), rows, PROGRAM)
    assert secret.decrypt(result, rows, 1)[:, 0].tolist() == (values @ np.array(PROGRAM.weights[0]) + 7).tolist()
    return values.size
