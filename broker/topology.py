"""The network description, and what follows from it on a broker: exchanges, queues, bindings, permissions. Pure.

    hub.<H>                   topic exchange; participants of H publish here, under keys of their own source only
      --"<H>.<name>.*.*.<kind>"--> q.<H>.<name>.<kind>      one per participant and kind it receives
      --"<D>.#"--> hub.<N>                                  N is H's next hop on the way to hub D (N2, N3)
      --"<D>.#"--> out.<H>.<N>                              the same where N is on another broker
      --"<H>.dead.<H>.*.dead"--> q.<H>.dead                 dead letters, by those who rejected or by the broker
      --"<H>.wait<ms>.<H>.*.*"--> q.<H>.wait<ms>            retries; expire into:
    again.<H>                 topic exchange nobody may publish on
      --"<H>.*.<H>.<name>.<kind>"--> q.<H>.<name>.<kind>    back to the queue of the one who retries
    unroutable.<H>            alternate exchange of hub.<H>  --> q.<H>.unroutable

Routing key: `<dstHub>.<dst>.<srcHub>.<src>.<kind>`. The destination routes; the source is pinned by the broker. A
participant may write on its own hub's exchange only, read its own queues only, and configure nothing.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from schemas.errors import BadConfig
from schemas.ids import HUB_NAME, Address, address, hub_address, hub_of, name_of

Role = Literal["renter", "lessor", "partner"]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,32}\Z")]

CONTROL: Final = "control"
BATCH: Final = "batch"
RESULT: Final = "result"
DEAD: Final = "dead"
UNROUTABLE: Final = "unroutable"
BROKER_NAME: Final = "broker"
"""The source part of dead letters that the broker made itself."""
LANES_MAX: Final = 999
LANES_DEFAULT: Final = 8

DELIVERY_LIMIT_DEFAULT: Final = 10
"""A message that came back more often is poison and is dead-lettered."""
RETRIES_MAX: Final = 240
WAIT_STEPS: Final = (0.25, 1.0, 5.0, 30.0)
"""Seconds a retried message may wait."""
CONTROL_MESSAGES_MAX: Final = 200_000
WORK_BYTES_MAX: Final = 4 * 1024**3
"""Of a batch or result queue."""
KEPT_MESSAGES_MAX: Final = 100_000
"""Of dead letters and of unroutable messages each; the oldest give way."""
KEPT_RETURNS_MAX: Final = 1000
"""How often one of those may come back before it is dropped. Said, because RabbitMQ 4 has a default of 20."""
LANE_SECONDS_MAX: Final = 300.0
"""What a lane holds longer was for a worker that died."""

_KINDS_BY_ROLE: Final[dict[Role, tuple[str, ...]]] = {
    "renter": (CONTROL, RESULT),
    "lessor": (CONTROL, BATCH),
    "partner": (CONTROL, RESULT),
}
_RESERVED: Final = re.compile(rf"{HUB_NAME}|{DEAD}|{UNROUTABLE}|{BROKER_NAME}|wait\d*")
_KEY: Final = re.compile(r"([\w-]{1,32})\.([\w-]{1,32})\.([\w-]{1,32})\.([\w-]{1,32})\.([a-z0-9]{1,16})", re.ASCII)
_ANY_NAME: Final = "[A-Za-z0-9_-]+"


# ---------------------------------------------------------------- the network description


class Participant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node of an organisation, attached to one hub. `lanes` bounds how many of its workers have a queue each."""

    name: Name
    role: Role
    lanes: Annotated[int, Meta(ge=0, le=LANES_MAX)] = LANES_DEFAULT


class Hub(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A subnet: one hub and its participants (N1). `broker` names the broker that carries it."""

    name: Name
    participants: tuple[Participant, ...] = ()
    broker: Name = "main"


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
    for hub in network.hubs:
        attached = [participant.name for participant in hub.participants]
        if len(set(attached)) != len(attached):
            raise BadConfig(f"two participants of {hub.name} have one name", field="participants")
        for name in attached:
            address(hub.name, name)
            if _RESERVED.fullmatch(name):
                raise BadConfig(f"{name!r} cannot be a participant's name: hubs use it", field="participants")
    known = {name for link in network.links for name in link.hubs} | {
        name for route in network.routes for name in (route.hub, route.to, route.via)
    }
    if unknown := known - set(names):
        raise BadConfig(f"links or routes name hubs that are not there: {', '.join(sorted(unknown))}", field="links")
    for start in names:
        for destination in names:
            route_of(network, start, destination)


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
            if route.via not in neighbours[hub]:
                raise BadConfig(f"{hub} has no link to {route.via}, its route to {route.to}", field="routes")
            first[route.to] = route.via
    return first


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


def _neighbours(network: Network) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {hub.name: set() for hub in network.hubs}
    for link in network.links:
        one, other = link.hubs
        found[one].add(other)
        found[other].add(one)
    return {name: sorted(linked) for name, linked in found.items()}


# ---------------------------------------------------------------- names and keys


@dataclass(frozen=True, slots=True)
class Key:
    """A routing key's parts."""

    dst: Address
    src: Address
    kind: str


def routing_key(dst: Address, src: Address, kind: str) -> str:
    """`<dstHub>.<dst>.<srcHub>.<src>.<kind>`."""
    return f"{dst}.{src}.{kind}"


def parse_key(key: str) -> Key:
    """The parts of a routing key.

    Raises:
        BadConfig: it is not one.
    """
    matched = _KEY.fullmatch(key)
    if matched is None:
        raise BadConfig(f"{key[:200]!r} is not <dstHub>.<dst>.<srcHub>.<src>.<kind>", field="key")
    dst_hub, dst, src_hub, src, kind = matched.groups()
    return Key(Address(f"{dst_hub}.{dst}"), Address(f"{src_hub}.{src}"), kind)


def queue_name(of: Address, kind: str) -> str:
    """The queue in which `of` receives messages of this kind."""
    return f"q.{of}.{kind}"


def is_lane(kind: str) -> bool:
    """Whether messages of this kind go to one worker's lane."""
    return kind.startswith("w") and kind[1:].isdigit()


def lane(number: int) -> str:
    """The kind of a worker's lane, counted from 1."""
    return f"w{number}"


def hub_exchange(hub: str) -> str:
    """The exchange on which a hub's participants publish."""
    return f"hub.{hub}"


def again_exchange(hub: str) -> str:
    """The exchange into which retried messages come back."""
    return f"again.{hub}"


def dead_queue(hub: str) -> str:
    """The hub's dead letters; readable by the hub."""
    return f"q.{hub}.{DEAD}"


def unroutable_queue(hub: str) -> str:
    """What nobody could receive; readable by the hub."""
    return f"q.{hub}.{UNROUTABLE}"


def dead_key(by: Address) -> str:
    """The key under which `by` moves a message to its hub's dead letters."""
    return f"{hub_of(by)}.{DEAD}.{by}.{DEAD}"


def is_dead_key(key: Key) -> bool:
    """Whether it is a key of dead letters, which only the source named in it, or the broker, could have written."""
    return f"{key.dst}.{key.src}.{key.kind}" == dead_key(key.src)


def wait_name(after_seconds: float) -> str:
    """The first step that is not shorter; the longest for more than that."""
    step = next((step for step in WAIT_STEPS if step >= after_seconds), WAIT_STEPS[-1])
    return f"wait{round(step * 1000)}"


def wait_key(by: Address, kind: str, after_seconds: float) -> str:
    """The key under which `by` lets a message of its queue of this kind wait."""
    return f"{hub_of(by)}.{wait_name(after_seconds)}.{by}.{kind}"


def is_wait_key(key: Key, by: Address) -> bool:
    """Whether this is a key that only `by` could have written, to retry a message."""
    return key.src == by and hub_of(key.dst) == hub_of(by) and re.fullmatch(r"wait\d+", name_of(key.dst)) is not None


def may_read(of: Address, queue: str) -> bool:
    """Whether a queue of this name belongs to `of`: its own, and to a hub what it keeps for its subnet."""
    hub = hub_of(of)
    kept = (dead_queue(hub), unroutable_queue(hub))
    return queue.startswith(f"q.{of}.") or (
        name_of(of) == HUB_NAME and (queue in kept or queue.startswith(f"out.{hub}."))
    )


def kinds(participant: Participant) -> tuple[str, ...]:
    """The kinds of queue that a participant has, lanes included."""
    return (*_KINDS_BY_ROLE[participant.role], *(lane(number + 1) for number in range(participant.lanes)))


# ---------------------------------------------------------------- what a broker is made of


class Rules(Struct, frozen=True, kw_only=True):
    """How queues behave; None and 0 mean that the rule does not apply."""

    delivery_limit: int | None = None
    dead_exchange: str = ""
    dead_key: str = ""
    """Empty: dead letters keep their key."""
    message_seconds_max: float | None = None
    messages_max: int | None = None
    bytes_max: int | None = None
    drop_oldest: bool = False
    """At its bound the queue drops its oldest message; otherwise it refuses the new one."""


class Policy(Struct, frozen=True, kw_only=True):
    """Rules for the queues whose whole name matches `pattern` (a regular expression); each queue has one policy."""

    name: str
    pattern: str
    rules: Rules


class Exchange(Struct, frozen=True, kw_only=True):
    """A durable topic exchange. What no binding matches goes to `alternate`, if there is one."""

    name: str
    alternate: str = ""


class Queue(Struct, frozen=True, kw_only=True):
    """A durable queue: replicated and counting deliveries (quorum), or not (classic), where exclusive consumers are."""

    name: str
    quorum: bool
    policy: str


class Binding(Struct, frozen=True, kw_only=True):
    """Messages at exchange `source` whose key matches the topic pattern go to `destination`."""

    source: str
    pattern: str
    destination: str
    to_exchange: bool = False


class Permission(Struct, frozen=True, kw_only=True):
    """What one user may do: write keys that match `keys` wholly on one exchange, read these queues; nothing else."""

    user: Address
    exchange: str
    keys: str
    queues: tuple[str, ...]


class Topology(Struct, frozen=True, kw_only=True):
    """Everything on one broker."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]
    policies: tuple[Policy, ...]
    permissions: tuple[Permission, ...]


def topology(network: Network, broker: str = "main") -> Topology:
    """What the broker of this name is made of, for the hubs that it carries.

    Raises:
        BadConfig: the network description is not usable, or no hub is on this broker.
    """
    check_network(network)
    hubs = [hub for hub in network.hubs if hub.broker == broker]
    if not hubs:
        raise BadConfig(f"no hub is on the broker {broker!r}", field="broker")
    parts = [_subnet(network, hub) for hub in hubs]
    return Topology(
        exchanges=tuple(item for part in parts for item in part.exchanges),
        queues=tuple(item for part in parts for item in part.queues),
        bindings=tuple(item for part in parts for item in part.bindings),
        policies=tuple(item for part in parts for item in part.policies),
        permissions=tuple(item for part in parts for item in part.permissions),
    )


_Owned = tuple[Address, tuple[str, ...]]


def _subnet(network: Network, hub: Hub) -> Topology:
    owned: list[_Owned] = [(hub_address(hub.name), (CONTROL,))]
    owned += [(address(hub.name, participant.name), kinds(participant)) for participant in hub.participants]
    out = _out_queues(network, hub)
    queues = [_queue(hub.name, of, kind) for of, of_kinds in owned for kind in of_kinds]
    queues += [Queue(name=name, quorum=True, policy=f"{hub.name}.work") for name in out]
    queues += [Queue(name=dead_queue(hub.name), quorum=True, policy=f"{hub.name}.kept")]
    if network.keep_unroutable:
        queues += [Queue(name=unroutable_queue(hub.name), quorum=True, policy=f"{hub.name}.kept")]
    queues += [Queue(name=_wait_queue(hub.name, s), quorum=True, policy=_wait_policy(hub.name, s)) for s in WAIT_STEPS]
    return Topology(
        exchanges=tuple(_exchanges(network, hub.name)),
        queues=tuple(queues),
        bindings=tuple(_bindings(network, hub, owned)),
        policies=tuple(_policies(network, hub.name)),
        permissions=tuple(_permission(hub.name, of, [queue.name for queue in queues]) for of, _ in owned),
    )


def _queue(hub: str, of: Address, kind: str) -> Queue:
    if is_lane(kind):
        return Queue(name=queue_name(of, kind), quorum=False, policy=f"{hub}.lane")
    return Queue(name=queue_name(of, kind), quorum=True, policy=f"{hub}.{'control' if kind == CONTROL else 'work'}")


def _exchanges(network: Network, hub: str) -> Iterator[Exchange]:
    alternate = f"{UNROUTABLE}.{hub}"
    if network.keep_unroutable:
        yield Exchange(name=alternate)
    yield Exchange(name=hub_exchange(hub), alternate=alternate if network.keep_unroutable else "")
    yield Exchange(name=again_exchange(hub))


def _bindings(network: Network, hub: Hub, owned: list[_Owned]) -> Iterator[Binding]:
    here, again = hub_exchange(hub.name), again_exchange(hub.name)
    for of, of_kinds in owned:
        for kind in of_kinds:
            queue = queue_name(of, kind)
            yield Binding(source=here, pattern=f"{of}.*.*.{kind}", destination=queue)
            yield Binding(source=again, pattern=f"{hub.name}.*.{of}.{kind}", destination=queue)
    dead = dead_queue(hub.name)
    yield Binding(source=here, pattern=f"{hub.name}.{DEAD}.{hub.name}.*.{DEAD}", destination=dead)
    yield Binding(source=again, pattern=f"{hub.name}.*.{hub_address(hub.name)}.{DEAD}", destination=dead)
    for step in WAIT_STEPS:
        pattern = f"{hub.name}.{wait_name(step)}.{hub.name}.*.*"
        yield Binding(source=here, pattern=pattern, destination=_wait_queue(hub.name, step))
    if network.keep_unroutable:
        kept = unroutable_queue(hub.name)
        yield Binding(source=f"{UNROUTABLE}.{hub.name}", pattern="#", destination=kept)
        yield Binding(source=again, pattern=f"{hub.name}.*.{hub_address(hub.name)}.{UNROUTABLE}", destination=kept)
    brokers = {other.name: other.broker for other in network.hubs}
    for destination, via in sorted(next_hops(network, hub.name).items()):
        near = brokers[via] == hub.broker
        target = hub_exchange(via) if near else f"out.{hub.name}.{via}"
        yield Binding(source=here, pattern=f"{destination}.#", destination=target, to_exchange=near)


def _policies(network: Network, hub: str) -> Iterator[Policy]:
    prefix = re.escape(f"q.{hub}.")
    returned = Rules(
        delivery_limit=network.delivery_limit,
        dead_exchange=hub_exchange(hub),
        dead_key=dead_key(address(hub, BROKER_NAME)),
    )
    control = replace(returned, messages_max=CONTROL_MESSAGES_MAX)
    work = replace(returned, bytes_max=WORK_BYTES_MAX)
    yield Policy(name=f"{hub}.control", pattern=rf"{prefix}{_ANY_NAME}\.{CONTROL}", rules=control)
    out = rf"out\.{re.escape(hub)}\.{_ANY_NAME}"
    yield Policy(name=f"{hub}.work", pattern=rf"{prefix}{_ANY_NAME}\.({BATCH}|{RESULT})|{out}", rules=work)
    lanes = Rules(message_seconds_max=LANE_SECONDS_MAX, messages_max=KEPT_MESSAGES_MAX)
    yield Policy(name=f"{hub}.lane", pattern=rf"{prefix}{_ANY_NAME}\.w[0-9]+", rules=lanes)
    kept = Rules(delivery_limit=KEPT_RETURNS_MAX, messages_max=KEPT_MESSAGES_MAX, drop_oldest=True)
    yield Policy(name=f"{hub}.kept", pattern=rf"{prefix}({DEAD}|{UNROUTABLE})", rules=kept)
    for step in WAIT_STEPS:
        name = re.escape(_wait_queue(hub, step))
        rules = Rules(dead_exchange=again_exchange(hub), message_seconds_max=step, bytes_max=WORK_BYTES_MAX)
        yield Policy(name=_wait_policy(hub, step), pattern=name, rules=rules)


def _permission(hub: str, of: Address, queues: list[str]) -> Permission:
    source = re.escape(of).replace(r"\-", "-")
    keys = rf"{_ANY_NAME}\.{_ANY_NAME}\.{source}\.[a-z0-9]+"
    return Permission(
        user=of, exchange=hub_exchange(hub), keys=keys, queues=tuple(name for name in queues if may_read(of, name))
    )


def _out_queues(network: Network, hub: Hub) -> list[str]:
    brokers = {other.name: other.broker for other in network.hubs}
    far = {via for via in next_hops(network, hub.name).values() if brokers[via] != hub.broker}
    return [f"out.{hub.name}.{via}" for via in sorted(far)]


def _wait_queue(hub: str, step: float) -> str:
    return f"q.{hub}.{wait_name(step)}"


def _wait_policy(hub: str, step: float) -> str:
    return f"{hub}.{wait_name(step)}"
