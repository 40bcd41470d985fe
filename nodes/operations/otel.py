"""Spans that are exported by OTLP over HTTP: the extra `otel`. Nothing global is set."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

from nodes.operations.tracing import Kind, Span
from schemas.errors import BadConfig

try:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
except ImportError as error:
    raise BadConfig("traces need the extra otel: pip install 'sublet[otel]'", field="operations.traces") from error

EXPORT_SECONDS_MAX: Final = 5.0
"""For one request, and at the end of the process."""
_KINDS: Final = {
    "internal": trace.SpanKind.INTERNAL,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
}


class _Recorded:
    """A span of OpenTelemetry's."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        """Its own context."""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def end(self, error: str = "") -> None:
        """Hand it over."""
        if error:
            self._span.set_status(trace.StatusCode.ERROR, error)
        self._span.end()


class Exported:
    """Spans of one node, sent in the background; a collector that cannot be reached costs spans, and no work."""

    def __init__(self, endpoint: str, address: str, role: str, *, seconds_max: float = EXPORT_SECONDS_MAX) -> None:
        """`endpoint` is the collector's base URL, as `http://127.0.0.1:4318`; a request has `seconds_max`."""
        self._seconds_max = seconds_max
        about = {"service.name": f"sublet-{role}", "service.instance.id": address, "service.version": version("sublet")}
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=seconds_max)
        self._provider = TracerProvider(resource=Resource(about), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("sublet", version("sublet"))

    def begin(self, name: str, parent: str, kind: Kind, attributes: Mapping[str, str]) -> Span:
        """As `nodes.operations.tracing.Spans.begin`."""
        _, trace_id, span_id, flags = parent.split("-")
        came = trace.SpanContext(int(trace_id, 16), int(span_id, 16), True, trace.TraceFlags(int(flags, 16)))
        context = trace.set_span_in_context(trace.NonRecordingSpan(came))
        return _Recorded(self._tracer.start_span(name, context, _KINDS[kind], attributes))

    def close(self) -> None:
        """As `nodes.operations.tracing.Spans.close`."""
        self._provider.force_flush(int(self._seconds_max * 1000))
        self._provider.shutdown()
