"""When a link counts as lost: on a clock that is moved by hand, at both ends of links that are cut one way or both."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from nodes.runtime.links import BEAT_SECONDS, ECHO_SECONDS_MAX, SILENCE_SECONDS_MAX, Links
from schemas.ids import Address, hub_of

A, B = Address("A11.hub"), Address("B11.hub")
NAMED_SECONDS_MAX = 15.0
TRAVEL_SECONDS = 0.4


@dataclass
class Pair:
    """Two hubs that beat, not at the same time, and what is on its way."""

    now: float = 1000.0
    ends: dict[Address, Links] = field(default_factory=lambda: {A: Links([B]), B: Links([A])})
    cut: set[Address] = field(default_factory=set)
    """Whose heartbeats do not arrive; they wait."""
    mute: set[Address] = field(default_factory=set)
    """Whose own broker is away: no echo, and nothing leaves or arrives."""
    waiting: list[tuple[float, Address, bool]] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += TRAVEL_SECONDS
            self._arrive()
            for of, phase in ((A, 0.0), (B, BEAT_SECONDS / 2)):
                if (self.now + phase) % BEAT_SECONDS < TRAVEL_SECONDS and of not in self.mute:
                    self._beat(of)

    def until_named(self) -> tuple[float, float]:
        """Seconds until either end names the link as lost."""
        begin, seconds = self.now, dict.fromkeys(self.ends, 0.0)
        while not all(self.why(of) for of in self.ends):
            self.run(TRAVEL_SECONDS)
            for of in self.ends:
                seconds[of] = seconds[of] if self.why(of) and seconds[of] else self.now - begin
            assert self.now < begin + 60
        return seconds[A], seconds[B]

    def why(self, of: Address) -> str | None:
        return self.ends[of].why_lost(B if of == A else A)

    def _beat(self, of: Address) -> None:
        links = self.ends[of]
        links.echoed(self.now)
        self.waiting.append((self.now, of, links.hears(B if of == A else A)))

    def _arrive(self) -> None:
        left = []
        for at, of, hears in self.waiting:
            to = B if of == A else A
            if of in self.cut or {of, to} & self.mute:
                left.append((at, of, hears))
            else:
                self.ends[to].heard(of, hears, self.now)
        self.waiting = left


def test_nothing_is_said_of_a_link_before_anything_is_heard() -> None:
    links = Links([B])
    assert links.why_lost(B) is None
    assert links.standing() == {}
    assert links.hears(B)
    assert not links.speaks(1000.0)
    links.echoed(1000.0)
    assert links.why_lost(B) is None
    assert links.speaks(1000.0 + ECHO_SECONDS_MAX)
    assert not links.speaks(1000.1 + ECHO_SECONDS_MAX)


def test_a_neighbour_that_never_comes_is_missed() -> None:
    pair = Pair(cut={B})
    pair.run(SILENCE_SECONDS_MAX + 2 * BEAT_SECONDS)
    assert pair.why(A) == f"nothing has come from {B} for 9 s"
    assert pair.ends[A].standing() == {hub_of(B): False}


@pytest.mark.parametrize("cut", [{A}, {B}, {A, B}])
@pytest.mark.parametrize("offset", [0.0, 0.4, 0.8, 1.2, 1.6])
def test_a_cut_is_named_at_both_ends_in_time_and_so_is_its_end(cut: set[Address], offset: float) -> None:
    pair = Pair()
    pair.run(20.0 + offset)
    assert (pair.why(A), pair.why(B)) == ("", "")
    pair.cut = cut
    assert max(pair.until_named()) <= NAMED_SECONDS_MAX
    for of in cut:
        assert pair.why(B if of == A else A) == f"nothing has come from {of} for 9 s"
    if cut == {A}:
        assert pair.why(A) == f"{B} says that nothing comes from here"
    pair.run(3600.0)
    pair.cut = set()
    pair.run(2 * BEAT_SECONDS + 4 * TRAVEL_SECONDS)
    assert (pair.why(A), pair.why(B)) == ("", "")


def test_a_few_late_heartbeats_are_no_cut() -> None:
    pair = Pair()
    for _ in range(5):
        pair.cut = set()
        pair.run(4.0)
        pair.cut = {A, B}
        pair.run(SILENCE_SECONDS_MAX - BEAT_SECONDS)
        assert (pair.why(A), pair.why(B)) == ("", "")


def test_who_does_not_hear_itself_blames_nobody() -> None:
    pair = Pair()
    pair.run(20.0)
    pair.mute = {A}
    pair.run(600.0)
    assert pair.why(A) == ""
    assert pair.why(B) == f"nothing has come from {A} for 9 s"
    pair.mute = set()
    seen = set()
    for _ in range(50):
        pair.run(TRAVEL_SECONDS)
        seen.add(pair.why(A))
    assert f"nothing has come from {B} for 9 s" not in seen
    assert (pair.why(A), pair.why(B)) == ("", "")
