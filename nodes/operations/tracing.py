"""The trace context of what is being done, and spans around it. Without the extra `otel` there are no spans, and the
context goes on as it came.

A context comes with an event and goes on with every event that follows from it in this process. An effect that a timer
led to, or another process left, has none at hand: then what it is about says to which trace it belongs, for that came
with a context before. What belongs to no trace gets no span: traces are those of jobs.
"""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from schemas.tracing import read_traceparent, trace_of

SUBJECTS_MAX: Final = 8192
"""Orders, contracts and jobs of whose trace a process knows; who was quiet longest gives way."""
SUBJECT_CHARS_MAX: Final = 40
"""Of an id; a longer one is none of ours."""
_TRACED: Final = ("job-", "order-", "contract-", "subtask-")
"""What has a trace; a hub's book, a worker or a subnet's capacity have many or none."""
VARIABLE: Final = "TRACEPARENT"
"""By which programs hand their context to a command."""

Kind = Literal["internal", "producer", "consumer"]

_current: ContextVar[str] = ContextVar("traceparent", default="")


def current() -> str:
    """The `traceparent` of what this task is doing; empty when it belongs to no trace."""
    return _current.get()


def outside(environment: Mapping[str, str] = os.environ) -> str:
    """The context in which this program was called: of OpenTelemetry, where it is in use, or of the environment."""
    api = sys.modules.get("opentelemetry.trace")
    found = api.get_current_span().get_span_context() if api is not None else None
    if found is not None and found.is_valid:
        return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"
    return read_traceparent(environment.get(VARIABLE))


@contextmanager
def carrying(traceparent: str) -> Iterator[None]:
    """What is done inside, and the tasks that begin there, belong to this context."""
    token = _current.set(traceparent)
    try:
        yield
    finally:
        _current.reset(token)


class Span(Protocol):
    """Something that is being done."""

    @property
    def traceparent(self) -> str:
        """The context of what follows from it."""
        ...

    def end(self, error: str = "") -> None:
        """It is done, or failed for this reason."""
        ...


class Spans(Protocol):
    """Makes spans."""

    def begin(self, name: str, parent: str, kind: Kind, attributes: Mapping[str, str]) -> Span:
        """A span that follows from `parent`, a valid `traceparent`."""
        ...

    def close(self) -> None:
        """Hand over what is not exported yet; blocks for seconds at most."""
        ...


@dataclass(frozen=True, slots=True)
class PassedOn:
    """In place of a span: what follows belongs to the context that came."""

    traceparent: str

    def end(self, error: str = "") -> None:
        """Nothing was begun."""


class NoSpans:
    """Of a node that exports none."""

    def begin(self, name: str, parent: str, kind: Kind, attributes: Mapping[str, str]) -> Span:
        """The context goes on."""
        return PassedOn(parent)

    def close(self) -> None:
        """There is nothing."""


NOTHING: Final = PassedOn("")


@dataclass(slots=True)
class Tracing:
    """Of one process."""

    spans: Spans = field(default_factory=NoSpans)
    _subjects: OrderedDict[str, str] = field(default_factory=OrderedDict)

    def context(self, subject: str, parent: str) -> str:
        """The context of what is about `subject`: `parent`, unless that is missing or of another trace.

        So what follows from several causes, as a match does from an order and from compute that another job gave back,
        stays in the trace of what it is about.
        """
        first = self._first(subject, parent)
        return parent if trace_of(parent) == trace_of(first) else first

    def _first(self, subject: str, parent: str) -> str:
        """The context with which `subject` first came here; from now on this one, where it has none yet."""
        if not subject.startswith(_TRACED) or len(subject) > SUBJECT_CHARS_MAX:
            return parent
        first = self._subjects.get(subject, "") or parent
        if first:
            self._subjects[subject] = first
            self._subjects.move_to_end(subject)
            if len(self._subjects) > SUBJECTS_MAX:
                self._subjects.popitem(last=False)
        return first

    def begin(self, name: str, subject: str, parent: str, kind: Kind = "internal", **attributes: str) -> Span:
        """A span of what is about `subject`; it has to be ended."""
        is_new, context = subject not in self._subjects, self.context(subject, parent)
        if not context:
            return NOTHING
        span = self.spans.begin(name, context, kind, {"sublet.subject": subject} | attributes)
        if is_new and subject in self._subjects:
            self._subjects[subject] = span.traceparent
        return span

    @contextmanager
    def span(self, name: str, subject: str, parent: str, kind: Kind = "internal", **attributes: str) -> Iterator[None]:
        """A span as long as it lasts, in whose context everything inside is done. Fails by what is raised."""
        begun = self.begin(name, subject, parent, kind, **attributes)
        try:
            with carrying(begun.traceparent):
                yield
        except BaseException as error:
            begun.end(getattr(error, "code", "") or type(error).__name__)
            raise
        begun.end()

    @contextmanager
    def work(self, name: str, subject: str, parent: str) -> Iterator[None]:
        """As `span`, under the first context of `subject`: a job's work stands side by side, however long the chain of
        events is that led to it."""
        with self.span(name, subject, self._first(subject, parent)):
            yield
