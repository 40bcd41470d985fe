"""Keeps a message whose properties cannot be read from ending the connection of the one who receives it.

RabbitMQ hands on whatever a sender wrote into a message's properties. pamqp, which aio-pika builds on, raises on names
that are not UTF-8 and on times outside the calendar, and aiormq then ends the whole connection: one such message would
cut its receiver off once per delivery, and what waits beside it would reach the delivery limit with it.
"""

from __future__ import annotations

from typing import Final

from pamqp import commands, header

FIXED_BYTES: Final = 12
"""Class and body length, before the properties; without them the rest of the stream has no meaning."""

_read: Final = header.ContentHeader.unmarshal


def read_leniently() -> None:
    """From now on in this process such a message arrives without any properties, for its receiver to refuse."""
    header.ContentHeader.unmarshal = _unmarshal  # type: ignore[method-assign]


def _unmarshal(self: header.ContentHeader, data: bytes) -> None:
    try:
        _read(self, data)
    except (ValueError, OverflowError, OSError, KeyError):
        if len(data) < FIXED_BYTES:
            raise
        self.properties = commands.Basic.Properties()
