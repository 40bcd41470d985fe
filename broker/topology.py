"""The network as exchanges, queues, bindings and permissions. Pure data from a pure description.

A hub is a durable topic exchange `hub.<H>`. A message for `dst` of hub `D` from `src` of hub `S` has the routing key
`<D>.<dst>.<S>.<src>.<kind>`: the destination routes it, and the source is pinned, because an account may write only
keys that name itself as the source, on its own hub's exchange (N2). A neighbour hub is an exchange-to-exchange binding
`D.#`; a next hop (N3) is the same binding to another exchange.

Every address has a queue per kind it receives, `q.<hub>.<name>.<kind>`:

    control   small signed events, for any of the node's workers
    batch     a lessor's work                  result   a renter's results
    w1 … wN   lanes: a worker takes a free one by being its exclusive consumer

What cannot be routed reaches `q.<hub>.unroutable`, what was refused `q.<hub>.dead`, both readable by the hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from schemas.errors import BadConfig
from schemas.ids import HUB_NAME, Address, address, hub_address, hub_of

Role = Literal["hub", "renter", "lessor"]

DEAD_KIND: Final = "dead"
DEAD_EXCHANGE: Final = "dead"
DELIVERY_LIMIT: Final = 20
"""Deliveries of one message before the broker dead-letters it."""
RETRY_MILLISECONDS: Final = (100, 1_000, 10_000)
"""Delays of the wait queues behind `Delivery.retry`."""

_PART: Final = r"[A-Za-z0-9_-]+"
_KEY: Final = re.compile(rf"({_PART})\.({_PART})\.({_PART})\.({_PART})\.([a-z][a-z0-9]*)")


@dataclass(frozen=True, slots=True)
class Key:
    """A routing key's parts."""

    dst: Address
    src: Address
    kind: str


@dataclass(frozen=True, slots=True)
class Participant:
    """One node of a subnet; `lanes` is how many workers a lessor may have at a time."""

    name: str
    role: Role
    lanes: int = 0


@dataclass(frozen=True, slots=True)
class Hub:
    """One subnet. `next_hops` maps each other hub to the neighbour that leads there; `broker` names where it lives."""

    name: str
    participants: tuple[Participant, ...] = ()
    next_hops: dict[str, str] = field(default_factory=dict)
    broker: str = "main"


@dataclass(frozen=True, slots=True)
class Network:
    """All subnets (N1)."""

    hubs: tuple[Hub, ...]

    def __post_init__(self) -> None:
        names = [hub.name for hub in self.hubs]
        for hub in self.hubs:
            address(hub.name, HUB_NAME)
            if names.count(hub.name) > 1:
                raise BadConfig(f"two hubs are named {hub.name}", field="hubs")
            for participant in hub.participants:
                address(hub.name, participant.name)
                if participant.name == HUB_NAME:
                    raise BadConfig(f"{hub.name}.{HUB_NAME} is the hub itself", field="participants")
            for destination, hop in hub.next_hops.items():
                if destination not in names or hop not in names or hub.name in (destination, hop):
                    raise BadConfig(f"{hub.name} cannot reach {destination} over {hop}", field="next_hops")

    def members(self) -> Iterator[tuple[Address, Participant]]:
        """Every address with its role, hubs included."""
        for hub in self.hubs:
            yield hub_address(hub.name), Participant(HUB_NAME, "hub")
            for participant in hub.participants:
                yield address(hub.name, participant.name), participant


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue and who may consume it."""

    name: str
    owner: Address
    key: str
    """Binding key on the owner's hub exchange; empty for none."""


@dataclass(frozen=True, slots=True)
class Link:
    """Exchange-to-exchange binding: keys that begin with `destination` go from one hub to the next."""

    source: str
    target: str
    destination: str


@dataclass(frozen=True, slots=True)
class Access:
    """What one account may do: write keys that match `write` on `exchange`, read `queues`, configure nothing."""

    account: Address
    exchange: str
    write: str
    queues: tuple[str, ...]


def routing_key(dst: Address, src: Address, kind: str) -> str:
    """The key of a message from `src` to `dst`."""
    return f"{dst}.{src}.{kind}"


def parse_key(key: str) -> Key:
    """The parts of a routing key.

    Raises:
        BadConfig: it is not one.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        raise BadConfig(f"{key[:200]!r} is not a routing key", field="key")
    dst_hub, dst, src_hub, src, kind = match.groups()
    return Key(address(dst_hub, dst), address(src_hub, src), kind)


def exchange_name(hub: str) -> str:
    """The exchange that models a hub."""
    return f"hub.{hub}"


def queue_name(owner: Address, kind: str) -> str:
    """The queue of one kind of an address."""
    return f"q.{owner}.{kind}"


def unroutable_queue(hub: str) -> str:
    """Where a hub finds messages that nobody receives."""
    return f"q.{hub}.unroutable"


def dead_queue(hub: str) -> str:
    """Where a hub finds messages that its participants refused, or that failed too often."""
    return f"q.{hub}.dead"


def dead_key(of: Address) -> str:
    """The key under which `of` dead-letters: within its own permission, to its own hub."""
    return f"{hub_of(of)}.{DEAD_KIND}.{of}.{DEAD_KIND}"


def kinds_of(participant: Participant) -> tuple[str, ...]:
    """The kinds that a participant receives."""
    lanes = tuple(f"w{number}" for number in range(1, participant.lanes + 1))
    return ("control", *{"hub": (), "renter": ("result",), "lessor": ("batch",)}[participant.role], *lanes)


def queues(network: Network) -> Iterator[Queue]:
    """Every queue of the network."""
    for hub in network.hubs:
        own = hub_address(hub.name)
        yield Queue(unroutable_queue(hub.name), own, "")
        yield Queue(dead_queue(hub.name), own, f"{hub.name}.{DEAD_KIND}.#")
    for member, participant in network.members():
        for kind in kinds_of(participant):
            yield Queue(queue_name(member, kind), member, f"{member}.*.*.{kind}")


def links(network: Network) -> Iterator[Link]:
    """Every binding between hubs."""
    for hub in network.hubs:
        for destination, hop in sorted(hub.next_hops.items()):
            yield Link(exchange_name(hub.name), exchange_name(hop), destination)


def accesses(network: Network) -> Iterator[Access]:
    """What every account may do."""
    owned: dict[Address, list[str]] = {member: [] for member, _ in network.members()}
    for queue in queues(network):
        owned[queue.owner].append(queue.name)
    for member, _ in network.members():
        write = rf"^{_PART}\.{_PART}\.{re.escape(member)}\.[a-z][a-z0-9]*$"
        yield Access(member, exchange_name(hub_of(member)), write, tuple(owned[member]))
