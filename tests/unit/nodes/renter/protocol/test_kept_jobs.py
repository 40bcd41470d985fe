"""A job that its user deletes: taken back if it runs, gone once its contracts have ended."""

from __future__ import annotations

from msgspec import structs

from nodes.machine import TIMER_FIRED, Perform, Publish, SetTimer, TimerFired
from nodes.renter.protocol import ending
from nodes.renter.protocol.retention import AGAIN_SECONDS, RECEIPT_SECONDS_MAX
from schemas.events import JobDeleted
from schemas.ids import derive_id
from tests.unit.nodes.renter.protocol.world import JOB, ONE, TWO, World, started


def kept_until(world: World) -> float | None:
    """When the last step wants to look again."""
    found = [each.at for each in world.step.effects if isinstance(each, SetTimer) and each.name == ending.KEEP]
    return found[-1] if found else None


def fire(world: World) -> None:
    world.handle(TIMER_FIRED, TimerFired(name=ending.KEEP, at=world.now))


def erases(world: World) -> bool:
    return any(isinstance(each, Perform) and each.activity == "erase" for each in world.step.effects)


def ended_contracts(world: World) -> dict[str, str]:
    """Why, by contract."""
    told = [each.data for each in world.step.effects if isinstance(each, Publish) and each.type == "contract.ended"]
    return {each["contract"]: each["code"] for each in told}


CONTRACTS = [derive_id("contract", each) for each in (ONE, TWO)]


def test_a_running_job_is_taken_back_first() -> None:
    world = started()
    at = world.now
    world.handle("job.deleted", JobDeleted(job=JOB))
    assert (world.progress.phase, world.job.code, kept_until(world)) == ("failed", "cancelled", at)
    assert ended_contracts(world) == dict.fromkeys(CONTRACTS, "job-failed")
    fire(world)
    assert erases(world)


def test_a_completed_job_waits_for_its_lessors_receipts_and_ends_contracts_that_get_none() -> None:
    world = started()
    world.records["progress"] = structs.replace(world.progress, phase="completed")
    world.records["job"] = structs.replace(world.job, ended_at=world.now)
    at = world.now
    world.handle("job.deleted", JobDeleted(job=JOB))
    assert (world.progress.phase, kept_until(world), ended_contracts(world)) == ("completed", at, {})
    at = world.now
    fire(world)
    assert (erases(world), kept_until(world)) == (False, at + AGAIN_SECONDS)
    world.now += RECEIPT_SECONDS_MAX
    fire(world)
    assert ended_contracts(world) == dict.fromkeys(CONTRACTS, "completed")
    assert erases(world)
