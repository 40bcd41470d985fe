"""What things are called on a broker: routing keys, queues, exchanges; and whose they are. Pure.

Routing key: `<dstHub>.<dst>.<srcHub>.<src>.<kind>`. The destination routes; the source is pinned by the broker. Which
of these names a network has, and what is bound to what, follows from its description (`broker.topology`).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from schemas.errors import BadConfig
from schemas.ids import HUB_NAME, Address, hub_address, hub_of, name_of

CONTROL: Final = "control"
BATCH: Final = "batch"
RESULT: Final = "result"
HEARTBEAT: Final = "heartbeat"
"""Between hubs that are linked over a bridge."""
DEAD: Final = "dead"
UNROUTABLE: Final = "unroutable"
BROKER_NAME: Final = "broker"
"""The source part of dead letters that the broker made itself."""
WAIT_STEPS: Final = (0.25, 1.0, 5.0, 30.0)
"""Seconds a retried message may wait."""

EVERYTHING: Final = "#"
"""The topic pattern of all keys."""

PATTERN_CHARS_MAX: Final = 1024
"""RabbitMQ 4.3 takes no longer regular expression in a permission or policy."""

_KEY_PARTS: Final = 5
_KEY: Final = re.compile(r"([\w-]{1,32})\.([\w-]{1,32})\.([\w-]{1,32})\.([\w-]{1,32})\.([a-z0-9]{1,16})", re.ASCII)


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


def sender_of(key: str) -> str:
    """The address that the broker pinned in a routing key as its source; empty where the key is none. Quick."""
    parts = key.split(".")
    return f"{parts[2]}.{parts[3]}" if len(parts) == _KEY_PARTS else ""


DESK: Final = "w0"
"""The lane in which people at a node get answers that are not for its workers."""


def queue_name(of: Address, kind: str) -> str:
    """The queue in which `of` receives messages of this kind."""
    return f"q.{of}.{kind}"


def is_lane(kind: str) -> bool:
    """Whether messages of this kind go to one worker's lane."""
    return kind.startswith("w") and kind[1:].isdigit()


def lane(number: int) -> str:
    """The kind of a worker's lane, counted from 1; 0 is that of people at the node (`DESK`)."""
    return f"w{number}"


def hub_exchange(hub: str) -> str:
    """The exchange on which a hub's participants publish."""
    return f"hub.{hub}"


def again_exchange(hub: str) -> str:
    """The exchange into which retried messages come back."""
    return f"again.{hub}"


def unroutable_exchange(hub: str) -> str:
    """The exchange that takes what nobody at the hub could receive."""
    return f"{UNROUTABLE}.{hub}"


def out_queue(hub: str, neighbour: str) -> str:
    """What waits at a hub for a linked hub on another broker; readable by the hub."""
    return f"out.{hub}.{neighbour}"


def out_exchange(hub: str, neighbour: str) -> str:
    """What a hub sends to a linked hub on the same broker passes it. Its name is the queue's: the same may bind it."""
    return out_queue(hub, neighbour)


def link_account(hub: str, neighbour: str) -> str:
    """The user as whom `hub` publishes on the broker of `neighbour`. No address: it has a part more."""
    return f"{hub}.link.{neighbour}"


def participant_account(of: Address, number: int) -> str:
    """The user as whom a participant connects: one of two, so that one goes on while the other's password is new."""
    return f"{of}~2" if number else of


def operator_account(broker: str) -> str:
    """The user as whom hubs' operators change what is on this broker."""
    return f"operator~{broker}"


def heartbeat_key(hub: str, neighbour: str) -> str:
    """The key of a hub's heartbeats to a neighbour: they take no way but the link itself."""
    return routing_key(hub_address(neighbour), hub_address(hub), HEARTBEAT)


def is_astray(key: str, hub: str, neighbour: str) -> bool:
    """Whether this is a heartbeat that shows nothing of the link from `hub` to `neighbour`, but of another."""
    return key.endswith(f".{HEARTBEAT}") and key != heartbeat_key(hub, neighbour)


def hub_pattern(hub: str) -> str:
    """The topic pattern of all keys whose destination is in this hub's subnet, the hub among it."""
    return f"{hub}.#"


def leadable(of: Address) -> str:
    """A regular expression of the queues and internal exchanges into which an address may lead what goes to other hubs:
    a hub into its own.
    """
    return rf"out\.{hub_of(of)}\.[A-Za-z0-9_-]+" if name_of(of) == HUB_NAME else ""


Exits = list[tuple[str, bool]]
"""Neighbours of a hub, and whether the exit to each is an exchange, on the same broker, or a bridge's queue."""


def exits(via: str, near: bool, not_via: Collection[str]) -> tuple[Exits, Exits]:
    """What `broker.port.Broker.lead` binds, and what it unbinds: a neighbour may have moved to another broker."""
    wanted = [(via, near)] if via else []
    others = [(name, is_near) for name in not_via if name != via for is_near in (True, False)]
    return wanted, others + [(name, not is_near) for name, is_near in wanted]


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


def readable(of: Address) -> str:
    """A regular expression of the names of all queues for which `may_read` is true: short, however many there are."""
    hub, escaped = hub_of(of), of.replace(".", r"\.")
    own = rf"q\.{escaped}\.[a-z0-9]+"
    return rf"{own}|q\.{hub}\.({DEAD}|{UNROUTABLE})|out\.{hub}\.[A-Za-z0-9_-]+" if name_of(of) == HUB_NAME else own


def may_read(of: Address, queue: str) -> bool:
    """Whether a queue of this name belongs to `of`: its own, and to a hub what it keeps for its subnet."""
    hub = hub_of(of)
    kept = (dead_queue(hub), unroutable_queue(hub))
    return queue.startswith(f"q.{of}.") or (
        name_of(of) == HUB_NAME and (queue in kept or queue.startswith(out_queue(hub, "")))
    )
