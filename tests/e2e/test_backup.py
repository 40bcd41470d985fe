"""A renter's store is backed up while it runs, and its jobs go on where it is restored."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path

from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.programs.build import linear
from nodes.renter.submission import JobOptions
from schemas.ids import address

LESSOR = address("B11", "B12")
JOB_SECONDS_MAX = 60


def back_up(source: Path, target: Path) -> None:
    """A consistent copy, by SQLite's own means: the file alone would lack what its log holds."""
    target.mkdir(mode=0o700)
    with sqlite3.connect(source / "node.sqlite") as running, sqlite3.connect(target / "node.sqlite") as copy:
        running.backup(copy)
    running.close()
    copy.close()
    for name in ("jobs", "blobs"):
        shutil.copytree(source / name, target / name)


async def test_a_store_backed_up_while_its_node_runs_goes_on_elsewhere(tmp_path: Path) -> None:
    folder, data = tmp_path / "network", tmp_path / "data.csv"
    data.write_text("a\n" + "\n".join(map(str, range(20))) + "\n")
    async with LocalNetwork(folder, lessors=1) as network:
        await network.silence(LESSOR)
        options = JobOptions(protection="homomorphic", lessors=1, local_share=0.0)
        spec = network.stage(data, linear({"a": [2.0]}, [1.0]), None, options)
        await network.submit(spec)
        async with asyncio.timeout(JOB_SECONDS_MAX):
            async for report in network.watch(spec.id):
                if report.phase == "running":
                    break
            await network.nodes[LOCAL_RENTER].runtime.idle()
            here = folder / LOCAL_RENTER
            await asyncio.to_thread(back_up, here, tmp_path / "backup")
            await network.end_renter()
            shutil.rmtree(here)
            (tmp_path / "backup").rename(here)
            await network.begin_renter()
            await network.begin_worker(LESSOR)
            last = [each async for each in network.watch(spec.id)][-1]
    assert last.phase == "completed", last.reason
    assert last.rows_done == 20
