"""Addresses and derived identifiers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import BadConfig
from schemas.ids import derive_id, hub_address, hub_of, name_of, parse_address


def test_an_address_has_a_hub_and_a_name() -> None:
    assert hub_of(parse_address("A11.A12")) == "A11"
    assert name_of(parse_address("A11.A12")) == "A12"
    assert hub_address("A11") == "A11.hub"


@pytest.mark.parametrize(
    "text", ["", "A11", "A11.", ".A12", "A11.A12.x", "A11.A 12", "A11.A12\n", "Ä.x", "a" * 33 + ".b"]
)
def test_what_is_not_an_address_is_refused(text: str) -> None:
    with pytest.raises(BadConfig):
        parse_address(text)


@given(st.lists(st.text(max_size=5), max_size=3), st.lists(st.text(max_size=5), max_size=3))
def test_different_parts_give_different_ids(one: list[str], other: list[str]) -> None:
    assert (derive_id("job", *one) == derive_id("job", *other)) == (one == other)
