"""Rows are aligned by masked ids at the renter, then joined; who owes what, and what ends the job."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from nodes.joint.exchange import MASK_WINDOW
from nodes.joint.records import IDS_PER_SECOND_MIN, ChunkRefused, ChunkReturned, ChunkTaken, IdsMatched, MaskMade
from nodes.machine import Perform, Refused
from nodes.renter.protocol.outcomes import JobJoined
from nodes.renter.protocol.records import Agreement, Joined, Ledger
from schemas.joint import JointAccepted, JointEnded, RowsOmitted
from tests.unit.nodes.renter.protocol.test_rounds import PARTNER, WAIT, JointWorld, introduction
from tests.unit.nodes.renter.protocol.world import JOB, ME

MINE, OTHERS = 100_000, 20_000
"""Seven chunks, and two."""
ALL = range(7)


class Joining(JointWorld):
    """A job whose partner accepted, and whose rows are found by masked ids."""

    def __init__(self, rows: int = OTHERS, salt: bytes | None = b"p" * 32) -> None:
        super().__init__("agreeing")
        spec, (facts, _) = self.job.spec, self.job.decided
        assert spec.joint is not None
        spec = structs.replace(spec, joint=structs.replace(spec.joint, ids=None))
        self.records["job"] = structs.replace(self.job, spec=spec, facts=structs.replace(facts, rows=MINE))
        self.records["agreement"] = Agreement(introduction=introduction(), salt=b"r" * 32)
        self.handle("joint.accepted", JointAccepted(job=JOB, rows=rows, salt=salt), PARTNER)

    def masked(self, *numbers: int) -> Joining:
        for number in numbers:
            self.handle("mask.made", MaskMade(chunk=number))
        return self

    def took(self, *numbers: int, digest: str = "a") -> Joining:
        for number in numbers:
            self.handle("chunk.taken", ChunkTaken(chunk=number, digest=digest * 64))
        return self

    def got_back(self, *numbers: int, digest: str = "b") -> Joining:
        for number in numbers:
            self.handle("chunk.returned", ChunkReturned(chunk=number, digest=digest * 64))
        return self

    def matched(self, rows: int = 10, code: str = "") -> Joining:
        self.handle("ids.matched", IdsMatched(rows=rows, code=code, reason=code))
        return self

    def chunks(self, activity: str) -> list[int]:
        """Of this activity in the last step."""
        performs = [effect for effect in self.step.effects if isinstance(effect, Perform)]
        return [effect.params["chunk"] for effect in performs if effect.activity == activity]


def exchanged() -> Joining:
    """Everything came."""
    return Joining().masked(*ALL).took(0, 1).got_back(*ALL)


def test_a_few_chunks_are_masked_at_a_time() -> None:
    world = Joining()
    assert world.chunks("mask-ids") == list(range(MASK_WINDOW))
    assert world.masked(2).chunks("mask-ids") == [MASK_WINDOW + 2]
    assert world.masked(2).chunks("mask-ids") == []
    assert world.masked(3).chunks("mask-ids") == []


def test_what_is_taken_goes_back_at_once_and_once() -> None:
    world = Joining()
    assert world.took(1).chunks("return-ids") == [1]
    assert world.took(1).chunks("return-ids") == []


def test_when_all_is_there_it_is_matched_joined_and_compute_is_ordered() -> None:
    world = Joining().got_back(*reversed(ALL)).masked(*ALL).took(1, 1, 0)
    assert world.performed() == ["match-ids", "return-ids"]
    assert world.got_back(3).performed() == []
    assert world.matched(9_000).performed() == ["join"]
    assert world.took(0).performed() == []
    world.handle("job.joined", JobJoined(joined=Joined(data="d" * 64, rows=9_000)))
    assert world.progress.phase == "ordering"
    assert world.job.decided[0].rows == 9_000
    assert "order.buy.placed" in world.published()
    ledger = world.records["ledger"]
    assert isinstance(ledger, Ledger)
    (told,) = [each for each in ledger.lines if (each.party, each.kind) == ("renter", "rows-in-common")]
    assert (told.count, f"{MINE - 9_000} of the renter's ids" in told.shape) == (9_000, True)


def _refused(code: str) -> Joining:
    world = Joining()
    world.handle("chunk.refused", ChunkRefused(code=code, reason="no"))
    return world


def _ended() -> Joining:
    world = exchanged()
    world.handle("joint.ended", JointEnded(job=JOB, code="too-few-rows", reason="no"), PARTNER)
    return world


def _silent(world: Joining) -> Joining:
    world.after(WAIT + (MINE + OTHERS) / IDS_PER_SECOND_MIN)
    return world


ENDS: dict[str, tuple[Callable[[], Joining], str]] = {
    "it does not say how many ids it has": (lambda: Joining(rows=0), "ids-unannounced"),
    "it has no part in the salt": (lambda: Joining(salt=None), "ids-unannounced"),
    "no masked id": (lambda: _refused("ids-invalid"), "ids-invalid"),
    "an id twice": (lambda: exchanged().matched(code="ids-repeated"), "ids-repeated"),
    "another chunk of a number": (lambda: Joining().took(1).took(1, digest="c"), "ids-changed"),
    "another chunk back": (lambda: Joining().got_back(1).got_back(1, digest="c"), "ids-changed"),
    "nothing in common": (lambda: exchanged().matched(0), "too-few-rows"),
    "too little for its policy": (_ended, "too-few-rows"),
    "it sends no masks": (lambda: _silent(Joining()), "partner-silent"),
    "it gives nothing back": (lambda: _silent(Joining().masked(*ALL).took(0, 1)), "partner-silent"),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_ends_the_job_names_the_partner_and_erases_what_was_masked(end: str) -> None:
    make, code = ENDS[end]
    world = make()
    assert (world.progress.phase, world.job.code) == ("failed", code)
    assert "C11.C12" in world.job.reason
    assert "forget" in world.performed()
    if code == "partner-silent":
        assert "the alignment of rows" in world.job.reason


def test_a_partner_has_time_for_as_many_ids_as_it_has_yet_to_mask() -> None:
    world = Joining()
    world.after(WAIT + OTHERS / IDS_PER_SECOND_MIN)
    assert world.progress.phase == "joining"


def test_a_partner_that_waits_for_this_side_owes_nothing() -> None:
    assert _silent(Joining().took(0, 1)).progress.phase == "joining"


def test_what_is_kept_after_the_end_is_erased_too() -> None:
    assert _refused("ids-invalid").took(0).performed() == ["forget"]
    assert _refused("ids-invalid").got_back(0).performed() == ["forget"]
    assert _refused("ids-invalid").matched().performed() == ["forget"]


@pytest.mark.parametrize("first", [False, True], ids=["after the match", "before it"])
def test_rows_that_the_partner_leaves_out_are_noted_and_in_the_ledger(first: bool) -> None:
    world = Joining().masked(*ALL).took(0, 1).got_back(*ALL)
    if not first:
        world.matched()
    world.handle("rows.omitted", RowsOmitted(job=JOB, rows=3), PARTNER)
    assert world.notes()[-1] == "rows-omitted"
    ledger = world.records["ledger"]
    assert isinstance(ledger, Ledger)
    found = {(each.party, each.kind): each.count for each in ledger.lines}
    assert (found["partner", "rows-omitted"], found["renter", "rows-omitted"]) == (3, 1)
    with pytest.raises(Refused) as raised:
        world.handle("rows.omitted", RowsOmitted(job=JOB, rows=3), ME)
    assert raised.value.code == "not-the-partner"
