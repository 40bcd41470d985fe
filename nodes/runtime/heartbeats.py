"""Sends heartbeats over the links to hubs on other brokers, hears theirs, and says which link is lost (N2).

What is heard is judged by `links.py`. The queue has one reader at a time: of several processes of a hub one judges, and
the next takes its place. What changes is an internal event, `link.changed`, and is said again until it is committed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn, Protocol

import structlog

from broker.errors import BrokerError
from broker.names import HEARTBEAT, queue_name, routing_key, sender_of
from broker.port import Broker, Delivery, Message
from nodes.draft import data_of
from nodes.machine import Refused
from nodes.runtime.consuming import consume_for_ever
from nodes.runtime.door import Door
from nodes.runtime.links import BEAT_SECONDS, LinkChanged, Links
from nodes.runtime.post import Post, Undeliverable
from nodes.store.errors import StoreFailed
from schemas.errors import BrokerUnreachable
from schemas.events import Event, Heartbeat
from schemas.ids import Address, derive_id

PREFETCH: Final = 64
ID_BYTES: Final = 16

log = structlog.get_logger(__name__)


class Submit(Protocol):
    """`nodes.runtime.loop.Runtime.submit`."""

    async def __call__(self, event_type: str, data: LinkChanged, aggregate: str) -> None: ...


@dataclass(eq=False, slots=True)
class Heartbeats:
    """Of one process of a hub."""

    broker: Broker
    door: Door
    post: Post
    key_of: Callable[[str], Awaitable[bytes | None]]
    """The Ed25519 public key of a hub, by its address."""
    links: Links
    submit: Submit
    aggregate: str
    clock: Callable[[], float] = time.monotonic
    """Steady seconds."""
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    _told: dict[Address, bool] = field(default_factory=dict)
    """Whether a link is lost, as it was last committed."""
    _telling: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Beat and hear until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat())
            group.create_task(consume_for_ever(self.broker, self._queue, PREFETCH, self._serve))

    @property
    def _queue(self) -> str:
        return queue_name(self.post.me, HEARTBEAT)

    async def _beat(self) -> NoReturn:
        while True:
            await self._echo()
            if self.links.speaks(self.clock()):
                for neighbour in self.links.neighbours:
                    await self._send(neighbour)
            await self._tell()
            await self.pause(BEAT_SECONDS)

    async def _echo(self) -> None:
        me = self.post.me
        echo = Message(routing_key(me, me, HEARTBEAT), b"", {}, os.urandom(ID_BYTES).hex())
        try:
            await self.broker.publish(echo, timeout_seconds=BEAT_SECONDS)
        except (BrokerError, BrokerUnreachable) as error:
            log.debug("no echo", error=str(error))

    async def _send(self, neighbour: Address) -> None:
        said, event_id = Heartbeat(hears=self.links.hears(neighbour)), derive_id("beat", os.urandom(ID_BYTES).hex())
        try:
            await self.post.send("heartbeat.sent", neighbour, neighbour, said, event_id=event_id)
        except (BrokerError, BrokerUnreachable, Undeliverable) as error:
            log.debug("no heartbeat", to=neighbour, error=str(error))

    async def _serve(self, delivery: Delivery) -> None:
        if sender_of(delivery.message.key) == self.post.me:  # nobody else may publish under such a key
            self.links.echoed(self.clock())
            await self.door.acknowledge(delivery)
        else:
            await self.door.serve(delivery, self._sender, self._heard)

    async def _sender(self, event: Event) -> tuple[bytes | None, None]:
        if event.source not in self.links.neighbours:
            raise Refused("no-neighbour", f"{event.source} has no link to {self.post.me} between brokers")
        return await self.key_of(event.source), None

    async def _heard(self, event: Event, _: None) -> None:
        self.links.heard(event.source, data_of(event, Heartbeat).hears, self.clock())
        await self._tell()

    async def _tell(self) -> None:
        """Commit what changed, one after the other. What a full disk or a lost server holds up is said again later."""
        async with self._telling:
            for neighbour in self.links.neighbours:
                why = self.links.why_lost(neighbour)
                if why is not None and self._told.get(neighbour) != bool(why):
                    await self._commit(neighbour, why)

    async def _commit(self, neighbour: Address, why: str) -> None:
        try:
            await self.submit("link.changed", LinkChanged(neighbour=neighbour, why=why), self.aggregate)
        except StoreFailed as error:
            log.warning("not noted", link=f"{self.post.me} to {neighbour}", source=self.post.me, reason=str(error))
        else:
            self._log(neighbour, why)

    def _log(self, neighbour: Address, why: str) -> None:
        link, known = f"{self.post.me} to {neighbour}", neighbour in self._told
        self._told[neighbour] = bool(why)
        if why:
            log.warning("link lost", link=link, source=neighbour, reason=why)
        else:
            log.info("link carries again" if known else "link carries", link=link)
