"""A participant that does at its own broker all that a client of any make can, against hubs on other brokers.

It speaks AMQP by itself: what it sends passes no check of ours before it is at the broker.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import aio_pika
import orjson
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq import exceptions as amqp

from broker.names import hub_exchange, routing_key
from nodes.config import read_config
from schemas.ids import Address, hub_address, hub_of
from tests.support.deployment import Deployment

MIB: Final = 1024 * 1024
LARGE_BYTES: Final = 15 * MIB
UNDER_WAY_MAX: Final = 200
REFUSED: Final = (amqp.AMQPError, RuntimeError, asyncio.CancelledError)
"""What a broker says to a client that oversteps: by closing its channel, or its connection."""


@dataclass(eq=False)
class Intruder:
    """With this account."""

    url: str = field(repr=False)
    me: Address
    victims: Sequence[Address]
    """Participants of other hubs, and other participants of its own."""
    taken: Counter[str] = field(default_factory=Counter)
    """What the broker took from it, by kind."""
    refused: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, network: Deployment, me: Address) -> Intruder:
        """With the account of a participant of a network, against the renter, the partner, and a lessor beside it."""
        victims = tuple(Address(each) for each in ("A11.A12", "C11.C12", "B11.B12"))
        return cls(read_config(network.config(me), {}).amqp_url, me, victims)

    def blamed_on_others(self, network: Deployment) -> list[str]:
        """What others set aside that does not name this account as its sender: somebody else is blamed for it."""
        lines = (line for path in network.folder.glob("nodes/*/*.log") for line in path.read_bytes().splitlines())
        read = (orjson.loads(line) for line in lines if line.startswith(b"{") and b'"set aside"' in line)
        return [str(each) for each in read if self.me not in f"{each.get('sender')} {each.get('key')}"]

    async def attack(self, *, unroutable: int, large: int) -> None:
        """All kinds, so many of the many ones."""
        async with await aio_pika.connect(self.url) as connection:
            for victim in self.victims:
                await self._disguised(connection, victim)
                for _ in range(large):
                    await self._one(connection, "large", routing_key(victim, self.me, "control"), bytes(LARGE_BYTES))
            await self._flood(connection, unroutable)

    async def _disguised(self, connection: AbstractConnection, victim: Address) -> None:
        """Under its own name or another's, as itself or as somebody else, copied to others, openly or not."""
        own, forged = (routing_key(victim, source, "control") for source in (self.me, victim))
        home = routing_key(self.me, self.me, "control")
        await self._one(connection, "user-id", own, user_id=self.me)
        await self._one(connection, "another's user-id", own, user_id=victim)
        for header in ("CC", "BCC"):
            await self._one(connection, header, home, headers={header: [own, forged]})
            await self._one(connection, f"{header} abroad", own, headers={header: [forged, home]})
        await self._one(connection, "forged source", forged)
        await self._one(connection, "forged hub", routing_key(victim, hub_address(hub_of(self.me)), "control"))
        await self._one(connection, "forged heartbeat", routing_key(hub_address(hub_of(victim)), self.me, "heartbeat"))

    async def _flood(self, connection: AbstractConnection, count: int) -> None:
        """To nobody: names that no hub knows, and hubs that do not exist."""
        hubs = sorted({hub_of(victim) for victim in self.victims} | {"Z99"})
        channel, room = await connection.channel(), asyncio.Semaphore(UNDER_WAY_MAX)
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await room.acquire()
                key = routing_key(Address(f"{hubs[number % len(hubs)]}.nobody-{number}"), self.me, "control")
                sending = group.create_task(self._publish(channel, key, aio_pika.Message(b"nobody")))
                sending.add_done_callback(lambda _: room.release())
        self.taken["unroutable"] += count

    async def _one(
        self, connection: AbstractConnection, kind: str, key: str, body: bytes = b"hostile", **properties: object
    ) -> None:
        """On a channel of its own: a refusal closes it."""
        message = aio_pika.Message(body, **properties)  # type: ignore[arg-type]
        channel = await connection.channel()
        try:
            await self._publish(channel, key, message)
        except REFUSED:
            self.refused[kind] += 1
        else:
            self.taken[kind] += 1
        with contextlib.suppress(*REFUSED):
            await channel.close()

    async def _publish(self, channel: AbstractChannel, key: str, message: aio_pika.Message) -> None:
        exchange = await channel.get_exchange(hub_exchange(hub_of(self.me)), ensure=False)
        await exchange.publish(message, key)
