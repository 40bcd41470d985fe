"""Outages in a network in one process: jobs go on where they were, and nobody is blamed for what was not its fault."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

import nodes.demo
from broker.names import queue_name
from nodes.crew.crew import Crew, Kit
from nodes.lessor.compute.port import Computed
from nodes.lessor.compute.workshop import Workshop
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.renter.submission import JobOptions
from nodes.views.jobs import JobReport
from schemas.jobs import Batch
from tests.support.models import DATA

LINEAR: Final = (Path(nodes.demo.__file__).parent / "breast_cancer_linear.onnx").read_bytes()
JOB_SECONDS_MAX: Final = 100.0
DEADLINE: Final = 2.0


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[LocalNetwork]:
    """With a short deadline for lessors."""
    settings = {"batch_deadline_seconds": DEADLINE, "batch_window": 2}
    async with asyncio.timeout(JOB_SECONDS_MAX), LocalNetwork(tmp_path / "network", renter=settings) as running:
        yield running


def sleep_until(kit: None, path: str) -> None:
    """A task that takes a process and no time of its core."""
    while not os.path.exists(path):
        time.sleep(0.05)


async def begun(network: LocalNetwork, parts: int, **options: object) -> str:
    """A job of which so many results are in."""
    wishes = JobOptions(accept_software_enclave=True, batch_rows=20, **options)  # type: ignore[arg-type]
    spec = network.stage(DATA, LINEAR, None, wishes)
    await network.submit(spec)
    while len(list((network.jobs / spec.id / "parts").glob("*.f64"))) < parts:  # noqa: ASYNC110 - files
        await asyncio.sleep(0.01)
    return spec.id


async def ended(network: LocalNetwork, job: str) -> JobReport:
    return [report async for report in network.watch(job)][-1]


def blamed(report: JobReport) -> list[str]:
    """Lessors that were lost."""
    return [contract.lessor for contract in report.contracts if contract.subtask != "completed"]


class Gate:
    """Lets lessors' results through, or holds them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.held = asyncio.Event(), asyncio.Event()
        self.open.set()
        compute = Workshop.compute

        async def gated(workshop: Workshop, batch: Batch, body: bytes) -> Computed:
            computed = await compute(workshop, batch, body)
            if not self.open.is_set():
                self.held.set()
                await self.open.wait()
            return computed

        monkeypatch.setattr(Workshop, "compute", gated)


async def test_a_renter_that_was_away_blames_no_lessor(network: LocalNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    job = await begun(network, 3, protection="homomorphic")
    gate.open.clear()
    await gate.held.wait()
    await network.end_renter()
    gate.open.set()
    while not network.server.depth(queue_name(LOCAL_RENTER, "result")):  # noqa: ASYNC110 - a lessor's work
        await asyncio.sleep(0.01)
    await asyncio.sleep(1.5 * DEADLINE)
    await network.begin_renter()
    report = await ended(network, job)
    assert (report.phase, report.rows_done, blamed(report)) == ("completed", 569, [])


async def test_a_renter_that_has_no_time_to_open_results_blames_no_lessor(
    network: LocalNetwork, tmp_path: Path
) -> None:
    """As while two heavy jobs are prepared: every process of the crew is taken."""
    job, free = await begun(network, 6, protection="sealed-result"), tmp_path / "free"
    crew: Crew = network.services.crew
    async with asyncio.TaskGroup() as busy:
        for _ in range(crew.hands):
            busy.create_task(crew.ahead.call(sleep_until, Kit.of(None), str(free)))
        await asyncio.sleep(2.5 * DEADLINE)
        free.touch()
    report = await ended(network, job)
    assert (report.phase, report.rows_done, blamed(report)) == ("completed", 569, [])
