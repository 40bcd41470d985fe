"""A job's history, folded from recorded journals: every batch is told once, whoever computed it, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import orjson
import pytest

from nodes.renter.protocol.records import LostLink
from nodes.renter.protocol.states import JobPhase, RoundPhase, SubtaskPhase
from nodes.views.history import INCIDENTS_MAX, LANES_MAX, MARKS_MAX, History
from nodes.views.report import UNREADABLE, JobReport, Rental
from nodes.views.spans import SLOTS_MAX, SPANS_MAX, Spans
from nodes.views.waiting import PHASES, ROUNDS, SUBTASKS, lasted, waits_for
from tests.unit.nodes.views.journals import journal

ME, LESSORS, PARTNER = "A11.A12", {"B11.B12", "B11.B13"}, "C11.C12"


def history(name: str) -> History:
    found = History()
    found.add(journal(name))
    return found


def accepted(name: str) -> int:
    entries = (orjson.loads(each) for each in journal(name))
    return sum(each["event"]["type"] in ("result.accepted", "batch.forwarded") for each in entries)


@pytest.mark.parametrize("name", ["homomorphic", "enclave", "sealed-result", "joint", "model"])
def test_every_batch_of_a_recorded_job_is_told_once(name: str) -> None:
    found = history(name)
    assert sum(sum(lane.spans.counts.values()) for lane in found.lanes) == accepted(name) > 0
    assert all(not lane.spans.open for lane in found.lanes)
    assert found.entries == len(journal(name))
    assert [phase for phase, _ in found.phases][-1] == "completed"


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("homomorphic", ["renter", "hub", "hub", "lessor", "lessor"]),
        ("enclave", ["renter", "hub", "hub", "lessor", "attester", "lessor", "attester"]),
        ("joint", ["renter", "hub", "hub", "hub", "lessor", "attester", "lessor", "attester", "partner"]),
    ],
)
def test_every_party_has_a_lane(name: str, kinds: list[str]) -> None:
    lanes = history(name).lanes
    assert [lane.kind for lane in lanes] == kinds
    assert {lane.name for lane in lanes if lane.kind == "lessor"} == LESSORS
    assert {lane.of for lane in lanes if lane.kind == "attester"} <= LESSORS
    assert all(lane.claims["kind"] == "software" for lane in lanes if lane.kind == "attester")


def entry(event: str, *effects: Mapping[str, object], now: float = 1.0, **data: object) -> bytes:
    return orjson.dumps({"event": {"type": event, "source": ME, "data": data}, "now": now, "effects": effects})


def dispatch(batch: int, lessor: str, attempt: int = 1) -> dict[str, object]:
    asked = {"batch": batch, "attempt": attempt, "subtask": f"subtask-{lessor}"}
    return {"effect": "perform", "activity": "dispatch", "params": {"batch": asked, "lessor": lessor}}


def note(kind: str, **details: object) -> dict[str, object]:
    return {"effect": "note", "kind": kind, "text": "why", "details": details}


def test_a_lost_lessors_batches_are_lost_there_and_done_again_elsewhere() -> None:
    found = History()
    lost = note("subtask-lost", lessor="B11.B13", code="silent")
    found.add(
        [
            entry("job.submitted"),
            entry("x", dispatch(1, "B11.B12"), dispatch(2, "B11.B13"), now=2.0),
            entry("timer.fired", lost, dispatch(2, "B11.B12", attempt=2), now=5.0),
            entry("result.accepted", batch=2, owner="subtask-B11.B12", now=6.0),
        ]
    )
    lanes = {lane.name: lane for lane in found.lanes}
    assert (lanes["B11.B13"].lost, lanes["B11.B13"].until, lanes["B11.B13"].spans.counts) == (True, 5.0, {"lost": 1})
    assert (lanes["B11.B12"].spans.counts, list(lanes["B11.B12"].spans.open)) == ({"again": 1}, [1])
    (incident,) = found.incidents
    assert (incident.at, incident.kind, incident.party, incident.code) == (5.0, "subtask-lost", "B11.B13", "silent")


def test_what_a_journal_cannot_be_read_of_is_passed_over() -> None:
    found = History()
    found.add([entry("job.submitted"), b"{", b"[]", entry("result.accepted"), entry("batch.forwarded", batch="x")])
    assert found.entries == 5


def test_a_history_stays_bounded() -> None:
    found = History()
    found.add([entry("job.submitted")])
    for number in range(400):
        failed = note("batch-failed", batch=number, lessor=f"B11.L{number}")
        signed = {"effect": "publish", "type": "subtask.announced", "to": "B11.L1"}
        found.add([entry("x", dispatch(number, f"B11.L{number}"), failed, signed, now=1.0 + number)])
    assert len(found.lanes) == LANES_MAX
    assert found.unlisted > 0
    assert len(found.incidents) == INCIDENTS_MAX
    assert found.incidents_seen == 400
    assert max(len(lane.marks) for lane in found.lanes) == MARKS_MAX


def test_slots_grow_with_time_and_count_everything() -> None:
    spans = Spans(100.0)
    for batch in range(2_000):
        spans.begin(batch, 1 + batch % 2, 100.0 + batch)
        spans.end(batch, "done", 101.0 + batch)
    assert spans.is_crowded
    assert len(spans.slots) <= SLOTS_MAX
    assert len(spans.ended) == SPANS_MAX
    total: dict[str, int] = {}
    for slot in spans.slots:
        for state, count in slot.counts.items():
            total[state] = total.get(state, 0) + count
    assert total == spans.counts == {"done": 1000, "again": 1000}
    assert len(spans.slots) >= SLOTS_MAX / 4


# ------------------------------------------------------------ what it waits for


def test_every_state_has_words() -> None:
    assert set(PHASES) == {*get_args(JobPhase), UNREADABLE}
    assert set(SUBTASKS) == set(get_args(SubtaskPhase))
    assert set(ROUNDS) == set(get_args(RoundPhase))


@pytest.mark.parametrize("phase", sorted(PHASES))
def test_what_a_job_waits_for_is_a_sentence(phase: str) -> None:
    said = waits_for(JobReport(id="job-1", phase=phase, reason="why", code="code"), 9.0)
    assert len(said.split()) > 3
    assert said[0].isupper()


def a_rental(lessor: str, subtask: str, **fields: object) -> Rental:
    known = {"id": "c", "renter_hub": "A11.hub", "lessor_hub": "B11.hub", "protection": "enclave", "units": 1}
    known |= {"price_micros": 1, "state": "running", "rows": 0, "batches": 0, "lessor": lessor, "subtask": subtask}
    return Rental(**known | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"contracts": (a_rental("B11.B12", "keying"),)}, ["Waits for B11.B12 to prove what its enclave runs"]),
        (
            {"contracts": (a_rental("B11.B12", "running", under_way=3, waiting=9, heard_at=5.0),)},
            ["Waits for B11.B12 to compute 3 batches", "9 more", "heard 4 s ago"],
        ),
        (
            {
                "contracts": (a_rental("B11.B12", "lost"),),
                "unowned": 2,
                "ordered_at": 3.0,
                "causes": (("silent", "B11.B12: nothing from B11.B12 for 6 s"),),
            },
            ["B11.B12 was lost", "2 batches have waited for 6 s for a contract", "nothing from B11.B12 for 6 s"],
        ),
        ({"here": 1}, ["This renter computes 1 batch itself", "nothing more is decrypted"]),
        (
            {"contracts": tuple(a_rental(f"B11.L{n}", "running", under_way=1) for n in range(9))},
            ["9 lessors to compute 9 batches"],
        ),
    ],
)
def test_a_running_job_says_whom_it_waits_for_and_why(fields: dict[str, object], words: list[str]) -> None:
    said = waits_for(JobReport(id="job-1", phase="running", **fields), 9.0)  # type: ignore[arg-type]
    assert [each for each in words if each not in said] == []


LOST = (LostLink(neighbour="B11.hub", why="nothing has come from B11.hub for 9 s", lost_at=7.0, contracts=("over",)),)


@pytest.mark.parametrize(
    ("phase", "fields", "named"),
    [
        ("ordering", {"ordered_at": 3.0}, True),
        ("running", {"unowned": 1}, True),
        ("running", {"contracts": (a_rental("B11.B12", "running", id="over"),)}, True),
        ("running", {"contracts": (a_rental("C11.C12", "running"),)}, False),
        ("running", {"contracts": (a_rental("B11.B12", "completed", id="over"),)}, False),
        ("completed", {"unowned": 1}, False),
    ],
)
def test_a_lost_link_is_named_by_jobs_that_wait_for_it(phase: str, fields: dict[str, object], named: bool) -> None:
    said = waits_for(JobReport(id="job-1", phase=phase, lost_links=LOST, **fields), 9.0)  # type: ignore[arg-type]
    assert ("link from its hub to B11.hub is down since 00:00:07 UTC (nothing has come" in said) == named


@pytest.mark.parametrize(("seconds", "words"), [(-1, "0 s"), (119, "119 s"), (600, "10 min"), (9000, "2.5 h")])
def test_a_wait_is_told_in_one_unit(seconds: float, words: str) -> None:
    assert lasted(seconds) == words
