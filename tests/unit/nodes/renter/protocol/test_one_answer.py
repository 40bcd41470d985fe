"""A lessor learns whether its result was accepted, and nothing of why not: that would be a bit of the plaintext."""

from __future__ import annotations

import pytest

from nodes.machine import Publish
from nodes.renter.protocol.outcomes import JobSpoiled, ResultRefused
from tests.unit.nodes.renter.protocol.world import ONE, SUBTASKS, World, started

CODES = ("ciphertext-invalid", "ciphertext-length", "wrong-result", "not-finite", "wrong-shape", "not-authentic")


def told(world: World) -> list[tuple[str, str, object]]:
    """What leaves the renter: type, receiver, data."""
    return [(effect.type, effect.to, effect.data) for effect in world.step.effects if isinstance(effect, Publish)]


def refused(code: str) -> World:
    """A job at the moment when a lessor's result was not accepted."""
    world = started()
    reason = f"batch 0 fails as {code}"
    data = ResultRefused(batch=0, attempt=1, owner=SUBTASKS[ONE], code=code, reason=reason, evidence="e" * 64)
    world.handle("result.refused", data)
    return world


@pytest.mark.parametrize("code", CODES[1:])
def test_every_result_that_is_not_accepted_gets_the_same_answer(code: str) -> None:
    expected = told(refused(CODES[0]))
    assert [event_type for event_type, _, _ in expected].count("contract.ended") == 1
    assert told(refused(code)) == expected


@pytest.mark.parametrize("code", CODES)
def test_the_renter_itself_is_told_why(code: str) -> None:
    (cause,) = refused(code).job.causes
    assert cause == (code, f"{ONE}: batch 0 fails as {code}")


def test_why_a_job_failed_is_nobody_elses_business() -> None:
    answers = []
    for code in ("bad-data", "bad-program"):
        world = started()
        world.handle("job.spoiled", JobSpoiled(code=code, reason=f"{code} in row 3"))
        answers.append(told(world))
    assert answers[0] == answers[1]
    assert "contract.ended" in [event_type for event_type, _, _ in answers[0]]
