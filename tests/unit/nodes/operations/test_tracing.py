"""Contexts: what follows from what, in which trace; and spans as OpenTelemetry's exporter sends them."""

from __future__ import annotations

import asyncio
import importlib
import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from nodes.operations.otel import Exported
from nodes.operations.tracing import SUBJECTS_MAX, NoSpans, Tracing, carrying, current, outside
from schemas.errors import BadConfig
from schemas.ids import derive_id
from schemas.tracing import trace_of
from tests.support.collector import collecting

ONE = "00-11111111111111111111111111111111-aaaaaaaaaaaaaaaa-01"
LATER = "00-11111111111111111111111111111111-bbbbbbbbbbbbbbbb-01"
OTHER = "00-22222222222222222222222222222222-cccccccccccccccc-01"
JOB, ORDER = derive_id("job", "1"), derive_id("order", "1")


async def test_tasks_go_on_in_the_context_in_which_they_began() -> None:
    with carrying(ONE):
        task = asyncio.create_task(asyncio.to_thread(current))
    assert (current(), await task) == ("", ONE)


@pytest.mark.parametrize(
    ("before", "parent", "expected"),
    [
        ([], "", ""),
        ([], ONE, ONE),
        ([ONE], "", ONE),
        ([ONE], LATER, LATER),
        ([ONE], OTHER, ONE),
        ([ONE, LATER, OTHER], "", ONE),
    ],
    ids=["none", "its first", "none at hand", "a later one", "of another trace", "of all the first"],
)
def test_a_subject_stays_in_its_trace(before: list[str], parent: str, expected: str) -> None:
    tracing = Tracing()
    for each in before:
        tracing.context(ORDER, each)
    assert tracing.context(ORDER, parent) == expected


@pytest.mark.parametrize(
    "subject",
    ["hub", "B11.hub", "worker-0123456789abcdef01234567", "", "job-" + "0" * 60_000],
    ids=["book", "subnet", "worker", "nothing", "no id"],
)
def test_what_has_many_traces_has_that_of_each_event(subject: str) -> None:
    tracing = Tracing()
    assert [tracing.context(subject, each) for each in (ONE, OTHER, "")] == [ONE, OTHER, ""]


def test_subjects_are_remembered_in_bounded_number() -> None:
    tracing = Tracing()
    for number in range(SUBJECTS_MAX + 1):
        tracing.context(derive_id("job", number), ONE)
        tracing.context(JOB, OTHER)
    assert tracing.context(JOB, "") == OTHER
    assert tracing.context(derive_id("job", 0), "") == ""
    assert tracing.context(derive_id("job", SUBJECTS_MAX), "") == ONE


def test_without_spans_the_context_goes_on_as_it_came() -> None:
    tracing = Tracing()
    with tracing.span("handle job.submitted", JOB, ONE):
        assert current() == ONE
    assert current() == ""


def test_a_command_goes_on_in_its_callers_trace() -> None:
    assert outside({"TRACEPARENT": ONE}) == ONE
    assert outside({"TRACEPARENT": "nonsense"}) == outside({}) == ""
    with TracerProvider(shutdown_on_exit=False).get_tracer("a notebook").start_as_current_span("its cell") as span:
        assert int(trace_of(outside({"TRACEPARENT": ONE})), 16) == span.get_span_context().trace_id
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_spans_are_exported_with_their_parents_and_failures() -> None:
    with collecting() as collector:
        tracing = Tracing(Exported(collector.url, "A11.A12", "renter"))
        with tracing.span("handle job.submitted", JOB, ONE, "consumer", **{"sublet.from": "A11.A12"}):
            with pytest.raises(ValueError, match="spoiled"), tracing.span("send order.buy.placed", ORDER, current()):
                raise ValueError("spoiled")
            inside = current()
        with tracing.span("order.sell.placed", "hub", ""):
            assert current() == ""
        with tracing.work("dispatch", JOB, inside):
            pass
        tracing.spans.close()
    send, handle, work = collector.spans
    assert {each.trace for each in collector.spans} == {trace_of(ONE)}
    assert (handle.parent, send.parent, work.parent) == (ONE.split("-")[2], handle.id, handle.id)
    assert (send.error, handle.error, handle.who) == ("ValueError", "", "A11.A12/renter")


def test_a_collector_that_does_not_answer_costs_spans_and_no_work(free_port: int) -> None:
    tracing = Tracing(Exported(f"http://127.0.0.1:{free_port}", "A11.A12", "renter", seconds_max=0.2))
    with tracing.span("handle job.submitted", JOB, ONE):
        assert trace_of(current()) == trace_of(ONE)
    tracing.spans.close()


@pytest.fixture
def free_port() -> int:
    from tests.support.operating import free_ports

    return free_ports(1)[0]


def test_a_node_without_traces_has_nothing_to_close() -> None:
    assert NoSpans().close() is None  # type: ignore[func-returns-value]


def test_traces_without_the_extra_are_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "nodes.operations.otel")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(BadConfig, match=r"pip install 'sublet\[otel\]'") as refused:
        importlib.import_module("nodes.operations.otel")
    assert refused.value.field == "operations.traces"
