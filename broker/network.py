"""The network description: hubs, who is attached to them, how they are linked, and the ways that follow. Pure.

What a broker is made of to carry it is `broker.topology`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from broker.names import BATCH, BROKER_NAME, CONTROL, DEAD, DESK, RESULT, UNROUTABLE, lane
from schemas.errors import BadConfig
from schemas.ids import HUB_NAME, Address, address, hub_address

Role = Literal["renter", "lessor", "partner"]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,32}\Z")]

LANES_MAX: Final = 999
LANES_DEFAULT: Final = 8
DELIVERY_LIMIT_DEFAULT: Final = 10
"""A message that came back more often is poison and is dead-lettered."""

_KINDS_BY_ROLE: Final[dict[Role, tuple[str, ...]]] = {
    "renter": (CONTROL, RESULT),
    "lessor": (CONTROL, BATCH),
    "partner": (CONTROL, RESULT),
}
_RESERVED: Final = re.compile(rf"{HUB_NAME}|{DEAD}|{UNROUTABLE}|{BROKER_NAME}|wait\d*")


class Participant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node of an organisation, attached to one hub. `lanes` bounds how many of its workers have a queue each."""

    name: Name
    role: Role
    lanes: Annotated[int, Meta(ge=0, le=LANES_MAX)] = LANES_DEFAULT


class Hub(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A subnet: one hub and its participants (N1). `broker` names the broker that carries it.

    A `leaf` has one link, to a hub on another broker, over which all goes that is for others: it needs no ways (N4).
    """

    name: Name
    participants: tuple[Participant, ...] = ()
    broker: Name = "main"
    leaf: bool = False


class Link(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two hubs that exchange messages directly, both ways (N2)."""

    hubs: tuple[Name, Name]


class Route(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Messages at `hub` for hub `to` go to hub `via` next, instead of the shortest way (N3)."""

    hub: Name
    to: Name
    via: Name


class Network(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All hubs and how they are linked.

    With `keep_unroutable` (the default) a hub keeps messages nobody can receive in `q.<H>.unroutable`, to tell their
    senders; without, the sender gets Unroutable at once, which works on one broker only.
    """

    hubs: tuple[Hub, ...]
    links: tuple[Link, ...] = ()
    routes: tuple[Route, ...] = ()
    keep_unroutable: bool = True
    delivery_limit: Annotated[int, Meta(ge=1, le=1000)] = DELIVERY_LIMIT_DEFAULT


def is_reserved(name: str) -> bool:
    """Whether hubs use this name themselves, so that no participant can have it."""
    return _RESERVED.fullmatch(name) is not None


def addresses(network: Network) -> tuple[Address, ...]:
    """Every hub and participant, each a user of its broker."""
    return tuple(
        of
        for hub in network.hubs
        for of in (hub_address(hub.name), *(address(hub.name, p.name) for p in hub.participants))
    )


def check_network(network: Network) -> None:
    """That names are unique and usable, and that every hub reaches every other.

    Raises:
        BadConfig: naming the field.
    """
    names = [hub.name for hub in network.hubs]
    if len(set(names)) != len(names):
        raise BadConfig("two hubs have one name", field="hubs")
    leaves = {hub.name for hub in network.hubs if hub.leaf}
    for leaf in sorted(leaves):
        _check_leaf(network, leaf, leaves)
    for hub in network.hubs:
        attached = [participant.name for participant in hub.participants]
        if len(set(attached)) != len(attached):
            raise BadConfig(f"two participants of {hub.name} have one name", field="participants")
        for name in attached:
            address(hub.name, name)
            if is_reserved(name):
                raise BadConfig(f"{name!r} cannot be a participant's name: hubs use it", field="participants")
    known = {name for link in network.links for name in link.hubs} | {
        name for route in network.routes for name in (route.hub, route.to, route.via)
    }
    if unknown := known - set(names):
        raise BadConfig(f"links or routes name hubs that are not there: {', '.join(sorted(unknown))}", field="links")
    neighbours = _neighbours(network)
    if names and (cut_off := sorted(set(names) - {names[0]} - _ways_to(network, neighbours, names[0]).keys())):
        raise BadConfig(f"no link leads from {cut_off[0]} to {names[0]}", field="links")
    for destination in sorted({route.to for route in network.routes}):  # shortest ways never lead in a circle
        _check_ways(_ways_to(network, neighbours, destination), destination)


def _check_leaf(network: Network, leaf: str, leaves: Collection[str]) -> None:
    ends = sorted(linked(network, leaf))
    if len(ends) != 1:
        named = f" ({', '.join(ends)})" if ends else ""
        said = f"{leaf} is a leaf and has {len(ends)} links{named}"
        raise BadConfig(f"{said}: give it one, or take `leaf` away", field="leaf")
    if ends[0] in leaves:
        raise BadConfig(f"the leaves {leaf} and {ends[0]} are linked: one of them has to know the others", field="leaf")
    if ends[0] not in far_neighbours(network, leaf):
        raise BadConfig(f"{leaf} is a leaf on the broker of {ends[0]}, its neighbour: take `leaf` away", field="leaf")
    if not network.keep_unroutable:
        raise BadConfig(f"{leaf} is a leaf: it needs keep_unroutable, for all goes on that is for others", field="leaf")


def _check_ways(ways: Mapping[str, str], destination: str) -> None:
    """Every hub is passed once, however many lead over it."""
    arrives = {destination}
    for start in ways:
        passed: dict[str, None] = {}
        at = start
        while at not in arrives:
            if at in passed:
                raise BadConfig(f"routes to {destination} go in a circle at {at}", field="routes")
            passed[at] = None
            at = ways[at]
        arrives |= passed.keys()


def linked(network: Network, hub: str) -> frozenset[str]:
    """The hubs at the other ends of a hub's links."""
    return frozenset(other for link in network.links if hub in link.hubs for other in link.hubs if other != hub)


def far_neighbours(network: Network, hub: str) -> tuple[str, ...]:
    """The hubs on other brokers that a hub is linked to, sorted."""
    return tuple(sorted(linked(network, hub) - set(near_neighbours(network, hub))))


def near_neighbours(network: Network, hub: str) -> tuple[str, ...]:
    """Those on its own broker, sorted."""
    brokers = {other.name: other.broker for other in network.hubs}
    return tuple(sorted(other for other in linked(network, hub) if brokers[other] == brokers[hub]))


def next_hops(network: Network, hub: str) -> dict[str, str]:
    """Destination hub -> the linked hub to which messages at `hub` go next: the shortest way, or as routes say."""
    neighbours = _neighbours(network)
    first: dict[str, str] = {}
    todo = deque((name, name) for name in neighbours[hub])
    while todo:
        name, via = todo.popleft()
        if name == hub or name in first:
            continue
        first[name] = via
        todo.extend((further, via) for further in neighbours[name])
    for route in network.routes:
        if route.hub == hub:
            first[route.to] = _led(neighbours, route)
    return first


def _ways_to(network: Network, neighbours: Mapping[str, list[str]], destination: str) -> dict[str, str]:
    """Where messages to `destination` go next, from every hub: as `next_hops` of each, found in one pass.

    That is the first of the neighbours that are nearer, for next hops are the first found of the shortest ways.
    """
    distance, todo = {destination: 0}, deque([destination])
    while todo:
        name = todo.popleft()
        for further in neighbours[name]:
            if further not in distance:
                distance[further] = distance[name] + 1
                todo.append(further)
    ways = {
        name: next(each for each in neighbours[name] if distance[each] < hops)
        for name, hops in distance.items()
        if hops
    }
    for route in network.routes:
        if route.to == destination:
            ways[route.hub] = _led(neighbours, route)
    return ways


def _led(neighbours: Mapping[str, list[str]], route: Route) -> str:
    if route.via not in neighbours[route.hub]:
        raise BadConfig(f"{route.hub} has no link to {route.via}, its route to {route.to}", field="routes")
    return route.via


def route_of(network: Network, start: str, destination: str) -> tuple[str, ...]:
    """The hubs that a message passes, first and last included (N3).

    Raises:
        BadConfig: there is no way, or the routes lead in a circle.
    """
    passed = [start]
    while passed[-1] != destination:
        following = next_hops(network, passed[-1]).get(destination)
        if following is None:
            raise BadConfig(f"no link leads from {passed[-1]} to {destination}", field="links")
        if following in passed:
            raise BadConfig(f"routes to {destination} go in a circle at {following}", field="routes")
        passed.append(following)
    return tuple(passed)


def kinds(participant: Participant) -> tuple[str, ...]:
    """The kinds of queue that a participant has, lanes included."""
    return (*_KINDS_BY_ROLE[participant.role], DESK, *(lane(number + 1) for number in range(participant.lanes)))


def _neighbours(network: Network) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {hub.name: set() for hub in network.hubs}
    for link in network.links:
        one, other = link.hubs
        found[one].add(other)
        found[other].add(one)
    return {name: sorted(linked) for name, linked in found.items()}
