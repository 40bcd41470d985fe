"""What a partner takes part in, what it refuses and why, and what is left when its part is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from nodes.machine import ActivityFailed, Perform, Refused, SetTimer
from nodes.partner.protocol.records import Ledger, PartialRefused, RequestExamined
from schemas.joint import ContractShown, JointApproved, JointDeclined, JointEnded, Learned
from tests.unit.nodes.hub.world import public_key
from tests.unit.nodes.partner.world import (
    APPROVAL_SECONDS,
    JOB,
    LESSOR,
    ME,
    RENTER,
    RENTER_SECONDS,
    ROUNDS,
    ROWS,
    World,
    accepted,
    batch,
    contract,
    introduction,
    request,
)


def test_a_request_that_is_covered_is_accepted_and_its_ledger_begun() -> None:
    world = World().asked()
    assert world.performed() == ["examine"]
    world.examined()
    assert [each.type for each in world.sent()] == ["joint.accepted"]
    assert world.part.phase == "accepted"
    ledger = world.records["ledger"]
    assert isinstance(ledger, Ledger)
    assert {(each.party, each.kind) for each in ledger.lines} == {
        ("partner", "rows"),
        ("partner", "ids-equal"),
        ("renter", "ids-equal"),
    }


def test_a_round_is_answered_when_its_last_row_is_in() -> None:
    world = accepted().taken(0, 0, 60)
    assert [each.type for each in world.sent()] == ["batch.taken"]
    assert not world.performed()
    world.taken(1, 60, 40)
    assert world.performed() == ["answer"]
    world.made()
    (sent,) = world.sent()
    assert (sent.type, sent.to, sent.blob) == ("round.answered", RENTER, "d" * 64)
    assert sent.attributes == {"round": "1", "bits": "40"}
    assert not [key for key in world.records if key.startswith("taken/")]
    world.opened(2)
    assert world.records["round/2"]


def test_a_result_that_comes_twice_counts_once() -> None:
    world = accepted().taken(0, 0, 60).taken(0, 0, 60)
    assert [each.type for each in world.sent()] == ["batch.taken"]
    assert not world.performed()
    world.taken(1, 60, 40)
    assert world.performed() == ["answer"]


def test_a_result_that_cannot_be_used_is_told_to_the_renter_with_its_lessor() -> None:
    world = accepted()
    refused = PartialRefused(batch=batch(0, 0, 60), lessor=LESSOR, code="ciphertext-invalid", reason="no")
    world.handle("partial.refused", refused)
    assert [each.type for each in world.sent()] == ["batch.rejected"]
    assert world.notes() == ["incident"]


def _declined(world: World) -> World:
    world.handle("joint.declined", JointDeclined(job=JOB, reason="audit"), ME)
    return world


def _unapproved() -> World:
    world = World().asked().examined(undecided=True)
    world.now += APPROVAL_SECONDS
    world.fire("approval")
    return world


def _silent() -> World:
    world = accepted()
    world.now += RENTER_SECONDS
    world.fire("renter")
    return world


def _failed() -> World:
    world = accepted()
    world.handle("activity.failed", ActivityFailed(activity="answer", params={}, error="disk full"))
    return world


def _all_rounds() -> World:
    world = accepted().taken(0, 0, ROWS).made()
    for number in range(2, ROUNDS + 1):
        world.opened(number).taken(0, 0, ROWS, number).made(number)
    return world


ENDS: dict[str, tuple[Callable[[], World], str, str, str]] = {
    "the policy says no": (
        lambda: World().asked().examined(code="unknown-program", reason="no"),
        "refused",
        "unknown-program",
        "no",
    ),
    "a version to come": (lambda: World().asked(version=99), "refused", "other-version", "by version 99, C11.C12 by 1"),
    "a person says no": (lambda: _declined(World().asked().examined(undecided=True)), "refused", "declined", "C11.C12"),
    "a person withdraws": (lambda: _declined(accepted()), "withdrawn", "withdrawn", "C11.C12"),
    "nobody approved": (_unapproved, "refused", "not-approved", "C11.C12"),
    "the renter fell silent": (_silent, "failed", "renter-silent", "A11.A12"),
    "something here failed": (_failed, "failed", "partner-failed", "C11.C12"),
    "no output can be made": (
        lambda: accepted().taken(0, 0, ROWS).made(code="rows-not-covered", reason="no"),
        "failed",
        "rows-not-covered",
        "no",
    ),
    "a round of other rows": (
        lambda: World().asked().examined().opened(1, ROWS - 1),
        "failed",
        "rows-differ",
        "99 rows",
    ),
    "one round too many": (lambda: _all_rounds().opened(ROUNDS + 1), "failed", "too-many-rounds", "round 3 of 2"),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_ends_a_part_is_told_with_its_code_and_erases_what_was_made(end: str) -> None:
    make, phase, code, said = ENDS[end]
    world = make()
    assert (world.part.phase, world.part.code) == (phase, code)
    (sent,) = world.sent()
    assert (sent.type, sent.to, sent.data["code"]) == ("joint.ended", RENTER, code)
    assert said in sent.data["reason"]
    assert world.performed() == ["erase"]
    assert set(world.records) <= {"part", "ledger"}


def test_a_job_that_its_renter_ended_is_erased_without_an_answer() -> None:
    world = accepted()
    world.handle("joint.ended", JointEnded(job=JOB, code="completed", reason="done"), RENTER)
    assert (world.part.phase, world.part.code) == ("finished", "completed")
    assert not world.sent()
    assert world.performed() == ["erase"]


def test_what_waits_for_a_person_is_looked_at_after_the_person_said_yes() -> None:
    world = World().asked().examined(undecided=True)
    assert [each.type for each in world.sent()] == ["joint.deferred"]
    world.handle("joint.approved", JointApproved(job=JOB))
    assert world.performed() == ["examine"]
    world.examined()
    assert world.part.phase == "accepted"


def test_a_renter_that_was_heard_of_meanwhile_goes_on() -> None:
    world = accepted()
    world.now += RENTER_SECONDS / 2
    world.taken(0, 0, 10)
    world.now += RENTER_SECONDS / 2
    world.fire("renter")
    assert world.part.phase == "accepted"


def test_a_renter_is_silent_only_while_the_partner_can_hear() -> None:
    world = accepted()
    world.now += RENTER_SECONDS
    began = world.now - 1
    world.fire("renter", hearing_since=began)
    assert world.part.phase == "accepted"
    (timer,) = [effect for effect in world.step.effects if isinstance(effect, SetTimer)]
    assert timer == SetTimer(name="renter", at=began + RENTER_SECONDS)
    world.now = timer.at
    world.fire("renter", hearing_since=began)
    assert world.part.code == "renter-silent"


REFUSALS: dict[str, tuple[Callable[[], Any], str]] = {
    "another's introduction": (
        lambda: World().asked(introduction=introduction(partner="C11.C13")),
        "not-my-introduction",
    ),
    "for another key": (
        lambda: World().asked(introduction=introduction(partner_key=public_key("C11.C13"))),
        "not-my-introduction",
    ),
    "for which no hub speaks": (
        lambda: World().asked(introduction=structs.replace(introduction(), renter_hub_signature=b"")),
        "renter-hub-signature",
    ),
    "a second key with another's introduction": (
        lambda: World().asked().asked(public_key=b"other", introduction=introduction(renter_key=public_key("C11.C13"))),
        "not-the-renter",
    ),
    "approved by another": (
        lambda: World().asked().examined(undecided=True).handle("joint.approved", JointApproved(job=JOB), RENTER),
        "not-a-user",
    ),
    "ended by another": (
        lambda: accepted().handle("joint.ended", JointEnded(job=JOB, code="x", reason=""), LESSOR),
        "not-the-renter",
    ),
    "a contract shown by another": (
        lambda: accepted().handle("contract.shown", ContractShown(job=JOB, contract=contract()), LESSOR),
        "not-the-renter",
    ),
    "a contract of another job": (lambda: accepted().shown(contract(order=2)), "other-contract"),
    "a contract that no hub signed": (
        lambda: accepted().shown(structs.replace(contract(), lessor_hub_signature=b"")),
        "lessor-hub-signature",
    ),
    "a round before the last was answered": (lambda: accepted().opened(2), "wrong-round"),
    "a job that is not here": (lambda: World().opened(), "unknown-job"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_is_wrong_in_itself_is_refused_and_changes_nothing(refusal: str) -> None:
    act, code = REFUSALS[refusal]
    with pytest.raises(Refused) as raised:
        act()
    assert raised.value.code == code


@pytest.mark.parametrize("world", [lambda: World().asked(), accepted], ids=["examining", "accepted"])
def test_a_second_key_ends_the_part_and_its_renter_is_told(world: Callable[[], World]) -> None:
    asked = world().asked(public_key=b"other")
    assert (asked.part.phase, asked.part.code) == ("failed", "second-key")
    assert [each.type for each in asked.sent()] == ["joint.ended"]
    assert asked.asked(public_key=b"third").part.code == "second-key"


def test_nobody_learns_more_than_was_declared() -> None:
    world = _all_rounds()
    ledger = world.records["ledger"]
    assert isinstance(ledger, Ledger)
    totals = [each for each in ledger.lines if each.kind == "totals"]
    assert [(each.party, each.count, each.round) for each in totals] == [("renter", 2, 1), ("renter", 2, 2)]
    more = Learned(party="renter", kind="totals", count=2, shape="", round=1)
    world = accepted().taken(0, 0, ROWS)
    world.records["ledger"] = Ledger(lines=(more,))
    world.made(outputs=3)
    assert (world.part.phase, world.part.code) == ("failed", "ledger-exceeded")
    assert [each.type for each in world.sent()] == ["joint.ended"]


def test_what_was_written_after_the_end_is_erased_too() -> None:
    world = accepted()
    world.handle("joint.ended", JointEnded(job=JOB, code="cancelled", reason=""), RENTER)
    world.taken(0, 0, 10)
    assert world.performed() == ["erase"]
    world.made()
    (performed,) = [effect for effect in world.step.effects if isinstance(effect, Perform)]
    assert performed.params == {"outputs": ["d" * 64]}
    declined = _declined(World().asked())
    declined.handle("request.examined", RequestExamined(columns=("premium",), outputs=1))
    assert (declined.part.phase, declined.performed()) == ("refused", ["erase"])
    declined.handle("activity.failed", ActivityFailed(activity="examine", params={}, error="disk full"))
    assert declined.performed() == ["erase"]


def test_what_comes_late_is_only_noted() -> None:
    world = World().asked(version=99)
    world.handle("joint.requested", request(), RENTER)
    assert world.notes() == ["late"]
    world.opened()
    assert world.notes() == ["late"]
