"""How word of compute spreads from neighbour to neighbour, and how it is forgotten."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from nodes.hub import advertising
from nodes.hub.advertising import RENEW_SECONDS
from nodes.hub.records import HeardRecord
from schemas import limits
from schemas.ids import Address
from schemas.orders import Capacity
from tests.unit.nodes.hub.subnets import A, B, C
from tests.unit.nodes.hub.world import START, World, capacity

NAMES = ("A11", "B11", "C11", "D11", "E11")
CHAIN = list(itertools.pairwise(NAMES))


def chain() -> World:
    """Five hubs in a row, each with a lessor and a renter."""
    return World({name: ["L", "R"] for name in NAMES}, CHAIN)


def heard(world: World, hub: str, of: str = "") -> list[Capacity]:
    """Word that a hub keeps under `enclave`."""
    told = (each for record in world.all(hub, HeardRecord) for each in record.capacities)
    return [each for each in told if each.protection == "enclave" and of in ("", each.hub)]


def known(world: World, hub: str) -> list[Capacity]:
    """What a hub would act on now, under `enclave`."""
    return [word.capacity for word in advertising.words(world.draft(Address(hub)), "enclave").values()]


def hears(world: World, by: str, to: str, *capacities: Capacity, **fields: Any) -> None:
    """Let a hub hear this now, and say nothing."""
    event = world.tell(by, to, *capacities, **fields)
    world.queue.remove(event)
    world.deliver(event)


def test_word_of_a_lessor_reaches_every_hub_over_others_and_says_how_far_it_came() -> None:
    world = chain()
    world.sell("E11.L", units=7, price_micros=30, memory_mib=512)
    world.settle()
    (word,) = heard(world, "A11", "E11.hub")
    assert (word.units, word.price_micros, word.memory_mib, word.hops) == (7, 30, 512, 3)


def test_an_order_is_served_over_hubs_that_are_not_linked_to_the_renters() -> None:
    world = chain()
    world.sell("E11.L")
    world.settle()
    world.buy("A11.R")
    world.settle()
    assert [contract.lessor for contract in world.contracts("A11.R")] == ["E11.L"]


def test_a_neighbour_is_not_told_what_it_told() -> None:
    world = chain()
    world.sell("C11.L")
    world.settle()
    for event in world.wire("capacity.advertised"):
        told = {each.hub for each in event.data.capacities}  # type: ignore[union-attr]
        assert event.to not in told
        assert not (event.source == B and event.to == C and C in told)
    assert A not in {event.to for event in world.wire("capacity.advertised") if event.source == C}


def test_a_word_spreads_once_however_many_ways_there_are() -> None:
    world = World({name: ["L"] for name in NAMES})
    world.sell("A11.L")
    world.settle()
    world.run(limits.ADVERTISE_SECONDS)
    assert len(world.wire("capacity.advertised")) <= 2 * len(NAMES) * (len(NAMES) - 1)
    before = len(world.sent)
    world.run(RENEW_SECONDS - 2 * limits.ADVERTISE_SECONDS)
    assert len(world.sent) == before, "the hubs go on telling each other what they know"


def test_only_the_best_are_told_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CAPACITIES_PER_NEIGHBOUR_MAX", 2)
    world = chain()
    for price, name in enumerate(NAMES, start=1):
        world.sell(f"{name}.L", price_micros=100 - price)
    world.run(4 * limits.ADVERTISE_SECONDS)
    assert sorted(each.hub for each in heard(world, "A11")) == ["D11.hub", "E11.hub"]


def test_of_equals_the_nearest_are_told_and_a_hub_without_units_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CAPACITIES_PER_NEIGHBOUR_MAX", 2)
    world = chain()
    for name in NAMES[2:]:
        world.sell(f"{name}.L")
    world.run(4 * limits.ADVERTISE_SECONDS)
    assert sorted(each.hub for each in heard(world, "A11")) == ["C11.hub", "D11.hub"]


def test_of_equally_near_equals_each_neighbour_hears_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else one part of a large network would get all orders."""
    monkeypatch.setattr(limits, "CAPACITIES_PER_NEIGHBOUR_MAX", 4)
    leaves = [f"L{number}" for number in range(20)]
    world = World({name: ["L"] for name in ("A11", *leaves)}, [("A11", leaf) for leaf in leaves])
    for leaf in leaves:
        world.sell(f"{leaf}.L")
    world.run(2 * limits.ADVERTISE_SECONDS)
    told = {each.hub for leaf in leaves for each in heard(world, leaf)}
    assert len(told) > 15


def test_word_is_dropped_when_it_is_old_and_renewed_while_there_are_lessors() -> None:
    world = chain()
    world.sell("E11.L")
    world.run(10 * limits.CAPACITY_SECONDS_MAX)
    world.buy("A11.R", 1)
    world.settle()
    assert world.contracts("A11.R")
    world.cut_off = {B}
    world.run(limits.CAPACITY_SECONDS_MAX)
    assert not known(world, A)


def test_word_is_as_old_as_it_lay_wherever_it_lay() -> None:
    """Clocks need not agree: what counts is how long each hub kept it."""
    world = chain()
    hears(world, B, A, capacity("Z11.hub", units=1, memory_mib=64, at=START - 1e6, age_seconds=50.0))
    world.now += 3.0
    assert [each.hub for each in known(world, A)] == ["Z11.hub"]
    hears(world, C, B, capacity("Z11.hub", units=1, memory_mib=64, at=START - 1e6, age_seconds=53.0))
    world.now += 6.9
    assert known(world, A)
    assert known(world, B)
    world.now += 0.2
    assert not known(world, A)
    assert not known(world, B)


def test_of_two_words_on_a_hub_the_younger_counts_whoever_told_it() -> None:
    world = World({"A11": ["R"], "B11": [], "C11": [], "D11": []})
    hears(world, B, A, capacity("D11.hub", units=7, at=START + 2))
    hears(world, C, A, capacity("D11.hub", units=3, at=START + 1))
    assert [each.units for each in known(world, A)] == [7]


def test_what_a_neighbour_told_earlier_and_comes_later_is_ignored(world: World) -> None:
    hears(world, B, A, capacity(B, units=7, at=START + 1), time=START + 1)
    hears(world, B, A, capacity(B, units=3, at=START + 2), time=START)
    assert [each.units for each in known(world, A)] == [7]


def test_a_neighbour_fills_its_own_place_only(world: World) -> None:
    many = [capacity(f"Z{number}.hub", units=1) for number in range(3 * limits.CAPACITIES_PER_NEIGHBOUR_MAX)]
    hears(world, B, A, *many)
    hears(world, C, A, capacity(C, units=1))
    kept = known(world, A)
    assert len(kept) == limits.CAPACITIES_PER_NEIGHBOUR_MAX + 1
    assert C in {each.hub for each in kept}


def test_a_hub_that_nobody_heard_of_is_told_as_soon_as_it_says_a_word() -> None:
    world = World({"A11": ["R"], "B11": ["L"]})
    world.cut_off = {A}
    world.sell("B11.L")
    world.run(1)
    world.queue = []
    world.cut_off = set()
    world.run(limits.ADVERTISE_SECONDS - 1)
    world.buy("A11.R")
    world.settle()
    assert world.contracts("A11.R")


def test_word_is_told_in_sums_at_most_every_few_seconds(world: World) -> None:
    for number in range(20):
        world.sell("B11.B12", number, price_micros=100 + number, units=2, memory_mib=1024 + number % 7)
        world.run(0.1)
    world.run(limits.ADVERTISE_SECONDS)
    assert len([event for event in world.wire("capacity.advertised") if (event.source, event.to) == (B, A)]) == 2
    words = [each for each in world.told(A) if each.hub == B]
    assert [each.protection for each in words] == ["homomorphic", "enclave", "sealed-result"]
    assert {(each.units, each.price_micros, each.memory_mib) for each in words} == {(40, 100, 1030)}


def test_what_comes_and_goes_between_two_words_is_not_told(world: World) -> None:
    world.sell("B11.B12")
    world.run(limits.ADVERTISE_SECONDS)
    before = len(world.wire("capacity.advertised"))
    order = world.buy("A11.A12", units=9)
    world.run(limits.ADVERTISE_SECONDS)
    assert world.got("A11.A12", "order.buy.matched") == []
    assert order.units > 4
    assert len([each for each in world.wire("capacity.advertised")[before:] if each.source == B]) == 0
