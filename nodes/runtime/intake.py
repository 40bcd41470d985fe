"""What a node believes of a message before it has looked at any record, and the decision about an event. Pure.

A message goes through these doors, in this order; the first that stays shut names the reason on the dead letter:

    routing key     begins with this node's address                               wrong-receiver
    size and form   headers and body are an event of the catalogue                the codec's codes
    internal        the type is not one that only this node may emit              internal-type
    receiver        the event is for this node                                    wrong-receiver
    sender          the key's source, which the broker pinned, is the event's     wrong-sender
    time            not from the future; not older than the inbox remembers       from-the-future, too-old
    ── from here inside the store's transaction, where the records are known ──
    key             the machine knows the sender                                  unknown-sender
    signature       the sender's, over attributes and raw body                    bad-signature
    machine         does not refuse the event                                     its own codes
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nodes.machine import TIMER_FIRED, Context, Machine, Refused, Sign, Step, Verify
from nodes.runtime.journal import Recorder, entry_bytes
from nodes.store.port import Decision, Input, View
from schemas import codec, limits
from schemas.events import Event
from schemas.ids import Address

EVENT_AGE_SECONDS_MAX: Final = 7 * 24 * 3600.0
"""Older events are refused, so that the inbox need not remember longer: no replay of what it forgot."""


@dataclass(frozen=True, slots=True)
class Given:
    """An event with everything from outside that handling it needs. `proof` is (signed bytes, signature), unless the
    event is this node's own and never was on the wire."""

    event: Event
    now: float
    entropy: bytes
    proof: tuple[bytes, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Wire:
    """A message as it arrived: the address parts of its routing key, its headers and body."""

    key_to: str
    key_from: str
    headers: Mapping[str, Any]
    body: bytes


def admit(wire: Wire, machine: Machine, me: Address, now: float) -> codec.Received:
    """The event in a message that passed the doors before the store.

    Raises:
        Refused: with the code of the first door that stayed shut.
    """
    if wire.key_to != me:
        raise Refused("wrong-receiver", f"routed to {wire.key_to}")
    try:
        received = codec.decode(wire.headers, wire.body)
    except codec.MalformedEvent as error:
        raise Refused(error.code, str(error)) from error
    event = received.event
    if event.type == TIMER_FIRED or event.type in machine.internal_types:
        raise Refused("internal-type", f"{event.type} is never sent")
    if event.to != me:
        raise Refused("wrong-receiver", f"written to {event.to}")
    if event.source != wire.key_from:
        raise Refused("wrong-sender", f"{wire.key_from} sent it, it says {event.source}")
    if event.time > now + limits.CLOCK_SKEW_SECONDS_MAX:
        raise Refused("from-the-future", f"dated {event.time - now:.0f} s ahead")
    if event.time < now - EVENT_AGE_SECONDS_MAX:
        raise Refused("too-old", f"dated {now - event.time:.0f} s ago")
    return received


@dataclass(frozen=True, slots=True)
class Decider:
    """Calls the machine inside the store's transaction: `Decider.__call__` is a `nodes.store.port.Decide`."""

    machine: Machine
    me: Address
    sign: Sign
    verify: Verify

    def __call__(self, item: Input, view: View) -> Decision:
        """What the store shall write for one input. A refused event with records leaves a journal entry."""
        given: Given = item.payload
        recorder = Recorder(self.sign)
        context = Context(
            me=self.me,
            now=given.now,
            entropy=given.entropy,
            event_id=given.event.id,
            sign=recorder.sign,
            verify=self.verify,
        )
        try:
            self._authenticate(view, given)
        except Refused as refusal:
            return Decision(given.now, refusal=(refusal.code, refusal.reason))
        step, refused = Step(), None
        try:
            step = self.machine.handle(view.records, given.event, context)
        except Refused as refusal:
            refused = refusal.code, refusal.reason
        entry = entry_bytes(
            n=view.journalled,
            prev=view.last_hash,
            event=given.event,
            context=context,
            signatures=recorder.signatures,
            effects=step.effects,
            refused=refused,
        )
        if refused is not None:
            # An aggregate nobody has is not created by refusing to touch it.
            return Decision(given.now, entry=entry if view.records else b"", refusal=refused)
        return Decision(given.now, step.put, step.delete, step.effects, entry)

    def _authenticate(self, view: View, given: Given) -> None:
        if given.proof is None:
            return
        key = self.machine.key_of(view.records, given.event)
        if key is None:
            raise Refused("unknown-sender", f"no key of {given.event.source} is known here")
        if not self.verify(key, *given.proof):
            raise Refused("bad-signature", f"{given.event.source} did not sign this")
