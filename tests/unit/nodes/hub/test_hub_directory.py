"""Whom a hub knows: addresses stand where they belong, and nobody else has a key here."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from nodes.hub.directory import HubConfig
from schemas.errors import BadConfig
from schemas.ids import Address

KEY = bytes(32)
HUBS = {"A11.hub": KEY, "B11.hub": KEY, "C11.hub": KEY}


def config(
    hubs: Mapping[str, bytes] = HUBS,
    participants: Mapping[str, bytes] | None = None,
    linked: tuple[str, ...] | None = None,
) -> HubConfig:
    members = {"A11.A12": KEY} if participants is None else participants
    return HubConfig(me=Address("A11.hub"), hub_keys=hubs, participants=members, linked=linked)


def test_a_hubs_neighbours_are_those_that_it_is_linked_to_or_all_others() -> None:
    assert config().neighbours == ("B11.hub", "C11.hub")
    assert config(linked=("C11.hub",)).neighbours == ("C11.hub",)
    assert config(linked=()).neighbours == ()


@pytest.mark.parametrize(
    ("hubs", "participants", "named"),
    [
        ({"B11.hub": KEY}, {}, "A11.hub"),
        (HUBS | {"C11.C12": KEY}, {}, "C11.C12"),
        (HUBS, {"B11.B12": KEY}, "B11.B12"),
        (HUBS, {"A11.hub": KEY}, "A11.hub"),
        (HUBS, {"A11.A12": b"short"}, "A11.A12"),
        (HUBS, {"nowhere": KEY}, "nowhere"),
    ],
)
def test_an_address_or_key_that_does_not_belong_is_named(
    hubs: Mapping[str, bytes], participants: Mapping[str, bytes], named: str
) -> None:
    with pytest.raises(BadConfig, match=named):
        config(hubs, participants)
