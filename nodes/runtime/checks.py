"""What a node believes of a message before it looks at any record. Pure.

A message goes through these checks, in this order; the first that fails names the reason on the dead letter:

    routing key     can be read, and begins with this node's address              bad-key, wrong-receiver
    size and form   headers and body are an event of the catalogue                the codec's codes
    receiver        the event is for this node, for its role, and for this queue  wrong-receiver, not-for-role,
                                                                                  wrong-queue
    sender          the key's source, which the broker pinned, is the event's,    wrong-sender
                    and the catalogue lets such a sender send it                  wrong-role
    age             not from the future; not older than any inbox remembers       from-the-future, too-old
    ── from here the receiver's own knowledge is needed ──
    key             the receiver knows the sender                                 unknown-sender
    signature       the sender's, over attributes and raw body                    bad-signature

What comes after is the receiver's: its handler or machine refuses with codes of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from broker.names import Key, is_lane, parse_key
from nodes.machine import Refused, Verify
from schemas import codec, limits
from schemas.errors import BadConfig
from schemas.events import CATALOGUE, Event, Role
from schemas.ids import Address, hub_address, hub_of

EVENT_AGE_SECONDS_MAX: Final = 7 * 24 * 3600.0
"""Older events are refused, so that the inbox need not remember longer: no replay of what it forgot."""

FROM_ANY_HUB: Final = frozenset({"delivery.failed"})
"""Hub news that a participant hears from every hub on the way, not from its own alone."""


OF_CLOCKS: Final = frozenset({"event.refused"})
"""News that is believed whatever its date: it may be about the clock."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who receives: an address, and the role that it has in the catalogue."""

    me: Address
    role: Role


def read_route(key: str, receiver: Receiver) -> Key:
    """For whom a message is, from whom, as the broker pinned it, and through which of the receiver's queues.

    Raises:
        Refused: bad-key, or wrong-receiver (a copy by CC of a message to somebody else).
    """
    try:
        parsed = parse_key(key)
    except BadConfig as error:
        raise Refused("bad-key", str(error)) from error
    if parsed.dst != receiver.me:
        raise Refused("wrong-receiver", f"routed to {parsed.dst}")
    return parsed


def check_event(event: Event, route: Key, receiver: Receiver, now: float) -> None:
    """Hold an event against its route, the catalogue and the time (seconds since 1970).

    Raises:
        Refused: with the code of the first check that failed.
    """
    row = CATALOGUE[event.type]
    if event.to != receiver.me:
        raise Refused("wrong-receiver", f"written to {event.to}")
    if receiver.role not in row.receiver:
        raise Refused("not-for-role", f"a {receiver.role} does not take {event.type}")
    if route.kind != row.kind and not (row.kind == "lane" and is_lane(route.kind)):
        raise Refused("wrong-queue", f"{event.type} does not belong among {route.kind} messages")
    if event.source != route.src:
        raise Refused("wrong-sender", f"{route.src} sent it, it says {event.source}")
    if not any(_is_sender(role, event, receiver) for role in row.sender):
        raise Refused("wrong-role", f"{event.source} may not send {event.type} to {receiver.me}")
    if event.type in OF_CLOCKS:
        return
    if event.time > now + limits.CLOCK_SKEW_SECONDS_MAX:
        ahead = f"{event.source}'s clock is {event.time - now:.0f} s ahead of {receiver.me}'s"
        raise Refused("from-the-future", f"{ahead}, at most {limits.CLOCK_SKEW_SECONDS_MAX:.0f} are allowed: set both")
    if event.time < now - EVENT_AGE_SECONDS_MAX:
        raise Refused("too-old", f"dated {now - event.time:.0f} s ago")


def check_signature(received: codec.Received, key: bytes | None, verify: Verify) -> None:
    """Whether the event's sender signed it; `key` is the sender's as the receiver knows it.

    Raises:
        Refused: unknown-sender or bad-signature.
    """
    source = received.event.source
    if key is None:
        raise Refused("unknown-sender", f"no key of {source} is known here")
    if not verify(key, received.signed, received.signature):
        raise Refused("bad-signature", f"{source} did not sign this with the key by which it is known here")


def _is_sender(role: Role, event: Event, receiver: Receiver) -> bool:
    """Whether the event's source may speak in this role to the receiver.

    Users sign as their own node, and so do workers to others of it. A participant hears hub news from its own hub, a
    hub hears participants of its own subnet and other hubs (N2). That a participant is the renter or lessor in question
    is for the receiver to know.
    """
    me, source = receiver.me, event.source
    is_hub, is_near = source == hub_address(hub_of(source)), hub_of(source) == hub_of(me)
    if role in ("user", "worker"):
        return source == me
    if role == "hub":
        return is_hub and (is_near or receiver.role == "hub" or event.type in FROM_ANY_HUB)
    return not is_hub and source != me and (is_near or receiver.role != "hub")
