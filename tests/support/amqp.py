"""Frames of AMQP as a broker writes them, for tests of what reads them."""

from __future__ import annotations

from typing import Any

from pamqp import commands, frame
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

CHANNEL = 1
PERSISTENT = 2


def said(method: Frame, channel: int = CHANNEL) -> bytes:
    """A method's frame."""
    return frame.marshal(method, channel)


def method_of(raw: bytes) -> bytes:
    """What is in a frame."""
    return raw[7:-1]


def content(body: bytes = b"body", most: int = 100, **properties: Any) -> bytes:
    """A message's frames after its method; persistent, as ours are."""
    each = commands.Basic.Properties(**{"delivery_mode": PERSISTENT, **properties})
    return raw_content(each.marshal(), body, most)


def raw_content(properties: bytes, body: bytes = b"body", most: int = 100) -> bytes:
    """The same with these bytes as properties."""
    begin = b"\x00\x3c\x00\x00" + len(body).to_bytes(8, "big") + properties
    header = b"\x02\x00\x01" + len(begin).to_bytes(4, "big") + begin + b"\xce"
    pieces = [body[at : at + most] for at in range(0, len(body), most)]
    return header + b"".join(frame.marshal(ContentBody(piece), CHANNEL) for piece in pieces)


def delivery(tag: int, key: str, *, redelivered: bool = False) -> bytes:
    """The method of one."""
    return said(commands.Basic.Deliver("1", tag, redelivered, "hub.A11", key))


def read_all(raw: bytes) -> list[Any]:
    """What was written, frame by frame."""
    found = []
    while raw:
        size, _, each = frame.unmarshal(raw)
        found.append(each.value if isinstance(each, ContentBody) else each)
        raw = raw[size:]
    return found


def properties_in(raw: bytes) -> commands.Basic.Properties:
    """Of a message's frames."""
    header = read_all(raw)[0]
    assert isinstance(header, ContentHeader)
    assert isinstance(header.properties, commands.Basic.Properties)
    return header.properties
