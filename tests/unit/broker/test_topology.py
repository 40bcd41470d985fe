"""The network description and the exchanges, queues, bindings and permissions that follow from it."""

from __future__ import annotations

import re
from itertools import pairwise, permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.topology import (
    WAIT_STEPS,
    Hub,
    Link,
    Network,
    Participant,
    Route,
    addresses,
    check_network,
    dead_key,
    is_dead_key,
    is_wait_key,
    may_read,
    next_hops,
    parse_key,
    queue_name,
    route_of,
    routing_key,
    topology,
    wait_key,
    wait_name,
)
from schemas.errors import BadConfig
from schemas.ids import Address, address, hub_address

NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True)
KINDS = st.sampled_from(["control", "batch", "result", "dead", "w1", "w999"])
A12, B12 = Address("A11.A12"), Address("B11.B12")


def subnet(name: str, *participants: Participant, broker: str = "main") -> Hub:
    return Hub(name=name, participants=participants, broker=broker)


def line(*names: str, routes: tuple[Route, ...] = ()) -> Network:
    """Hubs in a row, each linked to the next."""
    hubs = tuple(subnet(name) for name in names)
    return Network(hubs=hubs, links=tuple(Link(hubs=pair) for pair in pairwise(names)), routes=routes)


TWO = Network(
    hubs=(
        subnet("A11", Participant(name="A12", role="renter", lanes=0)),
        subnet("B11", Participant(name="B12", role="lessor", lanes=2), Participant(name="B-1", role="lessor", lanes=0)),
    ),
    links=(Link(hubs=("A11", "B11")),),
)


@given(NAMES, NAMES, NAMES, NAMES, KINDS)
def test_a_key_is_read_as_it_was_written(dst_hub: str, dst: str, src_hub: str, src: str, kind: str) -> None:
    to, by = address(dst_hub, dst), address(src_hub, src)
    key = parse_key(routing_key(to, by, kind))
    assert (key.dst, key.src, key.kind) == (to, by, kind)


@pytest.mark.parametrize(
    "key",
    ["", "A11.A12.B11.B12", "A11.A12.B11.B12.batch.more", "A11..B11.B12.batch", "A11.A12.B11.B12.batch\n", "é.b.c.d.e"],
)
def test_what_is_not_a_key_is_refused(key: str) -> None:
    with pytest.raises(BadConfig):
        parse_key(key)


def test_a_message_passes_the_hubs_between() -> None:
    assert route_of(line("A11", "B11", "C11", "D11"), "A11", "D11") == ("A11", "B11", "C11", "D11")
    assert route_of(line("A11"), "A11", "A11") == ("A11",)


def test_a_route_leads_another_way_than_the_shortest() -> None:
    """N3: from the lessor's hub to the partner's by way of the renter's, although they are linked."""
    links = (Link(hubs=("A11", "B11")), Link(hubs=("A11", "C11")), Link(hubs=("B11", "C11")))
    network = Network(hubs=tuple(subnet(name) for name in ("A11", "B11", "C11")), links=links)
    assert route_of(network, "B11", "C11") == ("B11", "C11")
    led = msgspec.structs.replace(network, routes=(Route(hub="B11", to="C11", via="A11"),))
    assert route_of(led, "B11", "C11") == ("B11", "A11", "C11")
    assert next_hops(led, "B11") == {"A11": "A11", "C11": "A11"}


@pytest.mark.parametrize(
    ("network", "field"),
    [
        (Network(hubs=(subnet("A11"), subnet("A11"))), "hubs"),
        (Network(hubs=(subnet("A11"), subnet("B11"))), "links"),
        (Network(hubs=(subnet("A11"),), links=(Link(hubs=("A11", "Z11")),)), "links"),
        (line("A11", "B11", "C11", routes=(Route(hub="A11", to="B11", via="C11"),)), "routes"),
        (line("A11", "B11", "C11", routes=(Route(hub="B11", to="C11", via="A11"),)), "routes"),
        (Network(hubs=(subnet("A11", *(Participant(name="x", role="renter"),) * 2),)), "participants"),
        (Network(hubs=(subnet("A11", Participant(name="hub", role="renter")),)), "participants"),
        (Network(hubs=(subnet("A11", Participant(name="wait250", role="renter")),)), "participants"),
        (Network(hubs=(subnet("A11", Participant(name="broker", role="lessor")),)), "participants"),
        (Network(hubs=(subnet("A11", Participant(name="dead", role="lessor")),)), "participants"),
    ],
)
def test_a_network_that_cannot_work_is_refused_naming_the_field(network: Network, field: str) -> None:
    with pytest.raises(BadConfig) as caught:
        check_network(network)
    assert caught.value.field == field


def test_a_typo_in_a_network_description_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="rolle"):
        msgspec.convert({"hubs": [{"name": "A11", "participants": [{"name": "A12", "rolle": "renter"}]}]}, Network)


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


def test_a_hub_reads_what_it_keeps_for_its_subnet_and_no_others_do() -> None:
    hub = hub_address("A11")
    assert may_read(hub, "q.A11.dead")
    assert may_read(hub, "q.A11.unroutable")
    assert not may_read(hub, "q.B11.dead")
    assert not may_read(hub, queue_name(A12, "control"))
    assert not may_read(A12, "q.A11.dead")
    assert not may_read(Address("A11.A1"), queue_name(A12, "control"))


def test_waiting_rounds_up_to_a_step() -> None:
    assert [wait_name(seconds) for seconds in (0, 0.25, 0.26, 4.9, 30, 3600)] == [
        "wait250", "wait250", "wait1000", "wait5000", "wait30000", "wait30000",
    ]  # fmt: skip


def test_keys_for_waiting_and_of_dead_letters_are_told_from_others() -> None:
    assert is_wait_key(parse_key(wait_key(B12, "batch", 1.0)), B12)
    assert not is_wait_key(parse_key(wait_key(B12, "batch", 1.0)), A12)
    assert not is_wait_key(parse_key(routing_key(B12, B12, "control")), B12)
    assert not is_wait_key(parse_key("A11.wait250.B11.B12.batch"), B12)
    assert is_dead_key(parse_key(dead_key(A12)))
    assert not is_dead_key(parse_key("B11.dead.A11.A12.dead"))
    assert not is_dead_key(parse_key(routing_key(B12, A12, "dead")))


def test_a_next_hop_on_another_broker_is_a_queue_that_the_hub_reads() -> None:
    network = Network(hubs=(subnet("A11"), subnet("B11", broker="other")), links=(Link(hubs=("A11", "B11")),))
    here = topology(network)
    assert {exchange.name for exchange in here.exchanges} == {"hub.A11", "again.A11", "unroutable.A11"}
    assert ("hub.A11", "B11.#", "out.A11.B11", False) in {
        (row.source, row.pattern, row.destination, row.to_exchange) for row in here.bindings
    }
    assert "out.A11.B11" in next(row.queues for row in here.permissions if row.user == hub_address("A11"))
    assert {row.user for row in topology(network, "other").permissions} == {hub_address("B11")}
    with pytest.raises(BadConfig):
        topology(network, "third")
