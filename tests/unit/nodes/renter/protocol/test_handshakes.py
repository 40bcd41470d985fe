"""The renter's half of a key agreement: what a lessor or an enclave can do wrong, and what stays as it was."""

from __future__ import annotations

import contextlib
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec import Struct, structs

from nodes.enclave.agreement.confirmation import confirmation_digest
from nodes.enclave.errors import POLICY_CODES
from nodes.identity import verify
from nodes.machine import TIMER_FIRED, CancelTimer, Context, Note, Perform, Publish, Refused, SetTimer, TimerFired
from nodes.renter.protocol.handshakes import (
    REFUSALS_PER_SUBTASK_MAX,
    SENDINGS_MAX,
    SENDINGS_PER_UNIT_MAX,
    WORKERS_PER_SUBTASK_MAX,
)
from nodes.renter.protocol.outcomes import EvidenceAccepted, EvidenceRejected
from nodes.renter.protocol.records import ContractRecord
from schemas.events import JobCancelled, KeyConfirmed, KeyOffered, KeyRefused, PiecesRequested, SubtaskRequested
from schemas.ids import Address, derive_id
from schemas.limits import LINK_BYTES_PER_SECOND_MIN, LOAD_BYTES_PER_SECOND_MIN, NONCE_SECONDS_MAX
from schemas.manifest import cut
from tests.unit.nodes.renter.protocol.world import JOB, ME, ONE, PROGRAM, SUBTASKS, TWO, World

SUBTASK = SUBTASKS[ONE]
WORKER, OTHER = derive_id("worker", 1), derive_id("worker", 2)
NOWHERE = derive_id("subtask", "nowhere")
LOADING = PROGRAM.size / LOAD_BYTES_PER_SECOND_MIN
MACS = {WORKER: b"\x01" * 64, OTHER: b"\x02" * 64}
EVIDENCE = b"evidence"
NOTHING = JobCancelled(job=JOB, reason="another event's data")


@dataclass
class Talk:
    """A lessor without any key yet, and another that has one; what `handle` is given and gives."""

    world: World = field(default_factory=lambda: World({ONE: ((0, 4),), TWO: ((4, 8),)}, 8))

    def __post_init__(self) -> None:
        waiting = structs.replace(self.world.subtask(ONE), phase="keying")
        self.world.records[f"subtask/{SUBTASK}"] = waiting

    def say(self, event_type: str, data: Struct, source: Address = ONE) -> Talk:
        self.world.handle(event_type, data, source)
        return self

    def ask(self, worker: str = WORKER, source: Address = ONE, subtask: str = SUBTASK) -> Talk:
        return self.say(
            "subtask.requested", SubtaskRequested(job=JOB, subtask=subtask, worker=worker, lane="w1"), source
        )

    def fetch(self, pieces: tuple[str, ...] = PROGRAM.pieces, source: Address = ONE, subtask: str = SUBTASK) -> Talk:
        wanted = PiecesRequested(job=JOB, subtask=subtask, worker=WORKER, lane="w1", pieces=pieces)
        return self.say("pieces.requested", wanted, source)

    def offer(self, worker: str = WORKER, source: Address = ONE, subtask: str = SUBTASK) -> Talk:
        offered = KeyOffered(job=JOB, subtask=subtask, worker=worker, lane="w1", evidence=EVIDENCE)
        return self.say("key.offered", offered, source)

    def accept(self, worker: str = WORKER) -> Talk:
        accepted = EvidenceAccepted(
            subtask=SUBTASK,
            worker=worker,
            sealed=b"sealed",
            signature=b"signature",
            claims=b"claims",
            claims_shown={"kind": "software"},
            policy_digest=b"policy",
            mac_digest=confirmation_digest(MACS[worker]),
        )
        return self.say("evidence.accepted", accepted, ME)

    def reject(self, code: str, worker: str = WORKER) -> Talk:
        rejected = EvidenceRejected(subtask=SUBTASK, worker=worker, code=code, reason="it is wrong")
        return self.say("evidence.rejected", rejected, ME)

    def confirm(
        self, worker: str = WORKER, source: Address = ONE, subtask: str = SUBTASK, mac: bytes | None = None
    ) -> Talk:
        proof = MACS[worker] if mac is None else mac
        confirmed = KeyConfirmed(job=JOB, subtask=subtask, worker=worker, mac=proof)
        return self.say("key.confirmed", confirmed, source)

    def refuse(self, code: str = "seal", worker: str = WORKER, source: Address = ONE, subtask: str = SUBTASK) -> Talk:
        refused = KeyRefused(job=JOB, subtask=subtask, worker=worker, code=code, reason="the enclave says no")
        return self.say("key.refused", refused, source)

    def wait(self, seconds: float) -> Talk:
        self.world.now += seconds
        return self

    def timer(self, *, hearing_since: float = 0.0) -> Talk:
        fired = TimerFired(name=f"key/{SUBTASK}", at=self.world.now, hearing_since=hearing_since)
        return self.say(TIMER_FIRED, fired, ME)

    @property
    def phase(self) -> str:
        return self.world.subtask(ONE).phase

    def notes(self) -> dict[str, dict[str, Any]]:
        return {each.kind: each.details for each in self.world.step.effects if isinstance(each, Note)}

    def sent(self, event_type: str) -> list[Publish]:
        return [each for each in self.world.step.effects if isinstance(each, Publish) and each.type == event_type]


def talk() -> Talk:
    return Talk()


def verifying() -> Talk:
    return talk().ask().offer()


def sealed() -> Talk:
    return verifying().accept()


def confirmed() -> Talk:
    return sealed().confirm()


# ---------------------------------------------------------------- the way it should go


def test_each_worker_that_asks_gets_a_nonce_of_its_own_on_its_lane() -> None:
    nonces = set()
    for worker in (WORKER, OTHER):
        asked = talk().ask(worker)
        (assigned,) = asked.sent("subtask.assigned")
        assert (assigned.to, assigned.lane, assigned.data["worker"]) == (ONE, "w1", worker)
        nonces.add(b64decode(assigned.data["nonce"]))
    assert len(nonces) == 2
    assert {len(nonce) for nonce in nonces} == {32}


def test_a_worker_gets_the_pieces_that_it_asks_for_on_its_lane() -> None:
    first, last = PROGRAM.pieces
    asked = talk().ask()
    for wanted in ((last,), (first, last)):
        asked.fetch(wanted)
        sent = [(each.blob, each.lane, each.to, each.subject) for each in asked.sent("program.published")]
        assert sent == [(piece, "w1", ONE, SUBTASK) for piece in wanted]


def test_a_public_key_comes_the_same_way() -> None:
    key = cut(b"a public key")[0]
    asked = talk()
    known, assessment = asked.world.job.decided
    changed = structs.replace(known, public_key=key, result_bits=8)
    asked.world.records["job"] = structs.replace(asked.world.job, facts=changed, assessment=assessment)
    record = asked.world.records[f"contract/{asked.world.subtask(ONE).contract}"]
    assert isinstance(record, ContractRecord)
    sealed_result = structs.replace(record.contract, protection="sealed-result")
    asked.world.records[f"contract/{record.contract.id}"] = structs.replace(record, contract=sealed_result)
    asked.ask().fetch((key.digest,))
    assert [each.blob for each in asked.sent("public-key.published")] == [key.digest]


def test_a_subtask_that_is_over_sends_no_pieces() -> None:
    asked = talk().ask()
    asked.world.records[f"subtask/{SUBTASK}"] = structs.replace(asked.world.subtask(ONE), phase="lost")
    asked.fetch(PROGRAM.pieces)
    assert (asked.sent("program.published"), list(asked.notes())) == ([], ["late"])


def test_a_lessor_gets_the_files_only_so_often() -> None:
    asked = talk().ask()
    for _ in range(SENDINGS_MAX + SENDINGS_PER_UNIT_MAX):
        asked.fetch(PROGRAM.pieces)
    with pytest.raises(Refused) as refused:
        asked.fetch(PROGRAM.pieces[:1])
    assert refused.value.code == "too-many-pieces"
    asked.wait(60).fetch(PROGRAM.pieces)
    with pytest.raises(Refused):
        asked.fetch(PROGRAM.pieces[:1])


def test_two_hundred_workers_of_one_lessor_make_a_renter_keep_few_and_send_little() -> None:
    asked, sent = talk(), 0
    for number in range(200):
        worker = derive_id("worker", number)
        request = SubtaskRequested(job=JOB, subtask=SUBTASK, worker=worker, lane="w1")
        asked.world.handle("subtask.requested", request, ONE)
        pieces = PiecesRequested(job=JOB, subtask=SUBTASK, worker=worker, lane="w1", pieces=PROGRAM.pieces)
        with contextlib.suppress(Refused):
            asked.world.handle("pieces.requested", pieces, ONE)
            sent += len(asked.sent("program.published"))
    assert sent <= len(PROGRAM.pieces) * (SENDINGS_MAX + SENDINGS_PER_UNIT_MAX + 2)
    assert sum(key.startswith("worker/") for key in asked.world.records) == WORKERS_PER_SUBTASK_MAX


def test_nobody_can_know_a_nonce_before_its_event_was_handled() -> None:
    drawn = [Context(ME, 0.0, entropy, "event", bytes, verify) for entropy in (bytes(32), b"\x01" * 32)]
    assert len({context.nonce(label) for context in drawn for label in ("one", "other")}) == 4


def test_an_offer_is_verified_under_its_nonce_and_with_its_age() -> None:
    asked = talk().ask()
    (assigned,) = asked.sent("subtask.assigned")
    asked.wait(9.75).offer()
    (perform,) = [each for each in asked.world.step.effects if isinstance(each, Perform)]
    assert perform.activity == "verify-evidence"
    assert bytes.fromhex(perform.params["evidence"]) == EVIDENCE
    assert bytes.fromhex(perform.params["nonce"]) == b64decode(assigned.data["nonce"])
    assert perform.params["age_seconds"] == 10.0
    assert asked.world.dispatched() == []


def test_no_data_goes_out_before_the_enclave_has_confirmed_its_key() -> None:
    steps: list[Callable[[Talk], Talk]] = [Talk.ask, Talk.offer, Talk.accept]
    waiting = talk()
    for step in steps:
        step(waiting)
        assert (waiting.phase, waiting.world.dispatched()) == ("keying", [])
    waiting.confirm()
    assert waiting.phase == "running"
    assert {lessor for _, lessor, _ in waiting.world.dispatched()} == {ONE}
    assert CancelTimer(name=f"key/{SUBTASK}") in waiting.world.step.effects


def test_a_second_worker_confirms_its_own_seal_and_changes_nothing_else() -> None:
    both = confirmed().ask(OTHER).offer(OTHER).accept(OTHER).confirm(OTHER)
    assert both.phase == "running"
    assert both.world.dispatched() == []
    assert "key-confirmed" in both.notes()


# ---------------------------------------------------------------- what is refused at the door, and changes nothing

REFUSALS: dict[str, tuple[Callable[[], Talk], Callable[[Talk], object], str]] = {
    "a request for a subtask that is not here": (talk, lambda t: t.ask(subtask=NOWHERE), "unknown-subtask"),
    "a request of another lessor": (talk, lambda t: t.ask(source=TWO), "not-the-lessor"),
    "pieces for a subtask that is not here": (talk, lambda t: t.fetch(subtask=NOWHERE), "unknown-subtask"),
    "pieces for another lessor": (lambda: talk().ask(), lambda t: t.fetch(source=TWO), "not-the-lessor"),
    "pieces for a worker that never asked": (talk, lambda t: t.fetch(), "unknown-worker"),
    "pieces of another file": (lambda: talk().ask(), lambda t: t.fetch(("0" * 64,)), "unknown-piece"),
    "an offer for a subtask that is not here": (
        lambda: talk().ask(),
        lambda t: t.offer(subtask=NOWHERE),
        "unknown-subtask",
    ),
    "an offer of another lessor": (lambda: talk().ask(), lambda t: t.offer(source=TWO), "not-the-lessor"),
    "an offer of a worker that never asked": (lambda: talk().ask(), lambda t: t.offer(OTHER), "unknown-worker"),
    "a second offer while the first is verified": (verifying, lambda t: t.offer(), "replayed-nonce"),
    "a second offer after the seal": (sealed, lambda t: t.offer(), "replayed-nonce"),
    "a second offer after the confirmation": (confirmed, lambda t: t.offer(), "replayed-nonce"),
    "a second offer after evidence was rejected": (
        lambda: verifying().reject("evidence-signature"),
        lambda t: t.offer(),
        "replayed-nonce",
    ),
    "an offer that comes too late": (
        lambda: talk().ask().wait(NONCE_SECONDS_MAX),
        lambda t: t.offer(),
        "stale-nonce",
    ),
    "a confirmation for a subtask that is not here": (
        sealed,
        lambda t: t.confirm(subtask=NOWHERE),
        "unknown-subtask",
    ),
    "a confirmation of another lessor": (sealed, lambda t: t.confirm(source=TWO), "not-the-lessor"),
    "a confirmation of a worker that never asked": (sealed, lambda t: t.confirm(OTHER), "unknown-worker"),
    "a confirmation before the evidence is verified": (verifying, lambda t: t.confirm(), "bad-confirmation"),
    "a confirmation with another MAC": (sealed, lambda t: t.confirm(mac=bytes(64)), "bad-confirmation"),
    "a confirmation without a MAC": (sealed, lambda t: t.confirm(mac=b""), "bad-confirmation"),
    "a confirmation with the digest in place of the MAC": (
        sealed,
        lambda t: t.confirm(mac=bytes.fromhex(confirmation_digest(MACS[WORKER]))),
        "bad-confirmation",
    ),
    "a confirmation with the MAC of another worker": (
        lambda: sealed().ask(OTHER).offer(OTHER).accept(OTHER),
        lambda t: t.confirm(OTHER, mac=MACS[WORKER]),
        "bad-confirmation",
    ),
    "a confirmation that was said before": (confirmed, lambda t: t.confirm(), "bad-confirmation"),
    "a confirmation of an earlier agreement": (
        lambda: confirmed().ask().offer(),
        lambda t: t.confirm(),
        "bad-confirmation",
    ),
    "an offer that says nothing": (lambda: talk().ask(), lambda t: t.say("key.offered", NOTHING), "wrong-data"),
    "a confirmation that says nothing": (sealed, lambda t: t.say("key.confirmed", NOTHING), "wrong-data"),
    "a refusal that says nothing": (sealed, lambda t: t.say("key.refused", NOTHING), "wrong-data"),
    "a refusal for a subtask that is not here": (sealed, lambda t: t.refuse(subtask=NOWHERE), "unknown-subtask"),
    "a refusal of another lessor": (sealed, lambda t: t.refuse(source=TWO), "not-the-lessor"),
    "a refusal of a worker that never asked": (sealed, lambda t: t.refuse(worker=OTHER), "unknown-worker"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_it_is_refused_and_changes_nothing(name: str) -> None:
    prepare, act, code = REFUSALS[name]
    prepared = prepare()
    before, step = dict(prepared.world.records), prepared.world.step
    with pytest.raises(Refused) as refused:
        act(prepared)
    assert refused.value.code == code
    assert (prepared.world.records, prepared.world.step) == (before, step)


@pytest.mark.parametrize("late_seconds", [0.0, NONCE_SECONDS_MAX - 0.25])
def test_an_offer_in_time_is_verified(late_seconds: float) -> None:
    (perform,) = talk().ask().wait(late_seconds).offer().world.step.effects
    assert isinstance(perform, Perform)


def test_after_a_bad_confirmation_the_right_one_still_opens_the_subtask() -> None:
    waiting = sealed()
    with pytest.raises(Refused):
        waiting.confirm(mac=bytes(64))
    assert waiting.confirm().phase == "running"


# ---------------------------------------------------------------- what is refused by an answer

ENDS: dict[str, Callable[[], Talk]] = {
    "the job was cancelled": lambda: talk().say("job.cancelled", JobCancelled(job=JOB, reason="enough"), ME),
    "the lessor was lost": lambda: verifying().reject("measurement"),
}


@pytest.mark.parametrize("why", ENDS)
def test_a_worker_that_asks_after_the_end_is_told_so_and_gets_nothing(why: str) -> None:
    ended = ENDS[why]()
    before = dict(ended.world.records)
    (refusal,) = ended.ask(OTHER).sent("subtask.refused")
    assert (refusal.to, refusal.lane, refusal.data["code"], refusal.data["worker"]) == (ONE, "w1", "ended", OTHER)
    assert ended.world.published() == ["subtask.refused"]
    assert ended.world.records == before


@pytest.mark.parametrize("act", [Talk.offer, Talk.accept, Talk.confirm, Talk.refuse], ids=lambda act: act.__name__)
def test_a_handshake_that_goes_on_after_the_jobs_end_is_only_noted(act: Callable[[Talk], Talk]) -> None:
    ended = sealed().say("job.cancelled", JobCancelled(job=JOB, reason="enough"), ME)
    before = dict(ended.world.records)
    act(ended)
    assert list(ended.notes()) == ["late"]
    assert ended.world.published() == []
    assert ended.world.records == before


def test_rejected_evidence_gets_no_key_and_the_worker_learns_why() -> None:
    rejected = verifying().reject("evidence-signature")
    (refusal,) = rejected.sent("subtask.refused")
    assert (refusal.to, refusal.lane, refusal.data["code"]) == (ONE, "w1", "evidence-signature")
    assert rejected.notes()["evidence-rejected"]["code"] == "evidence-signature"
    assert rejected.sent("key.sealed") == []
    assert rejected.phase == "keying"


def test_after_rejected_evidence_a_worker_may_ask_for_another_nonce() -> None:
    again = verifying().reject("nonce-expired").ask().offer().accept().confirm()
    assert again.phase == "running"


def test_an_enclave_that_refuses_the_seal_is_noted_and_may_ask_again() -> None:
    refused = sealed().refuse("seal")
    assert refused.notes()["key-refused"]["code"] == "seal"
    assert (refused.phase, refused.world.published()) == ("keying", [])
    assert refused.ask().offer().accept().confirm().phase == "running"


# ---------------------------------------------------------------- when a lessor is lost for it

TRIES: dict[str, Callable[[Talk, str], Talk]] = {
    "evidence.rejected": lambda t, worker: t.ask(worker).offer(worker).reject("evidence-signature", worker),
    "key.refused": lambda t, worker: t.ask(worker).refuse("enclave-unavailable", worker),
}
CODES = {"evidence.rejected": "evidence-signature", "key.refused": "enclave-unavailable"}


def require_lost(lost: Talk, code: str) -> None:
    """The lessor is given up with this code, the hub is told, and the other lessor gets its batches."""
    assert lost.phase == "lost"
    assert lost.notes()["subtask-lost"]["code"] == code
    (ended,) = lost.sent("contract.ended")
    assert ended.data["code"] == code
    assert lost.world.subtask(TWO).phase == "running"
    assert sum(end - first for first, end in lost.world.subtask(TWO).queue) + len(lost.world.dispatched()) == 8


@pytest.mark.parametrize("name", TRIES)
def test_a_lessor_is_lost_when_too_many_of_its_enclaves_were_refused(name: str) -> None:
    trying = talk()
    for number in range(REFUSALS_PER_SUBTASK_MAX):
        assert trying.phase == "keying"
        TRIES[name](trying, derive_id("worker", "try", number))
    require_lost(trying, CODES[name])


@pytest.mark.parametrize("name", TRIES)
def test_a_lessor_with_a_confirmed_enclave_is_not_lost_for_its_others(name: str) -> None:
    trying = confirmed()
    for number in range(REFUSALS_PER_SUBTASK_MAX + 1):
        TRIES[name](trying, derive_id("worker", "try", number))
    assert trying.phase == "running"
    assert trying.sent("contract.ended") == []


@pytest.mark.parametrize("code", sorted(POLICY_CODES))
def test_what_the_policy_refuses_in_one_enclave_it_refuses_in_all(code: str) -> None:
    require_lost(verifying().reject(code), code)


def test_a_lessor_without_a_key_in_time_is_lost() -> None:
    require_lost(verifying().wait(5.0 + LOADING).timer(), "no-key")


def test_a_lessor_is_asked_again_for_a_key_that_nobody_may_have_heard() -> None:
    deaf = verifying().wait(1.0)
    back = deaf.world.now
    deaf.wait(5.0 + LOADING).timer(hearing_since=back)
    assert (deaf.phase, [each.to for each in deaf.sent("subtask.announced")]) == ("keying", [ONE])
    (again,) = [each for each in deaf.world.step.effects if isinstance(each, SetTimer)]
    deaf.world.now = again.at
    require_lost(deaf.timer(hearing_since=back), "no-key")


def test_a_lessor_that_is_heard_of_gets_the_time_that_its_files_may_take() -> None:
    """And no more, however often it asks."""
    slow, begin = talk().ask(), talk().world.now
    latest = begin + PROGRAM.size / LINK_BYTES_PER_SECOND_MIN + 5.0 + LOADING
    while slow.world.now + 4.0 < latest:
        slow.wait(3.5).fetch(PROGRAM.pieces[:1]).wait(0.25).timer()
        assert slow.phase == "keying"
        (again,) = [each for each in slow.world.step.effects if isinstance(each, SetTimer)]
        assert again.at <= latest
    slow.fetch(PROGRAM.pieces[:1]).world.now = latest
    require_lost(slow.timer(), "no-key")


def test_the_time_for_a_key_does_not_end_a_subtask_that_has_one() -> None:
    timed = confirmed().timer()
    assert (timed.phase, timed.world.step.effects) == ("running", ())
