"""CloudEvents 1.0 in binary content mode: event ↔ headers and body, with limits. Pure.

Each attribute is a `ce-<name>` string header; `datacontenttype` travels as `content-type`, as the AMQP binding
says. JSON events carry their data as the body; others carry raw bytes. Signatures cover the raw body, so duplicate
JSON keys or unknown fields cannot make two readers disagree about what was signed. The trace context is not signed, and
one that cannot be read is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
import orjson

from schemas import limits
from schemas.errors import BadConfig, VerificationFailed
from schemas.events import CATALOGUE, Event
from schemas.ids import parse_address
from schemas.jobs import Batch
from schemas.signing import event_bytes
from schemas.tracing import TRACEPARENT, read_traceparent

T = TypeVar("T")

_JSON: Final = "application/json"
_RAW: Final = "application/octet-stream"
_CORE: Final = frozenset(
    {"specversion", "id", "source", "type", "time", "subject", "to", "cause", "signature", TRACEPARENT}
)
_TRACE_HEADER: Final = f"ce-{TRACEPARENT}"
_REQUIRED: Final = ("specversion", "id", "source", "type", "time", "subject", "to", "signature")
_NAME: Final = re.compile(r"[a-z0-9]{1,20}")
_RELEASE: Final = re.compile(r"[0-9]{1,6}")


RELEASE_ATTRIBUTE: Final = "release"
_UNKNOWN_FIELD: Final = "Object contains unknown field"
"""How msgspec begins to say so."""


class MalformedEvent(VerificationFailed):
    """The bytes are not an event of the catalogue. `code` says which rule was broken."""


@dataclass(frozen=True, slots=True)
class Received:
    """A decoded event with what is needed to verify its sender. Nothing in it may be trusted before that."""

    event: Event
    signed: bytes
    signature: bytes


def encode(event: Event, sign: Callable[[bytes], bytes]) -> tuple[dict[str, str], bytes]:
    """Headers and body of a signed event.

    Args:
        event: with `data` of its type's class, or a raw body.
        sign: the sender's signature over bytes (Ed25519, 64 bytes).

    Raises:
        MalformedEvent: the event does not fit its catalogue row or a limit (`too-large`, `wrong-data`, …).
    """
    row = CATALOGUE.get(event.type)
    if row is None:
        raise MalformedEvent(f"no event type {event.type!r} in the catalogue", code="unknown-type")
    if (row.data is None) != (event.data is None):
        raise MalformedEvent(f"{event.type} needs {'a raw body' if row.data is None else 'data'}", code="wrong-data")
    body = bytes(event.body) if event.data is None else encode_data(event.data)
    _check_size(event.type, body, raw=event.data is None)
    attributes = _attributes(event, raw=event.data is None)
    signature = sign(event_bytes(attributes, body))
    headers = {f"ce-{name}": value for name, value in attributes.items() if name != "datacontenttype"}
    headers["content-type"] = attributes["datacontenttype"]
    headers["ce-signature"] = signature.hex()
    if event.traceparent:
        headers[_TRACE_HEADER] = event.traceparent
    return headers, body


def decode(headers: Mapping[str, Any], body: bytes) -> Received:
    """The event that headers and body carry; its signature is returned, not checked.

    Raises:
        MalformedEvent: with a code: missing-attribute, bad-attribute, unknown-type, too-large, bad-json, bad-data,
            unknown-field.
    """
    attributes = _read_attributes(headers)
    event_type = attributes["type"]
    row = CATALOGUE.get(event_type)
    if row is None:
        raise MalformedEvent(f"no event type {event_type[:64]!r} in the catalogue", code="unknown-type")
    raw = row.data is None
    _check_size(event_type, body, raw=raw)
    if attributes["datacontenttype"] != (_RAW if raw else _JSON):
        raise MalformedEvent(f"{event_type} came as {attributes['datacontenttype'][:64]!r}", code="bad-attribute")
    data = None if row.data is None else decode_data(row.data, body)
    try:
        signature = bytes.fromhex(attributes["signature"])
        source, to = parse_address(attributes["source"]), parse_address(attributes["to"])
        seconds = _seconds(attributes["time"])
    except (ValueError, OverflowError, BadConfig) as error:
        raise MalformedEvent(f"{event_type}: {error}", code="bad-attribute") from error
    extensions = {name: value for name, value in attributes.items() if name not in _CORE and name != "datacontenttype"}
    event = Event(
        id=attributes["id"],
        type=event_type,
        source=source,
        to=to,
        time=seconds,
        subject=attributes["subject"],
        data=data,
        body=body if raw else b"",
        cause=attributes.get("cause", ""),
        attributes=extensions,
        traceparent=traceparent_of(headers),
    )
    signed = event_bytes({k: v for k, v in attributes.items() if k != "signature"}, body)
    return Received(event, signed, signature)


def release_of(attributes: Mapping[str, Any], prefix: str = "") -> int:
    """The release of the catalogue that an event's sender knows, by its attributes (by its headers with prefix `ce-`).

    Whoever answers may say what that release understands. 0: it does not say.
    """
    said = str(attributes.get(f"{prefix}{RELEASE_ATTRIBUTE}", ""))
    return int(said) if _RELEASE.fullmatch(said) else 0


def traceparent_of(headers: Mapping[str, Any]) -> str:
    """The trace context that an event's headers carry; empty for none."""
    return read_traceparent(headers.get(_TRACE_HEADER))


def with_traceparent(headers: Mapping[str, T], traceparent: T) -> dict[str, T]:
    """The headers with another trace context: it is not signed."""
    return {**headers, _TRACE_HEADER: traceparent}


def encode_data(data: msgspec.Struct) -> bytes:
    """A data struct as JSON bytes (RFC 8259); binary fields become base64."""
    return orjson.dumps(msgspec.to_builtins(data))


def decode_data(data_class: type[T], body: bytes | memoryview) -> T:
    """JSON bytes as a data struct; unknown fields are ignored, but in what is signed by itself; all else is checked.

    Raises:
        MalformedEvent: bad-json, bad-data or unknown-field, naming the field.
    """
    try:
        return msgspec.convert(orjson.loads(body), data_class)
    except orjson.JSONDecodeError as error:
        raise MalformedEvent(f"{data_class.__name__}: not JSON: {error}", code="bad-json") from error
    except msgspec.ValidationError as error:
        code = "unknown-field" if str(error).startswith(_UNKNOWN_FIELD) else "bad-data"
        raise MalformedEvent(f"{data_class.__name__}: {error}", code=code) from error


def batch_of(event: Event) -> Batch:
    """The batch that an event's extension attributes describe (`schemas.events.batch_attributes`).

    Raises:
        MalformedEvent: bad-data.
    """
    named = {"subtask": "subtask", "contract": "contract"}
    counted = {"batch": "batch", "attempt": "attempt", "firstrow": "first_row", "rows": "rows"}
    try:
        fields: dict[str, Any] = {"job": event.subject}
        fields |= {to: event.attributes[name] for name, to in named.items()}
        fields |= {to: int(event.attributes[name]) for name, to in counted.items()}
        fields["round"] = int(event.attributes.get("round", "1"))
        return msgspec.convert(fields, Batch)
    except (KeyError, ValueError, msgspec.ValidationError) as error:
        raise MalformedEvent(f"{event.type}: bad batch attributes: {error}", code="bad-data") from error


def _seconds(text: str) -> float:
    """Seconds since 1970 of a timestamp with its offset from UTC (RFC 3339); raises ValueError or OverflowError."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"the time {text[:40]!r} lacks its offset from UTC")
    return at.timestamp()


def _attributes(event: Event, *, raw: bool) -> dict[str, str]:
    attributes = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": datetime.fromtimestamp(event.time, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "subject": event.subject,
        "to": event.to,
        "datacontenttype": _RAW if raw else _JSON,
    }
    if event.cause:
        attributes["cause"] = event.cause
    for name, value in event.attributes.items():
        if name in attributes or name in _CORE or not _NAME.fullmatch(name):
            raise MalformedEvent(f"{name!r} cannot be an extension attribute", code="bad-attribute")
        attributes[name] = value
    return attributes


def _read_attributes(headers: Mapping[str, Any]) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for header, value in headers.items():
        if not header.startswith("ce-") or header == _TRACE_HEADER:
            continue
        name = header[3:]
        if not _NAME.fullmatch(name) or not isinstance(value, str) or len(value) > limits.ATTRIBUTE_CHARS_MAX:
            raise MalformedEvent(f"attribute {name[:40]!r} is not a short string", code="bad-attribute")
        attributes[name] = value
    if len(attributes) > limits.ATTRIBUTES_MAX:
        raise MalformedEvent(f"more than {limits.ATTRIBUTES_MAX} attributes", code="bad-attribute")
    for name in _REQUIRED:
        if not attributes.get(name):
            raise MalformedEvent(f"attribute {name} is missing", code="missing-attribute")
    if attributes["specversion"] != "1.0":
        raise MalformedEvent("specversion is not 1.0", code="bad-attribute")
    attributes["datacontenttype"] = str(headers.get("content-type") or _JSON)
    return attributes


def _check_size(event_type: str, body: bytes, *, raw: bool) -> None:
    limit = limits.BODY_BYTES_MAX if raw else limits.EVENT_DATA_BYTES_MAX
    if len(body) > limit:
        raise MalformedEvent(f"{event_type} has {len(body)} bytes, more than {limit}", code="too-large")
