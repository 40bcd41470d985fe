"""Small jobs through one network, one after the other, and what they leave behind at every node."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from nodes import receipts
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.programs.build import linear
from nodes.renter.submission import JobOptions
from nodes.runtime.loop import JOURNAL_SECONDS

JOB_SECONDS_MAX = 120
ROWS = 20


@dataclass(frozen=True, slots=True)
class Left:
    """Bytes in use after so many jobs: of stores (free pages not counted) and of all other files."""

    stores: dict[str, int]
    files: int


@dataclass(slots=True)
class Traffic:
    """A network that small jobs go through."""

    network: LocalNetwork
    folder: Path
    """Of the network."""
    rows: int = ROWS
    columns: int = 1
    patience_seconds: float = JOB_SECONDS_MAX
    """How long ended jobs may be waited for to go."""
    seconds: list[float] = field(default_factory=list)
    """That each job took."""
    cpu_seconds: list[float] = field(default_factory=list)
    """Of all nodes while each job ran; what their crews computed is not counted."""

    async def run(self, *, protection: str = "homomorphic") -> str:
        """One more job, to its end; its id."""
        data, weights = self._data(), {f"a{column}": [2.0] for column in range(self.columns)}
        options = JobOptions(protection=protection, accept_software_enclave=True, lessors=1, local_share=0.0)
        began, worked = monotonic(), time.process_time()
        spec = self.network.stage(data, linear(weights, [1.0]), None, options)
        await self.network.submit(spec)
        async with asyncio.timeout(JOB_SECONDS_MAX):
            report = [each async for each in self.network.watch(spec.id)][-1]
        assert report.phase == "completed", report.reason
        self.seconds.append(monotonic() - began)
        self.cpu_seconds.append(time.process_time() - worked)
        return spec.id

    def _data(self) -> Path:
        path = self.folder / f"data-{self.rows}-{self.columns}.csv"
        if not path.exists():
            lines = (",".join(str(row + column) for column in range(self.columns)) for row in range(self.rows))
            path.write_text("\n".join([",".join(f"a{column}" for column in range(self.columns)), *lines, ""]))
        return path

    async def gone(self) -> None:
        """Return when no job is kept any more."""
        async with asyncio.timeout(self.patience_seconds):
            while await self.network.store.aggregates("job-"):  # noqa: ASYNC110 - a store is asked
                await asyncio.sleep(0.02)

    async def left(self) -> Left:
        """What is left once everything has come to its age, the days of receipts too."""
        for node in self.network.nodes.values():
            await node.runtime.idle()
            for day in await node.store.aggregates(receipts.PREFIX):
                await node.store.erase(day)
            await node.runtime.forget(time.time() + JOURNAL_SECONDS + 1)
        stores = {path.parent.name: used(path) for path in sorted(self.folder.rglob("node.sqlite"))}
        return Left(stores, files_bytes(self.folder / LOCAL_RENTER))


def used(path: Path) -> int:
    """Bytes of a store's pages that hold something."""
    with sqlite3.connect(path) as connection:
        (pages,), (free,), (size,) = (
            connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count", "page_size")
        )
    connection.close()
    return int((pages - free) * size)


def files_bytes(folder: Path) -> int:
    """Bytes of all files below a folder but its store."""
    return sum(
        path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.name.startswith("node.sqlite")
    )
