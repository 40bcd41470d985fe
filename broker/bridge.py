"""Carries messages from one hub's broker to a linked hub's on another broker (N2, N3). Keeps nothing of its own.

    q out.<H>.<N> on H's broker ──► publish on hub.<N> of N's broker, with the link's account ──► confirmed ──► ack

A message is acknowledged here when it is confirmed there, so none is lost; one may arrive twice, as anywhere. What may
not pass the link, or no broker could carry, is set aside at H, and nothing waits for it. While N's broker cannot be
reached, what came waits here. Of a sender's properties only those of `broker.port.Message` go on: `user_id`, CC and BCC
stop here. Of several bridges of one link one is at work (a single active consumer), the others take over.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

import structlog

from broker.errors import AccessRefused, BrokerError, MessageTooLarge, PublishUnknown, QueueFull, Unroutable
from broker.names import is_astray, out_queue
from broker.port import Broker, Consumer, Delivery, Message
from schemas.errors import BrokerUnreachable
from schemas.limits import PUBLISH_SECONDS_MAX

log = structlog.get_logger(__name__)

PREFETCH: Final = 256
BYTES_UNDER_WAY_MAX: Final = 32 << 20
"""Bodies that wait for their confirm."""
FULL_SECONDS_MAX: Final = 60.0
"""What the other side has no room for is tried for so long, then set aside: others wait behind it."""
RETRY_SECONDS_MIN: Final = 0.1
RETRY_SECONDS_MAX: Final = 5.0
NOT_OF_THIS_LINK: Final = "not-of-this-link"
TOO_LARGE: Final = "too-large-for-this-link"
FULL: Final = "queue-full"
NOWHERE: Final = "unroutable"
"""Reasons of dead letters."""


@dataclass(slots=True)
class Passage:
    """A message as it goes on, and why it did not, or nothing."""

    message: Message
    reason: str = ""


Watching = Callable[[Message], AbstractContextManager[Passage]]
"""Entered with what came, left when it went on or was found not to: its hub counts and traces what passes."""


def unwatched(message: Message) -> AbstractContextManager[Passage]:
    """It goes on as it came."""
    return nullcontext(Passage(message))


@dataclass(eq=False)
class Bridge:
    """One link, one way."""

    hub: str
    neighbour: str
    keys: str
    """What may pass: a regular expression of whole routing keys (`broker.topology.link_keys`)."""
    near: Broker
    """The hub's own connection."""
    far: Broker
    """The link's account on the neighbour's broker."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    watching: Watching = unwatched
    leaf: bool = False
    """The hub is one: what nobody in its subnet receives is here too."""
    pump: Callable[[], Consumer] | None = None
    """Makes what subscribes to the queue in place of `near`: it carries what is plain, and hands out the rest."""

    def __post_init__(self) -> None:
        self._pattern = re.compile(self.keys)
        self._room = Room(BYTES_UNDER_WAY_MAX)
        self._log = log.bind(link=f"{self.hub} to {self.neighbour}")
        self._down = False

    async def run(self) -> None:
        """Until it is cancelled; then what is not confirmed comes again.

        Raises:
            NoSuchQueue, AccessRefused: the brokers were loaded with another network description.
        """
        consumer = self.pump() if self.pump is not None else self._queue()
        async with consumer, asyncio.TaskGroup() as under_way:
            async for delivery in consumer:
                if self._is_elsewhere(delivery.message.key):
                    await delivery.ack()
                    continue
                size = len(delivery.message.body)
                await self._room.take(size)
                under_way.create_task(self._carry(delivery, size))

    def _is_elsewhere(self, key: str) -> bool:
        """Whether it went where it belongs too: to its own link, or among what a leaf's hub keeps for its senders."""
        return is_astray(key, self.hub, self.neighbour) or (self.leaf and key.startswith(f"{self.hub}."))

    def _queue(self) -> Consumer:
        return self.near.consume(out_queue(self.hub, self.neighbour), prefetch=PREFETCH)

    async def _carry(self, delivery: Delivery, size: int) -> None:
        try:
            with self.watching(delivery.message) as passage:
                passage.reason = reason = await self._passed(passage.message)
            await self._settle(delivery, reason)
        finally:
            self._room.give(size)

    async def _passed(self, message: Message) -> str:
        """Publish it over there; why that cannot be, or nothing."""
        if self._pattern.fullmatch(message.key) is None:
            return NOT_OF_THIS_LINK
        pause, waited = RETRY_SECONDS_MIN, 0.0
        while True:
            try:
                await self.far.publish(message, timeout_seconds=PUBLISH_SECONDS_MAX)
            except (MessageTooLarge, TypeError):
                return TOO_LARGE
            except Unroutable:
                return NOWHERE
            except AccessRefused as error:
                self._log.error("the link's account may not do what it should", reason=str(error))
                return NOT_OF_THIS_LINK
            except QueueFull:
                waited += pause
                if waited > FULL_SECONDS_MAX:
                    return FULL
            except (PublishUnknown, BrokerUnreachable) as error:
                if not self._down:
                    self._log.warning("the link is down, its messages wait", reason=str(error))
                self._down = True
            else:
                if self._down:
                    self._log.info("the link is up again")
                self._down = False
                return ""
            await self.sleep(pause)
            pause = min(pause * 2, RETRY_SECONDS_MAX)

    async def _settle(self, delivery: Delivery, reason: str) -> None:
        if not reason:
            await delivery.ack()
            return
        self._log.warning("set aside", reason=reason, id=delivery.message.id, key=delivery.message.key)
        try:
            await delivery.reject(reason)
        except (BrokerUnreachable, BrokerError) as error:
            self._log.warning("not set aside, it comes again", id=delivery.message.id, reason=str(error))
            await delivery.release()


class Room:
    """So many bytes, which are taken and given back; what is larger than all of it takes all of it."""

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._more = asyncio.Event()

    async def take(self, size: int) -> None:
        """Wait for so much room."""
        wanted = min(size, self._size)
        while self._free < wanted:
            self._more.clear()
            await self._more.wait()
        self._free -= wanted

    def give(self, size: int) -> None:
        """Give it back."""
        self._free += min(size, self._size)
        self._more.set()
