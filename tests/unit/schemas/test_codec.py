"""The event codec: what goes in comes out, what is not an event is refused with its code."""

from __future__ import annotations

import msgspec
import pytest
from cloudevents.core.bindings.rabbitmq import RabbitMQMessage, from_rabbitmq_event
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec, limits
from schemas.codec import MalformedEvent
from schemas.events import CATALOGUE, Event, QuoteReleased, batch_attributes
from schemas.ids import Address, derive_id
from schemas.jobs import Batch
from schemas.signing import event_bytes

RENTER, LESSOR = Address("A11.A12"), Address("B11.B12")
QUOTE = QuoteReleased(quote=derive_id("quote", 1), order=derive_id("order", 1))


def sign(data: bytes) -> bytes:
    """Not a signature; shows which bytes are signed."""
    return data[:64].ljust(64, b"\0")


def event(**changes: object) -> Event:
    fields: dict[str, object] = {
        "id": "event-1",
        "type": "quote.released",
        "source": Address("A11.hub"),
        "to": Address("B11.hub"),
        "time": 1_790_000_000.25,
        "subject": QUOTE.order,
        "data": QUOTE,
    }
    return Event(**(fields | changes))  # type: ignore[arg-type]


def encoded(**changes: object) -> tuple[dict[str, str], bytes]:
    return codec.encode(event(**changes), sign)


def test_an_event_comes_back_as_it_was() -> None:
    sent = event(cause="event-0", attributes={"round": "3"})
    received = codec.decode(*codec.encode(sent, sign))
    assert received.event == sent
    assert received.signature == sign(received.signed)


@given(body=st.binary(max_size=200), number=st.integers(0, 99), row=st.integers(0, 10**9), rows=st.integers(1, 10**6))
def test_a_batch_travels_raw_with_its_metadata_as_attributes(body: bytes, number: int, row: int, rows: int) -> None:
    ids = {name: derive_id(name, number) for name in ("job", "subtask", "contract")}
    batch = msgspec.convert(ids | {"batch": number, "attempt": 1, "first_row": row, "rows": rows}, Batch)
    sent = event(
        type="batch.dispatched",
        source=RENTER,
        to=LESSOR,
        data=None,
        body=body,
        subject=batch.job,
        attributes=batch_attributes(batch),
    )
    headers, raw = codec.encode(sent, sign)
    assert raw == body
    assert codec.batch_of(codec.decode(headers, raw).event) == batch


def test_another_implementation_of_cloudevents_reads_our_messages() -> None:
    headers, body = encoded(cause="event-0")
    content_type = headers.pop("content-type")
    read = from_rabbitmq_event(RabbitMQMessage(headers=headers, content_type=content_type, body=body), JSONFormat())
    assert (read.get_id(), read.get_type(), read.get_source()) == ("event-1", "quote.released", "A11.hub")
    when = read.get_time()
    assert when is not None
    assert when.timestamp() == 1_790_000_000.25
    assert read.get_data() == {"quote": QUOTE.quote, "order": QUOTE.order}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ce-id": None}, "missing-attribute"),
        ({"ce-signature": None}, "missing-attribute"),
        ({"ce-specversion": "0.3"}, "bad-attribute"),
        ({"ce-type": "quote.forged"}, "unknown-type"),
        ({"ce-source": "A11"}, "bad-attribute"),
        ({"ce-source": "A11.hub\n"}, "bad-attribute"),
        ({"ce-to": "A11.hub.x"}, "bad-attribute"),
        ({"ce-time": "yesterday"}, "bad-attribute"),
        ({"ce-signature": "xyz"}, "bad-attribute"),
        ({"ce-subject": "x" * 2000}, "bad-attribute"),
        ({"ce-Upper": "x"}, "bad-attribute"),
        ({"content-type": "application/octet-stream"}, "bad-attribute"),
    ],
)
def test_headers_that_are_not_an_events_are_refused(change: dict[str, str | None], code: str) -> None:
    headers, body = encoded()
    changed = {name: value for name, value in (headers | change).items() if value is not None}
    with pytest.raises(MalformedEvent) as refused:
        codec.decode(changed, body)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "bad-json"),
        (b"[]", "bad-data"),
        (b'{"quote": "quote-000000000000000000000001"}', "bad-data"),
        (b'{"quote": "quote-000000000000000000000001\\n", "order": "order-000000000000000000000001"}', "bad-data"),
        (b" " * (limits.EVENT_DATA_BYTES_MAX + 1), "too-large"),
    ],
)
def test_bodies_that_are_not_the_types_data_are_refused(body: bytes, code: str) -> None:
    headers, _ = encoded()
    with pytest.raises(MalformedEvent) as refused:
        codec.decode(headers, body)
    assert refused.value.code == code


def test_unknown_fields_are_ignored_but_signed() -> None:
    headers, body = encoded()
    longer = body[:-1] + b',"later":1}'
    received = codec.decode(headers, longer)
    assert received.event.data == QUOTE
    assert received.signed != codec.decode(headers, body).signed


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.text(max_size=5), max_size=3), st.binary(max_size=20))
def test_what_is_signed_changes_with_every_attribute_and_byte(attributes: dict[str, str], body: bytes) -> None:
    base = event_bytes(attributes, body)
    assert event_bytes(attributes | {"zz": "1"}, body) != base
    assert event_bytes(attributes, body + b"x") != base
    assert event_bytes(attributes | {"traceparent": "00-1"}, body) == base


def test_every_event_type_has_an_end_at_both_sides() -> None:
    for row in CATALOGUE.values():
        assert row.sender
        assert row.receiver
        assert row.kind in {"control", "batch", "result", "lane", "heartbeat"}


def test_an_extension_attribute_cannot_stand_for_a_core_attribute() -> None:
    with pytest.raises(MalformedEvent):
        encoded(attributes={"source": "A11.A12"})
