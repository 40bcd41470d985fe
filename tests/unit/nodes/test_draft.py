"""What one event changes, over records that it may read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec import Struct

from nodes.draft import Draft, data_of
from nodes.machine import CancelTimer, Context, Note, Refused, SetTimer
from nodes.records import RecordSet
from schemas.events import Event, OrderCancelled
from schemas.ids import Address, derive_id
from schemas.orders import Need

ME = Address("A11.A12")
CONTEXT = Context(me=ME, now=7.0, entropy=bytes(32), event_id="event-1", sign=lambda data: data, verify=lambda *_: True)


class Number(Struct, frozen=True):
    """Any record."""

    value: int


class Word(Struct, frozen=True):
    """A record of another class."""

    text: str


class Guarded(RecordSet):
    """Many records, which nobody may go through one by one."""

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("every record was looked at")


@pytest.fixture
def draft() -> Draft[None]:
    records = {f"number/{value}": Number(value) for value in range(3)} | {"word/1": Word("one"), "word": Word("all")}
    return Draft(None, Guarded(records), CONTEXT)


def test_records_of_a_prefix_are_listed_with_this_events_changes_and_without_a_look_at_the_others(
    draft: Draft[None],
) -> None:
    draft.put("number/1", Number(10))
    draft.put("number/3", Number(3))
    draft.delete("number/2")
    assert dict(draft.each(Number, "number")) == {"number/0": Number(0), "number/1": Number(10), "number/3": Number(3)}
    assert draft.count("number") == 3
    assert dict(draft.each(Number, "nothing")) == {}


def test_records_may_be_written_while_they_are_listed(draft: Draft[None]) -> None:
    for key, record in draft.each(Number, "number"):
        draft.put(key, Number(record.value + 1))
        draft.put(f"number/{record.value + 100}", Number(0))
    assert len(dict(draft.each(Number, "number"))) == 6


def test_the_step_has_what_differs_from_the_records_and_the_effects_in_order(draft: Draft[None]) -> None:
    draft.put("number/0", Number(0))
    draft.put("number/1", Number(10))
    draft.put("number/9", Number(9))
    draft.delete("number/9")
    draft.delete("number/2")
    draft.put("word/1", Word("changed"))
    draft.delete("word/1")
    draft.do(SetTimer(name="t", at=1.0), CancelTimer(name="t"))
    draft.note("kind", "text", of="it")
    step = draft.step()
    assert step.put == {"number/1": Number(10)}
    assert step.delete == {"number/2", "word/1"}
    assert step.effects == (
        SetTimer(name="t", at=1.0),
        CancelTimer(name="t"),
        Note(kind="kind", text="text", details={"of": "it"}),
    )


def test_a_record_is_found_as_this_event_left_it(draft: Draft[None]) -> None:
    draft.put("number/1", Number(10))
    draft.delete("number/2")
    assert draft.find(Number, "number/1") == Number(10)
    assert draft.find(Number, "number/2") is draft.find(Number, "number/99") is None
    draft.put("number/2", Number(20))
    assert draft.find(Number, "number/2") == Number(20)
    with pytest.raises(TypeError, match="word/1 is not a Number"):
        draft.find(Number, "word/1")


def test_data_of_another_class_is_refused_as_wrong_data() -> None:
    data = OrderCancelled(order=derive_id("order", 1))
    event = Event(id="e", type="order.buy.cancelled", source=ME, to=ME, time=0.0, subject="s", data=data)
    assert data_of(event, OrderCancelled) is data
    with pytest.raises(Refused, match=r"order\.buy\.cancelled without its data") as refusal:
        data_of(event, Need)
    assert refusal.value.code == "wrong-data"
