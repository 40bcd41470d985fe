"""A tiny role for tests of journal and runtime: counts cancelled sell orders and does what their reason says. Pure.

Reasons: `refuse`, `crash`, `work` and `broken` (activities), `timer <at>`, `cancel-timer`, `nobody` (an event to an
address that does not exist), `invalid` (an event that its type's data class does not allow), `many` (150 answers);
anything else is answered to the sender by `order.buy.refused`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from nodes.machine import (
    TIMER_FIRED,
    ActivityFailed,
    CancelTimer,
    Context,
    Effect,
    Note,
    Perform,
    PublishFailed,
    Records,
    Refused,
    SetTimer,
    Step,
    publish,
)
from schemas.events import BuyOrderRefused, Event, OrderCancelled, Role
from schemas.ids import derive_id

NOBODY: Final = "A11.nobody"


class Tally(Struct, frozen=True, kw_only=True):
    """What an aggregate went through: the types of its events, and the reasons it was given."""

    seen: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


class WorkDone(Struct, frozen=True, kw_only=True):
    """`work.done`: outcome of the activity `work`."""

    number: int


class ToyMachine:
    """`keys` are the senders it knows."""

    name: Role = "hub"
    record_types: Mapping[str, type[Struct]] = {"tally": Tally}
    internal_types: Mapping[str, type[Struct]] = {
        "work.done": WorkDone,
        "activity.failed": ActivityFailed,
        "publish.failed": PublishFailed,
    }

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self.keys = keys

    def aggregate_of(self, event: Event) -> str:
        """Its subject."""
        if event.subject == "nowhere":
            raise Refused("no-aggregate", "the subject is nowhere")
        return event.subject

    def key_of(self, records: Records, event: Event) -> bytes | None:
        """From `keys`."""
        return self.keys.get(event.source)

    def handle(self, records: Records, event: Event, context: Context) -> Step:
        """Note the event and do what it says."""
        tally = records.get("tally", Tally())
        assert isinstance(tally, Tally)
        word = event.data.reason if isinstance(event.data, OrderCancelled) else _word(event)
        if word == "refuse":
            raise Refused("told-to", "the event says so")
        if word == "crash":
            raise ZeroDivisionError("a bug")
        signature = context.sign(f"{event.id} {word}".encode())
        signed = Note(kind="signed", text=word[:100], details={"by": context.me, "signature": signature.hex()})
        seen = Tally(seen=(*tally.seen, event.type), words=(*tally.words, word[:100]))
        return Step(put={"tally": seen}, effects=(signed, *_effects(word, event, context)))


def _word(event: Event) -> str:
    if isinstance(event.data, WorkDone):
        return f"done {event.data.number}"
    return event.type


def _effects(word: str, event: Event, context: Context) -> tuple[Effect, ...]:
    if event.source == context.me or event.type == TIMER_FIRED:
        return ()
    if word in ("work", "broken"):
        return (Perform(activity=word, params={"of": event.id, "nonce": context.nonce("work").hex()}),)
    if word.startswith("timer "):
        return (SetTimer(name="alarm", at=float(word.split()[1])),)
    if word == "cancel-timer":
        return (CancelTimer(name="alarm"),)
    to = NOBODY if word == "nobody" else event.source
    code = "NOT A CODE" if word == "invalid" else "toy"
    data = BuyOrderRefused(order=derive_id("order", event.id), job=context.new_id("job"), code=code, reason=word)
    copies = 150 if word == "many" else 1
    return tuple(publish("order.buy.refused", to, event.subject, data) for _ in range(copies))
