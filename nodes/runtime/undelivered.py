"""Tells senders what could not be delivered (N2): a hub keeps such messages and answers each: `delivery.failed`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from broker.errors import Unroutable
from broker.names import parse_key, unroutable_queue
from broker.port import Broker, Delivery, Message
from nodes.operations.tracing import carrying
from nodes.runtime.consuming import consume_for_ever
from nodes.runtime.door import Door
from nodes.runtime.post import Post, Undeliverable
from schemas.codec import traceparent_of
from schemas.errors import BadConfig
from schemas.events import DeliveryFailed
from schemas.ids import derive_id, hub_of

PREFETCH: Final = 32
TEXT_CHARS_MAX: Final = 200

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The consumer of a hub's unroutable messages."""

    broker: Broker
    door: Door
    post: Post

    async def run(self) -> None:
        """Consume until cancelled."""
        await consume_for_ever(self.broker, unroutable_queue(hub_of(self.post.me)), PREFETCH, self._serve)

    async def _serve(self, delivery: Delivery) -> None:
        await self.door.settle(delivery, partial(self._tell, delivery.message))

    async def _tell(self, message: Message) -> None:
        """Answer the sender that the broker pinned in the key; what is no event, or an answer itself, ends here."""
        event_type = str(message.headers.get("ce-type", ""))[:TEXT_CHARS_MAX]
        log.warning("undelivered", key=message.key[:TEXT_CHARS_MAX], type=event_type)
        try:
            key = parse_key(message.key)
        except BadConfig:
            return
        if event_type in ("", "delivery.failed"):
            return
        name = message.id[:TEXT_CHARS_MAX] or "nameless"
        reason = f"nobody receives {key.kind} messages at {key.dst}"
        data = DeliveryFailed(event=name, type=event_type, to=key.dst, reason=reason)
        event_id = derive_id("undelivered", self.post.me, message.id)
        try:
            with carrying(traceparent_of(message.headers)):
                await self.post.send("delivery.failed", key.src, name, data, event_id=event_id)
        except (Unroutable, Undeliverable):
            log.warning("not told that its message did not arrive: it is gone", source=key.src)
