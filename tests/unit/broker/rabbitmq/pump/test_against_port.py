"""What a pump lets through is what the bridge's ordinary way would, and its receiver sees the same of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any, cast

from hypothesis import example, given, settings
from hypothesis import strategies as st
from pamqp import commands

from broker.bridge import NOT_OF_THIS_LINK, Bridge
from broker.port import Broker, Message, check_message
from broker.rabbitmq.content import properties_of
from broker.rabbitmq.delivery import RabbitDelivery
from tests.support.amqp import content, delivery, raw_content, said
from tests.support.pumping import KEY, KEYS, Pumping, Sent, delivered, feed, published_in, sent_in

OTHER_KEYS = ("A11.A12.A11.A12.batch", "B11.B12.C11.C12.batch", f"{KEY}.more", "B11.größe.A11.A12.batch", "")
FRAME_BODY_BYTES = 100


@dataclass
class OverThere:
    """The port to the neighbour's broker: keeps what was published."""

    kept: list[Message] = field(default_factory=list)

    async def publish(self, message: Message, *, timeout_seconds: float) -> None:
        check_message(message)
        self.kept.append(message)


@dataclass(frozen=True)
class Made:
    """A message as a stranger publishes it, and as brokers hand it over."""

    key: str
    frames: bytes
    redelivered: bool = False
    plain: bool = False

    def wire(self, tag: int) -> bytes:
        return delivery(tag, self.key, redelivered=self.redelivered) + self.frames


TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
NAMES = st.sampled_from(["CC", "BCC", "x-death", "x-sublet-reason", "content-type", "odd", ""])
VALUES: st.SearchStrategy[Any] = (
    TEXTS
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.none()
    | st.binary(max_size=5)
    | st.lists(st.sampled_from([KEY, *OTHER_KEYS]), max_size=2)
    | st.dictionaries(TEXTS, TEXTS, max_size=2)
)
BODIES = st.just(b"") | st.binary(max_size=50) | st.binary(min_size=FRAME_BODY_BYTES, max_size=4 * FRAME_BODY_BYTES)
ODD: dict[str, st.SearchStrategy[Any]] = {
    "user_id": st.sampled_from(["A11.A12", "B11.hub"]),
    "content_type": st.none(),
    "message_id": st.none(),
    "delivery_mode": st.sampled_from([None, 0, 1, 3]),
    "priority": st.integers(0, 2),
    "expiration": st.sampled_from(["1", "x"]),
    "reply_to": st.just("q"),
    "correlation_id": st.just("c"),
    "app_id": st.just("a"),
}


@st.composite
def odd(draw: st.DrawFn) -> Made:
    """Of what nodes publish, one thing is otherwise; or more."""
    headers: dict[str, Any] = draw(st.dictionaries(TEXTS.map(lambda text: f"ce-{text}"), TEXTS, max_size=2))
    properties: dict[str, Any] = {"headers": headers, "content_type": draw(TEXTS), "message_id": draw(TEXTS)}
    key, redelivered = KEY, False
    for kind in draw(st.lists(st.sampled_from([*ODD, "header", "header", "header", "key", "again"]), max_size=2)):
        if kind == "header":
            headers[draw(NAMES)] = draw(TEXTS if draw(st.booleans()) else VALUES)
        elif kind == "key":
            key = draw(st.sampled_from(OTHER_KEYS))
        elif kind == "again":
            redelivered = True
        else:
            properties[kind] = draw(ODD[kind])
    try:
        frames = content(draw(BODIES), FRAME_BODY_BYTES, **properties)
    except (TypeError, ValueError):  # pamqp does not write it
        frames = content(b"", user_id="A12")
    return Made(key, frames, redelivered)


@st.composite
def ours(draw: st.DrawFn) -> Made:
    """As nodes publish it."""
    headers = draw(st.dictionaries(TEXTS.map(lambda text: f"ce-{text}"), TEXTS, max_size=4))
    message = Message(KEY, draw(BODIES), {"content-type": draw(TEXTS), **headers}, draw(TEXTS))
    return Made(KEY, raw_content(properties_of(message).marshal(), message.body, FRAME_BODY_BYTES), plain=True)


Written = tuple[str, bytes, dict[str, Any]]
"""Key, body and properties of what is published; those that are none are not there."""


def ordinarily(message: Message) -> tuple[str, list[Written]]:
    """What becomes of a message at the bridge: why it is set aside, or what is written."""
    there = OverThere()
    bridge = Bridge("A11", "B11", KEYS, cast(Broker, None), cast(Broker, there))
    reason = asyncio.run(bridge._passed(message))
    return reason, [
        written(raw_content(properties_of(each).marshal(), b""), each.key, each.body) for each in there.kept
    ]


def written(frames: bytes, key: str, body: bytes) -> Written:
    """A priority of none is as none."""
    properties = dict(delivered(frames, body).header.properties)
    return key, body, {name: value for name, value in properties.items() if value not in (None, "", {}, 0)}


def all_of(*frames: bytes) -> list[Made]:
    return [Made(KEY, each) for each in frames]


@example(all_of(content(b""), content(bytes(350), 100), content(b"b", user_id="A11.A12")), 50, True)
@example(all_of(*(content(headers={name: [KEY]}) for name in ("CC", "BCC"))), 50, False)
@example(all_of(*(content(headers={name: "text"}) for name in ("CC", "x-death", "content-type", ""))), 1, True)
@settings(max_examples=200)
@given(st.lists(odd() | ours(), max_size=5), st.integers(1, 300), st.booleans())
def test_a_pump_carries_what_the_port_would_and_hands_out_the_rest_as_it_came(
    messages: list[Made], size: int, kept: bool
) -> None:
    bench, wire = Pumping(), b"".join(each.wire(tag) for tag, each in enumerate(messages, start=1))
    feed(bench.near, wire, size)
    assert not bench.near.is_closed
    publisher = bench.pump._publisher
    out = {each.delivery_tag: RabbitDelivery(publisher, "q", each) for each in bench.handed_out()}
    over = published_in(bytes(bench.far_wire.written))
    sent, went = sent_in(wire), list[int]()
    assert len(out) + len(over) == len(sent) == len(messages)
    for made, each in zip(messages, sent, strict=True):
        came = replace(RabbitDelivery(publisher, "q", delivered(each.frames, each.body)).message, key=made.key)
        if each.tag in out:
            assert not made.plain
            assert out[each.tag].message == came
            continue
        key, frames = over[len(went)]
        assert frames == each.frames
        assert ordinarily(came) == ("", [written(frames, key.decode(), each.body)])
        assert not made.redelivered
        went.append(each.tag)
    settle_and_check(bench, sent, went, kept=kept)


def settle_and_check(bench: Pumping, sent: list[Sent], went: list[int], *, kept: bool) -> None:
    """The neighbour's broker confirms all, or refuses all: then they go by the port."""
    if not went:
        return
    last = len(went)
    feed(bench.far, said(commands.Basic.Ack(last, True) if kept else commands.Basic.Nack(last, True)), 7)
    again = [each.body for each in bench.handed_out()]
    assert again == ([] if kept else [sent[tag - 1].body for tag in went])
    assert bench.carried == ([(last, sum(len(sent[tag - 1].body) for tag in went))] if kept else [])


def test_what_the_ordinary_way_sets_aside_is_told_apart() -> None:
    assert ordinarily(Message(OTHER_KEYS[0], b"", {}, "m")) == (NOT_OF_THIS_LINK, [])
