"""What is signed by itself says the same bytes to a release that may say more, until it does."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Struct, structs

from schemas import signing
from schemas.codec import MalformedEvent, decode_data, encode_data
from schemas.orders import BuyOrder
from schemas.signing import struct_bytes

BUY: dict[str, Any] = {
    "id": "order-" + "0" * 24,
    "renter": "A11.A12",
    "job": "job-" + "0" * 24,
    "units": 1,
    "price_micros_max": 7,
    "protection": "enclave",
    "lease_seconds": 60.0,
    "match_by": 1.8e9,
}


class LaterBuyOrder(BuyOrder, frozen=True, kw_only=True):
    """As the next release may have it."""

    region: str | None = None


@pytest.fixture(autouse=True)
def _labelled(monkeypatch: pytest.MonkeyPatch) -> None:
    labels: dict[type[Struct], str] = dict(signing._LABELS)
    monkeypatch.setattr(signing, "_LABELS", labels | {LaterBuyOrder: labels[BuyOrder]})


@pytest.mark.parametrize("later", [False, True])
def test_a_field_that_is_not_used_changes_nothing_on_the_way_to_either_release(*, later: bool) -> None:
    theirs, ours = (LaterBuyOrder, BuyOrder) if later else (BuyOrder, LaterBuyOrder)
    order = theirs(**BUY, memory_mib=4096)
    got = decode_data(ours, encode_data(order))
    assert struct_bytes(got) == struct_bytes(order)


def test_what_uses_it_is_refused_by_who_does_not_know_it() -> None:
    with pytest.raises(MalformedEvent, match="region") as refused:
        decode_data(BuyOrder, encode_data(LaterBuyOrder(**BUY, region="eu")))
    assert refused.value.code == "unknown-field"


def test_what_uses_it_is_signed_with_it() -> None:
    plain, used = LaterBuyOrder(**BUY), LaterBuyOrder(**BUY, region="eu")
    assert struct_bytes(plain) != struct_bytes(used)


@pytest.mark.parametrize("kind", signing._LABELS, ids=lambda kind: kind.__name__)
def test_nothing_that_is_signed_by_itself_loses_a_field(kind: type[Struct]) -> None:
    config = kind.__struct_config__
    assert config.forbid_unknown_fields
    assert config.omit_defaults


def test_the_bytes_are_those_of_the_values_and_not_of_where_they_came_from() -> None:
    """Whether a default was said or left out."""
    order = BuyOrder(**BUY)
    said = msgspec.json.encode({name: getattr(order, name) for name in order.__struct_fields__ if name != "signature"})
    assert struct_bytes(msgspec.json.decode(said, type=BuyOrder)) == struct_bytes(order)
    assert struct_bytes(structs.replace(order, signature=b"s" * 64)) == struct_bytes(order)
