"""Contracts while they run and when they end, orders taken back or not renewed, and what is left of it all."""

from __future__ import annotations

from nodes.hub.records import BuyRecord, ContractRecord, SellRecord
from nodes.machine import Note
from schemas import limits
from schemas.events import ContractEnded, OrderCancelled
from tests.unit.nodes.hub.subnets import RENTER, SUBNETS, A, rented, shares
from tests.unit.nodes.hub.world import START, World, buy_order, hold_proposals, placed, sell_order


def test_a_contract_ended_by_the_renter_frees_its_units_and_the_lessor_is_told(world: World) -> None:
    contract = rented(world)
    data = ContractEnded(contract=contract.id, code="completed")
    world.send("contract.ended", RENTER, data)
    world.settle()
    assert world.got("B11.B12", "contract.ended") == [data]
    assert world.held("B11") == {"B11.B12": 0}
    assert not world.all("A11", ContractRecord) + world.all("B11", ContractRecord)


def test_what_a_renter_gave_back_is_there_for_its_next_order_at_once(world: World) -> None:
    """Also for others of its subnet, and under every protection that the lessor offers."""
    contract = rented(world, units=2)
    world.run(2 * limits.ADVERTISE_SECONDS)
    world.lost = {"capacity.advertised"}
    world.send("contract.ended", RENTER, ContractEnded(contract=contract.id, code="completed"))
    world.settle()
    world.buy("A11.A14", 2, protection="homomorphic")
    world.settle()
    assert shares(world.contracts("A11.A14")) == [("B11.B12", 2)]


def test_an_order_that_waits_takes_what_its_neighbour_gave_back(world: World) -> None:
    contract = rented(world, units=2)
    world.run(2 * limits.ADVERTISE_SECONDS)
    world.buy("A11.A14", 2, match_by=world.now + 60)
    world.run(2 * limits.ADVERTISE_SECONDS)
    world.lost = {"capacity.advertised"}
    world.send("contract.ended", RENTER, ContractEnded(contract=contract.id, code="completed"))
    world.settle()
    assert shares(world.contracts("A11.A14")) == [("B11.B12", 2)]


def test_a_contract_that_nobody_ends_expires_at_both_hubs(world: World) -> None:
    contract = rented(world)
    world.run(contract.ends_at - world.now + 1)
    assert [ended.code for ended in world.got("B11.B12", "contract.ended")] == ["expired"]
    assert world.held("B11") == {"B11.B12": 0}
    assert not world.all("A11", ContractRecord) + world.all("B11", ContractRecord)


def test_a_silent_lessor_is_not_matched_until_it_renews(world: World) -> None:
    contract = rented(world)
    world.send("contract.ended", RENTER, ContractEnded(contract=contract.id, code="silent"))
    world.run(1)
    world.buy("A11.A14")
    world.run(10)
    assert not world.contracts("A11.A14")
    world.sell("B11.B12", expires_at=world.now + 3600)
    world.settle()
    assert shares(world.contracts("A11.A14")) == [("B11.B12", 2)]


def test_a_cancelled_buy_order_is_never_matched_and_what_it_reserved_is_free(world: World) -> None:
    world.sell("A11.A13")
    world.sell("B11.B12")
    world.settle()
    order = world.buy(RENTER, units=6, lessors_max=2)
    (proposal,) = hold_proposals(world)
    world.send("order.buy.cancelled", RENTER, OrderCancelled(order=order.id))
    world.settle()
    world.queue.append(proposal)
    world.run(limits.QUOTE_LEASE_SECONDS)
    assert not world.inbox.get(RENTER)
    assert world.held("A11") | world.held("B11") == {"A11.A13": 0, "B11.B12": 0}
    assert not world.all("A11", ContractRecord) + world.all("B11", ContractRecord)
    assert len(world.contracts("B11.B12")) == len(world.got("B11.B12", "contract.ended"))


def test_a_cancelled_sell_order_is_not_matched_but_its_contracts_go_on(world: World) -> None:
    contract = rented(world)
    world.send("order.sell.cancelled", "B11.B12", OrderCancelled(order=contract.sell.id))
    world.buy("A11.A14")
    world.run(60)
    assert not world.contracts("A11.A14")
    assert [record.contract for record in world.all("B11", ContractRecord)] == [contract]
    world.send("contract.ended", RENTER, ContractEnded(contract=contract.id, code="completed"))
    world.settle()
    assert not world.all("B11", SellRecord)


def test_a_renewal_keeps_contracted_units_held(world: World) -> None:
    rented(world)
    world.run(1)
    world.sell("B11.B12", units=3)
    world.buy("A11.A14", units=2)
    world.run(60)
    assert not world.contracts("A11.A14")
    assert world.held("B11") == {"B11.B12": 2}


def test_a_renewal_older_than_what_is_known_is_ignored(world: World) -> None:
    world.run(5)
    world.sell("B11.B12", expires_at=START + 7200)
    world.settle()
    world.send("order.sell.placed", "B11.B12", placed(sell_order("B11.B12", units=1)), time=START)
    world.settle()
    assert [record.order.units for record in world.all("B11", SellRecord)] == [4]


def test_an_order_that_is_not_renewed_leaves_the_book(world: World) -> None:
    world.sell("B11.B12", expires_at=START + 60)
    world.run(60 + limits.ADVERTISE_SECONDS)
    assert not world.all("B11", SellRecord)
    assert [each.units for each in world.told(A) if each.hub == "B11.hub"] == [0, 0, 0]


def test_a_hub_keeps_nothing_when_everything_is_over(world: World) -> None:
    rented(world)
    world.run(7200)
    assert all(world.kinds(hub) <= {"hub", "heard"} for hub in SUBNETS)


def test_an_order_placed_again_is_not_matched_again(world: World) -> None:
    world.sell("B11.B12")
    order = world.buy(RENTER)
    world.settle()
    world.send("order.buy.placed", RENTER, order)
    world.run(10)
    assert len(world.contracts(RENTER)) == 1
    assert [record.state for record in world.all("A11", BuyRecord)] == ["matched"]


def test_senders_are_known_by_the_keys_of_the_directory(world: World) -> None:
    event = world.send("order.buy.placed", RENTER, buy_order(RENTER))
    machine = world.machines[A]
    assert machine.key_of({}, event) == machine.config.participants[RENTER]
    stranger = world.send("order.buy.placed", "B11.B12", buy_order(RENTER), to=A)
    assert machine.key_of({}, stranger) is None


def test_decisions_stand_in_the_journal(world: World) -> None:
    rented(world)
    (note,) = [note for hub, note in world.notes if note.kind == "matched"]
    assert isinstance(note, Note)
    (shown,) = note.details["contracts"].values()
    assert shown == {"lessor": "B11.B12", "units": 2, "price_micros": 100}
