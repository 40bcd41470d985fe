"""What was seen lately is remembered for a bounded time and in a bounded number."""

from __future__ import annotations

from nodes.runtime.ageing import Ageing


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_who_was_quiet_longest_gives_way_to_who_is_new() -> None:
    kept = Ageing[int](Clock(), most=2, seconds=10)
    for number, key in enumerate(("a", "b", "a", "c")):
        kept.see(key, number)
    assert (kept.find("a"), kept.find("b"), kept.find("c")) == (2, None, 3)
    assert (len(kept), list(kept)) == (2, [2, 3])


def test_what_was_not_seen_for_long_is_forgotten_and_asking_for_it_does_not_count_as_seeing_it() -> None:
    clock = Clock()
    kept = Ageing[str](clock, most=9, seconds=10)
    kept.see("early", "e")
    clock.now += 6
    kept.see("late", "l")
    assert kept.find("early") == "e"
    clock.now += 6
    assert (kept.find("early"), kept.find("late")) == (None, "l")
    clock.now += 6
    assert (len(kept), list(kept)) == (0, [])


def test_what_is_forgotten_by_name_makes_room() -> None:
    kept = Ageing[int](Clock(), most=9, seconds=10)
    kept.see("a", 1)
    kept.forget("a")
    kept.forget("never there")
    assert kept.find("a") is None
