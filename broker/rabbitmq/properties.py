"""The properties of a message as bytes and back, where they are those that this package writes; others are pamqp's.

pamqp looks up the type of every value anew, in calls of calls: the greater part of what a small message costs. Bytes
and values are the same (AMQP 0-9-1, sections 4.2.5 and 4.2.6.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from struct import error as Truncated  # noqa: N812
from typing import Any, Final

from pamqp import commands

from broker.port import SHORT_BYTES_MAX

FLAGS: Final = sum(
    commands.Basic.Properties.flags[name] for name in ("content_type", "headers", "delivery_mode", "message_id")
)
"""Which properties are there: these four and no others."""
TEXT: Final = b"S"
_NAME_CHARS_MAX: Final = 63
"""At four bytes each, what a name's length of one byte can say; no name of ours is longer."""
_SHORT: Final = Struct(">H")
_LONG: Final = Struct(">I")


class Properties(commands.Basic.Properties):
    """Content type, headers, delivery mode and message id are set, and nothing else."""

    def marshal(self) -> bytes:
        """As pamqp's own."""
        table = _table(self.headers or {})
        if table is None or not self.content_type or not self.message_id or not self.delivery_mode:
            return super().marshal()
        kind, name, mode = self.content_type.encode(), self.message_id.encode(), self.delivery_mode
        if max(len(kind), len(name)) > SHORT_BYTES_MAX:
            return super().marshal()
        return b"".join((_SHORT.pack(FLAGS), bytes((len(kind),)), kind, table, bytes((mode, len(name))), name))


def _table(headers: Mapping[str, Any]) -> bytes | None:
    """A field table of texts under short names; None for any other."""
    parts: list[bytes] = []
    for name, value in sorted(headers.items()):
        if type(value) is not str or len(name) > _NAME_CHARS_MAX:
            return None
        raw_name, raw = name.encode(), value.encode()
        parts += (bytes((len(raw_name),)), raw_name, TEXT, _LONG.pack(len(raw)), raw)
    table = b"".join(parts)
    return _LONG.pack(len(table)) + table


def read(data: bytes) -> commands.Basic.Properties | None:
    """Properties as `Properties` writes them; None for all others, which are pamqp's to read or to refuse.

    Args:
        data: of a content header, from its flags on; a stranger may have written them.
    """
    try:
        if _SHORT.unpack_from(data)[0] != FLAGS:
            return None
        at = 3 + data[2]
        kind = data[3:at].decode()
        headers, at = _read_table(data, at)
        end = at + 2 + data[at + 1]
        if end != len(data):
            return None
        name = data[at + 2 : end].decode()
        return commands.Basic.Properties(content_type=kind, headers=headers, delivery_mode=data[at], message_id=name)
    except (IndexError, ValueError, Truncated):
        return None


def _read_table(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    """A table of texts, and where it ends.

    Raises:
        IndexError, ValueError, struct.error: it is none, or not whole.
    """
    headers: dict[str, Any] = {}
    end = at + _LONG.size + _LONG.unpack_from(data, at)[0]
    at += _LONG.size
    while at < end:
        kind = at + 1 + data[at]
        text = kind + 1 + _LONG.size
        after = text + _LONG.unpack_from(data, kind + 1)[0]
        if data[kind : kind + 1] != TEXT:
            raise ValueError("not a table of texts")
        headers[data[at + 1 : kind].decode()] = data[text:after].decode()
        at = after
    if at != end:
        raise ValueError("entries do not fill their table")
    return headers, end
