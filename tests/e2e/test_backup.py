"""A renter's store is backed up while it runs, and its jobs go on where it is restored."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import nodes.demo
from broker.names import queue_name
from nodes.local import LOCAL_RENTER
from nodes.renter.submission import JobOptions
from nodes.runtime.hearing import ECHOES_PER_WAIT
from nodes.views.report import JobReport
from schemas import limits
from schemas.ids import address
from tests.support.clocks import MovedNetwork
from tests.support.models import DATA

LINEAR: Final = (Path(nodes.demo.__file__).parent / "breast_cancer_linear.onnx").read_bytes()
JOB_SECONDS_MAX: Final = 100.0
LESSORS: Final = (address("B11", "B12"), address("B11", "B13"))
ROWS: Final = 569
PARTS: Final = 4
"""Results that are in when the copy begins; others come while it is made."""


def back_up(source: Path, target: Path) -> None:
    """The store first, by SQLite's own means: the file alone would lack what its log holds. Then the files it names."""
    target.mkdir(mode=0o700)
    with sqlite3.connect(source / "node.sqlite") as running, sqlite3.connect(target / "node.sqlite") as copy:
        running.backup(copy)
    running.close()
    copy.close()
    for name in ("jobs", "blobs"):
        shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("*.tmp"))


async def parts_in(folder: Path, job: str, count: int) -> int:
    """How many results are in, once there are so many."""
    while (there := len(list((folder / "jobs" / job / "parts").glob("*.f64")))) < count:  # noqa: ASYNC110 - files
        await asyncio.sleep(0.001)
    return there


async def last_of(reports: AsyncIterator[JobReport]) -> JobReport:
    """When there are no more."""
    return [each async for each in reports][-1]


async def settled(network: MovedNetwork) -> None:
    """Return when nothing waits for anything but time."""
    queues = [queue_name(LOCAL_RENTER, "result"), *(queue_name(lessor, "batch") for lessor in LESSORS)]
    while any(map(network.server.depth, queues)):  # noqa: ASYNC110 - lessors' work
        await asyncio.sleep(0.01)
    await network.nodes[LOCAL_RENTER].runtime.idle()


async def test_a_store_backed_up_while_its_node_is_busy_goes_on_elsewhere(tmp_path: Path) -> None:
    """What came in after the copy is gone with the old store: its batches are sent again."""
    folder = tmp_path / "network"
    here, backup = folder / LOCAL_RENTER, tmp_path / "backup"
    async with asyncio.timeout(JOB_SECONDS_MAX), MovedNetwork(folder, lessors=2) as network:
        spec = network.stage(DATA, LINEAR, None, JobOptions(protection="homomorphic", batch_rows=20, local_share=0.0))
        await network.submit(spec)
        await parts_in(here, spec.id, PARTS)
        await asyncio.to_thread(back_up, here, backup)
        copied = await parts_in(backup, spec.id, PARTS)
        await parts_in(here, spec.id, copied + PARTS)
        await network.end_renter()
        shutil.rmtree(here)
        backup.rename(here)
        await network.begin_renter()
        ended = asyncio.create_task(last_of(network.watch(spec.id)))
        while not ended.done():
            await settled(network)
            await network.move(limits.BATCH_DEADLINE_SECONDS / ECHOES_PER_WAIT)
        report = await ended
    assert (report.phase, report.rows_done, report.reason) == ("completed", ROWS, "")
    assert [each.subtask for each in report.contracts] == ["completed"] * 2, "nobody was blamed"
