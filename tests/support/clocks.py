"""A network in one process in which some nodes' clocks are wrong, and what its nodes log."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from nodes import bootstrap
from nodes.lessor.worker import LessorWorker
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.renter.submission import publish_job
from nodes.runtime.post import Post
from schemas.ids import Address, hub_address
from schemas.jobs import JobSpec

ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "the renter's hub": ("A11.hub",),
    "the lessors' hub": ("B11.hub",),
    "the renter": ("A11.A12",),
    "both lessors": ("B11.B12", "B11.B13"),
}


class SkewedNetwork(LocalNetwork):
    """As `LocalNetwork`; `skews` are seconds by which a node's clock is ahead, by its address."""

    def __init__(self, folder: Path, skews: Mapping[str, float], **settings: Any) -> None:
        super().__init__(folder, **settings)
        self._skews = skews
        self.workers: list[LessorWorker] = []

    async def _start_hub(self, hub: str) -> None:
        with self._clock_of(hub_address(hub)):
            await super()._start_hub(hub)

    async def _start_renter(self) -> None:
        with self._clock_of(LOCAL_RENTER):
            await super()._start_renter()

    def _worker(self, lessor: Address) -> LessorWorker:
        with self._clock_of(lessor):
            self.workers.append(super()._worker(lessor))
        return self.workers[-1]

    async def submit(self, spec: JobSpec) -> None:
        """By a user on the renter's machine."""
        broker, skew = self.server.connect(LOCAL_RENTER), self._skews.get(LOCAL_RENTER, 0.0)
        await publish_job(Post(self.identity(LOCAL_RENTER), broker, lambda: time.time() + skew), spec)
        await broker.close()

    @contextmanager
    def _clock_of(self, node: str) -> Iterator[None]:
        """Whoever is wired meanwhile gets this node's clock."""
        skew, real = self._skews.get(node, 0.0), time
        vars(bootstrap)["time"] = SimpleNamespace(time=lambda: time.time() + skew, thread_time=time.thread_time)
        try:
            yield
        finally:
            vars(bootstrap)["time"] = real
