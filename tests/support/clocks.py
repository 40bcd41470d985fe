"""Networks in one process whose nodes have other clocks: some that are wrong, or one for all that a test moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

from nodes.bootstrap import hub, lessor, partner, renter, stored
from nodes.lessor.worker import LessorWorker
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.renter.submission import publish_job
from nodes.runtime.hearing import Hearing
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
        skew = self._skews.get(node, 0.0)
        with wired_with(lambda: time.time() + skew):
            yield


class MovedNetwork(LocalNetwork):
    """As `LocalNetwork`, on one clock for all nodes that goes on by itself and may be moved ahead."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        super().__init__(folder, **settings)
        self._ahead = 0.0
        self._moved = asyncio.Event()
        self._echo, self._asleep = asyncio.Event(), asyncio.Event()
        self._echoing: asyncio.Task[Any] | None = None

    async def move(self, seconds: float) -> None:
        """Let time pass at once. A renter that runs has heard an echo of the new time when this returns."""
        self._ahead += seconds
        self._moved.set()
        self._moved = asyncio.Event()
        for node in self.nodes.values():
            node.runtime.wake()
        if not self._renter_stop.is_set():
            self._echo.clear()
            await self._echo.wait()
            await self._asleep.wait()  # or the next move finds nobody to wake

    def now(self) -> float:
        """Seconds since 1970, on the clock of all nodes."""
        return time.time() + self._ahead

    async def _until(self, seconds: float) -> None:
        """What nodes sleep by."""
        end, echoes = self.now() + seconds, asyncio.current_task() is self._echoing
        if echoes:
            self._asleep.set()
        while (left := end - self.now()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), left)
        if echoes:
            self._asleep.clear()

    def _hearing(self, *given: Any, **named: Any) -> Hearing:
        hearing = Hearing(*given, **named, pause=self._until)
        heard, run = hearing.heard, hearing.run

        def heard_and_told() -> None:
            heard()
            self._echo.set()

        async def run_and_tell() -> None:
            self._echoing = asyncio.current_task()
            await run()

        vars(hearing).update(heard=heard_and_told, run=run_and_tell)
        return hearing

    async def _start_hub(self, hub: str) -> None:
        with wired_with(self.now):
            await super()._start_hub(hub)

    async def _start_renter(self) -> None:
        with wired_with(self.now, self._hearing):
            await super()._start_renter()

    def _worker(self, lessor: Address) -> LessorWorker:
        with wired_with(self.now):
            return super()._worker(lessor)


@contextmanager
def wired_with(clock: Callable[[], float], hearing: Callable[..., Hearing] = Hearing) -> Iterator[None]:
    """Whoever is wired meanwhile gets this clock."""
    wrong = SimpleNamespace(time=clock, thread_time=time.thread_time, monotonic=time.monotonic)
    with ExitStack() as meanwhile:
        for module in (hub, lessor, partner, renter, stored):
            meanwhile.enter_context(patch.object(module, "time", wrong))
        for module in (partner, renter):
            meanwhile.enter_context(patch.object(module, "Hearing", hearing))
        yield
