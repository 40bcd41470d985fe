"""A joint logistic model at full size, and row alignment: `python -m tests.soak.joint --rows 100000 --bits 2048`.

By hand, not part of `make soak`: it takes minutes of all cores. 30 columns and a label at the renter, 300 columns at
the partner, dense, of 10 bits, everything in one crew. Prints core-seconds, wall seconds and bytes of each party's
step, the largest memory of a process, and how far weights are from the pooled ones.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]

from nodes.crew.crew import Crew, Kit, Worked
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.homomorphic.paillier.slots import Layout
from nodes.joint import (
    alignment,
    chunks,
    columns,
    exchange,
    fresh,
    guards,
    modulus,
    partner,
    renter,
    report,
    rotation,
    schur,
)
from nodes.joint.alignment import Masking
from nodes.joint.columns import Columns
from nodes.joint.models import MODELS
from nodes.joint.rotation import Room
from nodes.joint.units import units

RENTER_COLUMNS, PARTNER_COLUMNS = 30, 300
RENTER_BITS, PARTNER_BITS = 16, 10
SEALED_ROWS = 4096
IDS_PER_TASK = 10_000


async def main() -> None:
    """Runs both, and prints what they took."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.joint")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--bits", type=int, default=2048)
    parser.add_argument("--ids", type=int, default=100_000)
    asked = parser.parse_args()
    crew = Crew(os.cpu_count() or 1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            await model(crew, asked.rows, asked.bits, Path(folder) / "rows")
        await align(crew, asked.ids)
        crews = max(_largest_mib(each.pid) for each in psutil.Process().children())
        print(f"largest memory: {crews:,.0f} MiB of a crew's process, {_largest_mib(os.getpid()):,.0f} MiB of this one")
    finally:
        await crew.close()


def _largest_mib(pid: int) -> float:
    """Of a process since it began; of this one with all data, of both parties and of the pooled model."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


class Step:
    """Prints what a step took."""

    def __init__(self, name: str) -> None:
        self.name, self.wall, self.core = name, time.monotonic(), time.process_time()

    def done(self, worked: Sequence[Worked[Any]] = (), note: str = "") -> list[Any]:
        core = time.process_time() - self.core + sum(each.core_seconds for each in worked)
        print(f"{self.name}: {core:,.1f} core-s, {time.monotonic() - self.wall:,.1f} s wall {note}", flush=True)
        return [each.result for each in worked]


async def model(crew: Crew, rows: int, bits: int, path: Path) -> None:
    """A first-order logistic model of two parties."""
    rng = np.random.default_rng(1)
    ours, theirs = rng.normal(size=(rows, RENTER_COLUMNS)), rng.normal(size=(rows, PARTNER_COLUMNS))
    theirs[:, :10] += ours[:, :10]
    odds = 0.3 * ours[:, 0] + theirs[:, :5] @ rng.normal(size=5) * 0.2
    label = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.float64)
    secret, penalty = paillier.generate(bits), 1e-3 * rows
    target = MODELS["logistic"].target(label)
    table = columns.zero_sum(np.column_stack([ours, target.values]), RENTER_BITS)
    public, size_max = secret.public, 1 << (RENTER_BITS - 1)
    modulus.require_good(public.n, modulus.proof(secret.p, secret.q, b"soak"), b"soak")

    step = Step("partner quantises and checks its columns, draws the rotation")
    given = columns.scaled(theirs, PARTNER_BITS)
    guards.require_safe(given, penalty, guards.Limits())
    room = Room(Layout.widest(bits, table.width), size_max)
    turned = rotation.rotation(given, penalty, room, fresh.uniform_bytes(rotation.random_bytes(given.width)))
    step.done(note=f"(2^{turned.size_bits} in slots of {room.layout.slot_bits} bits)")

    kit = Kit.of(public)
    step = Step("enclave encrypts")
    starts = range(0, rows, SEALED_ROWS)
    parts = [table.integers[at : at + SEALED_ROWS].astype(np.int64) for at in starts]
    sealed = await asyncio.gather(*[crew.call(renter.encrypted, kit, part, size_max) for part in parts])
    with path.open("wb") as file:
        file.writelines(step.done(sealed, f"({rows * public.ciphertext_bytes / 1e6:,.1f} MB to the partner)"))
    del parts, sealed

    step = Step("partner's pass")
    moments = await _pass(crew, public, given, path, step)
    step = Step("partner rotates")
    chunks = [turned.weights[at : at + 10].tolist() for at in range(0, given.width, 10)]
    answers = await asyncio.gather(*[crew.call(partner.rotated, kit, moments, chunk) for chunk in chunks])
    body = b"".join(step.done(answers, f"({given.width * public.ciphertext_bytes / 1e3:,.0f} KB to the renter)"))

    step = Step("renter opens and solves")
    opened = renter.opened(secret, body, table.width, given.width, turned.size_bits)
    solution = schur.solved(table, opened, turned.step_bits, penalty)
    step.done()
    by_integer = turned.coefficients(solution.reply)
    found = np.concatenate([table.part(solution.weights).weights, given.part(by_integer).weights])
    pooled = np.hstack([ours, theirs])
    spread = pooled.std(axis=0)
    standard = (pooled - pooled.mean(axis=0)) / spread
    gram = standard.T @ standard + penalty * np.eye(len(spread))
    exact = np.linalg.solve(gram, standard.T @ (target.values - target.values.mean()))
    apart = np.abs(found * spread - exact).max() / np.abs(exact).max()
    areas = [report.auc(label, scores) for scores in (pooled @ found, standard @ exact)]
    print(f"largest difference of weights {apart:.1e} of the largest; AUC {areas[0]:.5f}, pooled {areas[1]:.5f}")


async def _pass(crew: Crew, public: PaillierPublic, given: Columns, path: Path, step: Step) -> bytes:
    """Half of the columns and one block of rows for each task; a block of bodies is read when its turn comes."""
    kit = Kit.of(public)
    halves = np.array_split(np.arange(given.width), crew.hands)
    gathered: list[list[bytes]] = []
    worked: list[Worked[bytes]] = []
    with path.open("rb") as file:
        for block in [slice(each.first_row, each.first_row + each.rows) for each in units(given.rows, 1)]:
            body = file.read((block.stop - block.start) * public.ciphertext_bytes)
            tasks = [crew.call(partner.cross_moments, kit, body, given.integers[block][:, half]) for half in halves]
            done = await asyncio.gather(*tasks)
            worked += done
            gathered.append([each.result for each in done])
    each_us = sum(each.core_seconds for each in worked) / given.integers.size * 1e6
    step.done(worked, f"({each_us:.2f} us a row and column)")
    columns_of = zip(*gathered, strict=True)
    return b"".join(reduce(partial(partner.added, public), each) for each in columns_of)


async def align(crew: Crew, count: int) -> None:
    """`count` ids at each side, half of them in common."""
    ours, theirs = ([f"id {at}" for at in range(start, start + count)] for start in (0, count // 2))
    salt = exchange.salt("soak", b"a", b"b")
    first, second = (Kit.of(Masking(secrets.token_bytes(32), salt)) for _ in range(2))
    step, worked = Step(f"both sides align {count:,} ids each"), list[Worked[bytes]]()

    async def masked(kit: Kit[Masking], ids: list[str]) -> bytes:
        chunks = [ids[at : at + IDS_PER_TASK] for at in range(0, count, IDS_PER_TASK)]
        done = await asyncio.gather(*[crew.call(alignment.masked, kit, chunk) for chunk in chunks])
        worked.extend(done)
        return b"".join(each.result for each in done)

    async def remasked(kit: Kit[Masking], masks: bytes) -> bytes:
        length = IDS_PER_TASK * chunks.MASKED_BYTES
        parts = [masks[at : at + length] for at in range(0, len(masks), length)]
        done = await asyncio.gather(*[crew.call(alignment.remasked, kit, chunk) for chunk in parts])
        worked.extend(done)
        return b"".join(each.result for each in done)

    masks, (others, order) = await masked(first, ours), alignment.sorted_masks(await masked(second, theirs))
    rows, places = alignment.matched(await remasked(second, masks), await remasked(first, others), order)
    assert [ours[row] for row in rows] == [theirs[place] for place in places] == ours[count // 2 :]
    core = sum(each.core_seconds for each in worked)
    step.done(worked, f"({2 * count / core:,.0f} ids a second and core; {96 * count / 1e6:.1f} MB each way in all)")


if __name__ == "__main__":
    asyncio.run(main())
