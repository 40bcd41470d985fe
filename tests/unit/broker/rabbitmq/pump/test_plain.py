"""What may go on as it came is what would be written anew without a difference; nothing else may."""

from __future__ import annotations

from typing import Any

import pytest
from aiormq.abc import DeliveredMessage
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from broker.envelope import arrived
from broker.port import Message, check_message
from broker.rabbitmq.content import incoming, properties_of
from broker.rabbitmq.frames import improve
from broker.rabbitmq.pump.plain import is_plain
from broker.rabbitmq.pump.pump import body_bytes, body_of, read_header
from schemas.ids import Address
from schemas.limits import BODY_BYTES_MAX
from tests.conformance.test_broker_hostile import RAW
from tests.support.amqp import content, properties_in, raw_content

KEY = "B11.B12.A11.A12.batch"
HUB = Address("A11.hub")

PLAIN: dict[str, dict[str, Any]] = {
    "ours": {"content_type": "application/json", "headers": {"ce-id": "1", "größe": "ü"}, "message_id": "m"},
    "integers": {"headers": {"a": 1, "b": -(2**40), "c": 2**31 - 1, "d": -1}},
    "no headers": {"message_id": "m"},
    "no priority": {"priority": 0, "message_id": "m"},
    "empty": {},
}
OTHERS: dict[str, dict[str, Any]] = {
    "a user id": {"user_id": "A12"},
    "copies": {"headers": {"CC": [KEY]}},
    "blind copies": {"headers": {"ce-id": "1", "BCC": [KEY]}},
    "copies that are a text": {"headers": {"CC": KEY}},
    "a broker's header": {"headers": {"x-delivery-count": 3}},
    "our own envelope": {"headers": {"x-sublet-reason": "no"}},
    "a content type among the headers": {"headers": {"content-type": "text/plain"}},
    "a truth": {"headers": {"a": True}},
    "nothing": {"headers": {"a": None}},
    "a table": {"headers": {"a": {"b": "c"}}},
    "not kept": {"delivery_mode": 1},
    "an expiration": {"expiration": "1"},
    "a priority": {"priority": 1},
    "an answer's queue": {"reply_to": "q"},
    "many headers": {"headers": {f"many-{number}": "x" * 1000 for number in range(70)}},
}


@pytest.mark.parametrize("properties", PLAIN.values(), ids=PLAIN)
def test_the_senders_own_texts_and_integers_go_on(properties: dict[str, Any]) -> None:
    assert is_plain(content(**properties))


@pytest.mark.parametrize("properties", OTHERS.values(), ids=OTHERS)
def test_anything_else_does_not(properties: dict[str, Any]) -> None:
    assert not is_plain(content(**properties))


MODE = 1 << 12


def kept(raw: bytes) -> bytes:
    """The same properties of a message that is persistent, as plain ones have to be."""
    flags = int.from_bytes(raw[:2], "big")
    if flags & MODE:
        return raw
    after = raw[2:] + b"\x02" if flags > MODE else b"\x02" + raw[2:]
    return (flags | MODE).to_bytes(2, "big") + after


@pytest.mark.parametrize("name", RAW)
def test_nothing_that_a_broker_may_stumble_over_does(name: str) -> None:
    assert is_plain(raw_content(kept(RAW[name]))) == (name == "an id of 255 bytes")


def test_a_body_over_the_limit_does_not() -> None:
    frames = content(b"")
    for size, plain in ((BODY_BYTES_MAX, True), (BODY_BYTES_MAX + 1, False)):
        assert is_plain(frames[:11] + size.to_bytes(8, "big") + frames[19:]) is plain


PERSISTENT_ONLY = commands.Basic.Properties(delivery_mode=2).marshal()
BROKEN = {
    "nothing": b"",
    "no mode": b"\x80\x00\x01a",
    "a table longer than all": b"\x30\x00\x00\x00\xff\xff\x01aS\x00\x00\x00\x01a\x02",
    "entries longer than their table": b"\x30\x00\x00\x00\x00\x05\x01aS\x00\x00\x00\x01a\x02",
    "more than its properties": PERSISTENT_ONLY + b"a",
    "flags that go on": b"\x10\x01\x00\x00\x02",
    "an id longer than all": b"\x10\x80\x02\xffm",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("body", [b"", bytes(300)], ids=["no body", "a body"])
def test_what_is_not_whole_does_not(raw: bytes, body: bytes) -> None:
    assert not is_plain(raw_content(raw, body))


def written_anew(frames: bytes) -> commands.Basic.Properties:
    """As the bridge does with what it reads."""
    improve()
    delivered = DeliveredMessage(
        delivery=commands.Basic.Deliver("1", 1, False, "", KEY),
        header=read_header(frames),
        body=body_of(frames),
        channel=None,  # type: ignore[arg-type]
    )
    message = arrived(incoming(delivered), HUB).message
    check_message(message)
    return properties_of(message)


def seen(properties: commands.Basic.Properties, body: bytes) -> Message:
    """By its receiver."""
    header = read_header(raw_content(properties.marshal(), b""))
    return incoming(DeliveredMessage(commands.Basic.Deliver("1", 1, False, "", KEY), header, body, None))  # type: ignore[arg-type]


NAMES = st.text(max_size=20) | st.sampled_from(["CC", "BCC", "x-a", "content-type", "ce-id"])
VALUES = st.text(max_size=30) | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.none() | st.binary(max_size=5)


@given(
    st.dictionaries(NAMES, VALUES, max_size=5),
    st.none() | st.text(min_size=1, max_size=20),
    st.none() | st.text(max_size=20),
    st.binary(max_size=250),
)
def test_what_goes_on_is_what_would_be_written_anew(
    headers: dict[str, Any], kind: str | None, name: str | None, body: bytes
) -> None:
    try:
        frames = content(body, headers=headers, content_type=kind, message_id=name)
    except (TypeError, ValueError):
        return  # pamqp does not write it
    assert (body_of(frames), body_bytes(frames)) == (body, len(body))
    if is_plain(frames):
        assert seen(properties_in(frames), body) == seen(written_anew(frames), body)
    else:
        odd = [key for key, value in headers.items() if not isinstance(value, str) and type(value) is not int]
        own = [key for key in headers if key in ("CC", "BCC", "content-type") or key.startswith("x-")]
        wide = [value for value in headers.values() if type(value) is int]
        assert odd or own or wide


@given(st.binary(max_size=120), st.binary(max_size=50))
def test_whatever_a_stranger_wrote_is_judged(raw: bytes, body: bytes) -> None:
    frames = raw_content(b"\x30\x80" + raw, body)
    if is_plain(frames):
        assert seen(properties_in(frames), body) == seen(written_anew(frames), body)
