"""Do small jobs leave what grows with their number? 500 go through one network that keeps each for a minute."""

from __future__ import annotations

import asyncio
import resource
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Final

import structlog

from nodes.local import LocalNetwork
from tests.support.growth import Left, Traffic

JOBS: Final = 500
COMPARED: Final = 50
"""Of the first and the last jobs."""
KEEP_SECONDS: Final = 60.0
GROWTH_MAX: Final = 1.2


async def measured() -> tuple[list[Left], list[float], list[int]]:
    """What is left once the first and the last jobs are gone; each job's seconds; peak memory then, KiB."""
    with tempfile.TemporaryDirectory(prefix="sublet-soak-") as name:
        folder = Path(name) / "network"
        async with LocalNetwork(folder, lessors=1, renter={"keep_seconds": KEEP_SECONDS}) as network:
            traffic, left, memory = Traffic(network, folder, patience_seconds=3 * KEEP_SECONDS), [], []
            for number in range(1, JOBS + 1):
                await traffic.run()
                if number in (COMPARED, JOBS):
                    await traffic.gone()
                    left.append(await traffic.left())
                    memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
            return left, traffic.seconds, memory


def main() -> int:
    """Exit 1 when bytes, memory or latency grew by more than a fifth."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    (first, last), seconds, memory = asyncio.run(measured())
    grown = {name: (first.stores[name], size) for name, size in last.stores.items()}
    grown |= {"files": (first.files, last.files), "memory KiB": (memory[0], memory[1])}
    # The very first jobs also measure the machine.
    early, late = (statistics.median(part) for part in (seconds[:COMPARED], seconds[-COMPARED:]))
    print(f"{len(seconds)} jobs: median {early:.2f} s among the first {COMPARED}, {late:.2f} s among the last")
    for name, (before, after) in grown.items():
        print(f"  {name}: {before:,}, then {after:,}")
    bounded = all(after <= GROWTH_MAX * before for before, after in grown.values())
    return 0 if bounded and late <= GROWTH_MAX * early else 1


if __name__ == "__main__":
    sys.exit(main())
