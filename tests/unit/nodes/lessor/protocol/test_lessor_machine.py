"""A worker's protocol without any network: what it asks for, how it opens, whom it refuses, when it forgets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec import Struct, structs

from nodes.identity import verify
from nodes.lessor.protocol import opening
from nodes.lessor.protocol.config import LessorConfig
from nodes.lessor.protocol.draft import Worker
from nodes.lessor.protocol.machine import LessorMachine
from nodes.lessor.protocol.records import (
    INTERNAL_TYPES,
    BatchUnfit,
    ComputerFailed,
    ComputerReady,
    EvidenceMade,
    SealAccepted,
    Session,
    SessionWanted,
    WorkerStarted,
)
from nodes.lessor.protocol.serving import IDLE_SECONDS_MAX
from nodes.machine import TIMER_FIRED, Context, Effect, Perform, Publish, Refused, SetTimer, TimerFired
from nodes.records import RecordSet
from schemas.contracts import Contract, Receipt
from schemas.events import (
    BatchFailed,
    ContractEnded,
    Event,
    KeySealed,
    SubtaskAnnounced,
    SubtaskAssigned,
    SubtaskCompleted,
    SubtaskRefused,
    batch_attributes,
)
from schemas.ids import Address, derive_id
from schemas.jobs import Batch, FixedPoint, SubtaskTerms
from schemas.limits import HANDSHAKE_SECONDS_MAX, LOAD_BYTES_PER_SECOND_MIN, PIECE_BYTES, PIECES_UNDER_WAY_MAX
from schemas.manifest import cut
from schemas.orders import Protection
from schemas.signing import struct_bytes
from tests.unit.nodes.lessor.rentals import HUB_B, HUB_KEYS, IDENTITIES, LESSOR, OTHER, RENTER, contract

NOW = 1_000_000.0
NAME, LANE = derive_id("worker", 1), "w3"
PROGRAM, PUBLIC_KEY = b"a program", b"a public key"
FIXED = FixedPoint(column_exponents=(0,), weight_bits=8, input_bits=8)


def sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def terms(protection: Protection = "homomorphic", **changes: Any) -> SubtaskTerms:
    of = rented(protection)
    ciphertext = {"scheme": "paillier", "fixed_point": FIXED, "computation": "0" * 64, "public_key": cut(PUBLIC_KEY)[0]}
    sealed = {"result_bits": 20, "public_key": cut(PUBLIC_KEY)[0]}
    special = {"homomorphic": ciphertext, "enclave": {}, "sealed-result": sealed}[protection]
    fields: dict[str, Any] = {
        "job": of.buy.job,
        "subtask": derive_id("subtask", of.id),
        "contract": of,
        "protection": protection,
        "program": cut(PROGRAM)[0],
        "width_in": 1,
        "width_out": 1,
    }
    return SubtaskTerms(**(fields | special | changes))


def rented(protection: Protection = "homomorphic", **changes: Any) -> Contract:
    made = contract(now=NOW)
    buy = structs.replace(made.buy, protection=protection, signature=b"")
    buy = structs.replace(buy, signature=IDENTITIES[RENTER].sign(struct_bytes(buy)))
    fields = {"buy": buy, "protection": protection, **changes}
    return contract(now=NOW, **fields)


SUBTASK = terms().subtask
JOB = terms().job


@dataclass
class Desk:
    """A worker's machine with its records; `did` are the effects of the last event."""

    machine: LessorMachine = field(
        default_factory=lambda: LessorMachine(
            Worker(LessorConfig(me=LESSOR, key=IDENTITIES[LESSOR].public, hub_keys=HUB_KEYS), NAME, LANE)
        )
    )
    records: RecordSet = field(default_factory=RecordSet)
    now: float = NOW
    did: tuple[Effect, ...] = ()
    count: int = 0

    def event(self, event_type: str, data: Struct | None, source: Address, **more: Any) -> Event:
        self.count += 1
        fields: dict[str, Any] = {"subject": SUBTASK, **more}
        return Event(
            id=f"event-{self.count}", type=event_type, source=source, to=LESSOR, time=self.now, data=data, **fields
        )

    def handle(self, event_type: str, data: Struct | None = None, source: Address = RENTER, **more: Any) -> Desk:
        event = self.event(event_type, data, source, **more)
        context = Context(LESSOR, self.now, bytes(32), event.id, IDENTITIES[LESSOR].sign, verify)
        step = self.machine.handle(self.records, event, context)
        for key in step.delete:
            self.records.drop(key)
        for key, record in step.put.items():
            self.records.put(key, record)
        self.did = step.effects
        return self

    def inside(self, event_type: str, data: Struct) -> Desk:
        return self.handle(event_type, data, LESSOR)

    def announce(self, protection: Protection = "homomorphic") -> Desk:
        return self.handle("subtask.announced", SubtaskAnnounced(terms=terms(protection)))

    def assign(self, protection: Protection = "homomorphic", **changes: Any) -> Desk:
        data = SubtaskAssigned(terms=terms(protection, **changes), worker=NAME, nonce=b"nonce")
        return self.handle("subtask.assigned", data)

    def publish(self, raw: bytes = PROGRAM, source: Address = RENTER) -> Desk:
        return self.handle("program.published", None, source, body=raw)

    def seal(self, worker: str = NAME) -> Desk:
        data = KeySealed(subtask=SUBTASK, worker=worker, sealed=b"s", signature=b"g", claims=b"c", policy_digest=b"p")
        return self.handle("key.sealed", data)

    def open(self) -> Desk:
        self.announce().assign().publish().publish(PUBLIC_KEY)
        return self.inside("computer.ready", ComputerReady(subtask=SUBTASK))

    def batch(self, source: Address = RENTER, **changes: Any) -> Desk:
        batch = structs.replace(BATCH, **changes)
        return self.handle(
            "batch.dispatched", None, source, subject=batch.job, body=b"x", attributes=batch_attributes(batch)
        )

    def timer(self, name: str) -> Desk:
        return self.inside(TIMER_FIRED, TimerFired(name=name, at=self.now))

    @property
    def phase(self) -> str:
        record = self.records.get(f"session/{SUBTASK}")
        return record.phase if isinstance(record, Session) else "gone"

    @property
    def sent(self) -> list[str]:
        return [each.type for each in self.did if isinstance(each, Publish)]

    @property
    def performed(self) -> list[str]:
        return [each.activity for each in self.did if isinstance(each, Perform)]

    def deadline(self) -> float:
        """Seconds until the session is given up, as the last event set it."""
        return [each.at for each in self.did if isinstance(each, SetTimer)][-1] - self.now

    def params(self, activity: str) -> dict[str, Any]:
        (params,) = (each.params for each in self.did if isinstance(each, Perform) and each.activity == activity)
        return params

    def data(self, event_type: str) -> dict[str, Any]:
        (data,) = (each.data for each in self.did if isinstance(each, Publish) and each.type == event_type)
        assert isinstance(data, dict)
        return data


BATCH = Batch(job=JOB, subtask=SUBTASK, contract=rented().id, batch=0, attempt=1, first_row=0, rows=1)


# ---------------------------------------------------------------- the market


def test_a_worker_places_its_order_and_renews_it_before_it_ends() -> None:
    desk = Desk().inside("worker.started", WorkerStarted())
    assert desk.sent == ["order.sell.placed"]
    timers = {each.name: each.at for each in desk.did if isinstance(each, SetTimer)}
    assert NOW < timers["offer"] < desk.data("order.sell.placed")["order"]["expires_at"]
    assert desk.timer("offer").sent == ["order.sell.placed"]


# ---------------------------------------------------------------- opening


def test_an_announced_subtask_is_asked_for_once_on_the_workers_lane() -> None:
    desk = Desk().announce()
    assert (desk.phase, desk.sent) == ("asked", ["subtask.requested"])
    assert (desk.data("subtask.requested")["lane"], desk.data("subtask.requested")["worker"]) == (LANE, NAME)
    assert desk.announce().sent == []
    assert desk.inside("session.wanted", SessionWanted(subtask=SUBTASK, job=JOB, renter=RENTER)).sent == []


def test_a_batch_of_an_unknown_subtask_makes_the_worker_ask_its_sender() -> None:
    desk = Desk().inside("session.wanted", SessionWanted(subtask=SUBTASK, job=JOB, renter=RENTER))
    assert desk.sent == ["subtask.requested"]
    assert [each.to for each in desk.did if isinstance(each, Publish)] == [RENTER]


@pytest.mark.parametrize("first", [PROGRAM, PUBLIC_KEY])
def test_ciphertexts_are_computed_when_program_and_key_are_here_in_any_order(first: bytes) -> None:
    second = PUBLIC_KEY if first == PROGRAM else PROGRAM
    desk = Desk().announce().assign()
    assert (desk.phase, desk.publish(first).performed) == ("gathering", [])
    assert desk.publish(second).performed == ["build"]
    assert (desk.params("build")["program"], desk.params("build")["public_key"]) == ((PROGRAM,), (PUBLIC_KEY,))
    desk.inside("computer.ready", ComputerReady(subtask=SUBTASK))
    assert (desk.phase, desk.performed, desk.params("resolve")["code"]) == ("open", ["resolve"], "")


@pytest.mark.parametrize("protection", ["enclave", "sealed-result"])
def test_an_enclave_offers_a_key_and_confirms_the_seal(protection: Protection) -> None:
    desk = Desk().announce(protection).assign(protection)
    if protection == "sealed-result":
        desk.publish(PUBLIC_KEY)
    desk.publish()
    assert desk.performed == ["offer"]
    assert desk.params("offer") == {
        "subtask": SUBTASK, "nonce": b"nonce", "contract": rented().id, "job": JOB
    }  # fmt: skip
    assert desk.inside("evidence.made", EvidenceMade(subtask=SUBTASK, evidence=b"e")).sent == ["key.offered"]
    desk.seal()
    assert desk.performed == ["accept"]
    assert desk.params("accept")["public_key"] == ((PUBLIC_KEY,) if protection == "sealed-result" else ())
    desk.inside("seal.accepted", SealAccepted(subtask=SUBTASK, mac=b"m", protections=("landlock",)))
    assert (desk.phase, desk.sent, desk.performed) == ("open", ["key.confirmed"], ["resolve"])


def test_what_is_known_already_is_not_asked_for_again() -> None:
    """Another subtask with the same program opens with the file that is here."""
    desk = Desk().open()
    desk.handle("contract.ended", ContractEnded(contract=rented().id, code="completed"), HUB_B)
    assert desk.phase == "gone"
    desk.announce()
    assert desk.assign().performed == ["build"]


PIECES = (*(bytes([number]) * PIECE_BYTES for number in range(9)), b"the rest")
LARGE = cut(b"".join(PIECES))[0]


def test_a_large_program_is_asked_for_a_few_pieces_at_a_time_until_it_is_here() -> None:
    """In any order, some twice: each is asked for once, and never more than a few are under way."""
    desk, asked, here = Desk().announce("enclave").assign("enclave", program=LARGE), list[str](), 0
    while desk.performed != ["offer"]:
        if "pieces.requested" in desk.sent:
            assert (desk.data("pieces.requested")["lane"], desk.data("pieces.requested")["worker"]) == (LANE, NAME)
            asked += desk.data("pieces.requested")["pieces"]
        assert 0 < len(asked) - here <= PIECES_UNDER_WAY_MAX
        piece = PIECES[LARGE.pieces.index(asked[here ^ 1 if here ^ 1 < len(asked) else here])]
        desk.publish(piece)
        assert desk.deadline() >= HANDSHAKE_SECONDS_MAX
        here, desk.now = here + 1, desk.now + HANDSHAKE_SECONDS_MAX - 1
        if desk.phase == "gathering" and not desk.sent:
            assert desk.publish(piece).did == ()
    assert sorted(asked) == sorted(LARGE.pieces)
    desk.inside("evidence.made", EvidenceMade(subtask=SUBTASK, evidence=b"e")).seal()
    assert desk.params("accept")["program"] == PIECES
    assert desk.deadline() == HANDSHAKE_SECONDS_MAX + LARGE.size / LOAD_BYTES_PER_SECOND_MIN


def test_pieces_that_came_before_the_renter_fell_silent_are_not_asked_for_again() -> None:
    desk = Desk().announce("enclave").assign("enclave", program=LARGE)
    desk.publish(PIECES[0]).publish(PIECES[1])
    assert desk.timer(f"open/{SUBTASK}").phase == "gone"
    desk.announce("enclave").assign("enclave", program=LARGE)
    assert desk.data("pieces.requested")["pieces"] == LARGE.pieces[2 : 2 + PIECES_UNDER_WAY_MAX]


def test_a_file_that_repeats_itself_is_asked_for_once() -> None:
    desk = Desk().announce("enclave").assign("enclave", program=cut(bytes(3 * PIECE_BYTES))[0])
    assert len(desk.data("pieces.requested")["pieces"]) == 1
    assert desk.publish(bytes(PIECE_BYTES)).performed == ["offer"]


def test_a_renter_that_sends_more_than_a_piece_is_refused() -> None:
    raw = bytes(PIECE_BYTES + 1)
    desk = Desk().announce("enclave")
    desk.assign("enclave", program=structs.replace(cut(PROGRAM)[0], pieces=(sha(raw),)))
    with pytest.raises(Refused) as refused:
        desk.publish(raw)
    assert (refused.value.code, len(desk.records.under("blob"))) == ("piece-too-large", 0)


def test_kept_pieces_are_bounded_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "BLOB_BYTES_MAX", 3 * opening.BLOB_BYTES_MIN)
    desk = Desk()
    for number in range(5):
        desk.now = NOW + number / 100
        raw = f"program {number}".encode()
        desk.inside("session.wanted", SessionWanted(subtask=SUBTASK, job=JOB, renter=RENTER))
        desk.assign("enclave", program=cut(raw)[0]).publish(raw)
        desk.inside("computer.failed", ComputerFailed(subtask=SUBTASK, code="enclave-unavailable", reason=""))
    assert set(desk.records.under("blob")) == {f"blob/{sha(f'program {number}'.encode())}" for number in (2, 3, 4)}


def test_pieces_that_a_session_waits_for_do_not_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds no room beside them is asked for later."""
    monkeypatch.setattr(opening, "BLOB_BYTES_MAX", 2 * PIECE_BYTES)
    desk = Desk().announce("enclave").assign("enclave", program=LARGE)
    desk.publish(PIECES[0]).publish(PIECES[1]).publish(PIECES[2])
    assert (desk.phase, desk.performed, desk.params("resolve")["code"]) == ("gone", ["close", "resolve"], "")
    assert len(desk.records.under("blob")) == 2


def test_who_cannot_compute_tells_the_renter_and_whoever_waits() -> None:
    desk = Desk().announce().assign().publish().publish(PUBLIC_KEY)
    desk.inside("computer.failed", ComputerFailed(subtask=SUBTASK, code="bad-key", reason="no key"))
    assert (desk.phase, desk.sent, desk.performed) == ("gone", ["key.refused"], ["close", "resolve"])
    assert desk.data("key.refused")["code"] == desk.params("resolve")["code"] == "bad-key"


@pytest.mark.parametrize("late", ["terms", "program", "seal"])
def test_a_renter_that_does_not_go_on_is_given_up_and_its_batches_come_again(late: str) -> None:
    desk = Desk().announce("enclave")
    if late != "terms":
        desk.assign("enclave")
    if late == "seal":
        desk.publish().inside("evidence.made", EvidenceMade(subtask=SUBTASK, evidence=b"e"))
    desk.now += HANDSHAKE_SECONDS_MAX
    desk.timer(f"open/{SUBTASK}")
    assert (desk.phase, desk.sent, desk.performed) == ("gone", [], ["close", "resolve"])
    assert desk.params("resolve")["code"] == ""


def test_a_renter_that_gives_nothing_is_believed_with_its_contract() -> None:
    desk = Desk().announce()
    data = SubtaskRefused(subtask=SUBTASK, contract=rented(), worker=NAME, code="ended", reason="over")
    desk.handle("subtask.refused", data)
    assert (desk.phase, desk.params("resolve")["code"]) == ("gone", "ended")


def test_terms_for_another_worker_of_this_lane_are_left_alone() -> None:
    """The lane's earlier owner had asked for them."""
    desk = Desk().announce()
    data = SubtaskAssigned(terms=terms(), worker=derive_id("worker", 2))
    assert desk.handle("subtask.assigned", data).phase == "asked"
    desk = Desk().announce("enclave").assign("enclave").publish()
    desk.inside("evidence.made", EvidenceMade(subtask=SUBTASK, evidence=b"e"))
    assert desk.seal(derive_id("worker", 2)).performed == []
    assert desk.phase == "offered"


@pytest.mark.parametrize(
    "outcome",
    [
        ComputerReady(subtask=SUBTASK),
        EvidenceMade(subtask=SUBTASK, evidence=b"e"),
        SealAccepted(subtask=SUBTASK, mac=b"m", protections=()),
        ComputerFailed(subtask=SUBTASK, code="bad-key", reason=""),
    ],
)
def test_an_outcome_of_a_session_that_is_gone_changes_nothing(outcome: Struct) -> None:
    names = {kind: name for name, kind in INTERNAL_TYPES.items()}
    desk = Desk().inside(names[type(outcome)], outcome)
    assert (len(desk.records), desk.did) == (0, ())


# ---------------------------------------------------------------- serving


def test_a_batch_of_an_open_session_is_computed() -> None:
    desk = Desk().open().batch()
    assert desk.params("compute")["batch"] == BATCH


def test_a_batch_without_a_result_is_told_and_an_ended_enclave_closes_its_session() -> None:
    failed = BatchFailed(batch=BATCH, code="ciphertext-length", reason="short", final=False)
    desk = Desk().open().inside("batch.unfit", BatchUnfit(renter=RENTER, failed=failed))
    assert (desk.phase, desk.sent) == ("open", ["batch.failed"])
    ended = structs.replace(failed, code="enclave-cpu", final=True)
    desk.inside("batch.unfit", BatchUnfit(renter=RENTER, failed=ended))
    assert (desk.phase, desk.sent, desk.performed) == ("gone", ["batch.failed"], ["close"])


def test_the_renters_receipt_is_countersigned_and_the_session_closed() -> None:
    desk = Desk().open().handle("subtask.completed", SubtaskCompleted(contract=rented(), receipt=receipt()))
    assert (desk.phase, desk.sent) == ("gone", ["receipt.countersigned"])


@pytest.mark.parametrize(("seconds", "phase"), [(IDLE_SECONDS_MAX - 1, "open"), (IDLE_SECONDS_MAX + 1, "gone")])
def test_a_session_without_batches_is_swept_away(seconds: float, phase: str) -> None:
    lasting = rented(ends_at=NOW + 1000)
    desk = Desk().open()
    desk.records.put(f"session/{SUBTASK}", structs.replace(_session(desk), terms=terms(contract=lasting)))
    desk.now += seconds
    assert desk.timer("sweep").phase == phase
    assert any(isinstance(each, SetTimer) and each.name == "sweep" for each in desk.did)


def test_a_session_of_a_joint_job_rests_between_rounds() -> None:
    resting = terms("sealed-result", contract=rented("sealed-result", ends_at=NOW + 1000), partner="C11.C12")
    desk = Desk().open()
    desk.records.put(f"session/{SUBTASK}", structs.replace(_session(desk), terms=resting))
    desk.now += IDLE_SECONDS_MAX + 1
    assert desk.timer("sweep").phase == "open"
    desk.now = NOW + 1000
    assert desk.timer("sweep").phase == "gone"


def test_a_session_whose_contract_is_over_is_swept_away() -> None:
    desk = Desk().open()
    desk.now = rented().ends_at
    assert (desk.timer("sweep").phase, "close" in desk.performed) == ("gone", True)


def _session(desk: Desk) -> Session:
    record = desk.records[f"session/{SUBTASK}"]
    assert isinstance(record, Session)
    return record


def receipt(**changes: Any) -> Receipt:
    fields: dict[str, Any] = {
        "contract": rented().id,
        "job": JOB,
        "subtask": SUBTASK,
        "rows": 1,
        "batches": 1,
        "started_at": NOW,
        "ended_at": NOW + 1,
        "cost_micros": 1,
    }
    unsigned = Receipt(**(fields | changes))
    return structs.replace(unsigned, renter_signature=IDENTITIES[RENTER].sign(struct_bytes(unsigned)))


# ---------------------------------------------------------------- refusals

LATER = 120.0
"""Seconds after which the contract has run out."""


def _announce(of: Contract) -> Callable[[Desk], object]:
    return lambda desk: desk.handle("subtask.announced", SubtaskAnnounced(terms=terms(contract=of)))


def _late(desk: Desk) -> object:
    desk.now += LATER
    return desk.batch()


REFUSALS: dict[str, tuple[Callable[[Desk], object], str, str]] = {
    "another lessor's contract": (_announce(rented(lessor=OTHER)), "not-my-contract", "does not bind B11.B12"),
    "a contract of another renter": (
        lambda desk: desk.handle("subtask.announced", SubtaskAnnounced(terms=terms()), OTHER),
        "wrong-sender",
        "does not rent to B11.B13",
    ),
    "a contract that a hub has not signed": (
        _announce(structs.replace(rented(), lessor_hub_signature=bytes(64))),
        "lessor-hub-signature",
        "B11.hub has not signed",
    ),
    "a contract that has run out": (
        _announce(rented(starts_at=NOW - 60, ends_at=NOW)),
        "contract-ended",
        "has run out",
    ),
    "a batch after the contract": (_late, "contract-ended", "has run out"),
    "terms under another protection than the contract's": (
        lambda desk: desk.handle(
            "subtask.assigned", SubtaskAssigned(terms=terms("enclave", contract=rented()), worker=NAME)
        ),
        "bad-terms",
        "is for homomorphic, not enclave",
    ),
    "ciphertext terms without a scheme": (lambda desk: desk.assign(scheme=None), "bad-terms", "needs a scheme"),
    "ciphertext terms without a fixed point": (
        lambda desk: desk.assign(fixed_point=None),
        "bad-terms",
        "and a fixed point",
    ),
    "ciphertext terms without a key": (lambda desk: desk.assign(public_key=None), "bad-terms", "public key"),
    "sealed terms without their bits": (
        lambda desk: desk.assign("sealed-result", result_bits=None),
        "bad-terms",
        "fixed-point bits",
    ),
    "a partner for results that are not sealed": (
        lambda desk: desk.assign("enclave", partner="C11.C12"),
        "bad-terms",
        "only sealed results",
    ),
    "terms that nobody asked for": (
        lambda desk: desk.handle(
            "subtask.assigned", SubtaskAssigned(terms=terms(subtask=derive_id("subtask", 9)), worker=NAME)
        ),
        "not-asked-for",
        "was not asked for",
    ),
    "a program of somebody else": (lambda desk: desk.publish(source=OTHER), "not-asked-for", "B11.B13 was not asked"),
    "a program that is not the one asked for": (lambda desk: desk.publish(b"other"), "not-asked-for", "does not need"),
    "a piece of another program": (lambda desk: desk.publish(PIECES[0]), "not-asked-for", "does not need"),
    "a key for a session that is not here": (
        lambda desk: desk.handle(
            "key.sealed",
            KeySealed(
                subtask=derive_id("subtask", 9), worker=NAME, sealed=b"", signature=b"", claims=b"", policy_digest=b""
            ),
        ),
        "not-asked-for",
        "was not asked for",
    ),
    "a batch of a session that is not open": (
        lambda desk: desk.batch(subtask=derive_id("subtask", 9)),
        "not-asked-for",
        "is not open here",
    ),
    "a batch under another contract": (
        lambda desk: desk.batch(contract=derive_id("contract", 9)),
        "wrong-contract",
        "does not belong",
    ),
    "a batch of another job": (lambda desk: desk.batch(job=derive_id("job", 9)), "wrong-contract", "does not belong"),
    "a batch of another renter": (lambda desk: desk.batch(OTHER), "wrong-contract", "does not belong"),
    "a receipt that the renter has not signed": (
        lambda desk: desk.handle(
            "subtask.completed",
            SubtaskCompleted(contract=rented(), receipt=structs.replace(receipt(), renter_signature=bytes(64))),
        ),
        "bad-receipt",
        "did not sign this receipt",
    ),
    "a receipt of another contract": (
        lambda desk: desk.handle(
            "subtask.completed",
            SubtaskCompleted(contract=rented(), receipt=receipt(contract=derive_id("contract", 9))),
        ),
        "bad-receipt",
        "did not sign this receipt",
    ),
    "an event without its data": (
        lambda desk: desk.handle("subtask.announced", None),
        "wrong-data",
        "without its data",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_wrong_in_itself_is_refused_with_its_code_and_changes_nothing(case: str) -> None:
    wrong, code, said = REFUSALS[case]
    desk = Desk().open()
    desk.records.put(f"session/{SUBTASK}", structs.replace(_session(desk), nonce=b""))
    before = dict(desk.records)
    with pytest.raises(Refused) as refused:
        wrong(desk)
    assert (refused.value.code, said in refused.value.reason) == (code, True), refused.value.reason
    assert dict(desk.records) == before


# ---------------------------------------------------------------- whose signature it must be


def test_the_signers_key_comes_from_the_contract_or_the_session_or_is_not_known() -> None:
    desk, renter = Desk(), IDENTITIES[RENTER].public

    def key(event: Event) -> bytes | None:
        return desk.machine.key_of(desk.records, event)

    batch = desk.event("batch.dispatched", None, RENTER, attributes=batch_attributes(BATCH), subject=JOB)
    program = desk.event("program.published", None, RENTER)
    assert key(desk.event("subtask.announced", SubtaskAnnounced(terms=terms()), RENTER)) == renter
    assert key(desk.event("contract.ended", ContractEnded(contract=rented().id, code="x"), HUB_B)) == HUB_KEYS[HUB_B]
    assert (key(batch), key(program), desk.machine.awaits_terms(desk.records, program)) == (None, None, False)
    desk.announce()
    assert (key(program), desk.machine.awaits_terms(desk.records, program)) == (None, True)
    assert not desk.machine.awaits_terms(desk.records, desk.event("program.published", None, OTHER))
    desk.assign()
    assert (key(program), desk.machine.awaits_terms(desk.records, program)) == (renter, False)
    desk.publish().publish(PUBLIC_KEY).inside("computer.ready", ComputerReady(subtask=SUBTASK))
    assert key(batch) == renter
    assert key(desk.event("batch.dispatched", None, OTHER, attributes=batch_attributes(BATCH), subject=JOB)) is None
