"""The door: what it lets in, what it refuses by which check, and that nothing raised behind it ever gets out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from broker.errors import AccessRefused, PublishUnknown, QueueFull
from broker.names import routing_key
from broker.port import Message
from nodes.identity import Identity
from nodes.machine import Refused
from nodes.runtime.checks import EVENT_AGE_SECONDS_MAX
from nodes.runtime.door import FAILED, LATER_RELEASE_TRIES, Door, Later, Unawaited
from nodes.store.errors import RecordUnreadable
from schemas import codec, limits
from schemas.errors import BrokerUnreachable, VerificationFailed
from schemas.events import (
    RELEASE,
    ContractEnded,
    DeliveryFailed,
    Event,
    EventRefused,
    JobCancelled,
    OrderCancelled,
    Role,
    SubtaskRequested,
)
from schemas.ids import Address, address, derive_id, hub_address

HUB, FAR = hub_address("A11"), hub_address("B11")
RENTER, LESSOR = address("A11", "A12"), address("A11", "A13")
NOW = 1_700_000_000.0
ASKED = SubtaskRequested(
    job=derive_id("job", 1), subtask=derive_id("subtask", 1), worker=derive_id("worker", 1), lane="w1"
)
SIGNERS = {name: Identity.generate(name) for name in (HUB, FAR, RENTER, LESSOR, address("B11", "B12"))}


@dataclass
class FakeDelivery:
    """A delivery that remembers how it was settled; `errors` are raised by the settling of that name."""

    message: Message
    errors: dict[str, BaseException] = field(default_factory=dict)
    settled: list[str] = field(default_factory=list)
    queue: str = "q.A11.A13.control"
    redelivered: bool = False
    delivery_count: int = 0

    async def ack(self) -> None:
        self._settle("ack", "ack")

    async def reject(self, reason: str) -> None:
        self._settle("reject", reason)

    async def release(self) -> None:
        self._settle("release", "release")

    async def retry(self, after_seconds: float) -> None:
        self._settle("retry", f"again after {after_seconds:g}")

    def _settle(self, name: str, what: str) -> None:
        if name in self.errors:
            raise self.errors[name]
        self.settled.append(what)


def event(**changes: Any) -> Event:
    """What a lessor tells its hub."""
    fields: dict[str, Any] = {
        "id": "event-1",
        "type": "order.sell.cancelled",
        "source": LESSOR,
        "to": HUB,
        "time": NOW,
        "subject": "order",
        "data": OrderCancelled(order=derive_id("sell", 1)),
    }
    return Event(**(fields | changes))


def message(of: Event, *, key: str = "", signer: Address | None = None) -> Message:
    headers, body = codec.encode(of, SIGNERS[signer or of.source].sign)
    return Message(key or routing_key(of.to, of.source, "control"), body, headers, of.id)


def door(me: Address = HUB, role: Role = "hub") -> Door:
    return Door(me, role, lambda: NOW, lambda seconds: asyncio.sleep(0))


async def known(event: Event) -> tuple[bytes | None, str]:
    return SIGNERS[event.source].public, "found"


def refusing(error: BaseException) -> Callable[[Event, str], Awaitable[None]]:
    async def handle(event: Event, found: str) -> None:
        raise error

    return handle


async def outcome(delivery: FakeDelivery, at: Door | None = None, handle: Any = None, sender: Any = known) -> list[str]:
    async def accept(event: Event, found: str) -> None:
        assert found == "found"

    await (at or door()).serve(delivery, sender, handle or accept)
    return delivery.settled


async def test_an_authentic_event_is_handled_and_acknowledged() -> None:
    assert await outcome(FakeDelivery(message(event()))) == ["ack"]


# ---------------------------------------------------------------- checks

B12, RENTED = address("B11", "B12"), derive_id("contract", 1)
CONTROL = routing_key(HUB, LESSOR, "control")
CHECKS: dict[str, tuple[str, Message, Door]] = {
    "a key that is none": ("bad-key", message(event(), key="nonsense"), door()),
    "a copy by CC": ("wrong-receiver", message(event(), key=routing_key(FAR, LESSOR, "control")), door()),
    "written to another": ("wrong-receiver", message(event(to=FAR), key=CONTROL), door()),
    "what only hubs take": ("not-for-role", message(event(to=RENTER)), door(RENTER, "renter")),
    "a control event among results": (
        "wrong-queue",
        message(event(), key=routing_key(HUB, LESSOR, "result")),
        door(),
    ),
    "sent by another than it says": ("wrong-sender", message(event(source=RENTER), key=CONTROL), door()),
    "a participant of another subnet": ("wrong-role", message(event(source=B12)), door()),
    "a hub in a participant's role": ("wrong-role", message(event(source=FAR)), door()),
    "a hub that is not the own one": (
        "wrong-role",
        message(event(type="contract.ended", source=FAR, to=LESSOR, data=ContractEnded(contract=RENTED, code="x"))),
        door(LESSOR, "lessor"),
    ),
    "a user of the own node in a lessor's role": (
        "wrong-role",
        message(event(type="subtask.requested", source=RENTER, to=RENTER, data=ASKED)),
        door(RENTER, "renter"),
    ),
    "a user of another node": (
        "wrong-role",
        message(event(type="job.cancelled", source=LESSOR, to=RENTER, data=JobCancelled(job=derive_id("job", 1)))),
        door(RENTER, "renter"),
    ),
    "from the future": (
        "from-the-future",
        message(event(time=NOW + limits.CLOCK_SKEW_SECONDS_MAX + 1)),
        door(),
    ),
    "too old": ("too-old", message(event(time=NOW - EVENT_AGE_SECONDS_MAX - 1)), door()),
    "signed by another": ("bad-signature", message(event(), signer=RENTER), door()),
    "a timestamp at the beginning of the calendar": (
        "too-old",
        replace(message(event()), headers={**message(event()).headers, "ce-time": "0001-01-01T00:00:00+14:00"}),
        door(),
    ),
    "a timestamp at its end": (
        "from-the-future",
        replace(message(event()), headers={**message(event()).headers, "ce-time": "9999-12-31T23:59:59-14:00"}),
        door(),
    ),
    "a timestamp without an offset": (
        "bad-attribute",
        replace(message(event()), headers={**message(event()).headers, "ce-time": "2023-11-14T22:13:20"}),
        door(),
    ),
}


@pytest.mark.parametrize("case", CHECKS)
async def test_what_fails_a_check_is_set_aside_with_its_code(case: str) -> None:
    code, sent, at = CHECKS[case]
    assert await outcome(FakeDelivery(sent), at) == [code]


async def test_a_sender_whom_nobody_knows_is_refused() -> None:
    async def nobody(event: Event) -> tuple[None, str]:
        return None, "found"

    assert await outcome(FakeDelivery(message(event())), sender=nobody) == ["unknown-sender"]


async def test_a_hub_on_the_way_may_tell_what_it_could_not_deliver() -> None:
    data = DeliveryFailed(event="e", type="t", to=B12, reason="r")
    told = event(type="delivery.failed", source=FAR, to=RENTER, data=data)
    assert await outcome(FakeDelivery(message(told)), door(RENTER, "renter")) == ["ack"]


# ---------------------------------------------------------------- whatever is raised

RAISED: dict[str, tuple[BaseException, str]] = {
    "a refusal": (Refused("not-wanted", "why"), "not-wanted"),
    "a failed verification": (VerificationFailed("why", code="ciphertext-length"), "ciphertext-length"),
    "a damaged record": (RecordUnreadable("job-1", "job", "why"), "record-unreadable"),
    "something that is on its way": (Later("soon"), "again after 1"),
    "an answer that nobody awaits": (Unawaited("late"), "ack"),
    "a broker out of reach": (BrokerUnreachable("gone"), "again after 1"),
    "no confirm": (PublishUnknown("unknown"), "again after 1"),
    "too many files": (OSError(24, "Too many open files"), "again after 1"),
    "no memory": (MemoryError(), "again after 1"),
    "a bug": (ZeroDivisionError(), FAILED),
    "a bug in a library": (RecursionError(), FAILED),
    "several at once": (ExceptionGroup("two", [ValueError(), KeyError()]), FAILED),
}


@pytest.mark.parametrize("case", RAISED)
async def test_whatever_a_handler_raises_settles_its_own_delivery_and_nothing_else(case: str) -> None:
    raised, settled = RAISED[case]
    assert await outcome(FakeDelivery(message(event())), handle=refusing(raised)) == [settled]


@pytest.mark.parametrize("case", RAISED)
async def test_whatever_looking_up_the_sender_raises_settles_its_own_delivery(case: str) -> None:
    raised, settled = RAISED[case]

    async def failing(event: Event) -> tuple[None, str]:
        raise raised

    assert await outcome(FakeDelivery(message(event())), sender=failing) == [settled]


@pytest.mark.parametrize(
    "raised", [BrokerUnreachable("cut"), PublishUnknown("?"), QueueFull("full"), AccessRefused("no"), ValueError()]
)
@pytest.mark.parametrize(
    ("how", "handled"),
    [("ack", None), ("reject", Refused("x", "y")), ("retry", Later("soon"))],
)
async def test_what_cannot_be_settled_goes_back(how: str, handled: BaseException | None, raised: BaseException) -> None:
    delivery = FakeDelivery(message(event()), {how: raised})
    assert await outcome(delivery, handle=None if handled is None else refusing(handled)) == ["release"]


async def test_what_cannot_even_go_back_is_left_to_the_next_connection() -> None:
    delivery = FakeDelivery(message(event()), {"ack": BrokerUnreachable("cut"), "release": RuntimeError("closed")})
    assert await outcome(delivery) == []


async def test_cancellation_passes() -> None:
    with pytest.raises(asyncio.CancelledError):
        await outcome(FakeDelivery(message(event())), handle=refusing(asyncio.CancelledError()))


# ---------------------------------------------------------------- whatever is sent

GOOD = message(event())
NAMES = st.sampled_from([*GOOD.headers, "ce-cause", "ce-x", "x-death", "ce-", ""])
VALUES = st.one_of(
    st.text(max_size=80),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(
        ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00", "1970-01-01", "NaN", "\x00", "9" * 1000, "é"]
    ),
)
BODIES = st.one_of(st.binary(max_size=200), st.sampled_from([GOOD.body, b"[" * 2000, b'{"order":' * 500, b"null"]))


@given(
    changed=st.dictionaries(NAMES, VALUES, max_size=4),
    body=BODIES,
    key=st.sampled_from([CONTROL, "", "A11.hub", "a.b.c.d.e"]),
)
def test_whatever_is_sent_is_handled_or_set_aside(changed: dict[str, str | int], body: bytes, key: str) -> None:
    sent = Message(key, body, {**GOOD.headers, **changed}, "id")
    (settled,) = asyncio.run(outcome(FakeDelivery(sent)))
    assert settled == "ack" or settled.replace("-", "").isalpha()
    assert settled != "unreadable"


def of_release(number: int, event_type: str = "order.sell.reserved", kind: str = "control") -> Message:
    """What a sender of that release says; this one does not know the type."""
    known = message(event(attributes={codec.RELEASE_ATTRIBUTE: str(number)}))
    return Message(routing_key(HUB, LESSOR, kind), known.body, {**known.headers, "ce-type": event_type}, known.id)


@pytest.mark.parametrize(
    ("of", "deliveries", "settled"),
    [
        (of_release(RELEASE + 1), 0, "again after 1"),
        (of_release(RELEASE + 1), LATER_RELEASE_TRIES, "unknown-type"),
        (of_release(RELEASE + 1, kind="w1"), 0, "unknown-type"),
        (of_release(RELEASE), 0, "unknown-type"),
    ],
    ids=["another worker may know it", "none does", "a lane has one reader", "not later"],
)
async def test_what_a_later_release_says_is_left_to_workers_of_it_for_a_while(
    of: Message, deliveries: int, settled: str
) -> None:
    assert await outcome(FakeDelivery(of, delivery_count=deliveries)) == [settled]


async def test_who_is_refused_for_its_release_reads_both() -> None:
    reason = rf"speaks release {RELEASE + 1}, {HUB} release {RELEASE}"
    with pytest.raises(Refused, match=reason):
        await door().receive(FakeDelivery(of_release(RELEASE + 1), delivery_count=LATER_RELEASE_TRIES))


async def test_a_refusal_by_who_is_not_known_here_yet_is_logged_and_done_with() -> None:
    told = EventRefused(event="event-1", type="work.estimated", code="unknown-type", reason="why")
    of = event(type="event.refused", data=told)

    async def unknown(_: Event) -> tuple[bytes | None, str]:
        return None, ""

    with capture_logs() as lines:
        assert await outcome(FakeDelivery(message(of)), sender=unknown) == ["ack"]
    assert [(line["event"], line["code"]) for line in lines] == [("not understood", "unknown-type")]
