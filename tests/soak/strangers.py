"""Does a stranger that does all it can make an honest job slower? `make soak` holds it to 1.5 times its time alone."""

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


async def measured() -> tuple[float, float]:
    """Seconds of a job alone, and of the first job after the stranger's sender stopped; medians."""
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
            return alone, max(traffic.seconds[0], statistics.median(traffic.seconds))


def main() -> int:
    """Exit 1 when it is slower."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    alone, beside = asyncio.run(measured())
    print(f"a job took {alone:.2f} s alone, and {beside:.2f} s after a stranger had done all it could")
    return 0 if beside <= SLOWER_MAX * alone else 1


if __name__ == "__main__":
    sys.exit(main())
