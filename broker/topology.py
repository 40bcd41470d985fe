"""What a network is on a broker: exchanges, queues, bindings, permissions, by its description. Pure.

    hub.<H>                   topic exchange; participants of H publish here, under keys of their own source only
      --"<H>.<name>.*.*.<kind>"--> q.<H>.<name>.<kind>      one per participant and kind it receives
      --"<D>.#"--> out.<H>.<N>                              N is H's next hop on the way to hub D (N2, N3); changed by
                                                            the hub itself when ways do (`Broker.lead`)
      --"<N>.hub.<H>.hub.heartbeat"--> out.<H>.<N>          the link's heartbeats, wherever else messages to N go
      --"<H>.hub.*.hub.heartbeat"--> q.<H>.hub.heartbeat    of hubs with such neighbours; read by one process at a time
      --"<H>.dead.<H>.*.dead"--> q.<H>.dead                 dead letters, by those who rejected or by the broker
      --"<H>.wait<ms>.<H>.*.*"--> q.<H>.wait<ms>            retries; expire into:
    out.<H>.<N>               where N is on another broker: a queue, which a bridge reads (`broker.bridge`);
                              on the same: an internal exchange, on which nobody can publish, so that a hub leads to its
      --"#"--> hub.<N>        neighbours and may write on no exchange of theirs
    again.<H>                 topic exchange nobody may publish on
      --"<H>.*.<H>.<name>.<kind>"--> q.<H>.<name>.<kind>    back to the queue of the one who retries
    unroutable.<H>            alternate exchange of hub.<H>
      --"#"--> q.<H>.unroutable
      --"#"--> out.<H>.<N>, --"<H>.#"--> q.<H>.unroutable   of a leaf, which has no "<D>.#": what is for others goes to
                                                            its one neighbour, whose bridge leaves what is for H

A participant may write on its own hub's exchange only, under keys that name itself as source (`broker.names`), read its
own queues only, and configure nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from broker.names import (
    BATCH,
    BROKER_NAME,
    CONTROL,
    DEAD,
    DESK,
    EVERYTHING,
    HEARTBEAT,
    RESULT,
    UNROUTABLE,
    WAIT_STEPS,
    again_exchange,
    dead_key,
    dead_queue,
    heartbeat_key,
    hub_exchange,
    hub_pattern,
    is_lane,
    leadable,
    link_account,
    may_read,
    out_exchange,
    out_queue,
    queue_name,
    readable,
    unroutable_exchange,
    unroutable_queue,
    wait_name,
)
from broker.network import (
    Hub,
    Network,
    Participant,
    check_network,
    far_neighbours,
    kinds,
    near_neighbours,
    next_hops,
)
from schemas.errors import BadConfig
from schemas.ids import HUB_NAME, Address, address, hub_address

CONTROL_MESSAGES_MAX: Final = 200_000
WORK_BYTES_MAX: Final = 4 * 1024**3
"""Of a control, batch or result queue."""
KEPT_MESSAGES_MAX: Final = 100_000
"""Of dead letters and of unroutable messages each; the oldest give way."""
KEPT_BYTES_MAX: Final = 1024**3
"""Of each of these queues, and of a lane."""
KEPT_RETURNS_MAX: Final = 1000
"""How often one of those, or of what waits for a link, may come back before it is dropped. Said, because RabbitMQ 4 has
a default of 20."""
LANE_SECONDS_MAX: Final = 300.0
"""What a lane holds longer was for a worker that died."""
HEARTBEAT_SECONDS_MAX: Final = 60.0
"""An older one is no news."""
HEARTBEATS_MAX: Final = 10_000
HEARTBEAT_BYTES_MAX: Final = 16 * 1024**2

_ANY_NAME: Final = "[A-Za-z0-9_-]+"


class Rules(Struct, frozen=True, kw_only=True):
    """How queues behave; None and 0 mean that the rule does not apply."""

    delivery_limit: int | None = None
    message_seconds_max: float | None = None
    messages_max: int | None = None
    bytes_max: int | None = None
    drop_oldest: bool = False
    """At its bound the queue drops its oldest message; otherwise it refuses the new one."""


class Policy(Struct, frozen=True, kw_only=True):
    """Rules for the queues whose whole name matches `pattern` (a regular expression); each queue has one policy.

    A broker has the same ones whatever its hubs: it looks through all of them for each queue that it makes, and through
    all queues for each of them.
    """

    name: str
    pattern: str
    rules: Rules


class Exchange(Struct, frozen=True, kw_only=True):
    """A durable topic exchange. What no binding matches goes to `alternate`, if there is one."""

    name: str
    alternate: str = ""
    internal: bool = False
    """Nothing is published on it: it has what other exchanges hand on."""


class Queue(Struct, frozen=True, kw_only=True):
    """A durable queue: replicated and counting deliveries (quorum), or not (classic), where exclusive consumers are."""

    name: str
    quorum: bool
    policy: str
    single: bool = False
    """One consumer gets messages, until it ends; then the next one."""
    dead_exchange: str = ""
    """Where its dead letters go, at least once; empty: nowhere."""
    dead_key: str = ""
    """Empty: dead letters keep their key."""


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
    reads: str = ""
    """A regular expression of the names of these queues and of no others on the broker; empty where there are none."""
    leads: str = ""
    """A regular expression of queues and internal exchanges into which it may bind other hubs' keys at its exchange
    (`names.hub_pattern`).
    """


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
        policies=tuple(_policies(network)),
        permissions=tuple(item for part in parts for item in part.permissions),
    )


def membership(hub: str, participant: Participant) -> Topology:
    """What one participant adds to its hub's broker; the exchanges are its hub's, and are there already."""
    only = Hub(name=hub, participants=(participant,))
    alone = _subnet(Network(hubs=(only,)), only)
    me = address(hub, participant.name)
    queues = tuple(queue for queue in alone.queues if queue.name.startswith(queue_name(me, "")))
    names = {queue.name for queue in queues}
    return Topology(
        exchanges=alone.exchanges,
        queues=queues,
        bindings=tuple(each for each in alone.bindings if each.destination in names),
        policies=(),
        permissions=tuple(each for each in alone.permissions if each.user == me),
    )


_Owned = tuple[Address, tuple[str, ...]]


def _subnet(network: Network, hub: Hub) -> Topology:
    far = far_neighbours(network, hub.name)
    owned: list[_Owned] = [(hub_address(hub.name), (CONTROL, DESK, *((HEARTBEAT,) if far else ())))]
    owned += [(address(hub.name, participant.name), kinds(participant)) for participant in hub.participants]
    out = [out_queue(hub.name, via) for via in far]
    queues = [_queue(hub.name, of, kind) for of, of_kinds in owned for kind in of_kinds]
    queues += [_returned(hub.name, name, "out", single=True) for name in out]
    queues += [Queue(name=dead_queue(hub.name), quorum=True, policy="kept")]
    if network.keep_unroutable:
        queues += [Queue(name=unroutable_queue(hub.name), quorum=True, policy="kept")]
    queues += [_waiting(hub.name, step) for step in WAIT_STEPS]
    return Topology(
        exchanges=tuple(_exchanges(network, hub.name)),
        queues=tuple(queues),
        bindings=tuple(_bindings(network, hub, owned)),
        policies=(),
        permissions=(
            *(_permission(hub.name, of, [queue.name for queue in queues]) for of, _ in owned),
            *(_link(each, hub.name) for each in far),
        ),
    )


def link_keys(hub: str, neighbour: str) -> str:
    """Whole routing keys that `hub` may publish on the broker of `neighbour`: a regular expression.

    Nobody of the neighbour's own subnet can be their source, nor anybody of the hub's their destination. From whom else
    messages come over a link changes with the ways (`nodes/hub/announcing.py`); what its sender signed is checked by a
    message's receiver.
    """
    return rf"(?!{hub}\.){_ANY_NAME}\.{_ANY_NAME}\.(?!{neighbour}\.){_ANY_NAME}\.{_ANY_NAME}\.[a-z0-9]+"


def unread_keys(hub: str, neighbour: str) -> str:
    """Those of `link_keys` whose messages need not be read on the way: heartbeats may be another link's."""
    return rf"(?!.*\.{HEARTBEAT}\Z){link_keys(hub, neighbour)}"


def _link(hub: str, neighbour: str) -> Permission:
    return Permission(
        user=Address(link_account(hub, neighbour)),
        exchange=hub_exchange(neighbour),
        keys=link_keys(hub, neighbour),
        queues=(),
    )


def _queue(hub: str, of: Address, kind: str) -> Queue:
    name = queue_name(of, kind)
    if is_lane(kind):
        return Queue(name=name, quorum=False, policy="lane")
    if kind == HEARTBEAT:
        return Queue(name=name, quorum=True, policy="heartbeat", single=True)
    return _returned(hub, name, "control" if kind == CONTROL else "work")


def _returned(hub: str, name: str, policy: str, *, single: bool = False) -> Queue:
    """What comes back to this queue too often goes to the hub's dead letters."""
    dead, key = hub_exchange(hub), dead_key(address(hub, BROKER_NAME))
    return Queue(name=name, quorum=True, policy=policy, single=single, dead_exchange=dead, dead_key=key)


def _waiting(hub: str, step: float) -> Queue:
    """What has waited goes back under its own key."""
    name = f"q.{hub}.{wait_name(step)}"
    return Queue(name=name, quorum=True, policy=wait_name(step), dead_exchange=again_exchange(hub))


def _exchanges(network: Network, hub: str) -> Iterator[Exchange]:
    alternate = unroutable_exchange(hub)
    if network.keep_unroutable:
        yield Exchange(name=alternate)
    yield Exchange(name=hub_exchange(hub), alternate=alternate if network.keep_unroutable else "")
    yield Exchange(name=again_exchange(hub))
    for neighbour in near_neighbours(network, hub):
        yield Exchange(name=out_exchange(hub, neighbour), internal=True)


def _bindings(network: Network, hub: Hub, owned: list[_Owned]) -> Iterator[Binding]:
    here, again = hub_exchange(hub.name), again_exchange(hub.name)
    for of, of_kinds in owned:
        for kind in of_kinds:
            queue = queue_name(of, kind)
            senders = f"*.{HUB_NAME}" if kind == HEARTBEAT else "*.*"
            yield Binding(source=here, pattern=f"{of}.{senders}.{kind}", destination=queue)
            yield Binding(source=again, pattern=f"{hub.name}.*.{of}.{kind}", destination=queue)
    dead = dead_queue(hub.name)
    yield Binding(source=here, pattern=f"{hub.name}.{DEAD}.{hub.name}.*.{DEAD}", destination=dead)
    yield Binding(source=again, pattern=f"{hub.name}.*.{hub_address(hub.name)}.{DEAD}", destination=dead)
    for step in WAIT_STEPS:
        pattern = f"{hub.name}.{wait_name(step)}.{hub.name}.*.*"
        yield Binding(source=here, pattern=pattern, destination=_waiting(hub.name, step).name)
    if network.keep_unroutable:
        kept = unroutable_queue(hub.name)
        yield from _rest(hub, far_neighbours(network, hub.name))
        yield Binding(source=again, pattern=f"{hub.name}.*.{hub_address(hub.name)}.{UNROUTABLE}", destination=kept)
    near = near_neighbours(network, hub.name)
    for neighbour in near:
        out = out_exchange(hub.name, neighbour)
        yield Binding(source=out, pattern="#", destination=hub_exchange(neighbour), to_exchange=True)
    if not hub.leaf:
        yield from _ways(network, hub, near)
    for neighbour in far_neighbours(network, hub.name):
        out = out_queue(hub.name, neighbour)
        yield Binding(source=here, pattern=heartbeat_key(hub.name, neighbour), destination=out)


def _rest(hub: Hub, far: Sequence[str]) -> Iterator[Binding]:
    """What nobody at this hub receives: all of it is kept, or at a leaf goes on as far as it is for others."""
    rest, kept = unroutable_exchange(hub.name), unroutable_queue(hub.name)
    if hub.leaf:
        yield Binding(source=rest, pattern=EVERYTHING, destination=out_queue(hub.name, far[0]))
    yield Binding(source=rest, pattern=hub_pattern(hub.name) if hub.leaf else EVERYTHING, destination=kept)


def _ways(network: Network, hub: Hub, near: Collection[str]) -> Iterator[Binding]:
    here = hub_exchange(hub.name)
    for destination, via in sorted(next_hops(network, hub.name).items()):
        target = out_exchange(hub.name, via) if via in near else out_queue(hub.name, via)
        yield Binding(source=here, pattern=hub_pattern(destination), destination=target, to_exchange=via in near)


def _policies(network: Network) -> Iterator[Policy]:
    mine = rf"q\.{_ANY_NAME}\.{_ANY_NAME}"
    returned = Rules(delivery_limit=network.delivery_limit, bytes_max=WORK_BYTES_MAX)
    control = replace(returned, messages_max=CONTROL_MESSAGES_MAX)
    yield Policy(name="control", pattern=rf"{mine}\.{CONTROL}", rules=control)
    yield Policy(name="work", pattern=rf"{mine}\.({BATCH}|{RESULT})", rules=returned)
    out = replace(returned, delivery_limit=KEPT_RETURNS_MAX)
    yield Policy(name="out", pattern=rf"out\.{_ANY_NAME}\.{_ANY_NAME}", rules=out)
    few = Rules(messages_max=KEPT_MESSAGES_MAX, bytes_max=KEPT_BYTES_MAX)
    yield Policy(name="lane", pattern=rf"{mine}\.w[0-9]+", rules=replace(few, message_seconds_max=LANE_SECONDS_MAX))
    kept = replace(few, delivery_limit=KEPT_RETURNS_MAX, drop_oldest=True)
    yield Policy(name="kept", pattern=rf"q\.{_ANY_NAME}\.({DEAD}|{UNROUTABLE})", rules=kept)
    beats = Rules(
        delivery_limit=KEPT_RETURNS_MAX,
        message_seconds_max=HEARTBEAT_SECONDS_MAX,
        messages_max=HEARTBEATS_MAX,
        bytes_max=HEARTBEAT_BYTES_MAX,
        drop_oldest=True,
    )
    yield Policy(name="heartbeat", pattern=rf"q\.{_ANY_NAME}\.{HUB_NAME}\.{HEARTBEAT}", rules=beats)
    for step in WAIT_STEPS:
        rules = Rules(message_seconds_max=step, bytes_max=WORK_BYTES_MAX)
        yield Policy(name=wait_name(step), pattern=rf"q\.{_ANY_NAME}\.{wait_name(step)}", rules=rules)


def _permission(hub: str, of: Address, queues: list[str]) -> Permission:
    source = re.escape(of).replace(r"\-", "-")
    keys = rf"{_ANY_NAME}\.{_ANY_NAME}\.{source}\.[a-z0-9]+"
    own = tuple(name for name in queues if may_read(of, name))
    return Permission(
        user=of, exchange=hub_exchange(hub), keys=keys, queues=own, reads=readable(of), leads=leadable(of)
    )
