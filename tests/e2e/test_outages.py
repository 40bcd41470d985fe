"""Outages in a network in one process: jobs go on where they were, and nobody is blamed for what was not its fault."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

import nodes.demo
from broker.names import WAIT_STEPS, queue_name, wait_name
from nodes.crew.crew import Crew, Kit
from nodes.lessor.compute.port import Computed
from nodes.lessor.compute.workshop import Workshop
from nodes.local import LOCAL_RENTER
from nodes.renter.submission import JobOptions
from nodes.runtime.hearing import ECHOES_PER_WAIT
from nodes.views.report import JobReport
from schemas import limits
from schemas.ids import address
from schemas.jobs import Batch
from tests.support.clocks import MovedNetwork
from tests.support.models import DATA

LINEAR: Final = (Path(nodes.demo.__file__).parent / "breast_cancer_linear.onnx").read_bytes()
LESSORS: Final = (address("B11", "B12"), address("B11", "B13"))
JOB_SECONDS_MAX: Final = 100.0
DEADLINE: Final = limits.BATCH_DEADLINE_SECONDS
THROUGH: Final = 2
"""Results of each lessor that are in before anything happens."""


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[MovedNetwork]:
    """Whose lessors have few batches at a time."""
    settings = {"batch_window": 2}
    async with asyncio.timeout(JOB_SECONDS_MAX), MovedNetwork(tmp_path / "network", renter=settings) as running:
        yield running


def sleep_until(kit: None, path: str) -> None:
    """A task that takes a process and no time of its core."""
    while not os.path.exists(path):
        time.sleep(0.05)


async def begun(network: MovedNetwork, **options: object) -> str:
    """A job of many batches."""
    wishes = JobOptions(accept_software_enclave=True, batch_rows=20, **options)  # type: ignore[arg-type]
    spec = network.stage(DATA, LINEAR, None, wishes)
    await network.submit(spec)
    return spec.id


async def ended(network: MovedNetwork, job: str) -> JobReport:
    return [report async for report in network.watch(job)][-1]


def blamed(report: JobReport) -> list[str]:
    """Lessors that were lost."""
    return [contract.lessor for contract in report.contracts if contract.subtask != "completed"]


async def computed(network: MovedNetwork) -> None:
    """Return when lessors have nothing to compute, also nothing that waits to come again."""
    queues = (
        *(queue_name(lessor, "batch") for lessor in LESSORS),
        *(f"q.B11.{wait_name(step)}" for step in WAIT_STEPS),
    )
    while any(map(network.server.depth, queues)):  # noqa: ASYNC110 - their work
        await asyncio.sleep(0.01)


class Gate:
    """Lets the first results of each lessor through, and holds those that follow until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.held = asyncio.Event(), asyncio.Event()
        """`held` once each lessor has a result that is held: none of them prepares anything more, in real time."""
        through: Counter[str] = Counter()
        holding: set[str] = set()
        compute = Workshop.compute

        async def gated(workshop: Workshop, batch: Batch, body: bytes) -> Computed:
            computed = await compute(workshop, batch, body)
            if through[batch.subtask] < THROUGH:
                through[batch.subtask] += 1
                return computed
            holding.add(batch.subtask)
            if len(holding) == len(LESSORS):
                self.held.set()
            await self.open.wait()
            return computed

        monkeypatch.setattr(Workshop, "compute", gated)


async def test_a_renter_that_was_away_blames_no_lessor(network: MovedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    job = await begun(network, protection="homomorphic")
    await gate.held.wait()
    await network.end_renter()
    gate.open.set()
    await computed(network)
    assert network.server.depth(queue_name(LOCAL_RENTER, "result"))
    await network.move(1.5 * DEADLINE)
    await network.begin_renter()
    report = await ended(network, job)
    assert (report.phase, report.rows_done, blamed(report)) == ("completed", 569, [])


async def test_a_renter_that_has_no_time_to_open_results_blames_no_lessor(
    network: MovedNetwork, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As while two heavy jobs are prepared: every process of the crew is taken."""
    gate, free = Gate(monkeypatch), tmp_path / "free"
    job = await begun(network, protection="sealed-result")
    await gate.held.wait()
    crew: Crew = network.services.crew
    async with asyncio.TaskGroup() as busy:
        for _ in range(crew.hands):
            busy.create_task(crew.ahead.call(sleep_until, Kit.of(None), str(free)))
        await asyncio.sleep(0)  # they are before any result
        gate.open.set()
        for _ in range(int(2.5 * ECHOES_PER_WAIT)):
            await computed(network)
            await network.move(DEADLINE / ECHOES_PER_WAIT)
            await network.store.read(job)  # behind what was to be written
        free.touch()
    report = await ended(network, job)
    assert (report.phase, report.rows_done, blamed(report)) == ("completed", 569, [])
