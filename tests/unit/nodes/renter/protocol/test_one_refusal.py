"""A key that leaks with each refused result decrypts nothing after the first: the renter computes the rest itself."""

from __future__ import annotations

from typing import Final

import pytest
from msgspec import structs

from nodes.machine import Perform
from nodes.renter.protocol.outcomes import ResultAccepted, ResultRefused
from nodes.renter.protocol.records import LOCAL, BatchRecord, Part
from schemas.jobs import Scheme
from tests.unit.nodes.renter.protocol.world import ONE, SUBTASKS, TWO, World, started

BATCHES: Final = 8


def world_of(scheme: Scheme, local: int = 0) -> World:
    """Eight batches in progress, of which the last `local` are the renter's own, and the first of those under way."""
    rented = BATCHES - local
    world = started(second=((4, rented),))
    assert world.job.assessment is not None
    parts = (
        Part(owner="all", first_batch=0, batches=rented, first_row=0, rows=10 * rented, rows_each=10),
        Part(owner=LOCAL, first_batch=rented, batches=local, first_row=10 * rented, rows=10 * local, rows_each=10),
    )
    assessment = structs.replace(world.job.assessment, scheme=scheme)
    world.records["job"] = structs.replace(world.job, assessment=assessment, parts=parts)
    if local:
        world.records[f"batch/{rented}"] = BatchRecord(
            number=rented, first_row=10 * rented, rows=10, owner=LOCAL, attempt=1
        )
    return world


def refuse(world: World, batch: int = 0) -> list[int]:
    """A result of the first lessor is refused; which batches the renter then computes at once."""
    refused = ResultRefused(
        batch=batch, attempt=1, owner=SUBTASKS[ONE], code="wrong-result", reason="wrong", evidence="e" * 64
    )
    world.handle("result.refused", refused)
    return computed_here(world)


def compute(world: World, batch: int) -> list[int]:
    """The renter has computed a batch; which it computes next."""
    world.handle("result.accepted", ResultAccepted(batch=batch, attempt=1, owner=LOCAL, digest="aa"))
    assert world.dispatched() == []
    return computed_here(world)


def computed_here(world: World) -> list[int]:
    performs = [effect for effect in world.step.effects if isinstance(effect, Perform)]
    return [each.params["batch"] for each in performs if each.activity == "compute-local"]


def test_what_is_left_is_computed_here_one_by_one_until_the_job_is_done() -> None:
    world = world_of("bfv")
    world.result(4, TWO)
    running, computed = refuse(world), []
    assert "key-retired" in world.notes()
    while running:
        computed += running
        running = compute(world, *running)
    assert sorted(computed) == [0, 1, 2, 3, 5, 6, 7]
    assert (world.progress.phase, world.progress.batches_done) == ("assembling", BATCHES)


def test_a_local_part_that_is_under_way_goes_on_with_what_is_left() -> None:
    world = world_of("bfv", local=2)
    assert refuse(world) == []
    running, computed = [6], []
    while running:
        computed += running
        running = compute(world, *running)
    assert computed[:2] == [6, 7]
    assert sorted(computed) == list(range(BATCHES))
    assert world.progress.phase == "assembling"


def test_only_who_erred_is_lost_and_others_get_their_receipts_in_the_end() -> None:
    world = world_of("bfv")
    running = refuse(world)
    assert [world.subtask(each).phase for each in (ONE, TWO)] == ["lost", "running"]
    assert (world.subtask(TWO).under_way, world.subtask(TWO).queue) == ((), ())
    assert world.job.avoid == (ONE,)
    assert world.silence(TWO).effects == ()
    while running:
        running = compute(world, *running)
    assert world.subtask(TWO).phase == "completed"
    assert "subtask.completed" in world.published()


def test_a_result_that_was_being_read_meanwhile_counts_and_is_not_computed_again() -> None:
    world = world_of("bfv")
    running, computed = refuse(world), []
    world.result(4, TWO)
    assert world.dispatched() == []
    while running:
        computed += running
        running = compute(world, *running)
    assert 4 not in computed
    assert (world.progress.phase, world.progress.batches_done) == ("assembling", BATCHES)


def test_the_rest_is_computed_though_the_batch_under_way_here_comes_from_its_lessor_meanwhile() -> None:
    """What is computed here in plaintext is not rounded as what was decrypted: they differ, and nobody erred."""
    world = world_of("bfv")
    (first,) = refuse(world, 1)
    world.result(first, ONE if first < 4 else TWO, digest="bb")
    running, computed = compute(world, first), []
    assert "incident" not in world.notes()
    while running:
        computed += running
        running = compute(world, *running)
    assert sorted([first, *computed]) == list(range(BATCHES))
    assert (world.progress.phase, world.progress.batches_done) == ("assembling", BATCHES)


def test_a_second_refusal_that_was_under_way_changes_nothing_more() -> None:
    world = world_of("bfv")
    refuse(world)
    left = world.progress.here
    assert refuse(world, 1) == []
    assert world.progress.here == left


@pytest.mark.parametrize("scheme", ["paillier", "ckks"])
def test_keys_of_other_schemes_go_on(scheme: Scheme) -> None:
    world = world_of(scheme)
    assert refuse(world) == []
    assert world.progress.here is None
    assert world.subtask(TWO).under_way
