"""Properties are written and read as pamqp does, whatever a stranger writes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.header import ContentHeader

from broker.rabbitmq.properties import FLAGS, Properties, read

FIXED_BYTES = 12
texts = st.text(max_size=80)
tables = st.dictionaries(st.text(max_size=30), texts | st.integers(-(2**63), 2**63 - 1), max_size=6)


def written(properties: commands.Basic.Properties) -> bytes:
    return ContentHeader(body_size=5, properties=properties).marshal()


def by_pamqp(raw: bytes) -> commands.Basic.Properties | None:
    head = ContentHeader()
    try:
        head.unmarshal(raw)
    except Exception:
        return None
    return head.properties


@given(st.text(max_size=60), tables, st.sampled_from([1, 2, None]), st.text(max_size=60))
def test_what_is_written_is_what_pamqp_writes(kind: str, headers: dict[str, Any], mode: int | None, name: str) -> None:
    said: dict[str, Any] = {"content_type": kind, "headers": headers, "delivery_mode": mode, "message_id": name}
    assert written(Properties(**said)) == written(commands.Basic.Properties(**said))


@given(st.text(min_size=1, max_size=60), st.dictionaries(texts, texts, max_size=6), st.text(min_size=1, max_size=60))
def test_texts_are_read_without_pamqp(kind: str, headers: dict[str, Any], name: str) -> None:
    said = Properties(content_type=kind, headers=headers or {"a": "b"}, delivery_mode=2, message_id=name)
    got = read(said.marshal())
    assert got is not None
    assert got == by_pamqp(written(said))


@given(tables, st.binary(max_size=3), st.integers(0, 400), st.integers(0, 400))
def test_bytes_that_were_changed_are_read_as_pamqp_does_or_left_to_it(
    headers: dict[str, Any], put: bytes, at: int, removed: int
) -> None:
    raw = Properties(content_type="a/b", headers=headers, delivery_mode=2, message_id="m").marshal()
    changed = raw[:at] + put + raw[at + removed :]
    got = read(changed)
    assert got is None or got == by_pamqp(bytes(FIXED_BYTES) + changed)


@pytest.mark.parametrize(
    "properties",
    [
        commands.Basic.Properties(),
        commands.Basic.Properties(content_type="a", headers={"n": 1}, delivery_mode=2, message_id="m"),
        commands.Basic.Properties(content_type="a", headers={"n": "1"}, delivery_mode=2, message_id="m", user_id="u"),
    ],
)
def test_what_others_write_is_left_to_pamqp(properties: commands.Basic.Properties) -> None:
    assert read(properties.marshal()) is None


@pytest.mark.parametrize(("kind", "name"), [("k" * 256, "m"), ("k", "m" * 256)])
def test_what_is_too_long_is_refused_by_pamqp(kind: str, name: str) -> None:
    said = Properties(content_type=kind, headers={"a": "b"}, delivery_mode=2, message_id=name)
    with pytest.raises(TypeError, match="maximum length"):
        said.marshal()


OURS = Properties(content_type="a/b", headers={"n": "1"}, delivery_mode=2, message_id="m").marshal()
TABLE = 2 + 1 + len("a/b")
"""Where the table's length stands, of four bytes; its only entry takes eight."""
OVERLAPPING = OURS[: TABLE + 3] + b"\x07\x01nS\0\0\0\x01\x02" + OURS[-3:]


def changed(at: int, *put: int) -> bytes:
    return OURS[:at] + bytes(put) + OURS[at + len(put) :]


@pytest.mark.parametrize(
    ("raw", "reads"),
    [
        (OURS, True),
        (changed(0, (FLAGS ^ 0x480) >> 8, (FLAGS ^ 0x480) & 0xFF), False),  # a correlation id in the message id's place
        (changed(TABLE + 4 + 2, ord("x")), False),  # bytes, that are written as texts are
        (changed(TABLE + 3, 7), False),  # a table shorter than its entry
        (changed(TABLE + 3, 9), False),  # and longer
        (OVERLAPPING, False),  # shorter, where all that follows could be read from there
        (OURS + b"\0", False),  # something behind the end
        (OURS[:-1], False),  # and something missing
        (changed(len(OURS) - 1, 0xFF), False),  # not UTF-8
        (b"", False),
    ],
)
def test_only_what_is_written_just_so_is_read_without_pamqp(raw: bytes, reads: bool) -> None:
    assert (read(raw) is not None) is reads
