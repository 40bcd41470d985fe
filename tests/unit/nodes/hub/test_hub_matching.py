"""Price, then time, over several lessors: examples, and properties against a search of all choices."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, permutations
from random import Random

import pytest
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
    wanted = need(2, lessors_max=1)
    assert picked(wanted, candidate("late", 100, 2, 5.0), candidate("early", 100, 2, 4.0)) == [("early", 2)]
    twins = [candidate("x", 100, 2), candidate("y", 100, 2)]
    first = min(twins, key=lambda each: each.offer.sell.id)
    assert picked(wanted, *twins) == picked(wanted, *reversed(twins)) == picked(wanted, first)


@pytest.mark.parametrize(
    ("wanted", "offered", "served"),
    [
        pytest.param(need(2, lessors_max=2), [(100, 2), (100, 2)], [1, 1], id="one each"),
        pytest.param(need(5, lessors_max=2), [(100, 8), (100, 8)], [3, 2], id="the older gets what is over"),
        pytest.param(need(5), [(100, 1), (100, 8)], [1, 4], id="as far as it has them"),
        pytest.param(need(6), [(100, 1), (100, 8), (100, 8)], [1, 3, 2], id="the others share what it lacks"),
        pytest.param(need(2), [(100, 4), (100, 4), (100, 4)], [1, 1], id="no more lessors than units"),
        pytest.param(need(4, lessors_max=2), [(100, 4), (100, 4), (100, 4)], [2, 2], id="no more lessors than wanted"),
        pytest.param(need(4), [(90, 1), (100, 8), (100, 8)], [1, 2, 1], id="cheaper units first"),
        pytest.param(need(3), [(90, 2), (100, 8), (100, 8)], [2, 1], id="no cheaper unit is given up"),
        pytest.param(need(4), [(90, 3), (100, 8), (110, 8)], [3, 1], id="not to dearer ones"),
        pytest.param(need(3, lessors_min=3), [(100, 8), (100, 8), (110, 8)], [1, 1, 1], id="those that must serve"),
    ],
)
def test_equal_prices_share_the_order(wanted: Need, offered: list[tuple[int, int]], served: list[int]) -> None:
    offers = [candidate(f"l{at}", price, units, float(at)) for at, (price, units) in enumerate(offered)]
    assert [units for _, units in picked(wanted, *offers)] == served


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


@pytest.mark.parametrize(
    ("units", "left"),
    [
        pytest.param(3, ["B11.c", "B11.d"], id="the last unit cannot be shared"),
        pytest.param(4, ["B11.d"], id="c shows that nobody else asks as little as b"),
    ],
)
def test_no_more_offers_are_looked_at_than_needed(units: int, left: list[str]) -> None:
    offers = iter([candidate(name, price, 2) for name, price in (("a", 100), ("b", 200), ("c", 300), ("d", 400))])
    assert pick(need(units), offers).complete
    assert [each.offer.sell.lessor for each in offers] == left


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
        dearest = max(part.candidate.offer.sell.price_micros for part in result.parts)
        assert not _can_serve(wanted, [each for each in offers if each.offer.sell.price_micros < dearest])


@given(markets())
def test_where_lessors_do_not_matter_every_cheaper_unit_is_taken_first(market: tuple[Need, list[Candidate]]) -> None:
    wanted, offers = market
    alone = sorted({each.offer.sell.lessor: each for each in reversed(offers)}.values(), key=lambda each: each.priority)
    result = pick(need(wanted.units), alone)
    left, expected = wanted.units, Counter[int]()
    for each in alone:
        taken = min(left, each.offer.units)
        expected[each.offer.sell.price_micros] += taken
        left -= taken
    given: Counter[int] = Counter()
    for part in result.parts:
        given[part.candidate.offer.sell.price_micros] += part.units
    assert given == +expected


@given(markets())
def test_what_costs_the_same_is_spread_evenly_over_as_many_as_may_serve(market: tuple[Need, list[Candidate]]) -> None:
    """A lessor has a unit more than another of its price only where that one gives all it has, or one cannot be cut."""
    wanted, offers = market
    result = pick(wanted, offers)
    offered: dict[str, int] = {each.offer.sell.id: each.offer.units for each in offers}
    for one, other in permutations(result.parts, 2):
        same = one.candidate.offer.sell.price_micros == other.candidate.offer.sell.price_micros
        if same and other.units < offered[other.candidate.offer.sell.id]:
            assert one.units <= other.units + 1 or other.units == wanted.units - wanted.lessors_min + 1
    last = max((part.candidate.offer.sell.price_micros for part in result.parts), default=0)
    shared = [part.units for part in result.parts if part.candidate.offer.sell.price_micros == last]
    if result.complete and len(result.parts) < wanted.lessors_max and max(shared) > 1:
        serving = {part.candidate.offer.sell.lessor for part in result.parts}
        assert {each.offer.sell.lessor for each in offers if each.offer.sell.price_micros == last} <= serving


@given(markets(), st.randoms(use_true_random=False))
def test_which_offer_is_heard_of_first_changes_nothing(market: tuple[Need, list[Candidate]], random: Random) -> None:
    wanted, offers = market
    shuffled = random.sample(offers, len(offers))
    assert pick(wanted, sorted(shuffled, key=lambda each: each.priority)) == pick(wanted, offers)
