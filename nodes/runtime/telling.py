"""Puts a line about a decision into the log, and counts the outcome."""

from __future__ import annotations

from typing import Any

from nodes.operations.metrics import Metrics
from nodes.runtime.outcomes import Line
from schemas.tracing import trace_of


def tell(log: Any, metrics: Metrics, line: Line, traceparent: str) -> None:
    """`log` is a bound logger; the trace stands beside what belongs to one."""
    trace = {"trace": trace_of(traceparent)} if traceparent else {}
    (log.warning if line.warns else log.info)(line.text, **line.details, **trace)
    if line.what:
        metrics.ended(line.what, line.outcome)
