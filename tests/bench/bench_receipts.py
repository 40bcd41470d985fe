"""receipts.*: what keeping receipts for accounts (`contract.settled`) adds to what a whole job sends.

In events, and in bytes of bodies and headers. Jobs are the demonstration's, at two lessors: small ones, so that the
share is as large as it gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from nodes.receipts import SETTLED
from schemas.orders import PROTECTIONS
from tests.bench.harness import Result
from tests.support.traffic import of_a_job

NAME: Final = "receipts"


def run(only: str) -> Iterator[Result]:
    """Measures the names that start with `only`."""
    for protection in PROTECTIONS:
        if not f"{NAME}.{protection}".startswith(only):
            continue
        with TemporaryDirectory() as folder:
            traffic, contracts = asyncio.run(of_a_job(Path(folder) / "network", protection))
        for unit, counts in (("events", traffic.events), ("bytes", traffic.bytes)):
            ours, whole = counts[SETTLED], sum(counts.values())
            peer = f"all that the job sent, under {contracts} contracts"
            yield Result(f"{NAME}.{protection}.{unit}", ours, whole, peer, unit, ours / whole)
