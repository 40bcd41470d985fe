"""A hub with one link rents, and is rented, far away, though it keeps no directory (N4).

Hubs as they run, each on a broker of its own, in one process. D11, at C11, and the leaf L11, at A11, joined later:
neither's files and broker name the other.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from broker.names import dead_queue, queue_name
from broker.port import DEAD_REASON
from nodes.contracts import verify_contract
from nodes.hub.machine import AGGREGATE
from nodes.identity import Identity, verify
from nodes.runtime.post import Post
from schemas.contracts import Contract
from schemas.events import ContractSigned, QuoteReleased
from schemas.ids import Address, derive_id, hub_address, hub_of
from tests.support.growing import FOUNDERS, LEAF, NEW, Hubs, hubs_of, participant
from tests.support.letters import drain, following, letter, post
from tests.unit.nodes.hub.world import buy_order, placed, private_key, public_key, sell_order

RELEASED = QuoteReleased(quote=derive_id("quote", 1), order=derive_id("order", 1))
MATCH_SECONDS = 60.0


def certified(hubs: Hubs, hub: str, *linked: str, version: int = 1) -> None:
    """The files of a hub that joined."""
    member = participant(hub)
    certificate = hubs.certify(hub, hubs.identities[hub].public, version)
    hubs.files[hub] = hubs.config(hub, *linked, certificate=certificate, members={member: public_key(member)})


@pytest.fixture
async def hubs(tmp_path: Path) -> AsyncIterator[Hubs]:
    async with hubs_of(tmp_path) as running:
        for hub, neighbour in ((NEW, "C11"), (LEAF, "A11")):
            certified(running, hub, neighbour)
            await running.start(running.files[hub])
            others = [each for each in FOUNDERS if each != neighbour]
            running.configure(running.config(neighbour, *others, hub))
            running.link(hub, neighbour)
        await running.until("C11", LEAF, lambda known: bool(known.path))
        yield running


async def says(hubs: Hubs, by: Address, event_type: str, data: msgspec.Struct) -> None:
    """A participant, to its hub."""
    hub = hub_of(by)
    identity = Identity.from_seed(by, private_key(by).private_bytes_raw())
    sender = Post(identity, hubs.servers[hub].connect(by), time.time)
    await sender.send(event_type, hub_address(hub), "test", data, event_id=derive_id("event", by, event_type))


async def rented(hubs: Hubs, lessor: Address, renter: Address) -> Contract:
    """What the renter gets for its order, while nobody else has anything to sell."""
    await says(hubs, lessor, "order.sell.placed", placed(sell_order(lessor, expires_at=time.time() + 3600)))
    order = buy_order(renter, now=time.time(), match_by=time.time() + MATCH_SECONDS)
    await says(hubs, renter, "order.buy.placed", order)
    server = hubs.servers[hub_of(renter)]
    async with server.connect(renter).consume(queue_name(renter, "control"), prefetch=1) as consumer:
        while True:
            delivery = await following(consumer)
            await delivery.ack()
            if delivery.message.headers["ce-type"] == "contract.signed":
                return msgspec.json.decode(delivery.message.body, type=ContractSigned).contract


async def test_a_leafs_renter_rents_behind_a_hub_that_its_files_never_named(hubs: Hubs) -> None:
    lessor, renter = participant(NEW), participant(LEAF)
    contract = await rented(hubs, lessor, renter)
    assert (contract.lessor, contract.renter) == (lessor, renter)
    verify_contract(contract, hubs.nodes[LEAF].machine.config.hub_keys, verify)
    known = {key for key in await hubs.nodes[LEAF].store.read(AGGREGATE) if key.startswith("known/")}
    assert known == {"known/A11", "known/D11", "known/L11"}, "though the network has five hubs"
    for one, other in ((renter, lessor), (lessor, renter)):
        await post(hubs.servers[hub_of(one)].connect(one), letter("rows", other, one))
        wire = hubs.servers[hub_of(other)].connect(other)
        async with wire.consume(queue_name(other, "control"), prefetch=9) as consumer:
            while (await following(consumer)).message.id != "rows":
                pass


async def test_a_leafs_lessor_is_rented_by_one_of_a_hub_that_the_leaf_never_heard_of(hubs: Hubs) -> None:
    lessor, renter = participant(LEAF), participant(NEW)
    assert await hubs.known(LEAF, NEW) is None
    contract = await rented(hubs, lessor, renter)
    assert (contract.lessor, contract.renter) == (lessor, renter)
    verify_contract(contract, hubs.nodes[NEW].machine.config.hub_keys, verify)
    kept = await hubs.until(LEAF, NEW, lambda known: bool(known.signature))
    assert kept.path == (NEW, "C11", "A11")


async def test_a_new_key_of_a_hub_that_the_leaf_deals_with_reaches_it_and_the_old_one_is_refused(hubs: Hubs) -> None:
    await rented(hubs, participant(LEAF), participant(NEW))
    old, new = hubs.identities[NEW], Identity.generate(hub_address(NEW))
    await hubs.end(NEW)
    hubs.identities[NEW] = new
    certified(hubs, NEW, "C11", version=2)
    await hubs.start(hubs.files[NEW], new)
    await hubs.until(LEAF, NEW, lambda known: known.certificate == hubs.files[NEW].certificate)
    wire, leaf = hubs.servers[NEW].connect(hub_address(NEW)), hub_address(LEAF)
    for number, identity in enumerate((old, new)):
        sender, event_id = Post(identity, wire, time.time), derive_id("event", "released", number)
        await sender.send("quote.released", leaf, RELEASED.order, RELEASED, event_id=event_id)
    (dead,) = await drain(hubs.servers[LEAF].connect(leaf), dead_queue(LEAF), 1)
    assert (dead.id, dead.headers[DEAD_REASON]) == (derive_id("event", "released", 0), "bad-signature")
    await hubs.nodes[LEAF].runtime.idle()
    assert hubs.servers[LEAF].depth(dead_queue(LEAF)) == 0


async def test_what_a_leaf_sends_to_nobody_is_told_by_its_neighbour_and_what_is_for_its_own_by_itself(
    hubs: Hubs,
) -> None:
    renter = participant(LEAF)
    wire = hubs.servers[LEAF].connect(renter)
    for number, to in enumerate(("Z11.Z12", "L11.nobody")):
        sender = Post(Identity.from_seed(renter, private_key(renter).private_bytes_raw()), wire, time.time)
        event_id = derive_id("event", "lost", number)
        await sender.send("quote.released", to, RELEASED.order, RELEASED, event_id=event_id)
    told = await drain(wire, queue_name(renter, "control"), 2)
    assert sorted(each.headers["ce-source"] for each in told) == ["A11.hub", "L11.hub"]
    assert {each.headers["ce-type"] for each in told} == {"delivery.failed"}
