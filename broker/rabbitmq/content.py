"""A message as AMQP's properties, headers and body, and back. Whatever a sender wrote, reading it never fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aio_pika
from aiormq.abc import DeliveredMessage

from broker.names import BROKER_NAME, dead_key
from broker.port import CONTENT_TYPE, DEAD_KEY, DEAD_QUEUE, DEAD_REASON, UNREADABLE, Message
from broker.rabbitmq.properties import Properties
from schemas.ids import Address


def properties_of(message: Message) -> Properties:
    """What travels beside its body."""
    headers: dict[str, Any] = dict(message.headers)
    content_type = headers.pop(CONTENT_TYPE, None)
    persistent = aio_pika.DeliveryMode.PERSISTENT.value
    return Properties(headers=headers, content_type=content_type, message_id=message.id, delivery_mode=persistent)


def incoming(delivered: DeliveredMessage) -> Message:
    """Strings and integers only; other headers, and the broker's own, are no part of a message."""
    key, properties = delivered.routing_key or "", delivered.header.properties
    table = properties.headers or {}
    headers: dict[str, str | int] = {k: v for k, v in table.items() if type(v) is str or type(v) is int}
    headers.pop(CONTENT_TYPE, None)  # travels as a property
    if properties.content_type:
        headers[CONTENT_TYPE] = properties.content_type
    if _made_by_broker(key):
        headers |= _why_dead(table)
    return Message(key, delivered.body, headers, properties.message_id or "")


def brokers_count(delivered: DeliveredMessage) -> int:
    """How often the queue says that it was delivered before.

    A sender may set the broker's header, but on a redelivery the broker overwrites it.
    """
    if not delivered.redelivered:
        return 0
    counted = (delivered.header.properties.headers or {}).get("x-delivery-count")
    return max(1, counted if isinstance(counted, int) else 1)


def _made_by_broker(key: str) -> bool:
    hub = key.partition(".")[0]
    return key == dead_key(Address(f"{hub}.{BROKER_NAME}"))


def _why_dead(headers: Mapping[str, Any]) -> dict[str, str | int]:
    """The broker's own dead-letter history, newest first, as the headers that we write ourselves when we reject."""
    history = headers.get("x-death")
    latest = history[0] if isinstance(history, list) and history else None
    if not isinstance(latest, dict):
        return {DEAD_REASON: UNREADABLE}
    keys = latest.get("routing-keys")
    return {
        DEAD_REASON: str(latest.get("reason", "")).replace("_", "-"),
        DEAD_QUEUE: str(latest.get("queue", "")),
        DEAD_KEY: str(keys[0]) if isinstance(keys, list) and keys else "",
    }
