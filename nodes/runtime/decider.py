"""The decision about one event inside a store's transaction: authenticate, let the machine handle, journal. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from nodes.machine import Context, Machine, Refused, Sign, Step, Verify
from nodes.runtime.checks import check_signature
from nodes.runtime.journal import Recorder, entry_bytes
from nodes.store.port import Decision, Input, View
from schemas.codec import Received
from schemas.events import Event
from schemas.ids import Address


@dataclass(frozen=True, slots=True)
class Given:
    """An event with everything from outside that handling it needs. `received` is how it came, unless it is this node's
    own and never was on the wire."""

    event: Event
    now: float
    entropy: bytes
    received: Received | None = None


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
        if not step.journalled:
            return Decision(given.now, step.put, step.delete, step.effects)
        entry = entry_bytes(
            n=view.journalled,
            prev=view.last_hash,
            event=given.event,
            context=context,
            signatures=recorder.signatures,
            effects=step.effects,
            refused=refused,
            withheld=refused is not None and given.received is not None,
        )
        if refused is not None:
            # An aggregate nobody has is not created by refusing to touch it.
            return Decision(given.now, entry=entry if view.records else b"", refusal=refused)
        return Decision(given.now, step.put, step.delete, step.effects, entry)

    def _authenticate(self, view: View, given: Given) -> None:
        if given.received is not None:
            check_signature(given.received, self.machine.key_of(view.records, given.event), self.verify)
