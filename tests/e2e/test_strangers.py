"""Who has no contract delays nobody who has one, whatever it sends and however much."""

from __future__ import annotations

import asyncio
from pathlib import Path

from broker.names import dead_queue
from nodes.local import LocalNetwork
from tests.support.growth import Traffic
from tests.support.strangers import STRANGER, Stranger

JOB_SECONDS_MAX = 30
ORDERS = 3_000
KEPT_MAX = 500
"""Of what it sent, as dead letters: far fewer, whatever it sends."""


async def test_a_job_completes_beside_a_stranger_that_does_all_it_can(tmp_path: Path) -> None:
    """`make soak` holds its time against that of the same job alone."""
    folder = tmp_path / "network"
    async with LocalNetwork(folder, lessors=2) as network:
        await network.silence(STRANGER)
        traffic = Traffic(network, folder)
        await traffic.run()
        await Stranger(network).annoy(batches=80, orders=ORDERS, questions=200)
        async with asyncio.timeout(JOB_SECONDS_MAX):
            await traffic.run()
        assert network.server.depth(dead_queue("B11")) <= KEPT_MAX
