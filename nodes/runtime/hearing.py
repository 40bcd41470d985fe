"""Since when this process hears what is said to its node: a wait that blames somebody runs only while it does.

A process sends itself an echo every few seconds, through the broker and the queue in which answers come. Whoever of the
node's processes gets one knows that it consumes, that the broker carries, and that everything that stood in the queue
before the echo has been handed out. When echoes stay away, hearing begins anew with the next: after a start, a lost
connection, a broker that stood still, and while more answers wait than this process can take.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import structlog

from broker.errors import BrokerError
from broker.names import parse_key, routing_key
from broker.port import Broker, Message
from schemas.errors import BadConfig, BrokerUnreachable
from schemas.ids import Address

ECHOES_PER_WAIT: Final = 12
"""In the time after which somebody is blamed."""
MISSED_MAX: Final = 3
"""As many echoes may stay away: where a node has several processes, each gets its share of all."""

NOTED_MAX: Final = 1024
"""Of whom it is remembered that they were heard."""

log = structlog.get_logger(__name__)


class Hearing:
    """Of one process."""

    def __init__(
        self,
        broker: Broker,
        me: Address,
        kind: str,
        *,
        wait_seconds: float,
        clock: Callable[[], float],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Hear by the node's queue of this kind.

        Args:
            broker: connected with the node's account.
            me: the node.
            kind: of the queue in which answers come.
            wait_seconds: after which somebody is blamed.
            clock: seconds since 1970 (UTC).
            pause: waits so many seconds.
        """
        self._broker = broker
        self._key = routing_key(me, me, kind)
        self._me = me
        self._clock = clock
        self.pause = pause
        self.every_seconds = wait_seconds / ECHOES_PER_WAIT
        self._since = self._last = -math.inf
        self._noted: dict[str, float] = {}

    @property
    def since(self) -> float:
        """Seconds since 1970; now, while nothing is heard."""
        now = self._clock()
        return now if self._missed(now) else self._since

    def is_echo(self, message: Message) -> bool:
        """Whether a message is this node's own: nobody else may publish under such a key."""
        try:
            return parse_key(message.key).src == self._me
        except BadConfig:
            return False

    def is_news(self, whom: str) -> bool:
        """Whether it is worth noting that this one is heard: not when it was a moment ago. Says so once."""
        now = self._clock()
        if now - self._noted.get(whom, -math.inf) < self.every_seconds * MISSED_MAX:
            return False
        if len(self._noted) >= NOTED_MAX:
            self._noted.clear()
        self._noted[whom] = now
        return True

    def heard(self) -> None:
        """An echo came."""
        now = self._clock()
        if self._missed(now):
            self._since = now
        self._last = now

    async def run(self) -> NoReturn:
        """Send echoes until cancelled."""
        while True:
            echo = Message(self._key, b"", {}, os.urandom(16).hex())
            try:
                await self._broker.publish(echo, timeout_seconds=self.every_seconds)
            except (BrokerError, BrokerUnreachable) as error:
                log.debug("no echo", reason=str(error))
            await self.pause(self.every_seconds)

    def _missed(self, now: float) -> bool:
        return now - self._last > self.every_seconds * (MISSED_MAX + 1)
