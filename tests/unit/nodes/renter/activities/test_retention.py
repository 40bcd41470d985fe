"""What goes with a job that is erased, and what another one needs."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import replace
from pathlib import Path

from nodes.joint.aligner import Aligner
from nodes.renter.activities.aligning import RentersSide
from nodes.renter.activities.retention import STAGED_SECONDS_MAX, Retention
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import Workbench
from nodes.renter.protocol.outcomes import JobKept
from nodes.renter.protocol.records import Subtask
from nodes.store.blobs import BlobStore
from schemas.ids import Address, derive_id
from tests.unit.nodes.renter.activities.records import JOB, prepared, put, staged

OTHER = derive_id("job", 2)


def retention(services: Services) -> Retention:
    workbench = Workbench(services)
    side = RentersSide(services, workbench)
    aligner = Aligner(services.store, services.crew, None, services.clock, side.load, side.known)  # type: ignore[arg-type]
    return Retention(services, workbench, aligner)


def blobs(services: Services) -> list[str]:
    return [path.name for path in (services.jobs.parent / "blobs").iterdir()]


async def test_a_job_goes_with_all_its_files(services: Services) -> None:
    await prepared(services)
    assert await retention(services).erase({}, JOB) == []
    assert (blobs(services), list(services.jobs.iterdir()), await services.store.read(JOB)) == ([], [], {})


async def test_its_secrets_go_with_it(services: Services) -> None:
    await prepared(services)
    subtask = Subtask(
        id=derive_id("subtask", 1),
        contract=derive_id("contract", 1),
        lessor=Address("B11.B12"),
        phase="running",
        queue=(),
    )
    await put(services.store, {f"subtask/{subtask.id}": subtask})
    await services.store.put_secret(f"subtask/{subtask.id}", b"sealed")
    await retention(services).erase({}, JOB)
    assert await services.store.get_secret(f"subtask/{subtask.id}") is None


async def test_it_is_kept_while_another_is_submitted_that_may_need_its_program_and_goes_once_that_is_here(
    services: Services,
) -> None:
    await prepared(services)
    staged(services, OTHER)
    assert await retention(services).erase({}, JOB) == [("job.kept", JobKept())]
    assert len(blobs(services)) == 1, "both jobs have one program"
    shutil.rmtree(services.folder(OTHER).path)
    await prepared(services, job=OTHER)
    assert await retention(services).erase({}, JOB) == []
    assert len(blobs(services)) == 1, "the other job needs it"
    assert await retention(services).erase({}, OTHER) == []
    assert blobs(services) == []


async def test_what_a_killed_submission_left_keeps_no_job(services: Services) -> None:
    await prepared(services)
    staged(services, OTHER)
    old = services.clock() - STAGED_SECONDS_MAX - 1
    os.utime(services.folder(OTHER).path, (old, old))
    assert await retention(services).erase({}, JOB) == []


class Late(BlobStore):
    """Another job is staged just when the first blob was read to be removed."""

    def __init__(self, folder: Path, services: Services) -> None:
        super().__init__(folder)
        self._services = services

    def get(self, digest: str) -> bytes:
        content = super().get(digest)
        if not self._services.folder(OTHER).path.exists():
            staged(self._services, OTHER)
        return content


async def test_a_job_that_is_staged_meanwhile_finds_the_program_that_it_counts_on(services: Services) -> None:
    spec = await prepared(services)
    late = replace(services, blobs=Late(services.jobs.parent / "blobs", services))
    assert await retention(late).erase({}, JOB) == [("job.kept", JobKept())]
    assert await asyncio.to_thread(services.blobs.get, spec.program)
