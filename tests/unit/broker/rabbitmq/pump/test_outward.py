"""A plain message becomes a publish as it is, and each ends once: confirmed, or handed back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from broker.rabbitmq.pump.ledger import Delivered, Ledger
from broker.rabbitmq.pump.outward import KEYS_MAX, Outward
from broker.rabbitmq.pump.stream import Malformed
from tests.support.amqp import content, method_of, read_all, said

KEYS = r"B11\.\w+\.A11\.\w+\.\w+"
KEY = "B11.B12.A11.A12.batch"
BODY = bytes(range(250))


def outward(frame_bytes_max: int = 131_072) -> Outward:
    return Outward("hub.B11", KEYS, frame_bytes_max)


def given_one(tag: int = 1, key: str = KEY, *, redelivered: bool = False, frames: bytes = b"") -> Delivered:
    return Delivered(Ledger(), tag, redelivered, key.encode(), frames or content(BODY, message_id=str(tag)))


def test_it_is_published_with_its_own_frames_and_must_find_a_queue() -> None:
    delivered = given_one()
    publish, header, *body = read_all(outward().publish(delivered) + delivered.content)
    assert isinstance(publish, commands.Basic.Publish)
    assert (publish.exchange, publish.routing_key, publish.mandatory) == ("hub.B11", KEY, True)
    assert (header.body_size, header.properties.message_id, b"".join(body)) == (len(BODY), "1", BODY)


@pytest.mark.parametrize(
    "delivered",
    [
        given_one(key="A11.A12.A11.A12.batch"),
        given_one(key=f"{KEY}.more"),
        Delivered(Ledger(), 1, False, b"B11.\xff.A11.A12.batch", content()),
        given_one(redelivered=True),
        given_one(frames=content(user_id="A12")),
    ],
    ids=["another link's", "a longer key", "a key that is no text", "delivered before", "not plain"],
)
def test_what_may_not_go_on_as_it_is_does_not(delivered: Delivered) -> None:
    one = outward()
    assert one.publish(delivered) == b""
    assert one.give_up() == []


def test_frames_too_long_for_the_other_broker_do_not_go_on() -> None:
    assert outward(frame_bytes_max=4096).publish(given_one())
    assert not outward(frame_bytes_max=4096).publish(given_one(frames=content(bytes(5000), most=5000)))


def test_keys_of_which_a_stranger_makes_many_are_forgotten() -> None:
    one = outward()
    for number in range(KEYS_MAX + 10):
        assert one.publish(given_one(number, f"B11.b{number}.A11.A12.batch"))
    assert len(one._frames) <= KEYS_MAX


@given(st.integers(0, 30), st.data())
def test_each_ends_once(count: int, data: st.DataObject) -> None:
    one, ended = outward(), dict[int, str]()
    for tag in range(1, count + 1):
        assert one.publish(given_one(tag, f"B11.b{tag % 3}.A11.A12.batch"))
    open_ones = set(range(1, count + 1))
    words = st.tuples(st.sampled_from(["ack", "nack", "return"]), st.integers(1, max(1, count)), st.booleans())
    for kind, number, multiple in data.draw(st.lists(words)) if count else []:
        if kind == "return":
            returned = commands.Basic.Return(312, "NO_ROUTE", "hub.B11", f"B11.b{number % 3}.A11.A12.batch")
            kept, refused = one.hear(method_of(said(returned)))
            expected = {tag for tag in open_ones if tag % 3 == number % 3}
        else:
            make = commands.Basic.Ack if kind == "ack" else commands.Basic.Nack
            kept, refused = one.hear(method_of(said(make(number, multiple))))
            expected = {tag for tag in open_ones if tag <= number} if multiple else {number} & open_ones
        told = kept if kind == "ack" else refused
        assert ({each.tag for each in told}, len(kept) + len(refused)) == (expected, len(expected))
        for each in told:
            assert each.tag not in ended
            ended[each.tag] = kind
        open_ones -= expected
    assert {each.tag for each in one.give_up()} == open_ones
    assert one.give_up() == []


def test_a_confirm_of_what_was_returned_says_nothing_more() -> None:
    one = outward()
    one.publish(given_one())
    assert one.hear(method_of(said(commands.Basic.Return(312, "NO_ROUTE", "hub.B11", KEY))))[1]
    assert one.hear(method_of(said(commands.Basic.Ack(1)))) == ([], [])


RETURN = method_of(said(commands.Basic.Return(312, "NO_ROUTE", "hub.B11", KEY)))
WRONG = {
    "before there was one": method_of(said(commands.Basic.Ack(2))),
    "of number zero": method_of(said(commands.Basic.Ack(0, True))),
    "of very many": method_of(said(commands.Basic.Ack(2**62, True))),
    "short": method_of(said(commands.Basic.Nack(1)))[:-1],
    "a return that is short": RETURN[:-1],
    "a return that is long": RETURN + b"a",
    "a return of nothing": RETURN[:4],
    "a delivery": b"\x00\x3c\x00\x3c" + bytes(20),
}


@pytest.mark.parametrize("method", WRONG.values(), ids=WRONG)
def test_what_no_broker_says_is_refused(method: bytes) -> None:
    one = outward()
    one.publish(given_one())
    with pytest.raises(Malformed):
        one.hear(method)
