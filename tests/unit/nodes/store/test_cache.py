"""The store's memory of aggregates is bounded."""

from __future__ import annotations

from msgspec import Struct

from nodes.records import RecordSet
from nodes.store.cache import Cache


def _use(cache: Cache, name: str, records: int) -> None:
    cached = cache.get(name)
    cached.version = 1
    cached.records = RecordSet({str(n): Struct() for n in range(records)})
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


def test_what_is_forgotten_is_not_counted_and_costs_the_others_nothing() -> None:
    cache = Cache(10)
    _use(cache, "a", 3)
    _use(cache, "b", 4)
    cache.forget(["a", "never seen"])
    assert cache.size == 5
    assert cache.at("a", 1) is None
    assert cache.at("b", 1) is cache.get("b")
    assert cache.at("b", 2) is None


def test_after_clearing_nothing_is_known_or_counted() -> None:
    cache = Cache(10)
    _use(cache, "a", 5)
    cache.clear()
    assert (cache.size, cache.get("a").version) == (0, 0)
