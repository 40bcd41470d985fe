"""A sender whose clock or key is not right is told so, rarely, by its hub alone; answers are not answered."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from broker.names import routing_key
from broker.port import Message
from nodes.machine import Refused
from nodes.runtime.checks import Receiver, check_event, read_route
from nodes.runtime.complaints import OF_LATER_RELEASES, TELL_SECONDS, TOLD, Complaints
from schemas.errors import BrokerUnreachable
from schemas.events import RELEASE, Event, EventRefused, OrderCancelled
from schemas.ids import Address, derive_id, hub_address
from schemas.limits import CLOCK_SKEW_SECONDS_MAX

HUB, RENTER, LESSOR = hub_address("A11"), Address("A11.A12"), Address("B11.B12")
NOW = 1_800_000_000.0


@dataclass
class Rig:
    """Complaints of one node, and what it sent."""

    me: Address = HUB
    now: float = NOW
    sent: list[tuple[str, str, str, Any]] = field(default_factory=list)
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.complaints = Complaints(self, lambda: self.now)  # type: ignore[arg-type]

    async def send(self, event_type: str, to: str, subject: str, data: Any, *, event_id: str) -> None:
        """As `Post.send`."""
        if self.error is not None:
            raise self.error
        self.sent.append((event_type, to, subject, data))


def message(event_type: str = "order.buy.placed", sender: Address = RENTER, to: Address = HUB) -> Message:
    headers = {"ce-type": event_type, "ce-subject": "job-1", "ce-release": str(RELEASE + 1)}
    return Message(routing_key(to, sender, "control"), b"", headers, "event-1")


@pytest.mark.parametrize("code", sorted(TOLD))
async def test_a_sender_is_told_what_is_not_believed_and_why(code: str) -> None:
    rig = Rig()
    await rig.complaints.tell(message(), code, "why")
    refused = EventRefused(event="event-1", type="order.buy.placed", code=code, reason="why")
    assert rig.sent == [("event.refused", RENTER, "job-1", refused)]


async def test_it_is_told_rarely_however_much_it_sends() -> None:
    rig = Rig()
    for _ in range(100):
        await rig.complaints.tell(message(), "from-the-future", "why")
        await rig.complaints.tell(message(sender=Address("A11.A13")), "from-the-future", "why")
    assert [to for _, to, _, _ in rig.sent] == [RENTER, "A11.A13"]
    rig.now += TELL_SECONDS
    await rig.complaints.tell(message(), "from-the-future", "why")
    assert len(rig.sent) == 3


UNTOLD: dict[str, tuple[Address, Message, str]] = {
    "a refusal that is about one message": (HUB, message(), "unknown-order"),
    "what nobody says in any release": (
        RENTER,
        replace(message("key.attested", LESSOR, RENTER), headers={"ce-type": "key.attested"}),
        "unknown-type",
    ),
    "an answer": (HUB, message("event.refused"), "from-the-future"),
    "news of a hub on the way": (HUB, message("delivery.failed"), "from-the-future"),
    "no event": (HUB, Message(routing_key(HUB, RENTER, "control"), b"", {}, "1"), "from-the-future"),
    "no key": (HUB, Message("no key", b"", {"ce-type": "job.submitted"}, "1"), "from-the-future"),
    "a user of its own": (RENTER, message("job.submitted", RENTER, RENTER), "from-the-future"),
    "a stranger who is no hub": (RENTER, message("key.offered", LESSOR, RENTER), "unknown-sender"),
}


@pytest.mark.parametrize("case", UNTOLD)
async def test_nobody_is_told(case: str) -> None:
    me, of, code = UNTOLD[case]
    rig = Rig(me)
    await rig.complaints.tell(of, code, "why")
    assert rig.sent == []


@pytest.mark.parametrize("code", sorted(OF_LATER_RELEASES))
async def test_what_is_of_a_later_release_everybody_tells(code: str) -> None:
    rig = Rig(RENTER)
    await rig.complaints.tell(message("key.attested", LESSOR, RENTER), code, "why")
    told = EventRefused(event="event-1", type="key.attested", code=code, reason="why")
    assert rig.sent == [("event.refused", LESSOR, "job-1", told)]


async def test_a_broker_out_of_reach_is_no_matter() -> None:
    await Rig(error=BrokerUnreachable("gone")).complaints.tell(message(), "bad-signature", "why")


def event(of: str, data: Any, ahead: float) -> Event:
    return Event(derive_id("event", 1), of, RENTER, HUB, NOW + ahead, "subject", data)


def test_a_clock_that_is_ahead_is_named_with_its_skew() -> None:
    route = read_route(routing_key(HUB, RENTER, "control"), Receiver(HUB, "hub"))
    cancelled = OrderCancelled(order=derive_id("buy", 1))
    check_event(event("order.buy.cancelled", cancelled, CLOCK_SKEW_SECONDS_MAX), route, Receiver(HUB, "hub"), NOW)
    with pytest.raises(Refused, match=r"A11\.A12's clock is 600 s ahead of A11\.hub's") as refused:
        check_event(event("order.buy.cancelled", cancelled, 600), route, Receiver(HUB, "hub"), NOW)
    assert refused.value.code == "from-the-future"


def test_what_is_said_of_clocks_is_believed_whatever_its_date() -> None:
    route = read_route(routing_key(HUB, RENTER, "control"), Receiver(HUB, "hub"))
    told = EventRefused(event="e", type="t", code="from-the-future", reason="r")
    check_event(event("event.refused", told, 10_000), route, Receiver(HUB, "hub"), NOW)
