"""An OpenTelemetry collector for tests: takes spans by OTLP over HTTP, and keeps them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Seen:
    """A span of one process."""

    who: str
    """`<address>/<role>`."""
    name: str
    trace: str
    id: str
    parent: str
    error: str


@dataclass(slots=True)
class Collector:
    """Everything that was exported to it."""

    url: str
    spans: list[Seen] = field(default_factory=list)

    def by_id(self) -> Mapping[str, Seen]:
        """All spans."""
        return {each.id: each for each in self.spans}

    def way_to(self, span: Seen) -> list[Seen]:
        """The spans from which this one follows, nearest first."""
        known, way = self.by_id(), []
        while (before := known.get(span.parent)) is not None:
            way.append(before)
            span = before
        return way

    def take(self, body: bytes) -> None:
        """One request."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = {each.key: each.value.string_value for each in resource.resource.attributes}
            who = f"{about['service.instance.id']}/{about['service.name'].removeprefix('sublet-')}"
            for scope in resource.scope_spans:
                for span in scope.spans:
                    ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                    self.spans.append(Seen(who, span.name, *ids, span.status.message))


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
