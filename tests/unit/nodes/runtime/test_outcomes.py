"""What of a decision operators read: outcomes once each, warnings with source and reason, nothing else."""

from __future__ import annotations

import pytest

from nodes.machine import TIMER_FIRED, Effect, Note, Perform, Publish, TimerFired, own_event
from nodes.runtime.outcomes import NOTED, SENT, TAKEN_BACK, WARNINGS, Teller
from schemas.events import CATALOGUE, ContractEnded, Event, Role
from schemas.ids import Address, derive_id

CONTRACT, ORDER, JOB = (derive_id(kind, "1") for kind in ("contract", "order", "job"))
HUB, RENTER = Address("A11.hub"), Address("A11.A12")


def event(event_type: str, subject: str = ORDER, data: object = None) -> Event:
    return Event(id="event-1", type=event_type, source=RENTER, to=HUB, time=0.0, subject=subject, data=data)  # type: ignore[arg-type]


def told(role: Role, given: Event, *effects: Effect, aggregate: str = "hub") -> list[tuple[str, dict[str, object]]]:
    return [(line.text, dict(line.details)) for line in Teller(role).lines(given, effects, aggregate)]


def sent(event_type: str, to: str, subject: str, **data: object) -> Publish:
    return Publish(type=event_type, to=to, subject=subject, data=data)


def test_a_contract_that_two_parties_get_is_signed_once() -> None:
    effects = [sent("contract.signed", to, CONTRACT, contract={"id": CONTRACT}) for to in (RENTER, "A11.A13")]
    matched = sent("order.buy.matched", RENTER, ORDER, contracts=[CONTRACT])
    assert told("hub", event("order.buy.placed"), *effects, matched, Perform(activity="nothing")) == [
        ("contract signed", {"id": CONTRACT, "to": RENTER}),
        ("order matched", {"id": ORDER, "to": RENTER}),
    ]


def test_an_order_is_refused_with_its_reason() -> None:
    refused = sent("order.buy.refused", RENTER, ORDER, order=ORDER, job=JOB, code="no-match", reason="nobody offers it")
    given = own_event(HUB, TIMER_FIRED, TimerFired(name=f"buy/{ORDER}", at=0.0), id="t", time=0.0, subject="hub")
    said = {"id": ORDER, "to": RENTER, "code": "no-match", "reason": "nobody offers it"}
    assert told("hub", given, Note(kind="refused", text="…"), refused) == [("order refused", said)]


@pytest.mark.parametrize(("notes", "lines"), [((), 1), ((Note(kind="late", text="it is matched already"),), 0)])
def test_an_order_that_is_taken_back_is_told_unless_it_was_over(notes: tuple[Note, ...], lines: int) -> None:
    assert (
        told("hub", event("order.buy.cancelled"), *notes)
        == [("order cancelled", {"id": ORDER, "source": RENTER})][:lines]
    )


def test_a_sell_order_behind_which_others_stand_is_not_withdrawn() -> None:
    assert told("hub", event("order.sell.cancelled"), Note(kind="worker-left", text="2 workers still stand")) == []
    assert told("hub", event("order.sell.cancelled"))[0][0] == "sell order withdrawn"


def test_contracts_that_end_or_expire_have_their_id_and_code() -> None:
    over = ContractEnded(contract=CONTRACT, code="completed")
    note = Note(kind="ended", text="contract … is over: completed", details={"units": 2})
    assert told("hub", event("contract.ended", CONTRACT, over), note) == [
        ("contract ended", {"id": CONTRACT, "units": 2, "code": "completed"})
    ]
    timer = own_event(
        HUB, TIMER_FIRED, TimerFired(name=f"contract/{CONTRACT}", at=0.0), id="t", time=0.0, subject="hub"
    )
    assert told("hub", timer, Note(kind="expired", text="…")) == [("contract expired", {"id": CONTRACT})]


def test_a_job_ends_with_its_code_and_reason() -> None:
    failed = Note(kind="job-failed", text="nobody offers enough", details={"code": "no-match"})
    said = {"id": JOB, "reason": "nobody offers enough", "code": "no-match"}
    assert told("renter", event("order.buy.refused"), failed, aggregate=JOB) == [("job failed", said)]


@pytest.mark.parametrize("kind", sorted(WARNINGS))
def test_what_went_wrong_is_told_with_its_source_and_reason(kind: str) -> None:
    (line,) = Teller("renter").lines(event("batch.failed"), [Note(kind=kind, text="why")], JOB)
    assert (line.text, line.warns, line.what) == (kind, True, "")
    assert line.details == {"id": JOB, "source": RENTER, "reason": "why"}


@pytest.mark.parametrize("code", ["no-rows", "contract-ended"])
def test_what_comes_back_as_a_matter_of_course_warns_nobody(code: str) -> None:
    assert told("renter", event("batch.failed"), Note(kind="batch-failed", text="…", details={"code": code})) == []


def test_every_row_names_something_that_is_said() -> None:
    assert {name for _, name in SENT} | set(TAKEN_BACK) <= set(CATALOGUE)
    assert {role for role, _ in (*SENT, *NOTED)} == {"hub", "renter", "lessor", "partner"}
