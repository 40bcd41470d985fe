"""Do small jobs leave what grows with their number? 500 go through one network that keeps each for a minute. Receipts,
which stay for 400 days, are let go before anything is measured.

The last fifty alternate with those of a new network: what takes longer in the old one alone has grown, whatever else
this machine does meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from nodes.bootstrap.running import cores
from nodes.crew.crew import Crew
from nodes.local import LocalNetwork
from tests.support.growth import Left, Traffic

JOBS: Final = 500
COMPARED: Final = 50
"""Of the first and the last jobs."""
KEEP_SECONDS: Final = 60.0
GROWTH_MAX: Final = 1.2


@dataclass(frozen=True, slots=True)
class Aged:
    """A network after many jobs, and a new one that had as many as are compared."""

    old: Traffic
    new: Traffic
    left: tuple[Left, Left]
    """Once the first jobs, and once all, are gone."""
    memory: tuple[int, int]
    """Peak of this process, KiB, after the first jobs, and before there is a new network."""


async def aged(jobs: int) -> Aged:
    """Let so many jobs pass."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sublet-soak-")))
        crew = Crew(cores())
        stack.push_async_callback(crew.close)

        async def traffic(name: str) -> Traffic:
            network = LocalNetwork(folder / name, lessors=1, renter={"keep_seconds": KEEP_SECONDS}, crew=crew)
            await stack.enter_async_context(network)
            return Traffic(network, folder / name, patience_seconds=3 * KEEP_SECONDS)

        old = await traffic("old")
        await _run(old, COMPARED)
        await old.gone()
        first, before = await old.left(), _memory()
        await _run(old, jobs - 2 * COMPARED)
        after = _memory()
        new = await traffic("new")
        for _ in range(COMPARED):
            await old.run()
            await new.run()
        await old.gone()
        return Aged(old, new, (first, await old.left()), (before, after))


async def _run(traffic: Traffic, jobs: int) -> None:
    for _ in range(jobs):
        await traffic.run()
        if len(traffic.seconds) % COMPARED == 0:
            seconds, cpu = (statistics.median(each[-COMPARED:]) for each in (traffic.seconds, traffic.cpu_seconds))
            print(f"{len(traffic.seconds)} jobs: {seconds:.2f} s, {cpu:.2f} CPU seconds each", flush=True)


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def compared(seen: Aged) -> Iterator[tuple[str, float, float]]:
    """What must not have grown: before, and after."""
    first, last = seen.left
    for name, size in last.stores.items():
        yield f"store of {name}, bytes", first.stores[name], size
    yield "files of the renter, bytes", first.files, last.files
    yield "memory, KiB", seen.memory[0], seen.memory[1]
    old, new = seen.old, seen.new
    median = statistics.median
    yield (
        "CPU seconds a job, of a new network and this one",
        median(new.cpu_seconds),
        median(old.cpu_seconds[-COMPARED:]),
    )
    yield "seconds a job, of a new network and this one", median(new.seconds), median(old.seconds[-COMPARED:])


def main() -> int:
    """Exit 1 when anything grew by more than a fifth."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=JOBS)
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    seen = asyncio.run(aged(asked.jobs))
    jobs, old = len(seen.old.seconds), seen.old
    early, cpu = (statistics.median(each[:COMPARED]) for each in (old.seconds, old.cpu_seconds))
    print(f"{jobs} jobs; the first {COMPARED} took {early:.2f} s and {cpu:.2f} CPU seconds each (median), alone")
    grown = False
    for name, before, after in compared(seen):
        bad = after > GROWTH_MAX * before
        grown |= bad
        print(f"  {'GREW' if bad else 'ok  '} {name}: {before:,.6g}, then {after:,.6g}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
