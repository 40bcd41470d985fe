"""Rejected and retried messages: what is written, and what of it is believed."""

from __future__ import annotations

from broker.envelope import REASON_BYTES_MAX, again, arrived, dead_letter
from broker.port import DEAD_KEY, DEAD_QUEUE, DEAD_REASON, RETRY_LIMIT, Message
from broker.topology import RETRIES_MAX, queue_name, routing_key
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
