"""When batches were under way and what became of them: each by itself while they are few, then counted in slots.

Bounded however many there are: slots get twice as long whenever the last one is full.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

SPANS_MAX: Final = 160
"""Of one party that are told one by one."""
SLOTS_MAX: Final = 128
SLOT_SECONDS: Final = 0.25
"""The shortest."""

State = Literal["under way", "done", "again", "failed", "lost"]
"""Done at the first attempt, done at a later one; failed, or lost with its lessor: then another attempt follows."""


@dataclass(frozen=True, slots=True)
class Span:
    """One attempt at a batch. Times are seconds since 1970; `end` is 0 while it is under way."""

    batch: int
    attempt: int
    start: float
    end: float = 0.0
    state: State = "under way"


@dataclass(slots=True)
class Slot:
    """What ended within a slot of time."""

    counts: dict[State, int] = field(default_factory=dict)

    def add(self, state: State, count: int = 1) -> None:
        """Count some more."""
        self.counts[state] = self.counts.get(state, 0) + count


@dataclass(slots=True)
class Spans:
    """Of one party, from `origin` on (seconds since 1970)."""

    origin: float
    slot_seconds: float = SLOT_SECONDS
    slots: list[Slot] = field(default_factory=list)
    ended: list[Span] = field(default_factory=list)
    """The first `SPANS_MAX`."""
    open: dict[int, Span] = field(default_factory=dict)
    """By batch."""
    counts: dict[State, int] = field(default_factory=dict)

    @property
    def is_crowded(self) -> bool:
        """Whether there are too many to be told one by one."""
        return sum(self.counts.values()) > SPANS_MAX

    def begin(self, batch: int, attempt: int, now: float) -> None:
        """The batch is sent."""
        self.open[batch] = Span(batch, attempt, now)

    def end(self, batch: int, state: State, now: float) -> None:
        """What became of it; nothing where it is not under way."""
        span = self.open.pop(batch, None)
        if span is None:
            return
        state = "again" if state == "done" and span.attempt > 1 else state
        self.counts[state] = self.counts.get(state, 0) + 1
        if len(self.ended) < SPANS_MAX:
            self.ended.append(Span(batch, span.attempt, span.start, now, state))
        self._slot(now).add(state)

    def drop(self, batch: int) -> None:
        """It never left."""
        self.open.pop(batch, None)

    def end_all(self, state: State, now: float) -> None:
        """All that are under way come to the same end."""
        for batch in list(self.open):
            self.end(batch, state, now)

    def _slot(self, now: float) -> Slot:
        while (number := max(0, int((now - self.origin) / self.slot_seconds))) >= SLOTS_MAX:
            self._widen()
        self.slots += [Slot() for _ in range(number + 1 - len(self.slots))]
        return self.slots[number]

    def _widen(self) -> None:
        self.slot_seconds *= 2
        merged = [Slot() for _ in range((len(self.slots) + 1) // 2)]
        for number, slot in enumerate(self.slots):
            for state, count in slot.counts.items():
                merged[number // 2].add(state, count)
        self.slots = merged
