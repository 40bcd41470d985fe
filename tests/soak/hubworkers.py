"""A thousand buy orders at once on two hubs of two processes each, with stores on PostgreSQL, some of which are killed.

`python -m tests.soak.hubworkers`. On RabbitMQ, with a process per worker: no unit is sold twice, every order ends in a
contract, a refusal or its expiry, and what a killed process had taken on is carried out by others in half a minute.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from broker.port import Broker
from broker.rabbitmq import connect
from nodes.config import read_config
from nodes.identity import Identity
from schemas.ids import Address, address, hub_address
from tests.support import postgres, rabbitmq
from tests.support.deployment import Deployment, deployment
from tests.support.rush import Rush

ORDERS: Final = 1_000
UNITS_EACH: Final = 64
"""Of each lessor: 640 in all, where 2,000 are asked for."""
HUBS: Final = ("A11", "B11")
WORKERS: Final = 2
RENTERS: Final = tuple(address("A11", f"R{number}") for number in range(10))
LESSORS: Final = tuple(address(hub, f"L{number}") for hub in HUBS for number in range(5))
MATCH_SECONDS: Final = 90.0
KILLED: Final = ((30, "A11"), (60, "B11"))
"""After so many answers, a process of this hub."""
TAKEN_OVER_SECONDS_MAX: Final = 30.0
ALL_SECONDS_MAX: Final = 420.0
CONNECT_SECONDS_MAX: Final = 30.0
LOOK_SECONDS: Final = 0.2
STILL_SECONDS: Final = 2.0
"""What a living process has taken on it carries out in less."""


class Market:
    """The hubs' processes, and those who speak to them."""

    def __init__(self, network: Deployment, stores: dict[str, str]) -> None:
        self._network, self._stores = network, stores
        self._processes = {hub: [self._started(hub) for _ in range(WORKERS)] for hub in HUBS}
        names = (*RENTERS, *LESSORS)
        keys = {each: Identity.load(each, network.config(each).parent / "identity.pem") for each in names}
        hub_keys = read_config(network.config(hub_address("A11")), {}).network.hub_keys
        self.rush = Rush(self._connected, keys, hub_keys, RENTERS, LESSORS)

    async def kill(self, hub: str) -> float:
        """One process of it; another starts. Seconds until nothing is left of what it had taken on."""
        killed, begun = self._processes[hub].pop(0), time.monotonic()
        killed.kill()
        killed.wait()
        before = await self._taken(hub)
        self._processes[hub].append(self._started(hub))
        await asyncio.sleep(STILL_SECONDS)
        left = before & await self._taken(hub)
        print(f"{hub}: a process was killed that had taken on {len(left)} effects", flush=True)
        while left & await self._taken(hub):  # noqa: ASYNC110 - a store is asked
            await asyncio.sleep(LOOK_SECONDS)
        return time.monotonic() - begun

    async def emptied(self) -> None:
        """Return when every effect has been carried out."""
        for url in self._stores.values():
            while await postgres.rows(url, "SELECT 1 FROM outbox LIMIT 1"):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)

    async def _taken(self, hub: str) -> set[tuple[object, ...]]:
        return set(await postgres.rows(self._stores[hub], "SELECT seq, owner FROM outbox WHERE owner <> ''"))

    def _started(self, hub: str) -> subprocess.Popen[bytes]:
        return self._network.start("hub", hub_address(hub), SUBLET_STORE=self._stores[hub])

    async def _connected(self, of: Address) -> Broker:
        url = (self._network.config(of).parent / "amqp-url").read_text().strip()
        return await connect(url, of, timeout_seconds=CONNECT_SECONDS_MAX)


async def rushed(market: Market) -> list[float]:
    """Everything once; how long what killed processes left waited, in seconds each."""
    rush, killing = market.rush, []
    async with asyncio.timeout(ALL_SECONDS_MAX), rush.listening():
        await rush.offer(UNITS_EACH)
        begun = time.monotonic()
        placing = asyncio.create_task(rush.order(ORDERS, MATCH_SECONDS))
        for answers, hub in KILLED:
            await rush.answered(answers)
            killing.append(asyncio.create_task(market.kill(hub)))
        await placing
        await rush.answered(ORDERS)
        print(f"all orders answered after {time.monotonic() - begun:.0f} s", flush=True)
        await market.emptied()
    print("ended:", *(f"{count} {how}" for how, count in sorted(rush.require_fair().items())), flush=True)
    return await asyncio.gather(*killing)


async def run(folder: Path) -> bool:
    """Whether all of it held."""
    options = (f"--{role}={each}" for role, all_ in (("renter", RENTERS), ("lessor", LESSORS)) for each in all_)
    with rabbitmq.running() as broker, postgres.running() as server, deployment(folder, broker, *options) as network:
        async with AsyncExitStack() as stack:
            stores = {hub: await stack.enter_async_context(server.schema()) for hub in HUBS}
            stack.callback(network.stop)  # before their stores go
            waited = await rushed(Market(network, stores))
    print("taken over after", ", ".join(f"{each:.1f} s" for each in waited), flush=True)
    return max(waited) <= TAKEN_OVER_SECONDS_MAX


def main() -> int:
    """Exit 1 when work waited longer; what is sold twice or forgotten raises."""
    with tempfile.TemporaryDirectory(prefix="sublet-soak-") as name:
        return 0 if asyncio.run(run(Path(name) / "network")) else 1


if __name__ == "__main__":
    sys.exit(main())
