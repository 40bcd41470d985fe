"""The one way out: every event is made, signed and published here, whoever sends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import msgspec
from msgspec import Struct

from broker.names import routing_key
from broker.port import Broker, Message
from nodes.identity import Identity
from nodes.machine import Publish
from nodes.operations.telemetry import Telemetry
from nodes.operations.tracing import current
from nodes.runtime import bulk
from schemas import codec, limits
from schemas.errors import BadConfig, SubletError
from schemas.events import CATALOGUE, RELEASE, Event
from schemas.ids import Address, parse_address


class Undeliverable(SubletError):  # noqa: N818 - reads as the sentence it is
    """The event can never be sent as it is: no such type or address, or over a limit."""


class Post:
    """Sends events of one node through its own broker connection."""

    def __init__(
        self, identity: Identity, broker: Broker, clock: Callable[[], float], telemetry: Telemetry | None = None
    ) -> None:
        self._identity = identity
        self._broker = broker
        self._clock = clock
        self._telemetry = telemetry or Telemetry()

    @property
    def me(self) -> Address:
        """Whose events these are."""
        return self._identity.address

    async def send(
        self,
        event_type: str,
        to: str,
        subject: str,
        data: Struct | None = None,
        *,
        event_id: str,
        body: bytes = b"",
        attributes: Mapping[str, str] | None = None,
        cause: str = "",
        lane: str = "",
        at: float | None = None,
    ) -> None:
        """Publish an event; returns when the broker has confirmed it.

        Args:
            event_type: of the catalogue.
            to: the receiver's address.
            subject: the order, contract or job it is about.
            data: of the type's class, or None where the body is raw.
            event_id: the same for the same occurrence, however often it is sent: receivers drop duplicates.
            body: raw bytes, where the type has no data.
            attributes: further CloudEvents extension attributes.
            cause: id of the event that led to it.
            lane: the receiver's lane, for event types of kind `lane`.
            at: when it occurred, seconds since 1970 (UTC); now by default.

        Raises:
            Undeliverable, Unroutable, AccessRefused, MessageTooLarge: it will never arrive.
            PublishUnknown, BrokerUnreachable: it may have, or not; send it again with the same id.
        """
        made = partial(
            Event,
            id=event_id,
            type=event_type,
            source=self.me,
            time=self._clock() if at is None else at,
            subject=subject,
            data=data,
            body=body,
            cause=cause,
            attributes={codec.RELEASE_ATTRIBUTE: str(RELEASE), **(attributes or {})},
        )
        with self._telemetry.tracing.span(f"send {event_type}", subject, current(), "producer", **{"sublet.to": to}):
            message = await self._message(made, to, lane)
            await self._broker.publish(message, timeout_seconds=limits.PUBLISH_SECONDS_MAX)
        self._telemetry.metrics.sent(event_type, len(message.body))

    async def _message(self, made: Callable[..., Event], to: str, lane: str) -> Message:
        """The event as it travels; raises Undeliverable."""
        try:
            event = made(to=parse_address(to), traceparent=current())
            headers, raw = await bulk.encode(event, self._identity.sign)
            return Message(key=self._key(event, lane), body=raw, headers=headers, id=event.id)
        except (BadConfig, codec.MalformedEvent, msgspec.ValidationError) as error:
            raise Undeliverable(str(error)) from error

    async def deliver(
        self, effect: Publish, *, event_id: str, cause: str, body: bytes = b"", at: float | None = None
    ) -> None:
        """Publish what a machine asked for; `body` is the stored file that it names. Raises as `send`."""
        kind = CATALOGUE.get(effect.type)
        if kind is None:
            raise Undeliverable(f"no event type {effect.type!r} in the catalogue")
        try:
            data = None if kind.data is None else msgspec.convert(effect.data, kind.data)
        except msgspec.ValidationError as error:
            raise Undeliverable(str(error)) from error
        await self.send(
            effect.type,
            effect.to,
            effect.subject,
            data,
            event_id=event_id,
            body=body,
            attributes=effect.attributes,
            cause=cause,
            lane=effect.lane,
            at=at,
        )

    def _key(self, event: Event, lane: str) -> str:
        kind = CATALOGUE[event.type].kind
        if kind == "lane":
            kind = lane
        if not kind:
            raise Undeliverable(f"{event.type} goes to a worker's lane, none was named")
        return routing_key(event.to, self.me, kind)
