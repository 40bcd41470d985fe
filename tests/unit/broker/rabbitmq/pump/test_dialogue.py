"""A connection is opened step by step, tells why it ended, and nothing out of turn is taken."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.base import Frame

from broker.rabbitmq.pump.dialogue import Account, Dialogue, Fate
from broker.rabbitmq.pump.stream import FRAME_BYTES_MAX, Malformed
from tests.support.amqp import method_of, read_all, said

ACCOUNT = Account("A11.hub", "secret", "/", "A11.hub")
STEPS = [commands.Basic.Qos(prefetch_count=9), commands.Basic.Consume(queue="out.A11.B11", consumer_tag="1")]
ANSWERS: list[tuple[int, Frame]] = [
    (0, commands.Connection.Start(server_properties={}, mechanisms="AMQPLAIN PLAIN")),
    (0, commands.Connection.Tune(2047, 131_072, 60)),
    (0, commands.Connection.OpenOk()),
    (1, commands.Channel.OpenOk()),
    (1, commands.Basic.QosOk()),
    (1, commands.Basic.ConsumeOk("1")),
]


def tell(dialogue: Dialogue, channel: int, what: Frame) -> list[Any]:
    return read_all(dialogue.answer(channel, method_of(said(what, channel))))


def opened(until: int = len(ANSWERS)) -> Dialogue:
    dialogue = Dialogue(ACCOUNT, STEPS)
    for answer in ANSWERS[:until]:
        tell(dialogue, *answer)
    return dialogue


def test_it_is_ready_when_the_last_step_is_answered() -> None:
    dialogue, names = Dialogue(ACCOUNT, STEPS), list[str]()
    for answer in ANSWERS:
        assert not dialogue.ready
        names += [each.name for each in tell(dialogue, *answer)]
    assert dialogue.ready
    expected = "Connection.StartOk Connection.TuneOk Connection.Open Channel.Open Basic.Qos Basic.Consume"
    assert names == expected.split()
    assert (dialogue.heartbeat_seconds, dialogue.frame_bytes_max) == (60, 131_072)


def test_its_secret_is_not_shown() -> None:
    assert "secret" not in repr(ACCOUNT)
    (start,) = tell(opened(0), *ANSWERS[0])
    assert start.response == "\0A11.hub\0secret"


@pytest.mark.parametrize(("theirs", "agreed"), [(0, FRAME_BYTES_MAX), (4096, 4096), (2**20, FRAME_BYTES_MAX)])
def test_frames_are_as_long_as_both_sides_take(theirs: int, agreed: int) -> None:
    dialogue = opened(1)
    tuned, _ = tell(dialogue, 0, commands.Connection.Tune(0, theirs, 0))
    assert (tuned.frame_max, dialogue.frame_bytes_max, dialogue.heartbeat_seconds) == (agreed, agreed, 0)


@pytest.mark.parametrize("until", range(len(ANSWERS) + 1))
def test_it_says_why_the_broker_ended_it(until: int) -> None:
    for channel, closing, closed in (
        (0, commands.Connection.Close(320, "CONNECTION_FORCED", 0, 0), "Connection.CloseOk"),
        (1, commands.Channel.Close(403, "ACCESS_REFUSED", 0, 0), "Channel.CloseOk"),
    ):
        dialogue = opened(until)
        (answer,) = tell(dialogue, channel, closing)
        assert (answer.name, dialogue.ready) == (closed, False)
        assert dialogue.fate == Fate(closing.reply_code or 0, closing.reply_text, channel == 1)


def test_a_subscription_that_the_broker_ends_ends_it() -> None:
    dialogue = opened()
    assert tell(dialogue, 1, commands.Basic.Cancel("1")) == []
    assert dialogue.fate is not None
    assert "the queue is gone" in dialogue.fate.text


def test_it_knows_whether_the_broker_takes_publishes() -> None:
    dialogue = opened()
    tell(dialogue, 0, commands.Connection.Blocked(""))
    assert dialogue.blocked
    tell(dialogue, 0, commands.Connection.Unblocked())
    assert not dialogue.blocked


@pytest.mark.parametrize("until", range(len(ANSWERS) + 1))
def test_what_is_out_of_turn_is_refused(until: int) -> None:
    for channel, answer in [*ANSWERS[:until], *ANSWERS[until + 1 :], (1, commands.Basic.GetEmpty())]:
        with pytest.raises(Malformed):
            tell(opened(until), channel, answer)


def test_a_broker_that_takes_no_password_is_refused() -> None:
    with pytest.raises(Malformed, match="PLAIN"):
        tell(opened(0), 0, commands.Connection.Start(server_properties={}, mechanisms="EXTERNAL"))


@given(st.sampled_from([0, 1]), st.binary(min_size=4, max_size=60), st.integers(0, len(ANSWERS)))
def test_whatever_is_said_is_answered_or_refused(channel: int, method: bytes, until: int) -> None:
    dialogue = opened(until)
    try:
        dialogue.answer(channel, method)
    except Malformed:
        return
    assert dialogue.fate is not None or dialogue.blocked or method[:2] in (b"\x00\x0a", b"\x00\x14", b"\x00\x3c")
