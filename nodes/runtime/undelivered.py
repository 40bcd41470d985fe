"""Tells senders what could not be delivered (N2): a hub keeps such messages and answers each: `delivery.failed`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from broker.errors import PublishUnknown, Unroutable
from broker.port import Broker, Delivery, Message
from broker.topology import Key, parse_key, routing_key, unroutable_queue
from nodes.identity import Identity
from nodes.runtime.consuming import consume_for_ever
from schemas import codec, limits
from schemas.errors import BadConfig, BrokerUnreachable
from schemas.events import DeliveryFailed, Event
from schemas.ids import derive_id, hub_of

PREFETCH: Final = 32
TEXT_CHARS_MAX: Final = 200

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The consumer of a hub's unroutable messages."""

    identity: Identity
    broker: Broker
    clock: Callable[[], float]
    """Seconds since 1970 (UTC)."""

    async def run(self) -> None:
        """Consume until cancelled."""
        await consume_for_ever(self.broker, unroutable_queue(hub_of(self.identity.address)), PREFETCH, self._settle)

    async def _settle(self, delivery: Delivery) -> None:
        try:
            await self._tell(delivery.message)
        except (BrokerUnreachable, PublishUnknown) as error:
            log.info("a sender will be told later", error=str(error))
            await delivery.release()
        else:
            await delivery.ack()

    async def _tell(self, message: Message) -> None:
        """Answer the sender that the broker pinned in the key; what is no event, or an answer itself, ends here."""
        event_type = str(message.headers.get("ce-type", ""))
        try:
            key = parse_key(message.key)
        except BadConfig:
            key = None
        log.warning("undelivered", key=message.key[:TEXT_CHARS_MAX], type=event_type[:TEXT_CHARS_MAX])
        if key is None or not event_type or event_type == "delivery.failed":
            return
        answer = self._answer(message, key, event_type)
        try:
            await self.broker.publish(answer, timeout_seconds=limits.PUBLISH_SECONDS_MAX)
        except Unroutable:
            log.warning("the sender is gone", sender=key.src)

    def _answer(self, message: Message, key: Key, event_type: str) -> Message:
        me = self.identity.address
        data = DeliveryFailed(
            event=message.id[:TEXT_CHARS_MAX],
            type=event_type[:TEXT_CHARS_MAX],
            to=key.dst,
            reason=f"nobody receives {key.kind} messages at {key.dst}",
        )
        event = Event(
            id=derive_id("undelivered", me, message.id),
            type="delivery.failed",
            source=me,
            to=key.src,
            time=self.clock(),
            subject=message.id[:TEXT_CHARS_MAX],
            data=data,
        )
        headers, body = codec.encode(event, self.identity.sign)
        return Message(key=routing_key(key.src, me, "control"), body=body, headers=headers, id=event.id)
