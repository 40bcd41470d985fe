"""Routing keys, names of queues and exchanges, and whose they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.names import (
    dead_key,
    is_dead_key,
    is_wait_key,
    may_read,
    parse_key,
    queue_name,
    routing_key,
    sender_of,
    wait_key,
    wait_name,
)
from schemas.errors import BadConfig
from schemas.ids import Address, address, hub_address

NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True)
KINDS = st.sampled_from(["control", "batch", "result", "dead", "w1", "w999"])
A12, B12 = Address("A11.A12"), Address("B11.B12")


@given(NAMES, NAMES, NAMES, NAMES, KINDS)
def test_a_key_is_read_as_it_was_written(dst_hub: str, dst: str, src_hub: str, src: str, kind: str) -> None:
    to, by = address(dst_hub, dst), address(src_hub, src)
    key = parse_key(routing_key(to, by, kind))
    assert (key.dst, key.src, key.kind) == (to, by, kind)
    assert sender_of(routing_key(to, by, kind)) == by


@pytest.mark.parametrize("key", ["", "A11.A12.B11.B12", "A11.A12.B11.B12.batch.more"])
def test_what_is_not_a_key_has_no_sender(key: str) -> None:
    assert sender_of(key) == ""


@pytest.mark.parametrize(
    "key",
    ["", "A11.A12.B11.B12", "A11.A12.B11.B12.batch.more", "A11..B11.B12.batch", "A11.A12.B11.B12.batch\n", "é.b.c.d.e"],
)
def test_what_is_not_a_key_is_refused(key: str) -> None:
    with pytest.raises(BadConfig):
        parse_key(key)


def test_a_hub_reads_what_it_keeps_for_its_subnet_and_no_others_do() -> None:
    hub = hub_address("A11")
    assert may_read(hub, "q.A11.dead")
    assert may_read(hub, "q.A11.unroutable")
    assert not may_read(hub, "q.B11.dead")
    assert not may_read(hub, queue_name(A12, "control"))
    assert not may_read(A12, "q.A11.dead")
    assert not may_read(Address("A11.A1"), queue_name(A12, "control"))


def test_waiting_rounds_up_to_a_step() -> None:
    assert [wait_name(seconds) for seconds in (0, 0.25, 0.26, 4.9, 30, 3600)] == [
        "wait250", "wait250", "wait1000", "wait5000", "wait30000", "wait30000",
    ]  # fmt: skip


def test_keys_for_waiting_and_of_dead_letters_are_told_from_others() -> None:
    assert is_wait_key(parse_key(wait_key(B12, "batch", 1.0)), B12)
    assert not is_wait_key(parse_key(wait_key(B12, "batch", 1.0)), A12)
    assert not is_wait_key(parse_key(routing_key(B12, B12, "control")), B12)
    assert not is_wait_key(parse_key("A11.wait250.B11.B12.batch"), B12)
    assert is_dead_key(parse_key(dead_key(A12)))
    assert not is_dead_key(parse_key("B11.dead.A11.A12.dead"))
    assert not is_dead_key(parse_key(routing_key(B12, A12, "dead")))
