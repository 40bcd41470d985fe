"""Three subnets, and what their tests often do and say."""

from __future__ import annotations

from typing import Any

from nodes.contracts import verify_contract
from schemas.contracts import Contract
from schemas.events import ContractsCompleted
from tests.unit.nodes.hub.world import World, verify

SUBNETS = {"A11": ["A12", "A13", "A14"], "B11": ["B12", "B13"], "C11": ["C12"]}
A, B, C = "A11.hub", "B11.hub", "C11.hub"
RENTER = "A11.A12"


def shares(contracts: list[Contract]) -> list[tuple[str, int]]:
    return [(contract.lessor, contract.units) for contract in contracts]


def assert_matched(world: World, *expected: tuple[str, int]) -> list[Contract]:
    """The renter got exactly these lessors with these units, best first, and is told that these are all."""
    contracts = world.contracts(RENTER)
    assert shares(contracts) == list(expected)
    completed = world.got(RENTER, "order.buy.matched")
    assert len(completed) == 1
    assert isinstance(completed[0], ContractsCompleted)
    assert completed[0].contracts == tuple(contract.id for contract in contracts)
    for contract in contracts:
        verify_contract(contract, world.hub_keys, verify)
        assert world.contracts(contract.lessor) == [contract]
    assert world.refusals == []
    return contracts


def rented(world: World, **fields: Any) -> Contract:
    world.sell("B11.B12", **fields)
    world.buy(RENTER)
    world.settle()
    return world.contracts(RENTER)[0]
