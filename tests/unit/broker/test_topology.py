"""The exchanges, queues, bindings and permissions that follow from a network description."""

from __future__ import annotations

import re
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from broker.names import WAIT_STEPS, heartbeat_key, queue_name, routing_key, wait_name
from broker.network import Link, Network, Participant, Role, addresses
from broker.topology import link_keys, membership, topology, unread_keys
from schemas.errors import BadConfig
from schemas.ids import Address, hub_address
from tests.unit.broker.test_names import A12, B12, KINDS, NAMES
from tests.unit.broker.test_network import line, star, subnet

TWO = Network(
    hubs=(
        subnet("A11", Participant(name="A12", role="renter", lanes=0)),
        subnet("B11", Participant(name="B12", role="lessor", lanes=2), Participant(name="B-1", role="lessor", lanes=0)),
    ),
    links=(Link(hubs=("A11", "B11")),),
)


def test_each_role_has_the_queues_it_needs() -> None:
    names = {queue.name for queue in topology(TWO).queues}
    assert {queue_name(A12, kind) for kind in ("control", "result")} <= names
    assert {queue_name(B12, kind) for kind in ("control", "batch", "w1", "w2")} <= names
    assert {queue_name(hub_address("A11"), "control"), "q.A11.dead", "q.A11.unroutable"} <= names
    assert queue_name(A12, "batch") not in names
    assert queue_name(B12, "w3") not in names


def test_every_queue_has_the_one_policy_it_names() -> None:
    for network in (TWO, line("A", "A1", "A-1")):
        layout = topology(network)
        for queue in layout.queues:
            matching = [policy.name for policy in layout.policies if re.fullmatch(policy.pattern, queue.name)]
            assert matching == [queue.policy]


def test_a_broker_has_the_same_policies_however_many_hubs_it_carries() -> None:
    """It compares each queue with each policy: with a dozen for each hub, 100 hubs take minutes to import."""
    assert topology(line("A", "B", "C", "D")).policies == topology(TWO).policies


def test_lanes_are_not_quorum_queues_because_those_have_no_exclusive_consumers() -> None:
    kinds = {queue.name.rpartition(".")[2]: queue.quorum for queue in topology(TWO).queues}
    assert not kinds["w1"]
    assert not kinds["w2"]
    assert all(quorum for kind, quorum in kinds.items() if not re.fullmatch(r"w\d+", kind))


def test_nobody_may_read_what_another_may() -> None:
    layout = topology(TWO)
    assert {row.user for row in layout.permissions} == set(addresses(TWO))
    for one, other in permutations(layout.permissions, 2):
        assert not set(one.queues) & set(other.queues)
    owned = {name for row in layout.permissions for name in row.queues}
    waiting = {queue.name for queue in layout.queues} - owned
    assert waiting == {f"q.{hub}.{wait_name(step)}" for hub in ("A11", "B11") for step in WAIT_STEPS}


@given(st.sampled_from(addresses(TWO)), st.sampled_from(addresses(TWO)), NAMES, NAMES, KINDS)
def test_only_keys_of_ones_own_source_may_be_written(
    one: Address, other: Address, hub: str, name: str, kind: str
) -> None:
    keys = next(row.keys for row in topology(TWO).permissions if row.user == one)
    key = routing_key(Address(f"{hub}.{name}"), other, kind)
    assert (re.fullmatch(keys, key) is not None) == (one == other)


@pytest.mark.parametrize(
    "key", ["B11.B12.A11.A12.batch.more", "B11.B12.A11.A12.batch\n", "B11.B12.A11xA12.batch", "A11.A12.batch"]
)
def test_a_key_of_another_shape_may_not_be_written(key: str) -> None:
    keys = next(row.keys for row in topology(TWO).permissions if row.user == A12)
    assert re.fullmatch(keys, key) is None


def test_a_next_hop_on_another_broker_is_a_queue_that_the_hub_reads() -> None:
    network = Network(hubs=(subnet("A11"), subnet("B11", broker="other")), links=(Link(hubs=("A11", "B11")),))
    here = topology(network)
    assert {exchange.name for exchange in here.exchanges} == {"hub.A11", "again.A11", "unroutable.A11"}
    assert ("hub.A11", "B11.#", "out.A11.B11", False) in {
        (row.source, row.pattern, row.destination, row.to_exchange) for row in here.bindings
    }
    assert "out.A11.B11" in next(row.queues for row in here.permissions if row.user == hub_address("A11"))
    assert {row.user for row in topology(network, "other").permissions} == {hub_address("B11"), "A11.link.B11"}
    with pytest.raises(BadConfig):
        topology(network, "third")


def chain(*brokers: str) -> Network:
    """A11 - B11 - C11 - D11 in a row, on these brokers."""
    names = ("A11", "B11", "C11", "D11")
    hubs = tuple(subnet(name, broker=broker) for name, broker in zip(names, brokers, strict=True))
    return Network(hubs=hubs, links=tuple(Link(hubs=pair) for pair in pairwise(names)))


@pytest.mark.parametrize(
    ("key", "passes"),
    [
        ("C11.C12.B11.B12.batch", True),
        ("D11.D12.A11.A12.control", True),
        ("A11.A12.D11.D12.control", True),  # as after another link was cut
        ("D11.D12.C11.C12.control", False),  # its source is of the receiving hub's subnet
        ("B11.B12.A11.A12.control", False),  # it would come back
        ("C11.C12.B11.B12.batch\n", False),
        ("C11.C12.B11.B12.x.batch", False),
    ],
)
def test_a_link_carries_whatever_does_not_speak_for_its_end_or_come_back(key: str, passes: bool) -> None:
    network = chain("one", "two", "three", "four")
    account = next(row for row in topology(network, "three").permissions if row.user == "B11.link.C11")
    assert (account.exchange, account.queues) == ("hub.C11", ())
    assert (re.fullmatch(account.keys, key) is not None) == passes
    assert account.keys == link_keys("B11", "C11")


def test_a_hub_may_lead_to_its_own_bridges_and_nobody_else_to_any() -> None:
    rows = topology(chain("one", "two", "three", "four"), "two").permissions
    assert {row.user: row.leads for row in rows if row.leads} == {"B11.hub": r"out\.B11\.[A-Za-z0-9_-]+"}


def test_a_leaf_has_one_binding_for_all_others_and_its_neighbour_one_for_it() -> None:
    """Whatever the network: what is for others goes on, what is for its own subnet is kept."""
    for leaves in (("L11",), ("L11", "M11", "N11")):
        network = star(*leaves)
        here = topology(network, "L11")
        rest = {(row.pattern, row.destination) for row in here.bindings if row.source == "unroutable.L11"}
        assert rest == {("#", "out.L11.A11"), ("L11.#", "q.L11.unroutable")}
        out = {row.pattern for row in here.bindings if row.source == "hub.L11" and row.destination == "out.L11.A11"}
        assert out == {heartbeat_key("L11", "A11")}
        there = {(row.source, row.pattern, row.destination) for row in topology(network).bindings}
        assert ("hub.A11", "L11.#", "out.A11.L11") in there
        assert ("unroutable.A11", "#", "q.A11.unroutable") in there


def test_hubs_on_one_broker_need_no_link_account() -> None:
    users = {row.user for row in topology(chain("one", "one", "two", "two"), "one").permissions}
    assert {user for user in users if ".link." in user} == {"C11.link.B11"}


@given(role=st.sampled_from(["renter", "lessor", "partner"]), lanes=st.integers(0, 3))
def test_what_a_newcomer_adds_is_what_a_network_made_with_it_has_more(role: Role, lanes: int) -> None:
    newcomer = Participant(name="B14", role=role, lanes=lanes)
    first, second = TWO.hubs
    hubs = (first, structs.replace(second, participants=(*second.participants, newcomer)))
    before, after = topology(TWO), topology(structs.replace(TWO, hubs=hubs))
    added = membership("B11", newcomer)
    assert set(after.queues) - set(before.queues) == set(added.queues)
    assert set(after.bindings) - set(before.bindings) == set(added.bindings)
    assert set(after.permissions) - set(before.permissions) == set(added.permissions)
    assert set(after.exchanges) == set(before.exchanges) >= set(added.exchanges)
    assert after.policies == before.policies


@pytest.mark.parametrize(("key", "unread"), [("B11.B12.A11.A12.batch", True), (heartbeat_key("A11", "B11"), False)])
def test_heartbeats_are_read_on_the_way(key: str, unread: bool) -> None:
    assert re.fullmatch(link_keys("A11", "B11"), key)
    assert bool(re.fullmatch(unread_keys("A11", "B11"), key)) is unread
