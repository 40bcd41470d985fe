"""Records and effects as the bytes that a store keeps, whichever database is behind it. Pure.

Records are MessagePack, effects JSON. What a store gives out always comes from the bytes, so that a machine and an
outbox see the same before and after a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from nodes.machine import Perform, Publish
from nodes.store.errors import RecordUnreadable
from nodes.store.port import Unreadable

_BAD_BYTES = (msgspec.MsgspecError, UnicodeDecodeError)


class RecordEncoding:
    """Turns records to bytes and back; the prefix of a record's key says its class."""

    def __init__(self, record_types: Mapping[str, type[Struct]]) -> None:
        self._decoders = {prefix: msgspec.msgpack.Decoder(kind) for prefix, kind in record_types.items()}
        self._encoder = msgspec.msgpack.Encoder()

    def encode(self, key: str, record: Struct) -> bytes:
        """The record's bytes.

        Raises:
            TypeError: no record of this key could be read again.
        """
        self._decoder(key)
        return self._encoder.encode(record)

    def decode(self, aggregate: str, key: str, value: bytes) -> Struct:
        """The record in these bytes.

        Raises:
            RecordUnreadable: they are not a record of the key's class.
        """
        decoder = self._decoder(key)
        try:
            return decoder.decode(value)
        except _BAD_BYTES as error:
            raise RecordUnreadable(aggregate, key, str(error)) from None

    def gathered(self, rows: Iterable[tuple[str, str, bytes]]) -> dict[str, dict[str, Struct] | RecordUnreadable]:
        """Rows of aggregate, key and bytes as records by aggregate and key; of one that is damaged, the error."""
        found: dict[str, dict[str, Struct] | RecordUnreadable] = {}
        for aggregate, key, value in rows:
            records = found.setdefault(aggregate, {})
            if isinstance(records, dict):
                try:
                    records[key] = self.decode(aggregate, key, value)
                except RecordUnreadable as error:
                    found[aggregate] = error
        return found

    def knows(self, key: str) -> bool:
        """Whether it is of this release's records: a later one keeps others beside them, which are left alone."""
        return key.partition("/")[0] in self._decoders

    def _decoder(self, key: str) -> msgspec.msgpack.Decoder[Struct]:
        decoder = self._decoders.get(key.partition("/")[0])
        if decoder is None:
            raise TypeError(f"no record type for the key {key!r}: the machine does not list its prefix")
        return decoder


_effects: Final[msgspec.json.Decoder[Publish | Perform]] = msgspec.json.Decoder(Publish | Perform)


def encode_effect(effect: Publish | Perform) -> bytes:
    """The effect's bytes."""
    return msgspec.json.encode(effect)


def decode_effect(value: bytes) -> Publish | Perform | Unreadable:
    """The effect in these bytes, or why there is none."""
    try:
        return _effects.decode(value)
    except _BAD_BYTES as error:
        return Unreadable(str(error))
