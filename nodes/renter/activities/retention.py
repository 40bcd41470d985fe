"""Activities `forget` and `erase`: what an ended job needs no more, and in the end all of it."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import Struct

from nodes.joint.aligner import Aligner
from nodes.renter.activities.aligning import RentersSide
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import Workbench
from nodes.renter.protocol.outcomes import JobKept
from nodes.renter.protocol.records import JOB_PREFIX, Job, Subtask

_DIGEST: Final = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


@dataclass(frozen=True, slots=True)
class Retention:
    """Removes what jobs leave behind."""

    services: Services
    workbench: Workbench
    aligner: Aligner

    async def forget(self, params: dict[str, Any], job: str) -> list[tuple[str, Struct]]:
        """Activity `forget`: keys from store and memory; input and parts, for the output is made or never will be."""
        await self._forget_secrets(params["subtasks"], job)
        await asyncio.to_thread(self.services.folder(job).strip)
        return []

    async def erase(self, _: dict[str, Any], job: str) -> list[tuple[str, Struct]]:
        """Activity `erase`: all that there is of a job, once nothing but this is to be carried out for it."""
        store = self.services.store
        if await store.outbox_size(job) > 1:
            return [("job.kept", JobKept())]
        records = await store.read(job)
        subtasks = [record.id for record in records.values() if isinstance(record, Subtask)]
        await self._forget_secrets(subtasks, job)
        own = records.get("job")
        for digest in await self._unshared(own) if isinstance(own, Job) else ():
            await asyncio.to_thread(self.services.blobs.remove, digest)
        await asyncio.to_thread(shutil.rmtree, self.services.folder(job).path, ignore_errors=True)
        await store.erase(job)
        return []

    async def _forget_secrets(self, subtasks: Sequence[str], job: str) -> None:
        """Keys, and what was masked with them for a partner."""
        await self.aligner.forget(job)
        await RentersSide(self.services, self.workbench).erase(job)
        await self.workbench.forget(subtasks, job)

    async def _unshared(self, own: Job) -> set[str]:
        """Files of this job in the blob store that no other job needs; none while one is submitted but not yet here."""
        here = set(await self.services.store.aggregates(JOB_PREFIX))
        staged = await asyncio.to_thread(lambda: {path.name for path in self.services.jobs.iterdir()})
        if staged - here:
            return set()
        digests = _digests(own)
        for name in here - {own.spec.id}:
            other = (await self.services.store.get(name, ["job"])).get("job")
            digests.difference_update(_digests(other) if isinstance(other, Job) else ())
        return digests


def _digests(job: Job) -> set[str]:
    """Names of all blobs that a job may need: whatever it keeps that looks like one."""
    return {digest.decode() for digest in _DIGEST.findall(msgspec.json.encode(job))}
