"""Records by key and by prefix."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from nodes.records import RecordSet, as_record_set


class Number(Struct, frozen=True):
    """Any record."""

    value: int = 0


KEYS = ("job", "batch/1", "batch/12", "worker/a", "worker/a/1", "worker/a/2", "worker/ab/1", "batches/1")
CHANGES = st.lists(st.tuples(st.sampled_from(KEYS), st.one_of(st.none(), st.integers(0, 9))))


@given(CHANGES)
def test_it_is_the_same_mapping_as_a_dictionary_and_finds_keys_by_prefix(changes: list[tuple[str, int | None]]) -> None:
    records, expected = RecordSet(), dict[str, Struct]()
    for key, value in changes:
        if value is None:
            records.drop(key)
            expected.pop(key, None)
        else:
            records.put(key, Number(value))
            expected[key] = Number(value)
    assert dict(records) == expected
    assert len(records) == len(expected)
    for key in KEYS:
        assert records.get(key) == expected.get(key)
        assert (key in records) == (key in expected)
    for prefix in ("job", "batch", "worker", "worker/a", "worker/ab", "nothing", ""):
        assert sorted(records.under(prefix)) == sorted(key for key in expected if key.startswith(f"{prefix}/"))


def test_a_mapping_becomes_a_record_set_and_a_record_set_stays_itself() -> None:
    records = as_record_set({"batch/1": Number(1)})
    assert list(records.under("batch")) == ["batch/1"]
    assert as_record_set(records) is records


def test_a_key_that_is_not_there_has_the_default() -> None:
    assert RecordSet().get("job", 7) == 7
