"""Price, then time, over several lessors: examples, and properties against a search of all choices."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from nodes.hub.matching import Candidate, pick
from schemas.ids import derive_id
from schemas.orders import Need, Offer, SellOrder


def candidate(lessor: str, price: int, units: int, placed_at: float = 0.0, number: int = 1) -> Candidate:
    sell = SellOrder(
        id=derive_id("sell", lessor, number),
        lessor=f"B11.{lessor}",
        units=units,
        price_micros=price,
        protections=("enclave",),
        expires_at=1e9,
    )
    return Candidate(Offer(sell=sell, lessor_key=bytes(32), units=units, placed_at=placed_at, reserved_until=1e9))


def need(units: int, lessors_min: int = 1, lessors_max: int = 64) -> Need:
    return Need(units=units, lessors_min=lessors_min, lessors_max=lessors_max)


def picked(wanted: Need, *candidates: Candidate) -> list[tuple[str, int]]:
    result = pick(wanted, sorted(candidates, key=lambda each: each.priority))
    return [(part.candidate.offer.sell.lessor.partition(".")[2], part.units) for part in result.parts]


def test_the_cheapest_lessors_serve_first_and_the_last_gives_only_what_is_missing() -> None:
    offers = candidate("dear", 300, 8), candidate("cheap", 100, 2), candidate("middle", 200, 8)
    assert picked(need(5), *offers) == [("cheap", 2), ("middle", 3)]


def test_among_equal_prices_the_older_offer_serves_and_then_the_smaller_id() -> None:
    assert picked(need(2), candidate("late", 100, 2, 5.0), candidate("early", 100, 2, 4.0)) == [("early", 2)]
    twins = [candidate("x", 100, 2), candidate("y", 100, 2)]
    first = min(twins, key=lambda each: each.offer.sell.id)
    assert picked(need(2), *twins) == picked(need(2), *reversed(twins)) == picked(need(2), first)


def test_the_order_is_spread_over_at_least_so_many_lessors_with_a_unit_each() -> None:
    offers = candidate("a", 100, 8), candidate("b", 200, 8), candidate("c", 300, 8)
    assert picked(need(4, lessors_min=3), *offers) == [("a", 2), ("b", 1), ("c", 1)]


def test_small_offers_give_way_where_too_few_lessors_may_serve() -> None:
    offers = candidate("a", 100, 1), candidate("b", 150, 1), candidate("c", 200, 4)
    assert picked(need(4, lessors_max=2), *offers) == [("a", 1), ("c", 3)]


def test_two_sell_orders_of_one_lessor_serve_as_one() -> None:
    offers = candidate("a", 100, 1), candidate("a", 120, 4, number=2), candidate("b", 200, 4)
    assert picked(need(4, lessors_min=2), *offers) == [("a", 3), ("b", 1)]


def test_too_little_says_what_is_lacking_and_leaves_units_for_lessors_still_to_be_found() -> None:
    wanted = need(4, lessors_min=3)
    result = pick(wanted, [candidate("a", 100, 8)])
    assert not result.complete
    assert [part.units for part in result.parts] == [2]
    assert result.lacking(wanted) == "4 units of 3 to 64 lessors wanted; 2 units of 1 lessors offered"


def test_no_more_offers_are_looked_at_than_needed() -> None:
    offers = iter([candidate("a", 100, 2), candidate("b", 200, 2), candidate("c", 300, 2)])
    assert pick(need(3), offers).complete
    assert [left.offer.sell.lessor for left in offers] == ["B11.c"]


@st.composite
def markets(draw: st.DrawFn) -> tuple[Need, list[Candidate]]:
    units = draw(st.integers(1, 8))
    lessors_max = draw(st.integers(1, 4))
    lessors_min = draw(st.integers(1, min(lessors_max, units)))
    rows = draw(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 3), st.integers(1, 5)), max_size=7))
    offers = [candidate(name, price, free, 0.0, number) for number, (name, price, free) in enumerate(rows)]
    return need(units, lessors_min, lessors_max), sorted(offers, key=lambda each: each.priority)


def _can_serve(wanted: Need, offers: list[Candidate]) -> bool:
    for count in range(wanted.lessors_min, wanted.lessors_max + 1):
        for chosen in combinations(offers, count):
            distinct = len({each.offer.sell.lessor for each in chosen}) == count
            if distinct and count <= wanted.units <= sum(each.offer.units for each in chosen):
                return True
    return False


@given(markets())
def test_an_order_is_served_exactly_when_any_choice_of_offers_could(market: tuple[Need, list[Candidate]]) -> None:
    wanted, offers = market
    assert pick(wanted, offers).complete == _can_serve(wanted, offers)


@given(markets())
def test_what_is_picked_fits_the_order_and_the_offers(market: tuple[Need, list[Candidate]]) -> None:
    wanted, offers = market
    result = pick(wanted, offers)
    lessors = [part.candidate.offer.sell.lessor for part in result.parts]
    assert len(set(lessors)) == len(lessors) <= wanted.lessors_max
    offered = {each.offer.sell.id: each.offer.units for each in offers}
    assert all(1 <= part.units <= offered[part.candidate.offer.sell.id] for part in result.parts)
    total = sum(part.units for part in result.parts)
    assert total == wanted.units if result.complete else total <= wanted.units
    if result.complete:
        assert len(lessors) >= wanted.lessors_min


@given(markets())
def test_no_dearer_offer_is_picked_than_needed(market: tuple[Need, list[Candidate]]) -> None:
    wanted, offers = market
    result = pick(wanted, offers)
    if result.complete:
        last = max(part.candidate.priority for part in result.parts)
        assert not _can_serve(wanted, [each for each in offers if each.priority < last])


@given(markets())
def test_where_lessors_do_not_matter_every_cheaper_unit_is_taken_first(market: tuple[Need, list[Candidate]]) -> None:
    wanted, offers = market
    once = {each.offer.sell.lessor: each for each in reversed(offers)}
    alone = sorted(once.values(), key=lambda each: each.priority)
    result = pick(need(wanted.units), alone)
    left, expected = wanted.units, []
    for each in alone:
        if left:
            expected.append((each.offer.sell.id, min(left, each.offer.units)))
            left -= expected[-1][1]
    assert [(part.candidate.offer.sell.id, part.units) for part in result.parts] == expected
