"""A link that does not carry: named once, kept until it carries again, and nobody is asked over it meanwhile."""

from __future__ import annotations

import pytest

from nodes.hub import links
from nodes.hub.records import BuyRecord, LinkRecord, ToldRecord
from nodes.runtime.links import LinkChanged
from schemas.events import BuyOrderRefused, LinkReported
from schemas.ids import Address
from schemas.limits import QUOTE_WAIT_SECONDS
from tests.unit.nodes.hub.subnets import RENTER, SUBNETS, A, B, C, assert_matched, rented
from tests.unit.nodes.hub.world import World

WHY = f"nothing has come from {B} for 9 s"
OVER_B = {A: {B: Address(B), C: Address(B)}, C: {A: Address(B), B: Address(B)}}
"""C11 is reached over B11."""


@pytest.fixture
def world() -> World:
    return World(SUBNETS, bridged=OVER_B)


def link(world: World, why: str, neighbour: str = B) -> None:
    data = LinkChanged(neighbour=Address(neighbour), why=why)
    world.send("link.changed", A, data, to=A)
    world.settle()


def noted(world: World) -> list[str]:
    return [note.text for _, note in world.notes if note.kind.startswith("link-")]


def test_it_is_named_once_and_so_is_its_return(world: World) -> None:
    link(world, "")
    for _ in range(2):
        link(world, WHY)
    assert world.all("A11", LinkRecord) == [LinkRecord(why=WHY, lost_at=world.now)]
    world.run(12.5)
    for _ in range(2):
        link(world, "")
    assert world.all("A11", LinkRecord) == []
    assert noted(world) == [f"{A} to {B}: {WHY}", f"{A} to {B}: lost for 12.5 s"]


def test_no_hub_behind_it_is_asked_and_own_lessors_are_rented(world: World) -> None:
    link(world, WHY)
    world.sell("B11.B12", price_micros=1)
    world.sell("C11.C12", price_micros=1)
    world.sell("A11.A13")
    world.settle()
    world.buy(RENTER)
    world.settle()
    assert_matched(world, ("A11.A13", 2))
    assert not world.wire("quote.requested")


def test_quotes_that_are_awaited_over_it_are_not_awaited_any_more(world: World) -> None:
    world.cut_off |= {B, C}
    world.sell("A11.A13", units=1)
    world.buy(RENTER, units=1)
    world.settle()
    assert {each.to for each in world.wire("quote.requested")} == {B, C}
    assert not world.contracts(RENTER)
    link(world, WHY)
    assert_matched(world, ("A11.A13", 1))
    world.run(QUOTE_WAIT_SECONDS)
    assert not [note for _, note in world.notes if note.kind == "unanswered"]


def test_who_is_refused_reads_which_link_it_was(world: World) -> None:
    link(world, WHY)
    world.buy(RENTER)
    world.run(31)
    (refused,) = world.got(RENTER, "order.buy.refused")
    assert isinstance(refused, BuyOrderRefused)
    assert refused.code == "no-match"
    assert refused.reason.endswith(f"; the link from {A} to {B} is down")


def test_an_order_that_waits_is_tried_as_soon_as_it_carries_again(world: World) -> None:
    link(world, WHY)
    world.sell("B11.B12")
    world.settle()
    world.run(5)
    world.buy(RENTER)
    world.run(0.1)
    (waiting,) = world.all("A11", BuyRecord)
    assert waiting.state == "waiting"
    link(world, "")
    assert_matched(world, ("B11.B12", 2))


def test_a_link_to_a_neighbour_that_is_not_on_the_way_changes_nothing(world: World) -> None:
    link(world, WHY, neighbour=C)
    world.sell("B11.B12")
    world.buy(RENTER)
    world.settle()
    assert_matched(world, ("B11.B12", 2))


def reported(world: World) -> list[tuple[str, str]]:
    """What the renter was told, the reason of each."""
    told = world.got(RENTER, "link.reported")
    assert {type(each) for each in told} <= {LinkReported}
    return [(each.neighbour, each.why) for each in told if isinstance(each, LinkReported)]


def test_a_renter_with_a_contract_over_it_is_told_once_and_when_it_carries_again(world: World) -> None:
    contract = rented(world)
    for _ in range(2):
        link(world, WHY)
    assert reported(world) == [(B, WHY)]
    (told,) = world.got(RENTER, "link.reported")
    assert isinstance(told, LinkReported)
    assert (told.job, told.contracts) == (contract.buy.job, (contract.id,))
    link(world, "")
    assert reported(world) == [(B, WHY), (B, "")]
    assert world.all("A11", ToldRecord) == []


def test_a_renter_whose_contracts_go_elsewhere_is_told_nothing(world: World) -> None:
    world.sell("A11.A13")
    world.buy(RENTER)
    world.settle()
    link(world, WHY)
    assert reported(world) == []


def test_an_order_that_finds_too_little_meanwhile_is_told_once_which_link_it_is(world: World) -> None:
    link(world, WHY)
    world.buy(RENTER)
    world.run(20)
    assert reported(world) == [(B, WHY)]
    link(world, "")
    assert reported(world) == [(B, WHY), (B, "")]


def test_a_hub_keeps_a_bounded_number_of_jobs_to_tell(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "TOLD_MAX", 2)
    link(world, WHY)
    for number in range(1, 5):
        world.buy(RENTER, number)
        world.run(0.1)
    assert len(world.all("A11", ToldRecord)) == 2
    assert len(reported(world)) == 2
