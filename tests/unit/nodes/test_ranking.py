"""Sorted lists of records that are kept as the records change."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from nodes.draft import Draft
from nodes.machine import Context
from nodes.ranking import Place
from nodes.records import RecordSet
from schemas.ids import Address

CONTEXT = Context(Address("A11.A12"), 7.0, bytes(32), "event-1", lambda data: data, lambda *_: True)
NAMES = ("a", "b", "c", "d")


class Lot(Struct, frozen=True):
    """A record that stands in the list of its colour, unless it is sold out."""

    name: str
    colour: str
    price: int
    left: int


def places(lot: Lot) -> Iterator[Place]:
    if lot.left:
        yield Place(lot.colour, (lot.price, lot.name), lot.left)
    yield Place("all", (lot.name,))


def red(name: str) -> bool:
    return name == "red"


def coloured(name: str) -> bool:
    return name != "all"


LOTS = st.builds(
    Lot,
    name=st.sampled_from(NAMES),
    colour=st.sampled_from(("red", "blue")),
    price=st.integers(0, 3),
    left=st.integers(0, 2),
)
CHANGES = st.lists(st.one_of(st.sampled_from(NAMES), LOTS), max_size=12)


def change(records: RecordSet, expected: dict[str, Lot], changes: list[str | Lot]) -> None:
    for each in changes:
        if isinstance(each, str):
            records.drop(f"lot/{each}")
            expected.pop(each, None)
        else:
            records.put(f"lot/{each.name}", each)
            expected[each.name] = each


def ranks(lots: dict[str, Lot], colours: tuple[str, ...]) -> list[tuple[int, str]]:
    return sorted((lot.price, lot.name) for lot in lots.values() if lot.left and lot.colour in colours)


@given(CHANGES, CHANGES, CHANGES)
def test_lists_and_sums_are_those_of_the_records_before_and_after_any_change_and_within_an_event(
    before: list[str | Lot], after: list[str | Lot], within: list[str | Lot]
) -> None:
    records, expected = RecordSet({"lots/a": Lot("a", "red", 0, 1)}), dict[str, Lot]()
    change(records, expected, before)
    records.ranking("lot", places)
    change(records, expected, after)
    ranking = records.ranking("lot", places)
    assert list(ranking.ranked(red)) == ranks(expected, ("red",))
    assert list(ranking.ranked(coloured)) == ranks(expected, ("red", "blue"))
    assert ranking.sum(coloured) == sum(lot.left for lot in expected.values())
    draft = Draft(None, records, CONTEXT)
    for each in within:
        if isinstance(each, str):
            draft.delete(f"lot/{each}")
            expected.pop(each, None)
        else:
            draft.put(f"lot/{each.name}", each)
            expected[each.name] = each
    assert list(draft.ranked("lot", places, coloured)) == ranks(expected, ("red", "blue"))
    assert draft.ranked_sum("lot", places, red) == sum(lot.left for lot in expected.values() if lot.colour == "red")
    assert [order[-1] for order in draft.ranked("lot", places, lambda name: name == "all")] == sorted(expected)


def test_a_ranking_is_made_once() -> None:
    records = RecordSet()
    assert records.ranking("lot", places) is records.ranking("lot", places)
