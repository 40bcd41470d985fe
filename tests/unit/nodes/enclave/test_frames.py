"""Frames between host and child: bounds before memory, one reading only."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.enclave import frames
from nodes.enclave.agreement.labels import lp
from nodes.enclave.frames import BODY_BYTES_MAX, FIELDS_MAX, META_BYTES_MAX, Channel, FrameError, Kind


def test_a_frame_arrives_as_it_was_sent_and_reuses_its_buffer() -> None:
    left, right = socket.socketpair()
    with left, right:
        sender, receiver = Channel(left), Channel(right)
        for body in (b"x" * 1000, b"short"):
            sender.send(Kind.EXECUTE, "job", 7, b"raw", body=body)
            frame = receiver.receive()
            assert frame is not None
            assert frame.kind is Kind.EXECUTE
            assert frame.fields == (b"job", (7).to_bytes(8, "big"), b"raw")
            assert bytes(frame.body) == body


def test_a_host_that_hangs_up_ends_the_conversation() -> None:
    left, right = socket.socketpair()
    with right:
        left.sendall(frames.head(Kind.EXECUTE, (), 100))
        left.close()
        assert Channel(right).receive() is None


@pytest.mark.parametrize(
    "header",
    [(1, META_BYTES_MAX + 1, 0), (1, 0, BODY_BYTES_MAX + 1), (99, 0, 0), (0, 0, 0)],
)
def test_a_header_out_of_bounds_is_refused(header: tuple[int, int, int]) -> None:
    with pytest.raises(FrameError):
        frames.parse_header(struct.pack(">BII", *header))


def test_a_frame_out_of_bounds_is_not_sent() -> None:
    with pytest.raises(FrameError):
        frames.head(Kind.ACCEPT, (bytes(META_BYTES_MAX),), 0)
    with pytest.raises(FrameError):
        frames.head(Kind.ACCEPT, (), BODY_BYTES_MAX + 1)


@given(st.lists(st.binary(max_size=30), max_size=FIELDS_MAX))
def test_fields_come_back(fields: list[bytes]) -> None:
    assert frames.fields_of(lp(*fields)) == tuple(fields)


@pytest.mark.parametrize("meta", [b"\0", b"\0\0\0\5abc", lp(b"a") + b"\xff\xff\xff\xff", lp(*[b""] * (FIELDS_MAX + 1))])
def test_fields_that_do_not_fill_the_meta_are_refused(meta: bytes) -> None:
    with pytest.raises(FrameError):
        frames.fields_of(meta)
