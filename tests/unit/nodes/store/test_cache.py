"""The store's memory of aggregates is bounded."""

from __future__ import annotations

from msgspec import Struct

from nodes.store.cache import Cache


def _use(cache: Cache, name: str, records: int) -> None:
    cached = cache.get(name)
    cached.version = 1
    cached.records = {str(n): Struct() for n in range(records)}
    cache.trim([name])


def test_what_was_not_used_for_longest_gives_way() -> None:
    cache = Cache(10)
    for name in ("a", "b", "c"):
        _use(cache, name, 2)
    _use(cache, "a", 2)
    _use(cache, "d", 2)
    assert cache.size == 9
    assert [cache.get(name).version for name in ("a", "c", "d")] == [1, 1, 1]
    assert cache.get("b").version == 0


def test_the_aggregate_in_use_is_kept_even_when_it_alone_is_over_the_bound() -> None:
    cache = Cache(10)
    _use(cache, "small", 2)
    _use(cache, "large", 50)
    assert cache.get("large").version == 1
    assert cache.size == 51
    _use(cache, "large", 3)
    assert cache.size == 4


def test_many_empty_aggregates_are_bounded_too() -> None:
    cache = Cache(10)
    for n in range(100):
        cache.get(str(n))
        cache.trim([str(n)])
    assert cache.size == 10


def test_after_clearing_nothing_is_known_or_counted() -> None:
    cache = Cache(10)
    _use(cache, "a", 5)
    cache.clear()
    assert (cache.size, cache.get("a").version) == (0, 0)
