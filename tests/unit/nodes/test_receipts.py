"""Receipts as hubs and renters keep them: the first of a contract, by day, and for a year."""

from __future__ import annotations

from typing import Any, Final

import pytest
from msgspec import Struct, structs

from nodes import receipts
from nodes.contracts import verify_settlement
from nodes.hub.directory import HubConfig
from nodes.hub.machine import AGGREGATE, HubMachine
from nodes.identity import verify
from nodes.machine import TIMER_FIRED, Context, Perform, Refused, SetTimer, Step, TimerFired
from nodes.runtime.checks import EVENT_AGE_SECONDS_MAX
from schemas.contracts import Settlement
from schemas.errors import VerificationFailed
from schemas.events import Event
from schemas.ids import Address, derive_id
from schemas.limits import DAY_SECONDS, KEEP_RECEIPTS_DAYS_DEFAULT, KEEP_RECEIPTS_DAYS_MIN, LEASE_SECONDS_MAX
from tests.unit.nodes.lessor.rentals import HUB_A, HUB_B, HUB_KEYS, IDENTITIES, LESSOR, OTHER, RENTER, contract
from tests.unit.nodes.settled import receipt_of, settlement

NOW: Final = 1_800_000_000.0
"""2027-01-15 08:00:00Z."""
KEPT_SECONDS: Final = KEEP_RECEIPTS_DAYS_DEFAULT * DAY_SECONDS
KEY: Final = f"settled/{settlement().contract.id}"


def handled(
    event: Event, records: dict[str, Struct] | None = None, me: Address = HUB_A, *, now: float = NOW, days: float = 400
) -> Step:
    config = HubConfig(me=me, hub_keys=HUB_KEYS, participants={}, keep_receipts_seconds=days * DAY_SECONDS)
    hub = HubMachine(config)
    context = Context(me=me, now=now, entropy=b"", event_id=event.id, sign=IDENTITIES[me].sign, verify=verify)
    return hub.handle(records or {}, event, context)


def settled(data: Settlement, source: Address = RENTER, to: Address = HUB_A) -> Event:
    fields: dict[str, Any] = {"id": "event-1", "type": "contract.settled", "source": source, "time": NOW}
    return Event(**fields, subject=data.contract.id, to=to, data=data)


@pytest.mark.parametrize(("source", "hub"), [(RENTER, HUB_A), (LESSOR, HUB_B)])
def test_a_hub_keeps_a_receipt_of_either_party_under_the_day_of_its_contract(source: Address, hub: Address) -> None:
    event = settled(settlement(), source, hub)
    config = HubConfig(me=hub, hub_keys=HUB_KEYS, participants={})
    assert HubMachine(config).aggregate_of(event) == "receipts-2027-01-15"
    step = handled(event, me=hub)
    assert dict(step.put) == {KEY: settlement()}
    assert not step.journalled
    (timer,) = step.effects
    assert isinstance(timer, SetTimer)
    assert (timer.at - KEPT_SECONDS) % DAY_SECONDS == 0
    assert 0 < timer.at - KEPT_SECONDS - NOW <= DAY_SECONDS


def test_the_same_receipt_again_changes_nothing() -> None:
    step = handled(settled(settlement()), {KEY: settlement()})
    assert (dict(step.put), step.effects) == ({}, ())


def refusal(event: Event, records: dict[str, Struct] | None = None) -> str:
    with pytest.raises(Refused) as refused:
        handled(event, records)
    return refused.value.code


def test_another_receipt_of_a_contract_is_refused() -> None:
    assert refusal(settled(settlement(seconds=30.0)), {KEY: settlement()}) == "second-receipt"


def test_a_party_that_joined_later_is_known_by_its_contract() -> None:
    hub = HubMachine(HubConfig(me=HUB_B, hub_keys=HUB_KEYS, participants={}))
    known = {source: hub.key_of({}, settled(settlement(), source, HUB_B)) for source in (LESSOR, RENTER, OTHER)}
    assert known == {LESSOR: IDENTITIES[LESSOR].public, RENTER: IDENTITIES[RENTER].public, OTHER: None}


def test_only_a_contracts_parties_settle_it() -> None:
    assert refusal(settled(settlement(), OTHER)) == "not-your-contract"


def test_a_receipt_that_does_not_verify_is_refused_with_what_is_wrong() -> None:
    unsigned = structs.replace(settlement().receipt, lessor_signature=b"")
    assert refusal(settled(structs.replace(settlement(), receipt=unsigned))) == "lessor-signature"


def test_a_day_goes_as_a_whole_when_its_time_is_over() -> None:
    fired = TimerFired(name=receipts.DROP, at=NOW)
    fields: dict[str, Any] = {"id": "timer-1", "type": TIMER_FIRED, "source": HUB_A, "time": NOW}
    event = Event(**fields, subject="receipts-2027-01-15", to=HUB_A, data=fired)
    end = NOW - NOW % DAY_SECONDS + DAY_SECONDS + KEPT_SECONDS
    assert handled(event, {KEY: settlement()}, now=end).effects == (Perform(activity=receipts.DROP, params={}),)
    longer = handled(event, {KEY: settlement()}, now=end, days=KEEP_RECEIPTS_DAYS_DEFAULT + 1).effects
    assert longer == (SetTimer(name=receipts.DROP, at=end + DAY_SECONDS),)


def test_a_day_without_receipts_goes_at_once() -> None:
    fields: dict[str, Any] = {"id": "timer-1", "type": TIMER_FIRED, "source": HUB_A, "time": NOW, "to": HUB_A}
    event = Event(**fields, subject="receipts-2027-01-15", data=TimerFired(name=receipts.DROP, at=NOW))
    assert handled(event).effects == (Perform(activity=receipts.DROP, params={}),)


@pytest.mark.parametrize("days", [KEEP_RECEIPTS_DAYS_MIN, 30.0])
def test_they_are_kept_as_long_as_is_set(days: float) -> None:
    (timer,) = handled(settled(settlement()), days=days).effects
    assert isinstance(timer, SetTimer)
    assert timer.at == NOW - NOW % DAY_SECONDS + (days + 1) * DAY_SECONDS


def test_none_that_was_forgotten_comes_again() -> None:
    assert KEEP_RECEIPTS_DAYS_MIN * DAY_SECONDS > LEASE_SECONDS_MAX + EVENT_AGE_SECONDS_MAX


@pytest.mark.parametrize(("name", "is_day"), [("advertise", False), (receipts.DROP, True)])
def test_other_timers_are_of_the_book(name: str, is_day: bool) -> None:
    fields: dict[str, Any] = {"id": "timer-1", "type": TIMER_FIRED, "source": HUB_A, "time": NOW, "to": HUB_A}
    assert receipts.concerns(Event(**fields, subject=AGGREGATE, data=TimerFired(name=name, at=NOW))) == is_day


LEASE: Final = contract(now=NOW).ends_at - contract(now=NOW).starts_at


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"cost_micros": 1}, "receipt-cost"),
        ({"seconds": LEASE + 2.0}, "receipt-time"),
        ({"seconds": -1.0}, "receipt-time"),
        ({"contract": derive_id("contract", 2)}, "other-contract"),
        ({"job": derive_id("job", 2)}, "other-contract"),
        ({"subtask": derive_id("subtask", 2)}, "other-contract"),
    ],
)
def test_what_both_parties_signed_must_still_be_what_the_contract_says(changes: dict[str, Any], code: str) -> None:
    of = contract(now=NOW)
    with pytest.raises(VerificationFailed) as failure:
        verify_settlement(Settlement(contract=of, receipt=receipt_of(of, **changes)), HUB_KEYS, verify)
    assert failure.value.code == code


def test_a_settlement_verifies_with_nothing_but_the_hubs_keys() -> None:
    verify_settlement(settlement(), HUB_KEYS, verify)
