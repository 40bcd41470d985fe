"""The network in one process with a real RabbitMQ between its nodes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from broker.port import Broker
from broker.rabbitmq import connect
from nodes.local import LOCAL_RENTER, LocalNetwork
from schemas.ids import Address
from tests.support.rabbitmq import Server, Site, site

JOBS_MAX: Final = 2
"""Submitted to one network, each over a connection of its own."""


class _Connections:
    """In the embedded broker's place: connections made before anybody asks, as `connect` waits for nothing."""

    def __init__(self, ready: Mapping[Address, Iterator[Broker]], made: list[Broker]) -> None:
        self._ready, self._made = ready, made

    def connect(self, of: Address) -> Broker:
        return next(self._ready[of])

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in self._made))


class RabbitNetwork(LocalNetwork):
    """As `LocalNetwork`, on a virtual host of its own."""

    def __init__(self, server: Server, folder: Path, **options: Any) -> None:
        super().__init__(folder, **options)
        self._site = site(server, self.topology)

    async def __aenter__(self) -> Self:
        here = await asyncio.to_thread(self._site.__enter__)
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(asyncio.to_thread, self._site.__exit__, None, None, None)
            self.server = await self._connected(here)  # type: ignore[assignment]
            await super().__aenter__()
            self._undo = undo.pop_all()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        async with self._undo:
            await super().__aexit__(*raised)

    async def _connected(self, here: Site) -> _Connections:
        made: dict[Address, list[Broker]] = {}
        for of in self._identities:
            count = 1 + (JOBS_MAX if of == LOCAL_RENTER else 0)
            made[of] = [await connect(here.url(of), of) for _ in range(count)]
        return _Connections(
            {of: iter(each) for of, each in made.items()}, [one for each in made.values() for one in each]
        )
