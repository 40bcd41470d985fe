"""A model at the renter: one round, whose answer is replied to; the partner's word ends it."""

from __future__ import annotations

import pytest
from msgspec import structs

from nodes.machine import Refused
from nodes.renter.protocol.outcomes import JobJoined, OutputAccepted, OutputRefused
from nodes.renter.protocol.records import Agreement, Joined, Ledger, Round, Target
from schemas.ids import Address
from schemas.joint import Algorithm, Fitting, Joint, JointAccepted, NormTold, SumsAdvanced
from tests.unit.nodes.renter.protocol.test_rounds import PARTNER, WAIT, JointWorld, introduction
from tests.unit.nodes.renter.protocol.world import JOB, ONE

COLUMNS = 3
REPLY = (0.5, -1.5, 0.25)


class ModelWorld(JointWorld):
    """A job that fits a model."""

    def __init__(self, phase: str = "running", *, partner_coefficients: bool = True) -> None:
        super().__init__(phase)
        algorithm = Algorithm(name="ridge", penalty_per_row=1e-3, partner_coefficients=partner_coefficients)
        fitting = Fitting(algorithm=algorithm, label="y")
        part = Joint(partner=PARTNER, dataset="d", fitting=fitting, ids="0" * 64)
        self.records["job"] = structs.replace(self.job, spec=structs.replace(self.job.spec, joint=part))
        if phase == "running":
            agreement = Agreement(introduction=introduction(), accepted=True, columns=COLUMNS)
            self.records["agreement"] = agreement
            self.records["round/1"] = Round(number=1, phase="planning")

    def solved(self, *, reply: bool = True) -> ModelWorld:
        done = OutputAccepted(
            round=1,
            digest="o" * 64,
            outputs=COLUMNS,
            decrypt_seconds=1.0,
            bytes_back=7,
            reply=REPLY if reply else (),
        )
        self.handle("output.accepted", done)
        return self

    def told(self, source: Address = PARTNER) -> ModelWorld:
        self.handle("norm.told", NormTold(job=JOB, norm=0.25), source)
        return self

    @property
    def phase(self) -> str:
        return self.progress.phase

    @property
    def learned(self) -> set[tuple[str, str]]:
        ledger = self.records.get("ledger")
        return {(each.party, each.kind) for each in ledger.lines} if isinstance(ledger, Ledger) else set()


def taken(*, partner_coefficients: bool = True) -> ModelWorld:
    """All rows are at the partner."""
    world = ModelWorld(partner_coefficients=partner_coefficients)
    world.planned()
    world.all_taken()
    return world


def test_a_models_table_is_made_before_compute_is_ordered() -> None:
    world = ModelWorld("agreeing")
    world.records["agreement"] = Agreement(introduction=introduction())
    world.handle("joint.accepted", JointAccepted(job=JOB, columns=COLUMNS), PARTNER)
    assert world.phase == "joining"
    assert world.performed() == ["join"]
    assert {("renter", "partner-columns"), ("partner", "renter-columns")} <= world.learned
    target = Target(intercept=0.5, mean=0.5, moved=0)
    world.handle("job.joined", JobJoined(joined=Joined(data="d" * 64, rows=30, target=target)))
    assert world.phase == "ordering"


def test_a_partner_that_does_not_say_how_many_columns_it_has_ends_the_job() -> None:
    world = ModelWorld("agreeing")
    world.records["agreement"] = Agreement(introduction=introduction())
    world.handle("joint.accepted", JointAccepted(job=JOB), PARTNER)
    assert (world.phase, world.job.code) == ("failed", "columns-unannounced")


def test_rows_that_are_too_few_for_the_partners_columns_end_the_job() -> None:
    world = ModelWorld("agreeing")
    world.records["agreement"] = Agreement(introduction=introduction())
    world.handle("joint.accepted", JointAccepted(job=JOB, columns=COLUMNS), PARTNER)
    target = Target(intercept=0.5, mean=0.5, moved=0)
    world.handle("job.joined", JobJoined(joined=Joined(data="d" * 64, rows=10 * COLUMNS - 1, target=target)))
    assert (world.phase, world.job.code) == ("failed", "too-few-rows")
    assert PARTNER in world.job.reason


def test_the_answer_is_replied_to_and_the_job_ends_with_the_partners_word() -> None:
    world = taken()
    world.solved()
    assert "reply.given" in world.published()
    assert world.phase == "running"
    assert ("partner", "partner-coefficients") not in world.learned
    world.told()
    assert world.phase == "assembling"
    assert {("partner", "partner-coefficients"), ("renter", "partner-norm")} <= world.learned
    current = world.records["round/1"]
    assert isinstance(current, Round)
    assert (current.phase, current.norm) == ("answered", 0.25)
    world.told()
    assert world.notes() == ["late"]


def test_without_a_reply_the_answer_ends_the_job() -> None:
    world = taken(partner_coefficients=False)
    world.solved(reply=False)
    assert "reply.given" not in world.published()
    assert world.phase == "assembling"
    assert ("renter", "schur-statistics") in world.learned


def test_a_partner_that_goes_on_with_its_sums_is_waited_for() -> None:
    world = taken()
    world.after(WAIT - 1)
    world.handle("sums.advanced", SumsAdvanced(job=JOB, done=1, units=2), PARTNER)
    world.after(WAIT - 1)
    assert world.phase == "running"
    world.after(2)
    assert (world.job.code, world.phase) == ("partner-silent", "failed")


def test_a_partner_that_does_not_say_that_it_has_its_weights_is_named() -> None:
    world = taken()
    world.solved().after(WAIT + 1)
    assert world.job.code == "partner-silent"
    assert PARTNER in world.job.reason


def test_only_the_partner_speaks_of_its_sums_and_weights() -> None:
    world = taken()
    world.solved()
    with pytest.raises(Refused) as raised:
        world.told(ONE)
    assert raised.value.code == "not-the-partner"
    with pytest.raises(Refused):
        world.handle("sums.advanced", SumsAdvanced(job=JOB, done=1, units=2), ONE)


def test_moments_that_no_columns_have_end_the_job() -> None:
    world = taken()
    world.handle("output.refused", OutputRefused(round=1, code="moments-impossible", reason="no columns have them"))
    assert world.job.code == "moments-impossible"
    assert PARTNER in world.job.reason
