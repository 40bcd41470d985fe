"""The trace context of events: read leniently, carried unsigned, never a reason to refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas import codec
from schemas.events import Event, JobCancelled
from schemas.ids import Address, derive_id
from schemas.tracing import first_traceparent, read_traceparent, trace_of

JOB = derive_id("job", "traced")
GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-00"
EVENT = Event(
    id="event-1",
    type="job.cancelled",
    source=Address("A11.A12"),
    to=Address("A11.A12"),
    time=1_800_000_000.0,
    subject=JOB,
    data=JobCancelled(job=JOB),
    traceparent=GOOD,
)
BAD = {
    "empty": "",
    "another version": "01" + GOOD[2:],
    "a trace of zeros": f"00-{'0' * 32}-b7ad6b7169203331-01",
    "a span of zeros": f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
    "upper case": GOOD.upper(),
    "a line more": GOOD + "\n",
    "longer than any attribute": "0" * 5000,
    "a number": 7,
    "bytes": GOOD.encode(),
}


def sign(data: bytes) -> bytes:
    return bytes(64)


def test_a_context_is_read_as_it_was_written() -> None:
    assert read_traceparent(GOOD) == GOOD
    assert trace_of(GOOD) == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_what_is_no_context_is_none_and_its_event_stands(value: object) -> None:
    headers, body = codec.encode(EVENT, sign)
    received = codec.decode({**headers, "ce-traceparent": value}, body)
    assert (read_traceparent(value), received.event) == ("", replace(EVENT, traceparent=""))


def test_who_carries_an_event_may_change_its_context_and_nothing_else() -> None:
    headers, body = codec.encode(EVENT, sign)
    changed = codec.decode(codec.with_traceparent(headers, OTHER), body)
    without = codec.decode(*codec.encode(replace(EVENT, traceparent=""), sign))
    assert codec.decode(headers, body).event == EVENT
    assert (changed.event.traceparent, changed.signed) == (OTHER, without.signed)


def test_no_machine_sets_a_context() -> None:
    with pytest.raises(codec.MalformedEvent, match="cannot be an extension attribute"):
        codec.encode(replace(EVENT, attributes={"traceparent": GOOD}), sign)


def test_a_jobs_first_context_follows_from_its_id() -> None:
    assert read_traceparent(first_traceparent(JOB)) == first_traceparent(JOB)
    assert trace_of(first_traceparent(JOB)) != trace_of(first_traceparent(derive_id("job", "another")))
