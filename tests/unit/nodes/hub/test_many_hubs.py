"""Word of compute and orders among many hubs: nothing that a hub keeps or sends grows with their number (N4).

`tests/soak/hubs.py` is the same with up to 1,000 hubs and a million participants.
"""

from __future__ import annotations

import pytest

from nodes.hub import leaf
from schemas import limits
from tests.soak.hubs import LINKS, Directory, Line, learn, look


@pytest.fixture(scope="module")
def lines() -> tuple[Line, Line]:
    """24 hubs and 96, with ten participants each; a hub tells of eight."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "CAPACITIES_PER_NEIGHBOUR_MAX", 8)
        return look(24, 240, orders_max=60), look(96, 960, orders_max=240)


def test_word_of_the_best_is_everywhere_after_a_few_rounds(lines: tuple[Line, Line]) -> None:
    assert [line.rounds <= bound for line, bound in zip(lines, (5, 7), strict=True)] == [True, True]


def test_what_a_hub_keeps_of_others_and_tells_is_bounded_by_its_neighbours(lines: tuple[Line, Line]) -> None:
    for line in lines:
        assert line.words <= 3 * 8 * LINKS
        assert line.told <= LINKS
    few, many = lines
    assert many.kept_kib < 1.1 * few.kept_kib


def test_an_order_costs_as_many_messages_in_a_large_network_as_in_a_small_one(lines: tuple[Line, Line]) -> None:
    few, many = lines
    assert many.messages < 1.5 * few.messages


def test_of_a_rush_of_orders_nearly_all_are_served_without_a_pause(lines: tuple[Line, Line]) -> None:
    assert min(line.served for line in lines) >= 0.9


@pytest.fixture(scope="module")
def directories() -> tuple[Directory, Directory]:
    """10 hubs and 40, with leaves beside."""
    return learn(10), learn(40)


def test_all_hubs_know_the_shortest_ways_to_all_others_by_a_few_hundred_bytes_each(
    directories: tuple[Directory, Directory],
) -> None:
    few, many = directories
    assert not few.faults() + many.faults()
    assert many.told < 3 * few.told
    assert max(few.rounds_cut, many.rounds_cut) <= few.rounds + many.rounds


def test_a_leaf_keeps_the_same_in_a_large_network_and_in_a_small_one(directories: tuple[Directory, Directory]) -> None:
    few, many = directories
    assert (few.leaf_hubs, few.leaf_kib) == (many.leaf_hubs, many.leaf_kib)
    assert many.leaf_told_kib < 1.5 * few.leaf_told_kib


def test_a_leaf_that_hears_of_lessors_everywhere_keeps_as_many_hubs_as_it_may() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "CAPACITIES_PER_NEIGHBOUR_MAX", 4)
        patch.setattr(leaf, "HUBS_SOUGHT_MAX", 6)
        assert learn(40).leaf_hubs_trading <= 6
