"""Finds a renter's jobs, lists and watches them: in its store, and by their folders before any worker took them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

from broker.network import Network
from nodes.renter.files.folder import JobFolder
from nodes.renter.protocol.records import JOB_PREFIX, Job, Progress
from nodes.store.errors import RecordUnreadable
from nodes.store.port import Store
from nodes.views.errors import UnknownJob
from nodes.views.ids import beginning, unique
from nodes.views.report import UNREADABLE, WAITING, JobReport
from nodes.views.reporting import KINDS, report_of

WATCH_SECONDS: Final = 0.2
"""How often a watched job is looked at."""


async def report(store: Store, job_id: str, jobs: Path, network: Network | None = None) -> JobReport:
    """The job as the store has it; `jobs` is the folder of all jobs, `network` says which hubs lie on the way.

    Raises:
        UnknownJob: there is no such job.
        RecordUnreadable: its records are damaged.
    """
    records = (await store.select([job_id], KINDS)).get(job_id, {})
    if isinstance(records, RecordUnreadable):
        raise records
    found = report_of(records, JobFolder(jobs / job_id), network)
    if found is None:
        raise UnknownJob(job_id)
    return found


async def find(store: Store, wanted: str, jobs: Path) -> str:
    """The id of the job that `wanted` is, or the beginning of, whether a worker has taken it or not.

    Raises:
        UnknownJob: there is none.
        UnknownId: there are several.
    """
    known = await known_ids(store, jobs)
    if not beginning(wanted, known):
        raise UnknownJob(wanted)
    return unique(wanted, known, "job")


async def known_ids(store: Store, jobs: Path) -> set[str]:
    """Of all jobs, whether a worker has taken them or not."""
    return {*await store.aggregates(JOB_PREFIX), *_submitted(jobs)}


async def list_jobs(
    store: Store,
    jobs: Path,
    network: Network | None = None,
    *,
    phase: str = "",
    since: float = 0.0,
    limit: int | None = None,
) -> list[JobReport]:
    """This renter's jobs, newest first; of those whose records cannot be read, why.

    Args:
        store: the renter's.
        jobs: the folder of all jobs.
        network: as in `report`.
        phase: of which jobs alone.
        since: submitted then or later, seconds since 1970 (UTC).
        limit: so many of them at most.
    """
    taken = await store.aggregates(JOB_PREFIX)
    heads = [await _head(store, name) for name in taken]
    heads += [_waiting(jobs / name) for name in set(_submitted(jobs)) - set(taken)]
    wanted = [each for each in heads if each.submitted_at >= since and phase in ("", each.phase)]
    wanted.sort(key=lambda each: (-each.submitted_at, each.id))
    return [await _whole(each, store, jobs, network) for each in wanted[:limit]]


async def _head(store: Store, name: str) -> JobReport:
    """A job's state and when it was submitted: two records, however many it has."""
    try:
        found = await store.get(name, ("job", "progress"))
    except RecordUnreadable as error:
        return JobReport(id=name, phase=UNREADABLE, code=error.code, reason=str(error))
    job, progress = found.get("job"), found.get("progress")
    submitted_at = job.submitted_at if isinstance(job, Job) else 0.0
    return JobReport(id=name, phase=progress.phase if isinstance(progress, Progress) else "", submitted_at=submitted_at)


def _waiting(folder: Path) -> JobReport:
    try:
        return JobReport(id=folder.name, phase=WAITING, submitted_at=folder.stat().st_mtime)
    except FileNotFoundError:  # it is being deleted
        return JobReport(id=folder.name, phase=WAITING)


def _submitted(jobs: Path) -> list[str]:
    """Names of the folders of jobs, those that no worker has taken among them."""
    try:
        return [each.name for each in jobs.iterdir() if each.name.startswith(JOB_PREFIX) and each.is_dir()]
    except FileNotFoundError:
        return []


async def _whole(head: JobReport, store: Store, jobs: Path, network: Network | None) -> JobReport:
    if head.phase in (UNREADABLE, WAITING):
        return head
    try:
        return await _report_or_why(store, head.id, jobs, network)
    except UnknownJob:  # it was deleted just now
        return head


async def watch(
    store: Store,
    job_id: str,
    jobs: Path,
    pause: Callable[[], Awaitable[None]] | None = None,
    network: Network | None = None,
) -> AsyncIterator[JobReport]:
    """The job's report at every change, until it has ended. One that no worker has taken yet is waited for.

    Args:
        store: the renter's.
        job_id: the job.
        jobs: the folder of all jobs.
        pause: waits until the next look; by default for `WATCH_SECONDS`.
        network: as in `report`.

    Raises:
        UnknownJob: there is no such job, and none was submitted.
        RecordUnreadable: its records are damaged.
    """
    last: JobReport | None = None
    while last is None or not last.ended:
        now = await report_when_taken(store, job_id, jobs, network)
        if now is not None and now != last:
            yield now
        last = now
        if last is None or not last.ended:
            await (asyncio.sleep(WATCH_SECONDS) if pause is None else pause())


async def is_taken(store: Store, job_id: str, jobs: Path, seconds: float) -> bool:
    """Whether a worker has taken a submitted job, given so many seconds; raises as `watch`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while await report_when_taken(store, job_id, jobs) is None:  # noqa: ASYNC110 - a store is asked
                await asyncio.sleep(WATCH_SECONDS)
            return True
    return False


async def _report_or_why(store: Store, job_id: str, jobs: Path, network: Network | None) -> JobReport:
    try:
        return await report(store, job_id, jobs, network)
    except RecordUnreadable as error:
        return JobReport(id=job_id, phase=UNREADABLE, code=error.code, reason=str(error))


async def report_when_taken(store: Store, job_id: str, jobs: Path, network: Network | None = None) -> JobReport | None:
    """The report; None while the job's folder is all there is of it."""
    try:
        return await report(store, job_id, jobs, network)
    except UnknownJob:
        if not job_id.startswith(JOB_PREFIX) or not JobFolder(jobs / job_id).path.is_dir():
            raise
        return None
