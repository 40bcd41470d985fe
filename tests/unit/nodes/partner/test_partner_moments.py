"""A model at the partner's machine: units summed one by one, one answer, one reply, and weights that stay."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodes.machine import Perform, Refused
from nodes.partner.protocol.records import Ledger, UnitSummed, WeightsMade
from schemas.joint import Algorithm, JointEnded, ReplyGiven
from tests.unit.nodes.partner.world import JOB, LESSOR, RENTER, ROWS, World

COLUMNS = 3
UNITS = 2


def model(**agreed: bool) -> World:
    """A part in a model of three columns, all of whose rows are in."""
    algorithm = Algorithm(name="ridge", penalty_per_row=1e-3, **agreed)
    world = World().asked(algorithm=algorithm, program=b"", rounds=1)
    world.examined(columns=("a", "b", "c"), outputs=COLUMNS).shown().opened()
    return world.taken(0, 0, ROWS)


def summed(world: World, unit: int) -> World:
    world.handle("unit.summed", UnitSummed(unit=unit, digest=f"{unit:064d}"))
    return world


def answered(**agreed: bool) -> World:
    return summed(summed(model(**agreed), 0), 1).made(outputs=COLUMNS, bits=30, size_bits=50)


def replied(world: World, count: int = COLUMNS, source: str = RENTER) -> World:
    world.handle("reply.given", ReplyGiven(job=JOB, values=(0.5,) * count), source)  # type: ignore[arg-type]
    return world


def weighted(world: World) -> World:
    world.handle("weights.made", WeightsMade(weights=(1.0, 2.0, 3.0), offset=-1.0, norm=0.25))
    return world


def learned(world: World) -> set[tuple[str, str]]:
    ledger = world.records["ledger"]
    assert isinstance(ledger, Ledger)
    return {(each.party, each.kind) for each in ledger.lines}


def test_the_renter_learns_how_many_columns_there_are() -> None:
    world = World().asked(algorithm=Algorithm(name="ols", penalty_per_row=0.0), program=b"", rounds=1)
    (sent,) = world.examined(columns=("a", "b", "c"), outputs=COLUMNS).sent()
    assert (sent.type, sent.data["columns"]) == ("joint.accepted", COLUMNS)
    assert {("partner", "renter-columns"), ("renter", "partner-columns")} <= learned(world)


def test_with_the_last_row_all_units_are_summed_up_and_with_the_last_of_them_the_answer_is_made() -> None:
    world = model()
    performed = [each for each in world.step.effects if isinstance(each, Perform)]
    assert [(each.activity, each.params["unit"]) for each in performed] == [("sum-unit", 0), ("sum-unit", 1)]
    summed(world, 1)
    assert not world.performed()
    (sent,) = world.sent()
    assert (sent.type, sent.data) == ("sums.advanced", {"job": JOB, "done": 1, "units": UNITS})
    assert summed(world, 1).sent() == []
    assert summed(world, 0).performed() == ["answer"]
    (sent,) = world.made(outputs=COLUMNS, bits=30, size_bits=50).sent()
    assert sent.attributes == {"round": "1", "bits": "30", "sizebits": "50"}
    assert ("renter", "schur-statistics") in learned(world)


def test_the_reply_gives_weights_that_stay_when_the_data_is_erased() -> None:
    world = replied(answered())
    assert world.performed() == ["make-weights"]
    (sent,) = weighted(world).sent()
    assert (sent.type, sent.data["norm"]) == ("norm.told", 0.25)
    assert {("partner", "partner-coefficients"), ("renter", "partner-norm")} <= learned(world)
    world.handle("joint.ended", JointEnded(job=JOB, code="completed", reason=""), RENTER)
    assert (world.part.phase, world.part.weights, world.part.offset) == ("finished", (1.0, 2.0, 3.0), -1.0)
    assert not [key for key in world.records if key.startswith(("unit/", "taken/", "round/"))]
    assert world.performed() == ["erase"]


def test_what_comes_again_changes_nothing() -> None:
    world = weighted(replied(answered()))
    assert replied(world).performed() == []
    assert weighted(world).sent() == []


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (lambda: replied(model()), "no-reply-wanted"),
        (lambda: replied(answered(partner_coefficients=False)), "no-reply-wanted"),
        (lambda: replied(answered(), count=2), "no-reply-wanted"),
        (lambda: replied(answered(), source=LESSOR), "not-the-renter"),
    ],
    ids=["before the answer", "withheld", "of another width", "by a lessor"],
)
def test_a_reply_that_nobody_waits_for_is_set_aside(made: Callable[[], World], code: str) -> None:
    with pytest.raises(Refused) as raised:
        made()
    assert raised.value.code == code


def test_sums_that_come_when_the_part_is_over_are_erased() -> None:
    world = model()
    world.handle("joint.ended", JointEnded(job=JOB, code="cancelled", reason=""), RENTER)
    assert summed(world, 0).performed() == ["erase"]
    assert weighted(world).sent() == []
    assert world.part.weights == ()
