"""How a worker comes to know a subtask: what it asks for, gathers and keeps, and when it gives up."""

from __future__ import annotations

import pytest
from msgspec import Struct, structs

from nodes.lessor.protocol import opening
from nodes.lessor.protocol.records import (
    INTERNAL_TYPES,
    ComputerFailed,
    ComputerReady,
    EvidenceMade,
    SealAccepted,
    SessionWanted,
)
from nodes.machine import Publish, Refused
from schemas.events import SubtaskAssigned, SubtaskRefused
from schemas.ids import derive_id
from schemas.limits import HANDSHAKE_SECONDS_MAX, LOAD_BYTES_PER_SECOND_MIN, PIECE_BYTES, PIECES_UNDER_WAY_MAX
from schemas.manifest import cut
from schemas.orders import Protection
from tests.unit.nodes.lessor.protocol.desk import (
    JOB,
    LANE,
    NAME,
    NOW,
    PROGRAM,
    PUBLIC_KEY,
    SUBTASK,
    Desk,
    rented,
    sha,
    terms,
)
from tests.unit.nodes.lessor.rentals import RENTER


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
    """A session that was closed opens again with the files that are here."""
    desk = Desk().open()
    desk.records.drop(f"session/{SUBTASK}")
    desk.announce()
    assert desk.assign().performed == ["build"]


PIECES = (*(bytes([number]) * PIECE_BYTES for number in range(9)), b"the rest")
LARGE = cut(b"".join(PIECES))[0]


def test_a_large_program_is_asked_for_a_few_pieces_at_a_time_until_it_is_here() -> None:
    """In any order, some twice: each is asked for once, half a window at a time, never more than a few under way."""
    desk, asked, here = Desk().announce("enclave").assign("enclave", program=LARGE), list[str](), 0
    requests = 0
    while desk.performed != ["offer"]:
        if "pieces.requested" in desk.sent:
            assert (desk.data("pieces.requested")["lane"], desk.data("pieces.requested")["worker"]) == (LANE, NAME)
            asked += desk.data("pieces.requested")["pieces"]
            requests += 1
        assert 0 < len(asked) - here <= PIECES_UNDER_WAY_MAX
        piece = PIECES[LARGE.pieces.index(asked[here ^ 1 if here ^ 1 < len(asked) else here])]
        desk.publish(piece)
        assert desk.deadline() >= HANDSHAKE_SECONDS_MAX
        here, desk.now = here + 1, desk.now + HANDSHAKE_SECONDS_MAX - 1
        if desk.phase == "gathering" and not desk.sent:
            assert desk.publish(piece).did == ()
    assert sorted(asked) == sorted(LARGE.pieces)
    assert requests == 1 + (len(PIECES) - PIECES_UNDER_WAY_MAX) // (PIECES_UNDER_WAY_MAX // 2)
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
