"""Does a stranger that does all it can make honest jobs slower? `make soak` holds them to 1.5 times their time alone.

The first job, while what was sent is still being set aside, may take some seconds more.
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

JOBS: Final = 10
SLOWER_MAX: Final = 1.5
CLEARING_SECONDS_MAX: Final = 15.0


async def measured() -> tuple[float, float, float]:
    """Seconds of a job alone, of the first after the stranger's sender stopped, and of those that follow; medians."""
    with tempfile.TemporaryDirectory(prefix="sublet-soak-") as name:
        folder = Path(name) / "network"
        async with LocalNetwork(folder, lessors=2) as network:
            await network.silence(STRANGER)
            traffic = Traffic(network, folder)
            for _ in range(JOBS + 1):
                await traffic.run()
            alone = statistics.median(traffic.seconds[1:])
            traffic.seconds.clear()
            await Stranger(network).annoy(batches=400, orders=10_000, questions=2_000)
            for _ in range(JOBS):
                await traffic.run()
            first, *following = traffic.seconds
            return alone, first, statistics.median(following)


def main() -> int:
    """Exit 1 when it is slower."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    alone, first, following = asyncio.run(measured())
    print(f"a job took {alone:.2f} s alone; {first:.2f} s just after a stranger did its worst, then {following:.2f} s")
    return 0 if first <= alone + CLEARING_SECONDS_MAX and following <= SLOWER_MAX * alone else 1


if __name__ == "__main__":
    sys.exit(main())
