"""Activities `forget` and `erase`: what an ended job needs no more, and in the end all of it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from nodes.joint.aligner import Aligner
from nodes.renter.activities.aligning import RentersSide
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import Workbench
from nodes.renter.protocol.outcomes import JobKept
from nodes.renter.protocol.records import JOB_PREFIX, Job, Subtask
from nodes.store.errors import BlobMissing

STAGED_SECONDS_MAX: Final = 3600.0
"""A folder without a job is of one that is being submitted; an older one is of a submission that was ended."""
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
        await asyncio.to_thread(shutil.rmtree, self.services.folder(job).path, ignore_errors=True)
        own = records.get("job")
        if isinstance(own, Job) and not await self._remove_blobs(own):
            return [("job.kept", JobKept())]
        await store.erase(job)
        return []

    async def _forget_secrets(self, subtasks: Sequence[str], job: str) -> None:
        """Keys, and what was masked with them for a partner."""
        await self.aligner.forget(job)
        await RentersSide(self.services, self.workbench).erase(job)
        await self.workbench.forget(subtasks, job)

    async def _remove_blobs(self, own: Job) -> bool:
        """Remove what only this job needs; not while one is submitted that nobody can ask what it needs."""
        for digest in sorted(await self._unshared(own)):
            if await self._staged(own.spec.id):
                return False
            with contextlib.suppress(BlobMissing):
                content = await asyncio.to_thread(self.services.blobs.get, digest)
                await asyncio.to_thread(self.services.blobs.remove, digest)
                if await self._staged(own.spec.id):  # meanwhile, and it may have found its blob here
                    await asyncio.to_thread(self.services.blobs.put, content)
                    return False
        return True

    async def _unshared(self, own: Job) -> set[str]:
        """Files of this job in the blob store that no other job needs."""
        digests = _digests(own)
        for name in set(await self.services.store.aggregates(JOB_PREFIX)) - {own.spec.id}:
            other = (await self.services.store.get(name, ["job"])).get("job")
            digests.difference_update(_digests(other) if isinstance(other, Job) else ())
        return digests

    async def _staged(self, job: str) -> bool:
        """Whether another job is submitted and not yet here."""
        since = self.services.clock() - STAGED_SECONDS_MAX
        younger = await asyncio.to_thread(_younger, self.services.jobs, since)
        return bool(younger - set(await self.services.store.aggregates(JOB_PREFIX)) - {job})


def _younger(jobs: Path, since: float) -> set[str]:
    """Names of folders changed after `since`; one may go meanwhile."""
    names = set()
    for path in jobs.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime > since:
                names.add(path.name)
    return names


def _digests(job: Job) -> set[str]:
    """Names of all blobs that a job may need: whatever it keeps that looks like one."""
    return {digest.decode() for digest in _DIGEST.findall(msgspec.json.encode(job))}
