"""Private set intersection: what both learn, what is refused, what does not show."""

from __future__ import annotations

import secrets

import numpy as np
import pytest
from gmpy2 import mpz

from nodes.joint import alignment
from nodes.joint.alignment import Masking
from nodes.joint.errors import BadPeer
from nodes.joint.exchange import salt
from schemas.errors import BadData

SALT = salt("job", b"renter", b"partner")
P = 2**255 - 19


def _masking(salt: bytes = SALT) -> Masking:
    return Masking(secrets.token_bytes(32), salt)


def _aligned(renters: list[str], partners: list[str]) -> tuple[list[str], list[str], list[int]]:
    """Ids in common as renter and partner see them, and their places in what the renter received."""
    ours, theirs = _masking(), _masking()
    first = alignment.masked(ours, renters)
    second, order = alignment.sorted_masks(alignment.masked(theirs, partners))
    double_first, double_second = alignment.remasked(theirs, first), alignment.remasked(ours, second)
    at_partner = alignment.matched(double_first, double_second, order)
    at_renter = alignment.matched(double_first, double_second, np.arange(len(partners)))
    assert at_renter[0].tolist() == at_partner[0].tolist()
    return (
        [renters[row] for row in at_renter[0]],
        [partners[row] for row in at_partner[1]],
        at_renter[1].tolist(),
    )


def test_both_sides_get_the_ids_in_common_in_the_renters_order() -> None:
    renters, partners = [f"p{at}" for at in (9, 3, 14, 5, 1, 77)], [f"p{at}" for at in range(12)]
    renter_sees, partner_sees, _ = _aligned(renters, partners)
    assert renter_sees == partner_sees == ["p9", "p3", "p5", "p1"]


def test_the_partners_order_does_not_show() -> None:
    ids = [f"row {at}" for at in range(40)]
    _, _, places = _aligned(ids, ids)
    assert sorted(places) == list(range(40))
    assert places != list(range(40))


def test_nothing_in_common_is_an_empty_intersection() -> None:
    assert _aligned(["a", "b"], ["c"]) == ([], [], [])


def test_chunks_are_masked_like_the_whole() -> None:
    ours, ids = _masking(), [f"{at}" for at in range(9)]
    assert alignment.masked(ours, ids[:4]) + alignment.masked(ours, ids[4:]) == alignment.masked(ours, ids)


def test_masks_of_two_jobs_have_nothing_in_common() -> None:
    secret = secrets.token_bytes(32)
    other = salt("job", b"renter", b"another")
    assert alignment.masked(Masking(secret, SALT), ["a"]) != alignment.masked(Masking(secret, other), ["a"])
    assert alignment.masked(_masking(), ["a"]) != alignment.masked(_masking(), ["a"])


def test_hashes_and_masks_are_on_the_curve_where_half_of_all_numbers_are_not() -> None:
    """Trap: a hash that is taken as it comes lies on the twist half of the time, and stays there under any secret."""
    ids = [f"id {at}" for at in range(60)]
    hashes = [alignment.hashed(each, SALT) for each in ids]
    masks = alignment.masked(_masking(), ids)
    points = [*hashes, *[masks[at : at + 32] for at in range(0, len(masks), 32)]]
    assert all(alignment.on_curve(mpz.from_bytes(point, "little")) for point in points)
    assert 10 < sum(alignment.on_curve(mpz(secrets.randbelow(P))) for _ in range(60)) < 50


@pytest.mark.parametrize("kind", ["off the curve", "zero", "order four", "not reduced", "highest bit", "cut"])
def test_what_is_no_masked_id_is_refused(kind: str) -> None:
    good = alignment.masked(_masking(), ["a"])
    twist = next(x for x in range(2, 100) if not alignment.on_curve(mpz(x)))
    low = next(x for x in range(2, 19) if alignment.on_curve(mpz(x)))
    wrong = {
        "off the curve": twist.to_bytes(32, "little"),
        "zero": bytes(32),
        "order four": (1).to_bytes(32, "little"),
        "not reduced": (P + low).to_bytes(32, "little"),
        "highest bit": good[:31] + bytes((good[31] | 0x80,)),
        "cut": good[:31],
    }
    with pytest.raises(BadPeer) as caught:
        alignment.remasked(_masking(), good + wrong[kind])
    assert caught.value.code == "ids-invalid"


@pytest.mark.parametrize(
    ("ids", "count"), [(["a", "", " "], "2 of 3 rows have no id"), (["a", "b", "a", "a"], "2 of 4 ids")]
)
def test_empty_and_repeated_ids_are_refused_with_their_count(ids: list[str], count: str) -> None:
    with pytest.raises(BadData, match=count):
        alignment.require_ids([ids])


def test_ids_that_the_other_side_repeats_are_refused() -> None:
    masks = secrets.token_bytes(16)
    with pytest.raises(BadPeer) as caught:
        alignment.matched(masks + masks, secrets.token_bytes(16), np.arange(1))
    assert caught.value.code == "ids-repeated"


def test_ids_are_compared_by_their_characters() -> None:
    assert _aligned(["\u00e9", "a", "a ", "0"], ["e\u0301", "00", "a"])[:2] == (["a"], ["a"])


def test_masks_that_end_in_zeros_are_told_apart() -> None:
    left = b"\x01" * 15 + b"\x00" + b"\x01" * 14 + b"\x00\x00"
    found = alignment.matched(left, left[16:] + left[:16], np.arange(2))
    assert [each.tolist() for each in found] == [[0, 1], [1, 0]]


def test_a_secret_shows_nowhere() -> None:
    assert "secret" not in repr(_masking())
