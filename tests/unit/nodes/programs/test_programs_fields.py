"""What a serialised model would become is counted as the parser would find it, and refused before it takes memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from nodes.programs import fields
from nodes.programs.check import check
from nodes.programs.fields import DEPTH_MAX, require_few
from schemas.errors import BadProgram
from tests.support.models import NAMES, program
from tests.unit.nodes.programs.models import data, model, node

MIB = 1024 * 1024
MANY = 4096


def _messages(of: Any) -> Iterator[Any]:
    for field, value in of.ListFields():
        if field.message_type is not None:
            for each in value if hasattr(value, "append") or hasattr(value, "add") else [value]:
                yield each
                yield from _messages(each)


def _varint(number: int) -> bytes:
    low = bytes([number & 0x7F])
    return low if number < 0x80 else bytes([low[0] | 0x80]) + _varint(number >> 7)


def _in(*path: int, of: bytes) -> bytes:
    """The content as a field in a field and so on, outermost first."""
    for number in reversed(path):
        of = _varint(number << 3 | 2) + _varint(len(of)) + of
    return of


def _counted(raw: bytes) -> int:
    walk = fields._Walk(raw)
    walk.through(ModelProto.DESCRIPTOR, 0, len(raw), 0)
    return walk._messages


@pytest.mark.parametrize("name", NAMES)
def test_messages_are_counted_as_they_will_be_made(name: str) -> None:
    assert _counted(program(name)) == len(list(_messages(ModelProto.FromString(program(name)))))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5000, 6553, 6554, 13107, 40_000])
@pytest.mark.parametrize("largest", [1, 127, 128, 1 << 20, -1])
def test_what_follows_a_run_of_numbers_is_counted_wherever_the_run_ends(count: int, largest: int) -> None:
    """Runs are looked at 65,536 bytes at a time; a negative number has ten bytes."""
    numbers = np.random.default_rng(count).integers(min(0, largest), max(1, largest), size=count, endpoint=True)
    made = model([node("Relu", ["x"], ["y"])])
    made.graph.node[0].attribute.add(ints=numbers.tolist(), floats=[1.5] * count).tensors.add(name="t")
    assert _counted(made.SerializeToString()) == len(list(_messages(made)))


PARTS = {
    "operators": _in(7, of=b"\x0a\0" * MANY),
    "attributes": _in(7, 1, of=b"\x2a\0" * MANY),
    "initialisers": _in(7, of=b"\x2a\0" * MANY),
    "operator sets": b"\x42\0" * MANY,
    "functions": (_varint(25 << 3 | 2) + b"\0") * MANY,
    "graphs in an attribute": _in(7, 1, 5, of=b"\x5a\0" * MANY),
    "tensors in an attribute": _in(7, 1, 5, of=b"\x52\0" * MANY),
    "dimensions of an input": _in(7, 11, 2, 1, 2, of=b"\x0a\0" * MANY),
    "entries of external data": _in(7, 5, of=b"\x6a\0" * MANY),
    "values with types": _in(7, of=_in(13, of=_in(2, of=b"\x0a\0")) * MANY),
    "metadata": _in(14, of=b"") * MANY,
    "overlong tags": _in(7, of=b"\x8a\x80\0\0" * MANY),
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that are met sooner."""
    monkeypatch.setattr(fields, "MESSAGES_MAX", MANY - 1)
    monkeypatch.setattr(fields, "FIELDS_MAX", 4 * MANY)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", PARTS)
def test_many_small_parts_are_refused_before_they_take_memory(name: str) -> None:
    with pytest.raises(BadProgram, match="more than 4,095 parts"):
        check(PARTS[name])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("entry", [b"\x4a\0", b"\x08\1\x10\1"], ids=["texts", "numbers in turns"])
def test_many_fields_are_refused(entry: bytes) -> None:
    with pytest.raises(BadProgram, match="16,384 fields"):
        require_few(_in(7, 1, 5, of=entry * (4 * MANY)))


def test_a_long_list_of_numbers_counts_as_one_and_takes_no_time() -> None:
    began = time.process_time()
    require_few(_in(7, 1, 5, of=b"\x40\1" * (8 * MIB)))
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(("levels", "refused"), [(10, False), (11, True), (10_000, True)])
def test_messages_inside_each_other_are_refused_at_a_depth(levels: int, refused: bool) -> None:
    """Of a graph in an attribute of an operator of a graph, and so on: three messages per level, after the first."""
    assert DEPTH_MAX == 32
    raw = _in(7, *(1, 5, 6) * levels, of=b"\x0a\0")
    if refused:
        with pytest.raises(BadProgram, match="more than 32 deep"):
            require_few(raw)
    else:
        require_few(raw)


CUT = (b"\x0a", b"\x0a\x05a", b"\x08", b"\x08" + b"\xff" * 11, b"\x0d\0\0", b"\x09\0", b"\x3a\x03\x0a\x02")
GROUPS = (b"\x0b\x0c", b"\x0e")


@pytest.mark.parametrize("raw", [*CUT, *GROUPS], ids=bytes.hex)
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    with pytest.raises(BadProgram, match="not an ONNX file"):
        require_few(raw)


def test_every_beginning_of_a_program_is_read_or_refused() -> None:
    whole = data(model([node("Relu", ["x"], ["y"])]))
    for length in range(1, len(whole)):
        with contextlib.suppress(BadProgram):
            require_few(whole[:length])
