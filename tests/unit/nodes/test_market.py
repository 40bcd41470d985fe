"""The market as a participant's hub tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from broker.port import Broker
from nodes import asking, desk
from nodes.asking import HubSilent
from nodes.config import NodeConfig
from nodes.identity import Identity
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.views.market import Market, of_words
from schemas import limits
from schemas.events import MarketRequested
from schemas.ids import Address
from schemas.orders import Capacity
from tests.unit.nodes.hub.subnets import RENTER
from tests.unit.nodes.hub.world import START, World

LESSOR = Address("B11.B12")


class Node(NodeConfig):
    """Of a network in this process; `key` is what its identity is."""

    key: Identity

    def identity(self) -> Identity:
        return self.key


@pytest.fixture
async def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalNetwork]:
    async with LocalNetwork(tmp_path / "network") as running:

        async def connect(config: NodeConfig, *, timeout_seconds: float) -> Broker:
            return running.server.connect(config.address)

        monkeypatch.setattr(desk, "connect", connect)
        yield running


def node(network: LocalNetwork, role: Any, address: Address, folder: Path) -> Node:
    keys: Any = SimpleNamespace(hub_keys=network.renter_config.hub_keys)
    made = Node(role, address, "amqp://x:secret@127.0.0.1:5672/x", folder, folder, keys)
    object.__setattr__(made, "key", network.identity(address))
    return made


@pytest.mark.parametrize(
    ("role", "address", "subnets"),
    [("renter", LOCAL_RENTER, ["A11", "B11"]), ("lessor", LESSOR, ["B11"])],  # A11 offers nothing, and says nothing
)
async def test_a_participant_sees_its_own_subnet_first_and_what_others_offer(
    network: LocalNetwork, tmp_path: Path, role: str, address: Address, subnets: list[str]
) -> None:
    async def offered() -> Market:
        while True:  # until both lessors' orders are told
            found = await desk.market(node(network, role, address, tmp_path))
            if sum(each.units for each in found.supplies) == 6:
                return found

    found = await asyncio.wait_for(offered(), 30)
    assert [each.subnet for each in found.supplies[::3]] == subnets
    assert [each.own for each in found.supplies[::3]] == [True, False][: len(subnets)]
    of_lessors = [each for each in found.supplies if each.subnet == "B11"]
    assert [(each.protection, each.units, each.best_price_micros) for each in of_lessors] == [
        (protection, 2, limits.PRICE_MICROS_DEFAULT) for protection in ("homomorphic", "enclave", "sealed-result")
    ]
    assert {each.best_price_micros for each in found.supplies if each.subnet == "A11"} <= {None}


async def test_a_hub_that_does_not_answer_is_named(
    network: LocalNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "ANSWER_SECONDS_MAX", 0.0)
    with pytest.raises(HubSilent, match=r"no answer of A11\.hub"):
        await desk.market(node(network, "renter", LOCAL_RENTER, tmp_path))


def test_of_too_many_words_those_of_the_most_units_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CAPACITIES_TOLD_MAX", 4)
    world = World({"A11": ["A12"], "B11": ["B12"], "C11": ["C12"]})
    for lessor, units in (("B11.B12", 3), ("C11.C12", 5)):
        world.sell(lessor, units=units, protections=("enclave",))
    world.run(2 * limits.ADVERTISE_SECONDS)
    world.send("market.requested", RENTER, MarketRequested(lane="w0"))
    world.settle()
    (answer,) = world.got(RENTER, "market.told")
    assert [(each.hub, each.units) for each in answer.capacities] == [("A11.hub", 0)] * 3 + [("C11.hub", 5)]
    assert answer.more == 5


def test_subnets_stand_in_the_order_of_their_names_behind_the_own() -> None:
    words = [Capacity(hub=hub, protection="enclave", units=0, at=START) for hub in ("B11.hub", "A11.hub", "0.hub")]
    assert [each.subnet for each in of_words(LOCAL_RENTER, words).supplies] == ["A11", "0", "B11"]
