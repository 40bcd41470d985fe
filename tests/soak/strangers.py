"""Does a stranger that does all it can make honest jobs slower? `make soak` holds them to 1.5 times their time alone.

At once: the first job after its sender stopped is held to it as those that follow. Each round is a network of its own.
What the stranger sent lies in the hub's queue before the job's order and is taken out at some 30 microseconds a
message. So a job of seconds is held to the ratio, and a job of twenty rows, which takes less than that backlog, to a
bound in seconds.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Final

import structlog

from nodes.local import LocalNetwork
from tests.support.growth import Traffic
from tests.support.strangers import STRANGER, Stranger

ROUNDS: Final = 5
JOBS: Final = 5
SLOWER_MAX: Final = 1.5
LATER_SECONDS_MAX: Final = 1.0
"""Of a job of few rows."""
USUAL: Final = (200_000, 30)
SMALL: Final = (20, 1)
"""Rows and columns."""


async def measured(size: tuple[int, int], alone: list[float], first: list[float], following: list[float]) -> None:
    """Note seconds of jobs alone, of the first after the stranger's sender stopped, and of those that follow."""
    with tempfile.TemporaryDirectory(prefix="sublet-soak-") as name:
        folder = Path(name) / "network"
        async with LocalNetwork(folder, lessors=2) as network:
            await network.silence(STRANGER)
            traffic = Traffic(network, folder, *size)
            for _ in range(JOBS + 1):
                await traffic.run()
            alone += traffic.seconds[1:]
            traffic.seconds.clear()
            await Stranger(network).annoy(batches=400, orders=10_000, questions=2_000)
            for _ in range(JOBS):
                await traffic.run()
            first.append(traffic.seconds[0])
            following += traffic.seconds[1:]


async def rounds(size: tuple[int, int]) -> list[float]:
    """Medians over all rounds: alone, first, following."""
    seconds: tuple[list[float], ...] = ([], [], [])
    for _ in range(ROUNDS):
        await measured(size, *seconds)
    return [statistics.median(each) for each in seconds]


def main() -> int:
    """Exit 1 when it is slower."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    good = True
    for rows, columns in (USUAL, SMALL):
        alone, first, following = asyncio.run(rounds((rows, columns)))
        said = f"{first:.2f} s just after a stranger did its worst, then {following:.2f} s"
        print(f"a job of {rows:,} x {columns} took {alone:.2f} s alone; {said}", flush=True)
        most = SLOWER_MAX * alone if (rows, columns) == USUAL else alone + LATER_SECONDS_MAX
        good &= max(first, following) <= most
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
