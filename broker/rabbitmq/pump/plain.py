"""Which messages may go on as they came. Pure.

Those that this package would write anew without a difference to their receiver: content type, headers that are texts or
integers and nobody's but the sender's, persistence, id, and nothing else. All others are read, and refused or written
anew, elsewhere: with a user id, with copies (CC, BCC), with anything that a broker may stumble over.
"""

from __future__ import annotations

from struct import Struct
from struct import error as Truncated  # noqa: N812
from typing import Final

from pamqp import commands

from broker.port import BROKERS_PREFIX, CONTENT_TYPE, HEADER_BYTES_MAX, HEADER_NAME_BYTES_MAX
from broker.rabbitmq.properties import FLAGS, TEXT
from schemas.limits import BODY_BYTES_MAX

HEAD: Final = Struct(">BHIHHQH")
"""Kind, channel and length of a content header's frame; class, weight and length of the body; which properties."""
PERSISTENT: Final = 2
INTEGERS: Final = {ord("b"): 1, ord("s"): 2, ord("I"): 4, ord("l"): 8}
"""Kinds of signed integers, and their bytes (AMQP 0-9-1, section 4.2.1, as RabbitMQ reads it)."""
FOREIGN: Final = frozenset((b"CC", b"BCC", CONTENT_TYPE.encode()))
"""Headers by which a broker sends copies; one that is a property."""
_FLAGS: Final = commands.Basic.Properties.flags
_KIND, _HEADERS, _MODE, _NAME = (_FLAGS[name] for name in ("content_type", "headers", "delivery_mode", "message_id"))
_PRIORITY: Final = _FLAGS["priority"]
_ALLOWED: Final = FLAGS | _PRIORITY
_PREFIX: Final = BROKERS_PREFIX.encode()
_TEXT: Final = TEXT[0]
_LONG: Final = Struct(">I")
_FRAME_HEAD_BYTES: Final = 7


def is_plain(content: bytes) -> bool:
    """Whether a message may go on as it is.

    Args:
        content: its frames from the content header on, whole; a stranger may have written what is in them.
    """
    try:
        _, _, size, _, weight, body, flags = HEAD.unpack_from(content)
        if weight or body > BODY_BYTES_MAX or size > HEADER_BYTES_MAX or flags & ~_ALLOWED or not flags & _MODE:
            return False
        at, end = HEAD.size, _FRAME_HEAD_BYTES + int(size)
        if flags & _KIND:
            at = _after_short(content, at)
        if flags & _HEADERS:
            at = _after_table(content, at, end)
        if content[at] != PERSISTENT:
            return False
        at += 1
        if flags & _PRIORITY:  # as aio-pika writes it: none is 0
            if content[at]:
                return False
            at += 1
        if flags & _NAME:
            at = _after_short(content, at)
    except (LookupError, ValueError, Truncated):
        return False
    return at == end


def _after_short(content: bytes, at: int) -> int:
    end = at + 1 + content[at]
    content[at + 1 : end].decode()
    return end


def _after_table(content: bytes, at: int, frame_end: int) -> int:
    """Where the headers end.

    Raises:
        LookupError, ValueError, struct.error: they are not whole, or not plain.
    """
    size: int = _LONG.unpack_from(content, at)[0]
    end = at + _LONG.size + size
    if end > frame_end:
        raise ValueError("a table longer than its frame")
    at += _LONG.size
    names: list[bytes] = []
    while at < end:
        kind = at + 1 + content[at]
        name = content[at + 1 : kind]
        if content[kind] == _TEXT:
            text = kind + 1 + _LONG.size
            at = text + _LONG.unpack_from(content, kind + 1)[0]
            content[text:at].decode()
        else:
            at = kind + 1 + INTEGERS[content[kind]]
        if name in FOREIGN or name.startswith(_PREFIX) or len(name) > HEADER_NAME_BYTES_MAX:
            raise ValueError("not the sender's own")
        name.decode()
        names.append(name)
    if at != end or len(set(names)) != len(names):
        raise ValueError("entries do not fill their table, or have one name")
    return end
