"""What a process counts and measures of itself, for Prometheus: one registry per node, made where it is wired.

Shells count (door, post, loop, outbox, bridge); the pure core knows nothing of it. Every label takes values from a
set that this program bounds: event types of the catalogue, codes of refusals, kinds of queue. No address, id or text
of anybody else's becomes a label.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Literal, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

M = TypeVar("M", bound=MetricWrapperBase)

Direction = Literal["sent", "received"]

VALUES_MAX: Final = 128
"""Of one label; what comes beyond them counts as `OTHER`."""
OTHER: Final = "other"
STORE_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
WAIT_SECONDS: Final = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0)
BATCH_SECONDS: Final = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of histograms' buckets."""


@dataclass(frozen=True, slots=True)
class Series:
    """One of the metrics, as documents show it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    about: str


class Metrics:
    """Of one process. Counting is safe in every thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.series: list[Series] = []
        """All there are, in order."""
        self.last_wait_seconds: dict[str, float] = {}
        """By kind of queue: how long the last message taken from it had waited."""
        self._seen: dict[str, set[str]] = {}
        self._ready = self._make(Gauge, "ready", "1 when /readyz says so")
        self._broker = self._make(Gauge, "broker_connected", "1 while there is a connection to the broker")
        self._writable = self._make(Gauge, "store_writable", "0 while what must be kept cannot be written")
        self._jobs = self._make(Gauge, "jobs", "Jobs in the store, of a renter or partner, by their state", "state")
        self._outcomes = self._make(
            Counter, "outcomes", "Jobs, orders and contracts that came to an end here, and to which", "what", "outcome"
        )
        self._events = self._make(Counter, "events", "Events that were sent or received", "direction", "type")
        self._bytes = self._make(
            Counter, "event_bytes", "Bytes of their bodies, as they travel", "direction", "type", unit="bytes"
        )
        self._batches = self._make(Counter, "batches", "Batches, by what was said of them", "direction", "event")
        self._computing = self._make(
            Histogram, "batch_seconds", "Seconds from a batch's turn to its result, of a lessor", buckets=BATCH_SECONDS
        )
        self._refusals = self._make(Counter, "refusals", "Messages that were set aside, by the reason's code", "code")
        self._again = self._make(Counter, "messages_again", "Messages that could not be handled now and come again")
        self._dropped = self._make(Counter, "messages_dropped", "Messages of floods, of which enough was set aside")
        self._waits = self._make(
            Histogram, "queue_seconds", "Age of messages taken from a queue", "queue", buckets=WAIT_SECONDS
        )
        self._outbox = self._make(Gauge, "outbox_rows", "Effects that this process is carrying out or has yet to")
        self._outbox_age = self._make(Gauge, "outbox_age_seconds", "Age of the oldest of them")
        self._store = self._make(
            Histogram, "store_seconds", "Seconds of the store's transactions", "operation", buckets=STORE_SECONDS
        )
        self._carried = self._make(
            Counter, "link_messages", "Messages that a bridge carried or set aside", "link", "outcome"
        )
        self._carried_bytes = self._make(Counter, "link_bytes", "Bytes of the bodies that it carried", "link")
        self._links = self._make(
            Gauge,
            "link_up",
            "1 while a bridge reaches both its brokers; at a hub, while heartbeats pass both ways",
            "link",
        )

    # ---------------------------------------------------------------- what shells tell

    def sent(self, event_type: str, body_bytes: int) -> None:
        """The broker has confirmed an event of this type."""
        self._moved("sent", event_type, body_bytes)

    def received(self, event_type: str, body_bytes: int, queue: str, wait_seconds: float) -> None:
        """An event of this type came, from a queue of this kind, so long after it was made."""
        self._moved("received", event_type, body_bytes)
        wait_seconds = max(0.0, wait_seconds)
        self._waits.labels(queue).observe(wait_seconds)
        self.last_wait_seconds[queue] = wait_seconds

    def refused(self, code: str) -> None:
        """A message was set aside."""
        self._refusals.labels(self._bounded("refusals", code)).inc()

    def comes_again(self) -> None:
        """A message was given back, for a while."""
        self._again.inc()

    def dropped(self, count: int) -> None:
        """So many messages of a flood were let go."""
        self._dropped.inc(count)

    def ended(self, what: str, outcome: str) -> None:
        """A job, an order or a contract came to its end."""
        self._outcomes.labels(what, self._bounded("outcomes", outcome)).inc()

    def computed(self, seconds: float) -> None:
        """A lessor has a batch's result."""
        self._computing.observe(seconds)

    @contextmanager
    def storing(self, operation: str) -> Iterator[None]:
        """While it lasts, the store works."""
        begin = perf_counter()
        try:
            yield
        finally:
            self._store.labels(operation).observe(perf_counter() - begin)

    def carried(self, link: str, outcome: str, body_bytes: int, messages: int = 1) -> None:
        """A bridge is done with a message, or with more, which have so many bytes together."""
        self._carried.labels(link, self._bounded("links", outcome)).inc(messages)
        if outcome == "carried":
            self._carried_bytes.labels(link).inc(body_bytes)

    # ---------------------------------------------------------------- how things stand

    def stands(self, *, ready: bool, connected: bool, writable: bool, outbox: tuple[int, float]) -> None:
        """As of now; `outbox` is its rows, and the age of the oldest in seconds."""
        self._ready.set(ready)
        self._broker.set(connected)
        self._writable.set(writable)
        self._outbox.set(outbox[0])
        self._outbox_age.set(outbox[1])

    def jobs(self, by_state: Mapping[str, int]) -> None:
        """So many jobs are in the store."""
        self._jobs.clear()
        for state, count in by_state.items():
            self._jobs.labels(state).set(count)

    def link(self, name: str, *, up: bool) -> None:
        """Whether this link carries."""
        self._links.labels(name).set(up)

    # ----------------------------------------------------------------

    def _moved(self, direction: Direction, event_type: str, body_bytes: int) -> None:
        self._events.labels(direction, event_type).inc()
        self._bytes.labels(direction, event_type).inc(body_bytes)
        if event_type.startswith("batch."):
            self._batches.labels(direction, event_type.removeprefix("batch.")).inc()

    def _bounded(self, label: str, value: str) -> str:
        seen = self._seen.setdefault(label, set())
        if value not in seen and len(seen) >= VALUES_MAX:
            return OTHER
        seen.add(value)
        return value

    def _make(self, kind: type[M], name: str, about: str, *labels: str, **more: Any) -> M:
        full = f"sublet_{name}"
        shown = f"{full}_total" if kind is Counter else full
        self.series.append(Series(shown, kind.__name__.lower(), labels, about))
        return kind(full, about, labels, registry=self.registry, **more)
