"""Serialised ONNX models: what one would become is counted before anything is made of it.

A message of two bytes takes a hundred in memory and more, so the size of a file bounds little. Messages within
messages are walked as the wire format has them; long runs of one number field, as forests have, are skipped at once.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto

from schemas.errors import BadProgram

MESSAGES_MAX: Final = 1 << 18
"""Operators, attributes, tensors, types and all else together; about 150 bytes each in memory."""
FIELDS_MAX: Final = 1 << 22
"""Runs of a number field count as one. Texts and bytes take 16 bytes each and more."""
DEPTH_MAX: Final = 32
RUN_BYTES: Final = 1 << 16
"""Looked at together."""
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_VARINT_BYTES_MAX: Final = 10
_CONTINUES: Final = 0x80
_NOT_ONNX: Final = "the program is not an ONNX file"


def require_few(data: bytes) -> None:
    """Raises BadProgram: it has too many parts, or is no serialised message."""
    _Walk(data).through(ModelProto.DESCRIPTOR, 0, len(data), 0)


def parsed(raw: bytes) -> ModelProto | None:
    """The model; None where it is none."""
    model = ModelProto()
    try:
        model.ParseFromString(raw)
    except (DecodeError, RuntimeError, ValueError):
        return None
    return model


class _Walk:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._bytes = np.frombuffer(data, dtype=np.uint8)
        self._messages = 0
        self._fields = 0

    def through(self, kind: Any, at: int, end: int, depth: int) -> None:
        """All fields of a message of this type, and of those in it."""
        if depth > DEPTH_MAX:
            raise BadProgram(f"the program has messages inside each other more than {DEPTH_MAX} deep")
        inside = _inside(kind)
        while at < end:
            self._fields += 1
            begin, (tag, at) = at, self._varint(at, end)
            number, wire = tag >> 3, tag & 7
            if wire == _BYTES:
                length, at = self._varint(at, end)
                if at + length > end:
                    raise BadProgram(_NOT_ONNX)
                if number in inside:
                    self._messages += 1
                    self.through(inside[number], at, at + length, depth + 1)
                at += length
            else:
                at = self._after_number(wire, at, end)
                if at - begin > 1 and at < end and tag < _CONTINUES and self._data[at] == tag:
                    at = self._after_run(tag, wire, at, end)
            if at > end:
                raise BadProgram(_NOT_ONNX)
            self._require_few()

    def _require_few(self) -> None:
        if self._messages > MESSAGES_MAX or self._fields > FIELDS_MAX:
            raise BadProgram(
                f"the program has more than {MESSAGES_MAX:,} parts (operators, attributes, tensors, types) or "
                f"{FIELDS_MAX:,} fields"
            )

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while at < end and shift < 7 * _VARINT_BYTES_MAX:
            byte = self._data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < _CONTINUES:
                return value, at
            shift += 7
        raise BadProgram(_NOT_ONNX)

    def _after_number(self, wire: int, at: int, end: int) -> int:
        if wire == _VARINT:
            return self._varint(at, end)[1]
        if wire in (_FOUR, _EIGHT):
            return at + (4 if wire == _FOUR else 8)
        raise BadProgram(_NOT_ONNX)  # groups, which ONNX does not use

    def _after_run(self, tag: int, wire: int, at: int, end: int) -> int:
        """Where fields with this tag of one byte end that follow each other from `at` on; or somewhere before."""
        while at < end:
            piece = self._bytes[at : min(at + RUN_BYTES, end)]
            taken = _varints(piece, tag) if wire == _VARINT else _fixed(piece, tag, 5 if wire == _FOUR else 9)
            at += taken
            if not taken or len(piece) - taken > 1 + _VARINT_BYTES_MAX:
                break
        return at


def _fixed(piece: np.ndarray[Any, np.dtype[np.uint8]], tag: int, stride: int) -> int:
    whole = len(piece) // stride
    other = np.flatnonzero(piece[: whole * stride : stride] != tag)
    return int(other[0] if len(other) else whole) * stride


def _varints(piece: np.ndarray[Any, np.dtype[np.uint8]], tag: int) -> int:
    """Bytes below 128 end a tag or a number; in a run they do so in turns, and each tag follows a number at once."""
    ends = np.flatnonzero(piece < _CONTINUES)
    pairs = len(ends) // 2
    tags, numbers = ends[: 2 * pairs : 2], ends[1 : 2 * pairs : 2]
    follows = tags == np.concatenate(([0], numbers[:-1] + 1))
    short = numbers - tags <= _VARINT_BYTES_MAX
    other = np.flatnonzero(~(follows & (piece[tags] == tag) & short))
    count = int(other[0]) if len(other) else pairs
    return int(numbers[count - 1]) + 1 if count else 0


@cache
def _inside(kind: Any) -> Mapping[int, Any]:
    """Field number to type of the messages that a message of this type may hold."""
    return {field.number: field.message_type for field in kind.fields if field.message_type is not None}
