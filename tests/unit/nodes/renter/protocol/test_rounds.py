"""A joint job at the renter: agreed first, then rounds, batches to whoever has their rows; who is lost is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from nodes.identity import Identity
from nodes.machine import TIMER_FIRED, Perform, Refused, TimerFired
from nodes.renter.protocol.config import RenterConfig
from nodes.renter.protocol.machine import RenterMachine
from nodes.renter.protocol.outcomes import OutputAccepted, OutputRefused, RoundPlanned, RoundsDone
from nodes.renter.protocol.records import Agreement, BatchRecord, Ledger, Progress, Round
from schemas.events import BatchForwarded, BatchRejected, BatchTaken
from schemas.ids import Address, address, derive_id, hub_address
from schemas.jobs import Batch
from schemas.joint import (
    Introduction,
    IntroductionProposed,
    IntroductionRefused,
    Joint,
    JointAccepted,
    JointDeferred,
    JointEnded,
    Learned,
    WorkContinued,
)
from schemas.limits import WORK_SECONDS_MAX
from schemas.signing import struct_bytes
from tests.unit.nodes.renter.protocol.world import IDENTITY, JOB, ME, ONE, SUBTASKS, TWO, World, failed

PARTNER = address("C11", "C12")
HUBS = {hub: Identity.from_seed(hub_address(hub), hub.encode().ljust(32, b"\0")) for hub in ("A11", "C11")}
BATCHES, ROUNDS, WAIT = 4, 3, 60.0


class JointWorld(World):
    """A job whose partner is asked, or took part already."""

    def __init__(self, phase: str = "running") -> None:
        super().__init__({ONE: ((0, 2),), TWO: ((2, 4),)}, BATCHES)
        self.machine = RenterMachine(
            RenterConfig(
                me=ME,
                key=IDENTITY.public,
                hub_keys={hub_address(name): each.public for name, each in HUBS.items()},
                batch_deadline_seconds=10.0,
                batch_window=2,
                partner_seconds_max=WAIT,
                approval_seconds_max=10 * WAIT,
            )
        )
        part = Joint(partner=PARTNER, dataset="d", program="0" * 64, outputs=2, rounds=ROUNDS, ids="0" * 64)
        self.records["job"] = structs.replace(self.job, spec=structs.replace(self.job.spec, joint=part))
        self.records["progress"] = Progress(phase=phase)  # type: ignore[arg-type]
        if phase == "running":
            self.records["agreement"] = Agreement(introduction=introduction(), accepted=True)
            self.records["round/1"] = Round(number=1, phase="planning")

    def planned(self, number: int = 1) -> JointWorld:
        self.handle("round.planned", RoundPlanned(round=number, parameters="p" * 64, result_bits=3, value_bits=9))
        return self

    def forwarded(self, number: int, lessor: Address, current: int = 1) -> None:
        self.handle("batch.forwarded", BatchForwarded(batch=batch(number, lessor, current), core_seconds=1.0), lessor)

    def taken(self, number: int, lessor: Address, current: int = 1, source: Address = PARTNER) -> None:
        self.handle("batch.taken", BatchTaken(batch=batch(number, lessor, current)), source)

    def all_taken(self, current: int = 1) -> JointWorld:
        for number, lessor in ((0, ONE), (1, ONE), (2, TWO), (3, TWO)):
            self.forwarded(number, lessor, current)
            self.taken(number, lessor, current)
        return self

    def answered(self, number: int = 1) -> JointWorld:
        done = OutputAccepted(round=number, digest="o" * 64, outputs=2, decrypt_seconds=1.0, bytes_back=7)
        self.handle("output.accepted", done)
        return self

    def after(self, seconds: float) -> JointWorld:
        self.now += seconds
        self.handle(TIMER_FIRED, TimerFired(name="partner", at=self.now))
        return self

    def continued(self, source: Address = PARTNER) -> JointWorld:
        self.handle("work.continued", WorkContinued(job=JOB), source)
        return self

    def rounds_sent(self) -> list[tuple[int, Address, bool]]:
        """(batch, lessor, with rows) of what the last step sends out."""
        performs = [effect for effect in self.step.effects if isinstance(effect, Perform)]
        params = [effect.params for effect in performs if effect.activity == "dispatch-round"]
        return [(each["batch"]["batch"], Address(each["lessor"]), each["rows"]) for each in params]

    def performed(self) -> list[str]:
        return [effect.activity for effect in self.step.effects if isinstance(effect, Perform)]


def introduction(**changed: Any) -> Introduction:
    fields: dict[str, Any] = {
        "job": JOB,
        "renter": ME,
        "partner": PARTNER,
        "renter_hub": hub_address("A11"),
        "partner_hub": hub_address("C11"),
        "renter_key": IDENTITY.public,
        "partner_key": b"\3" * 32,
        "made_at": 1.0,
    } | changed
    made = Introduction(**fields)
    signed = struct_bytes(made)
    return structs.replace(
        made, renter_hub_signature=HUBS["A11"].sign(signed), partner_hub_signature=HUBS["C11"].sign(signed)
    )


def batch(number: int, lessor: Address, current: int = 1) -> Batch:
    return Batch(
        job=JOB,
        subtask=SUBTASKS[lessor],
        contract=derive_id("contract", lessor),
        batch=number,
        attempt=1,
        first_row=number * 10,
        rows=10,
        round=current,
    )


def test_the_partner_is_asked_before_compute_is_ordered() -> None:
    world = JointWorld("agreeing")
    world.handle("introduction.made", IntroductionProposed(introduction=introduction()), hub_address("A11"))
    assert world.performed() == ["ask-partner"]
    world.handle("joint.accepted", JointAccepted(job=JOB), PARTNER)
    assert world.progress.phase == "ordering"
    assert "order.buy.placed" in world.published()


def test_a_round_sends_rows_once_and_then_to_whoever_has_them() -> None:
    world = JointWorld().planned()
    assert "round.opened" in world.published()
    assert world.rounds_sent() == [(0, ONE, True), (1, ONE, True), (2, TWO, True), (3, TWO, True)]
    world.all_taken().answered()
    assert world.performed() == ["plan-round"]
    world.planned(2)
    assert world.rounds_sent() == [(0, ONE, False), (1, ONE, False), (2, TWO, False), (3, TWO, False)]


def test_a_worker_without_the_rows_gets_them_again() -> None:
    world = JointWorld().planned().all_taken().answered().planned(2)
    lacking = structs.replace(failed(ONE, 0, final=False), batch=batch(0, ONE, 2), code="no-rows")
    world.handle("batch.failed", lacking, ONE)
    assert world.rounds_sent() == [(0, ONE, True)]


def test_the_rows_of_a_lost_lessor_go_to_the_others() -> None:
    world = JointWorld().planned().all_taken().answered()
    world.planned(2).all_sent()
    world.now += 20.0
    world.silence(ONE)
    assert world.subtask(ONE).phase == "lost"
    world.forwarded(2, TWO, 2)
    assert world.rounds_sent() == [(0, TWO, True)]


def test_a_job_ends_after_its_rounds_with_receipts() -> None:
    world = JointWorld().planned().all_taken().answered()
    for number in range(2, ROUNDS + 1):
        world.planned(number).all_taken(number).answered(number)
    assert world.progress.phase == "assembling"
    assert world.published().count("subtask.completed") == 2
    assert world.performed() == ["assemble"]


def test_the_update_program_may_end_the_rounds() -> None:
    world = JointWorld().planned().all_taken().answered()
    world.handle("rounds.done", RoundsDone(round=2))
    assert world.progress.phase == "assembling"
    assert "round/2" not in world.records


def test_what_the_partner_takes_first_counts_whatever_comes_first() -> None:
    world = JointWorld().planned()
    world.taken(0, ONE)
    world.forwarded(0, ONE)
    assert world.notes() == ["late"]
    world.taken(0, ONE)
    assert world.progress.batches_done == 1
    assert world.progress.forwarded == 1


def test_a_result_that_the_partner_refuses_loses_its_lessor() -> None:
    world = JointWorld().planned()
    world.forwarded(0, ONE)
    refused = BatchRejected(batch=batch(0, ONE), code="ciphertext-invalid", reason="no")
    world.handle("batch.rejected", refused, PARTNER)
    assert world.subtask(ONE).phase == "lost"
    assert world.progress.forwarded == 0
    waiting = {number for run in world.subtask(TWO).queue for number in range(*run)}
    assert waiting == {0, 1}


def test_a_lessor_that_names_anothers_subtask_is_held_to_its_own_contract() -> None:
    lying = structs.replace(batch(0, TWO), subtask=SUBTASKS[ONE])
    world = JointWorld().planned()
    world.handle("batch.rejected", BatchRejected(batch=lying, code="ciphertext-invalid", reason="no"), PARTNER)
    assert (world.subtask(ONE).phase, world.subtask(TWO).phase) == ("running", "lost")
    world = JointWorld().planned()
    world.handle("batch.taken", BatchTaken(batch=structs.replace(lying, batch=2)), PARTNER)
    record = world.records["batch/2"]
    assert isinstance(record, BatchRecord)
    assert (record.digest, record.owner) == ("taken", SUBTASKS[TWO])


def _forwarded() -> JointWorld:
    world = JointWorld().planned()
    world.forwarded(0, ONE)
    return world


def _asked() -> JointWorld:
    world = JointWorld("agreeing")
    world.handle("introduction.made", IntroductionProposed(introduction=introduction()), hub_address("A11"))
    return world


def _deferred() -> JointWorld:
    world = _asked()
    world.handle("joint.deferred", JointDeferred(job=JOB), PARTNER)
    return world


def _told(event_type: str, data: Any, source: Address, phase: str = "running") -> JointWorld:
    world = JointWorld(phase)
    world.handle(event_type, data, source)
    return world


def _learned() -> JointWorld:
    world = JointWorld().planned().all_taken()
    more = Learned(party="renter", kind="totals", count=2 * ROUNDS, shape="")
    world.records["ledger"] = Ledger(lines=(more,))
    return world.answered()


def _made(**changed: Any) -> IntroductionProposed:
    return IntroductionProposed(introduction=introduction(**changed))


def _unknown() -> IntroductionRefused:
    return IntroductionRefused(job=JOB, renter=ME, partner=PARTNER, code="unknown-partner", reason="no C12")


ENDS: dict[str, tuple[Callable[[], JointWorld], str]] = {
    "it owes an output": (lambda: JointWorld().planned().all_taken().after(WAIT), "partner-silent"),
    "it owes word of a batch": (lambda: _forwarded().after(WAIT), "partner-silent"),
    "it does not answer": (lambda: _asked().after(WAIT), "partner-silent"),
    "nobody approves": (lambda: _deferred().after(10 * WAIT), "partner-silent"),
    "no hub introduces it": (lambda: JointWorld("agreeing").after(WAIT), "hub-silent"),
    "it is not known": (
        lambda: _told("introduction.refused", _unknown(), hub_address("A11"), "agreeing"),
        "unknown-partner",
    ),
    "it withdraws": (
        lambda: _told("joint.ended", JointEnded(job=JOB, code="withdrawn", reason="C12"), PARTNER),
        "withdrawn",
    ),
    "its output cannot be read": (
        lambda: _told("output.refused", OutputRefused(round=1, code="ciphertext-invalid", reason="no"), ME),
        "ciphertext-invalid",
    ),
    "more would be learned": (_learned, "ledger-exceeded"),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_ends_the_job_for_want_of_the_partner_names_it(end: str) -> None:
    make, code = ENDS[end]
    world = make()
    assert (world.progress.phase, world.job.code) == ("failed", code)
    assert "C1" in world.job.reason or code == "ledger-exceeded"


def test_what_is_written_after_the_end_is_forgotten_too() -> None:
    world = JointWorld().planned().all_taken()
    world.handle("joint.ended", JointEnded(job=JOB, code="withdrawn", reason="C12"), PARTNER)
    assert world.answered().performed() == ["forget"]
    assert world.planned(2).performed() == ["forget"]


OWING: dict[str, Callable[[], JointWorld]] = {
    "its answer to the request": _asked,
    "word of a batch": _forwarded,
    "an output": lambda: JointWorld().planned().all_taken(),
}


@pytest.mark.parametrize("owed", OWING)
def test_a_partner_that_is_at_work_is_waited_for_and_named_in_time_once_it_is_gone(owed: str) -> None:
    world = OWING[owed]()
    phase = world.progress.phase
    for _ in range(10):
        assert world.continued().after(WAIT - 1).progress.phase == phase
    assert world.continued().after(WAIT).job.code == "partner-silent"


def test_a_partner_that_is_at_work_and_gets_nothing_done_is_given_up() -> None:
    world = _asked()
    began, signs = world.now, 0
    while world.continued().after(WAIT / 2).progress.phase == "agreeing":
        signs += 1
        assert signs < 2 * WORK_SECONDS_MAX / WAIT + 4
    assert world.job.code == "partner-silent"
    assert WORK_SECONDS_MAX <= world.now - began < WORK_SECONDS_MAX + 2 * WAIT


def test_a_sign_says_nothing_where_a_person_decides_or_nothing_is_owed() -> None:
    assert _deferred().continued().after(5 * WAIT).progress.phase == "agreeing"
    assert JointWorld().planned().continued().after(10 * WAIT).progress.phase == "running"


def test_a_partner_that_says_something_in_time_is_waited_for() -> None:
    world = JointWorld().planned()
    world.forwarded(0, ONE)
    world.now += WAIT / 2
    world.taken(0, ONE)
    world.after(WAIT)
    assert world.progress.phase == "running"
    assert _deferred().after(5 * WAIT).progress.phase == "agreeing"


REFUSALS: dict[str, tuple[Callable[[], Any], str]] = {
    "taken by another": (lambda: JointWorld().planned().taken(0, ONE, source=ONE), "not-the-partner"),
    "at work as another": (lambda: _asked().continued(ONE), "not-the-partner"),
    "introduced to another": (
        lambda: _told("introduction.made", _made(partner="C11.C13"), hub_address("A11"), "agreeing"),
        "not-my-introduction",
    ),
    "introduced with another key": (
        lambda: _told("introduction.made", _made(renter_key=b"\4" * 32), hub_address("A11"), "agreeing"),
        "not-my-introduction",
    ),
    "introduced by nobody": (
        lambda: _told(
            "introduction.made",
            IntroductionProposed(introduction=structs.replace(introduction(), partner_hub_signature=b"")),
            hub_address("A11"),
            "agreeing",
        ),
        "partner-hub-signature",
    ),
    "in a job without a partner": (
        lambda: World({ONE: ((0, 1),)}, 1).handle("joint.ended", JointEnded(job=JOB, code="x", reason=""), PARTNER),
        "no-partner",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_is_wrong_in_itself_is_refused(refusal: str) -> None:
    act, code = REFUSALS[refusal]
    with pytest.raises(Refused) as raised:
        act()
    assert raised.value.code == code
