"""Domain-separated hashing."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from nodes.enclave.agreement.labels import H, lp

PARTS = st.lists(st.binary(max_size=20), max_size=5)


def test_each_part_stands_behind_its_length_in_four_big_endian_bytes() -> None:
    assert lp(b"ab", "c", 7) == b"\0\0\0\2ab" + b"\0\0\0\1c" + b"\0\0\0\x08" + bytes(7) + b"\7"


def test_the_label_is_hashed_first_under_our_domain() -> None:
    assert H("offer", b"x") == hashlib.sha512(b"\0\0\0\x0fsublet/v1/offer\0\0\0\1x").digest()


@given(PARTS, PARTS)
def test_different_lists_never_look_the_same(left: list[bytes], right: list[bytes]) -> None:
    assert (lp(*left) == lp(*right)) == (left == right)


def test_the_same_parts_under_another_label_hash_differently() -> None:
    assert H("offer", b"x") != H("report-data", b"x")
