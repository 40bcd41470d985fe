"""Rows are aligned by masked ids at the partner: chunks in any order and twice, and what ends the part."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodes.joint.exchange import SEND_WINDOW
from nodes.joint.records import Alignment, ChunkRefused, ChunkReturned, ChunkTaken, IdsMatched, MaskMade, MasksSorted
from nodes.machine import Perform
from nodes.partner.protocol.records import ColumnsMade, Ledger
from schemas.joint import JointEnded
from tests.unit.nodes.partner.world import JOB, RENTER, World

RENTERS, PARTNERS = 40_000, 20_000
"""Three chunks, and two."""
ROWS_MIN = 50


class Aligning(World):
    """A part whose rows are found by masked ids."""

    def __init__(self) -> None:
        super().__init__()
        self.asked(ids=None, salt=b"r" * 32, rows=RENTERS)

    def covered(self) -> Aligning:
        self.examined(rows=PARTNERS, rows_min=ROWS_MIN)
        return self

    def masked(self, *numbers: int) -> Aligning:
        for number in numbers:
            self.handle("mask.made", MaskMade(chunk=number))
        return self

    def took(self, *numbers: int, digest: str = "a") -> Aligning:
        for number in numbers:
            self.handle("chunk.taken", ChunkTaken(chunk=number, digest=digest * 64))
        return self

    def got_back(self, *numbers: int) -> Aligning:
        for number in numbers:
            self.handle("chunk.returned", ChunkReturned(chunk=number, digest="b" * 64))
        return self

    def matched(self, rows: int = 100, code: str = "") -> Aligning:
        self.handle("ids.matched", IdsMatched(rows=rows, code=code, reason=code))
        return self

    def chunks(self, activity: str) -> list[int]:
        """Of this activity in the last step."""
        return _chunks(self, activity)


def _chunks(world: World, activity: str) -> list[int]:
    performs = [effect for effect in world.step.effects if isinstance(effect, Perform)]
    return [effect.params["chunk"] for effect in performs if effect.activity == activity]


def exchanged() -> Aligning:
    """Everything came."""
    return Aligning().covered().masked(0, 1).took(0, 1, 2).got_back(0, 1)


def test_masks_are_sorted_before_any_of_them_leaves() -> None:
    world = Aligning().covered()
    (accepted,) = world.sent()
    assert (accepted.type, accepted.data["rows"]) == ("joint.accepted", PARTNERS)
    assert world.chunks("mask-ids") == [0, 1]
    assert world.masked(1).performed() == []
    assert world.masked(0).performed() == ["sort-ids"]
    world.handle("masks.sorted", MasksSorted())
    assert world.chunks("send-ids") == [0, 1]


def test_masks_go_out_as_others_come_back() -> None:
    world = World().asked(ids=None, salt=b"r" * 32, rows=RENTERS).examined(rows=200_000)
    world.handle("masks.sorted", MasksSorted())
    assert _chunks(world, "send-ids") == list(range(SEND_WINDOW))
    for number, following in ((2, [SEND_WINDOW + 2]), (2, []), (6, [])):
        world.handle("chunk.returned", ChunkReturned(chunk=number, digest="b" * 64))
        assert _chunks(world, "send-ids") == following


def test_the_renter_gets_its_ids_back_when_it_is_known_that_enough_are_in_common() -> None:
    world = Aligning().covered().took(2, 0, 0, 1).masked(0, 1).got_back(1)
    assert world.performed() == []
    world.got_back(0)
    assert world.performed() == ["match-ids"]
    world.matched(ROWS_MIN)
    assert world.performed() == ["make-columns"]
    world.handle("columns.made", ColumnsMade(rows=ROWS_MIN))
    assert world.chunks("return-ids") == [0, 1, 2]
    assert world.sent() == []
    assert world.part.rows == ROWS_MIN
    assert not [key for key in world.records if key.startswith("chunk/")]
    world.opened(rows=ROWS_MIN)
    assert world.part.phase == "accepted"


def test_chunks_that_come_again_count_once_even_after_the_end_of_the_exchange() -> None:
    world = exchanged().got_back(1).took(2)
    assert world.performed() == []
    world.matched().took(0, 1, 2).got_back(0, 1)
    assert world.performed() == []


def test_what_did_not_match_is_in_the_ledger() -> None:
    found = _learned(_made(60))
    assert found["partner", "ids-of-renter"][1] == f"how many: {RENTERS}"
    assert found["renter", "ids-of-partner"][1] == f"how many: {PARTNERS}"
    count, shape = found["renter", "rows-in-common"]
    assert count == 60
    assert f"{RENTERS - 60} of the renter's ids and {PARTNERS - 60} of the partner's did not match" in shape


def test_rows_that_are_left_out_are_told_and_in_the_ledger_and_no_sum_is_over_them() -> None:
    world = _made(60, 50)
    assert [(each.type, each.to, each.data) for each in world.sent()] == [
        ("rows.omitted", RENTER, {"job": JOB, "rows": 10})
    ]
    assert "omitted" in world.notes()
    assert world.chunks("return-ids") == [0, 1, 2]
    found = _learned(world)
    assert (found["renter", "rows-in-common"][0], found["partner", "rows-omitted"][0]) == (50, 10)
    assert "10 more rows in common" in found["renter", "rows-omitted"][1]
    assert world.part.rows == 50
    assert world.opened(rows=60).part.code == "rows-differ"


def test_what_was_learned_before_a_refusal_is_in_the_ledger() -> None:
    assert _learned(_too_alike())["partner", "rows-in-common"][0] == 60


def _made(matched: int, used: int | None = None) -> Aligning:
    world = exchanged().matched(matched)
    world.handle("columns.made", ColumnsMade(rows=matched if used is None else used))
    return world


def _learned(world: World) -> dict[tuple[str, str], tuple[int, str]]:
    ledger = world.records["ledger"]
    assert isinstance(ledger, Ledger)
    return {(each.party, each.kind): (each.count, each.shape) for each in ledger.lines}


def test_both_sides_put_into_the_salt() -> None:
    salts = set()
    for mine in (b"r" * 32, b"s" * 32):
        world = World().asked(ids=None, salt=mine, rows=RENTERS).examined(rows=PARTNERS)
        (accepted,) = world.sent()
        state = world.records["alignment"]
        assert isinstance(state, Alignment)
        assert state.salt not in (mine, accepted.data["salt"])
        salts.add(state.salt)
    assert len(salts) == 2


def _too_alike() -> World:
    world = exchanged().matched(60)
    world.handle("columns.made", ColumnsMade(code="rows-too-alike", reason="no"))
    return world


def _refused(code: str) -> World:
    world = Aligning().covered()
    world.handle("chunk.refused", ChunkRefused(code=code, reason="no"))
    return world


ENDS: dict[str, tuple[Callable[[], World], str, str]] = {
    "too few in common": (lambda: exchanged().matched(ROWS_MIN - 1), "refused", "too-few-rows"),
    "rows almost those of an earlier job": (_too_alike, "refused", "rows-too-alike"),
    "an id twice": (lambda: exchanged().matched(code="ids-repeated"), "failed", "ids-repeated"),
    "no masked id": (lambda: _refused("ids-invalid"), "failed", "ids-invalid"),
    "another chunk of a number": (lambda: Aligning().covered().took(1).took(1, digest="c"), "failed", "ids-changed"),
    "rows found in no way": (lambda: World().asked(ids=None), "refused", "bad-request"),
    "rows found in two ways": (lambda: World().asked(salt=b"r" * 32), "refused", "bad-request"),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_ends_the_part_is_told_and_erased(end: str) -> None:
    make, phase, code = ENDS[end]
    world = make()
    assert (world.part.phase, world.part.code) == (phase, code)
    (sent,) = world.sent()
    assert (sent.type, sent.data["code"]) == ("joint.ended", code)
    assert str(ROWS_MIN) not in sent.data["reason"]
    assert "return-ids" not in world.performed()
    assert world.performed() == ["erase"]
    assert set(world.records) <= {"part", "ledger"}


def test_what_is_kept_after_the_end_is_erased_too() -> None:
    world = Aligning().covered()
    world.handle("joint.ended", JointEnded(job=JOB, code="cancelled", reason=""), RENTER)
    for late in (world.masked, world.took, world.got_back, world.matched):
        assert late(0).performed() == ["erase"]
    for event_type, late_data in (("masks.sorted", MasksSorted()), ("columns.made", ColumnsMade())):
        world.handle(event_type, late_data)
        assert world.performed() == ["erase"]
