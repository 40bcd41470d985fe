"""Each delivery is settled once, many at a time, and none before its turn."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from broker.rabbitmq.pump.ledger import Ledger
from broker.rabbitmq.pump.stream import Malformed
from tests.support.amqp import delivery, method_of, read_all, said

KEY = "B11.B12.A11.A12.batch"


@dataclass
class Queue:
    """A broker's side of a channel, which refuses what AMQP does not allow."""

    open: set[int] = field(default_factory=set)
    acked: set[int] = field(default_factory=set)
    back: set[int] = field(default_factory=set)

    def hear(self, raw: bytes) -> None:
        for told in read_all(raw):
            tag = told.delivery_tag
            assert tag in self.open, "unknown delivery tag"
            if isinstance(told, commands.Basic.Ack):
                tags = {each for each in self.open if each <= tag} if told.multiple else {tag}
                self.acked |= tags
            else:
                assert told.requeue
                tags = {tag}
                self.back |= tags
            self.open -= tags


def enter(ledger: Ledger, tag: int, size: int = 10) -> None:
    ledger.enter(method_of(delivery(tag, KEY)), bytes(size))


@given(st.integers(0, 40), st.data())
def test_what_is_settled_is_told_once_and_nothing_else_is(count: int, data: st.DataObject) -> None:
    ledger, queue = Ledger(), Queue(set(range(1, count + 1)))
    for tag in range(1, count + 1):
        enter(ledger, tag, tag)
    order = data.draw(st.permutations(range(1, count + 1)))
    back = data.draw(st.sets(st.integers(1, max(1, count))))
    settled: set[int] = set()
    while order:
        size = data.draw(st.integers(1, len(order)))
        now, order = order[:size], order[size:]
        acks = [tag for tag in now if tag not in back]
        queue.hear(ledger.ack([*acks, *data.draw(st.lists(st.sampled_from(now), max_size=3))] if not back else acks))
        for tag in now:
            if tag in back:
                queue.hear(ledger.requeue(tag))
        settled |= {*now}
        assert queue.acked == settled - back
        assert queue.back == settled & back
        assert ledger.bytes == sum(queue.open)


def test_a_run_of_them_is_one_acknowledgement() -> None:
    ledger = Ledger()
    for tag in range(1, 101):
        enter(ledger, tag)
    assert [(each.delivery_tag, each.multiple) for each in read_all(ledger.ack(range(1, 51)))] == [(50, True)]
    assert [(each.delivery_tag, each.multiple) for each in read_all(ledger.ack([100, 51]))] == [
        (51, False),
        (100, False),
    ]


def test_what_is_settled_already_is_not_told_again() -> None:
    ledger = Ledger()
    enter(ledger, 1)
    assert ledger.ack([1])
    assert (ledger.ack([1]), ledger.requeue(1), ledger.ack([7])) == (b"", b"", b"")


def test_a_delivery_is_read() -> None:
    ledger = Ledger()
    read = ledger.enter(method_of(delivery(1, KEY, redelivered=True)), b"content")
    assert (read.tag, read.redelivered, read.key, read.content) == (1, True, KEY.encode(), b"content")


@pytest.mark.parametrize(
    "method",
    [
        method_of(said(commands.Basic.Deliver("2", 1, False, "hub.A11", KEY))),
        method_of(said(commands.Basic.Deliver("", 1, False, "hub.A11", KEY))),
        method_of(delivery(2, KEY)),
        method_of(delivery(0, KEY)),
        method_of(delivery(1, KEY))[:-1],
        method_of(delivery(1, KEY)) + b"a",
        method_of(delivery(1, KEY))[:12],
        b"\x00\x3c\x00\x32" + method_of(delivery(1, KEY))[4:],
    ],
)
def test_a_delivery_that_cannot_be_is_refused(method: bytes) -> None:
    with pytest.raises(Malformed, match="delivery"):
        Ledger().enter(method, b"")
