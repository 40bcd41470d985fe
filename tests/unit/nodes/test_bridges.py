"""What a hub counts and traces of what its bridges carry."""

from __future__ import annotations

from functools import partial

import pytest

from broker.bridge import NOT_OF_THIS_LINK
from broker.port import Message
from nodes.bridges import _pumped, watched
from nodes.operations.otel import Exported
from nodes.operations.telemetry import Telemetry
from nodes.operations.tracing import Tracing
from schemas.codec import traceparent_of
from schemas.ids import derive_id
from schemas.tracing import trace_of
from tests.support.collector import collecting

ONE = "00-11111111111111111111111111111111-aaaaaaaaaaaaaaaa-01"
JOB = derive_id("job", "carried")
MESSAGE = Message("B11.B12.A11.A12.batch", b"rows", {"ce-subject": JOB, "ce-traceparent": ONE, "ce-id": "e"}, "e")


def test_without_spans_a_message_goes_on_as_it_came() -> None:
    telemetry = Telemetry()
    with watched(telemetry, "B11", MESSAGE) as passage:
        assert passage.message is MESSAGE
    value = partial(telemetry.metrics.registry.get_sample_value, "sublet_link_bytes_total")
    assert value({"link": "B11"}) == len(MESSAGE.body)


def test_a_span_of_the_link_puts_itself_between() -> None:
    with collecting() as collector:
        telemetry = Telemetry(tracing=Tracing(Exported(collector.url, "A11.hub", "bridge")))
        with watched(telemetry, "B11", MESSAGE) as passage:
            after = passage.message
        telemetry.tracing.spans.close()
    (span,) = collector.spans
    assert (span.name, span.parent, span.error) == ("carry to B11", "aaaaaaaaaaaaaaaa", "")
    assert (trace_of(traceparent_of(after.headers)), traceparent_of(after.headers)[36:52]) == (trace_of(ONE), span.id)
    assert (after.key, after.body, after.headers["ce-id"]) == (MESSAGE.key, MESSAGE.body, "e")


def test_what_may_not_pass_is_counted_by_its_reason() -> None:
    telemetry = Telemetry()
    with watched(telemetry, "B11", MESSAGE) as passage:
        passage.reason = NOT_OF_THIS_LINK
    value = telemetry.metrics.registry.get_sample_value
    assert value("sublet_link_messages_total", {"link": "B11", "outcome": NOT_OF_THIS_LINK}) == 1
    assert value("sublet_link_bytes_total", {"link": "B11"}) is None


def test_what_a_pump_carried_counts_like_all_else() -> None:
    telemetry = Telemetry()
    _pumped(telemetry, "B11", 3, 3000)
    with watched(telemetry, "B11", MESSAGE):
        pass
    value = telemetry.metrics.registry.get_sample_value
    assert value("sublet_link_messages_total", {"link": "B11", "outcome": "carried"}) == 4
    assert value("sublet_link_bytes_total", {"link": "B11"}) == 3000 + len(MESSAGE.body)


@pytest.mark.parametrize("headers", [{}, {"ce-subject": 7, "ce-traceparent": 8}, {"ce-traceparent": "x" * 9000}])
def test_whatever_a_participant_wrote_passes(headers: dict[str, str | int]) -> None:
    message = Message(MESSAGE.key, b"", headers, "e")
    with watched(Telemetry(), "B11", message) as passage:
        assert passage.message is message
