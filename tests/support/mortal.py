"""A network in one process of which anything can be killed at any step of a job, and started again.

What a node knew goes with its task, in the middle of whatever it did; its store and queues stay. Enclaves and the
crew's hands are real processes and die by SIGKILL.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable
from typing import Any, Final

import psutil  # type: ignore[import-untyped]
import pytest

from nodes.local import LOCAL_PARTNER, LOCAL_RENTER, LocalNetwork
from nodes.machine import Context, Machine, Records, Step
from nodes.partner.protocol.machine import PartnerMachine
from nodes.renter.protocol.machine import RenterMachine
from schemas.events import Event
from schemas.ids import Address, hub_address

STEP_SECONDS_MAX: Final = 60
MACHINES: Final[dict[str, type[Any]]] = {"renter": RenterMachine, "partner": PartnerMachine}


class Steps:
    """Tells when the renter's or partner's machine handles an event, which is before that is committed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loop = asyncio.get_running_loop()
        self._expected: tuple[str, str, str] | None = None
        self._reached = asyncio.Event()
        for role, machine in MACHINES.items():
            monkeypatch.setattr(machine, "handle", self._telling(role, machine.handle))

    def expect(self, job: str, role: str, event_type: str) -> None:
        """From now on `reached` is about the first event of this type that this role handles for a job."""
        self._reached.clear()
        self._expected = job, role, event_type

    async def reached(self) -> None:
        """Return when it does."""
        async with asyncio.timeout(STEP_SECONDS_MAX):
            await self._reached.wait()

    def _telling(self, role: str, handle: Any) -> Any:
        def told(machine: Machine, records: Records, event: Event, context: Context) -> Step:
            step: Step = handle(machine, records, event, context)
            if self._expected == (machine.aggregate_of(event), role, event.type):
                self._expected = None
                self._loop.call_soon_threadsafe(self._reached.set)
            return step

        return told


class MortalNetwork(LocalNetwork):
    """As `LocalNetwork`, whose nodes can be killed."""

    async def __aexit__(self, *raised: Any) -> None:
        await self.kill(*self.hubs)
        await super().__aexit__(*raised)

    async def kill(self, *addresses: Address) -> None:
        """End nodes in the middle of whatever they do."""
        for address in addresses:
            task = self._task.pop(address)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._tasks.remove(task)

    async def revive(self, *addresses: Address) -> None:
        """Start killed nodes on what they kept."""
        for address in addresses:
            if address == LOCAL_RENTER:
                await self._start_renter()
            elif address == LOCAL_PARTNER:
                await self.begin_partner()
            else:
                await self._start_hub(address.partition(".")[0])

    async def replace(self, lessor: Address) -> None:
        """Kill a lessor's workers and start another."""
        await self.silence(lessor)
        self._working = [(owner, task) for owner, task in self._working if owner != lessor]
        worker = self._worker(lessor)
        self._working.append((lessor, asyncio.create_task(worker.run())))

    async def kill_children(self, module: str) -> int:
        """Kill every process that runs a module; how many."""
        found = [each for each in psutil.Process().children(recursive=True) if _runs(each, module)]
        for each in found:
            os.kill(each.pid, signal.SIGKILL)
        return len(found)

    def cut(self, addresses: Iterable[Address]) -> None:
        """Break all connections, as a broker that is started again does."""
        for address in addresses:
            self.server.cut(address)

    @property
    def hubs(self) -> tuple[Address, ...]:
        """Their own addresses."""
        return tuple(hub_address(hub) for hub in self._hubs)

    @property
    def lessors(self) -> tuple[Address, ...]:
        """Their addresses."""
        return self._lessors

    @property
    def _task(self) -> dict[Address, asyncio.Task[None]]:
        """Of each node that runs."""
        found: dict[Address, asyncio.Task[None]] = self.__dict__.setdefault("_task_of", {})
        return found

    async def _start_hub(self, hub: str) -> None:
        self._stop = asyncio.Event()  # a node's end ends all that have the same
        await super()._start_hub(hub)
        self._task[hub_address(hub)] = self._tasks[-1]

    async def _start_renter(self) -> None:
        await super()._start_renter()
        self._task[LOCAL_RENTER] = self._tasks[-1]

    async def _start_partner(self, partner: Any) -> None:
        await super()._start_partner(partner)
        self._task[LOCAL_PARTNER] = self._tasks[-1]


def _runs(process: psutil.Process, module: str) -> bool:
    try:
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and any(module in word for word in process.cmdline())
    except psutil.Error:  # it ended meanwhile
        return False
