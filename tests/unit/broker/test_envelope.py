"""Rejected and retried messages: what is written, and what of it is believed."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.envelope import REASON_BYTES_MAX, RETRIES_MAX, again, arrived, dead_letter, moving
from broker.errors import AccessRefused, BrokerError, NotSetAside, PublishUnknown, QueueFull, Unroutable
from broker.names import queue_name, routing_key
from broker.port import (
    CONTENT_TYPE,
    DEAD_CUT,
    DEAD_KEY,
    DEAD_QUEUE,
    DEAD_REASON,
    HEADER_BYTES_MAX,
    RETRY_LIMIT,
    RETRY_TOO_LARGE,
    Message,
    check_message,
)
from schemas import limits
from schemas.ids import Address

RENTER, LESSOR, NEIGHBOUR = Address("A11.A12"), Address("B11.B12"), Address("B11.B13")
QUEUE = queue_name(LESSOR, "batch")
SENT = Message(routing_key(LESSOR, RENTER, "batch"), b"body", {"ce-id": "1", "n": 7}, "evt-1")


def test_a_retried_message_is_read_as_it_was_sent_with_its_attempts() -> None:
    waiting = again(SENT, QUEUE, 3, 0.5, LESSOR)
    assert waiting.key == "B11.wait1000.B11.B12.batch"
    back = arrived(waiting, LESSOR)
    assert (back.message, back.attempts) == (SENT, 3)
    assert back.message.body is SENT.body


def test_a_key_in_a_header_is_believed_only_under_ones_own_waiting_key() -> None:
    forged = dict(again(SENT, QUEUE, 3, 0.5, LESSOR).headers)
    for key in (
        routing_key(LESSOR, NEIGHBOUR, "batch"),
        "B11.wait1000.B11.B13.batch",
        "A11.wait1000.B11.B12.batch",
        "no key",
    ):
        seen = arrived(Message(key, b"", forged, "evt-2"), LESSOR)
        assert (seen.message.key, seen.attempts) == (key, 0)
        assert dict(seen.message.headers) == {"ce-id": "1", "n": 7}


def test_after_too_many_retries_it_is_a_dead_letter() -> None:
    assert again(SENT, QUEUE, RETRIES_MAX, 1.0, LESSOR).key.startswith("B11.wait1000.")
    dead = again(SENT, QUEUE, RETRIES_MAX + 1, 1.0, LESSOR)
    assert dead.key == "B11.dead.B11.B12.dead"
    assert dead.headers[DEAD_REASON] == RETRY_LIMIT


def test_a_dead_letter_says_why_whence_and_under_which_key() -> None:
    dead = dead_letter(SENT, QUEUE, "bad-signature", LESSOR)
    seen = arrived(dead, Address("B11.hub")).message
    assert seen.id == SENT.id
    assert dict(seen.headers) == {
        "ce-id": "1", "n": 7, DEAD_REASON: "bad-signature", DEAD_QUEUE: QUEUE, DEAD_KEY: SENT.key,
    }  # fmt: skip
    assert len(str(dead_letter(SENT, QUEUE, "x" * 5000, LESSOR).headers[DEAD_REASON])) == REASON_BYTES_MAX


def test_a_retried_dead_letter_is_still_one() -> None:
    hub = Address("B11.hub")
    dead = dead_letter(SENT, QUEUE, "bad-signature", LESSOR)
    back = arrived(again(dead, "q.B11.dead", 1, 1.0, hub), hub)
    assert back.message == dead


def test_what_a_sender_writes_of_death_and_delivery_does_not_arrive() -> None:
    headers: dict[str, str | int] = {DEAD_REASON: "none", "x-delivery-count": 9, "x-death": "no", "ce-id": "1"}
    seen = arrived(Message(SENT.key, b"", headers, "evt-3"), LESSOR)
    assert dict(seen.message.headers) == {"ce-id": "1"}


# ---------------------------------------------------------------- what cannot travel whole

LARGE = bytes(limits.BODY_BYTES_MAX + 1)
LONG = {"long": "x" * HEADER_BYTES_MAX}
CUT = {
    "nothing": (SENT, ""),
    "as much as a sender may say": (Message(SENT.key, b"", {"n": "x" * (HEADER_BYTES_MAX - 1)}, "1"), ""),
    "the body": (Message(SENT.key, LARGE, {"ce-id": "1"}, "1"), "body=8388609"),
    "a header": (Message(SENT.key, b"b", {**LONG, "ce-id": "1"}, "1"), "headers=65546"),
    "a header's name": (Message(SENT.key, b"b", {"n" * 129: "", "ce-id": "1"}, "1"), "headers=135"),
    "the content type": (Message(SENT.key, b"b", {CONTENT_TYPE: "x" * 256, "ce-id": "1"}, "1"), "headers=274"),
    "the id": (Message(SENT.key, b"b", {"ce-id": "1"}, "\u00fc" * 128), "id=256"),
    "the key": (Message("k" * 256, b"b", {"ce-id": "1"}, "1"), "key=256"),
    "all": (Message("k" * 256, LARGE, LONG, "i" * 256), "body=8388609 headers=65540 id=256 key=256"),
}


@pytest.mark.parametrize("what", CUT)
def test_a_dead_letter_can_be_carried_and_says_what_was_cut(what: str) -> None:
    message, cut = CUT[what]
    dead = dead_letter(message, QUEUE, "bad-signature", LESSOR)
    check_message(dead)
    assert dead.headers.get(DEAD_CUT, "") == cut
    assert dead.body == (b"" if "body" in cut else message.body)
    assert message.key.startswith(str(dead.headers[DEAD_KEY]))
    assert message.id.startswith(dead.id)
    if "ce-id" in message.headers:
        assert dead.headers["ce-id"] == message.headers["ce-id"]


@pytest.mark.parametrize("what", CUT)
def test_what_cannot_be_retried_whole_is_a_dead_letter(what: str) -> None:
    message, cut = CUT[what]
    waiting = again(message, QUEUE, 1, 1.0, LESSOR)
    check_message(waiting)
    whole = not cut or what == "the key"  # which travels in a header
    assert waiting.headers.get(DEAD_REASON) == (None if whole else RETRY_TOO_LARGE)


def test_a_cut_dead_letter_is_told_of_when_it_is_rejected_again() -> None:
    hub = Address("B11.hub")
    dead = arrived(dead_letter(CUT["all"][0], QUEUE, "bad-signature", LESSOR), hub).message
    assert dead_letter(dead, "q.B11.dead", "seen", hub).headers[DEAD_CUT] == CUT["all"][1]


ANY_TEXT = st.text(st.characters(), max_size=300)
ANY_VALUE = ANY_TEXT | st.integers() | st.floats() | st.none() | st.binary(max_size=9) | st.lists(st.integers())
ANY_NAME = ANY_TEXT | st.sampled_from(["x-sublet-cut", "x-sublet-key", CONTENT_TYPE, "ce-id"])


@given(key=ANY_TEXT, headers=st.dictionaries(ANY_NAME, ANY_VALUE), name=ANY_TEXT, reason=ANY_TEXT)
@example(key="\ud800", headers={"\ud800": "\ud800"}, name="\ud800", reason="\ud800")
def test_whatever_a_message_holds_it_can_be_set_aside(
    key: str, headers: dict[str, str | int], name: str, reason: str
) -> None:
    message = Message(key, b"", headers, name)
    check_message(dead_letter(message, QUEUE, reason, LESSOR))
    check_message(again(message, QUEUE, 1, 1.0, LESSOR))


@pytest.mark.parametrize("refusal", [AccessRefused, Unroutable])
def test_a_refused_dead_letter_is_one_of_the_two_errors_of_settling(refusal: type[BrokerError]) -> None:
    with pytest.raises(NotSetAside, match=r"evt-1.*definitions") as caught, moving(SENT):
        raise refusal("not here")
    assert isinstance(caught.value, PublishUnknown)


def test_a_full_queue_keeps_its_error() -> None:
    with pytest.raises(QueueFull), moving(SENT):
        raise QueueFull("later")
