"""What a renter's worker has at hand of a job: inputs, decisions, contracts and its protection, loaded once.

Nothing here is the truth: all of it can be made again from the job's folder and the store, by any worker of the renter.
What changes with every batch is not here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from nodes.data.table import Table, open_table
from nodes.kept import Kept
from nodes.programs.check import check
from nodes.programs.program import Program
from nodes.protections import traits_of
from nodes.renter.activities.keys import Keys
from nodes.renter.activities.services import Services
from nodes.renter.errors import FilesGone, JobGone
from nodes.renter.files.folder import JobFolder
from nodes.renter.protections.joint import JointProtection
from nodes.renter.protections.port import BatchProtection, Ingredients
from nodes.renter.protections.registry import BUILDERS
from nodes.renter.protocol.records import ContractRecord, Facts, Job, Joined, Progress
from nodes.renter.protocol.states import ENDED
from schemas.contracts import Contract
from schemas.errors import BadInput, VerificationFailed
from schemas.jobs import JobSpec

JOBS_AT_HAND_MAX: Final = 8
CONTRACTS_AT_HAND_MAX: Final = 1024


@dataclass(frozen=True, slots=True)
class JobAtHand:
    """A job's inputs in memory."""

    spec: JobSpec
    folder: JobFolder
    table: Table
    program: Program
    cut: tuple[Program, Program] | None
    """Its beginning, and the rest; where it is cut for ciphertext."""
    local_program: Program | None
    secrets: dict[str, bytes] = field(default_factory=dict, repr=False)
    """By subtask, as far as they were needed."""


@dataclass(frozen=True, slots=True)
class Running:
    """A job whose protection is decided."""

    job: JobAtHand
    facts: Facts
    program: Program
    """What lessors compute."""
    local_programs: tuple[Program, ...]
    """What runs here on the results, one after the other."""
    protection: BatchProtection | JointProtection

    @property
    def by_batch(self) -> BatchProtection:
        """Raises BadInput: it is a joint job."""
        if isinstance(self.protection, JointProtection):
            raise BadInput("batches of a joint job go out in rounds")
        return self.protection

    @property
    def by_round(self) -> JointProtection:
        """Raises BadInput: it is no joint job."""
        if not isinstance(self.protection, JointProtection):
            raise BadInput("this job has no joint part")
        return self.protection


class Workbench:
    """The jobs that this worker has at hand. Loading happens off the event loop, and delays no other job."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.keys = Keys(services.store, services.identity)
        self._inputs: Kept[JobAtHand] = Kept(JOBS_AT_HAND_MAX)
        self._running: Kept[Running] = Kept(JOBS_AT_HAND_MAX)
        self._contracts: Kept[Contract] = Kept(CONTRACTS_AT_HAND_MAX)

    async def inputs(self, spec: JobSpec, joined: Joined | None = None) -> JobAtHand:
        """The job's data, as it was submitted or as it was joined, and its programs.

        Raises:
            BadInput: they cannot be used.
        """
        digest = spec.data if joined is None else joined.data
        return await self._inputs.get(f"{spec.id}/{digest}", lambda: asyncio.to_thread(self._load, spec, joined))

    async def running(self, job: str) -> Running:
        """A prepared job, ready to close and open batches; one that is joined first, after it was.

        Raises:
            JobGone: it is not here, not prepared, or ended.
            BadInput: its data or programs cannot be used.
        """
        return await self._running.get(job, lambda: self._prepared(job))

    async def contract(self, job: str, contract: str) -> Contract:
        """A contract of the job, which was verified when it came.

        Raises:
            VerificationFailed: `unknown-subtask`: the job has no such contract.
        """
        return await self._contracts.get(f"{job}/{contract}", lambda: self._contract(job, contract))

    async def subtask_secret(self, job: JobAtHand, subtask: str) -> bytes:
        """The secret that only this subtask's lessor gets (E1); raises JobGone."""
        if subtask not in job.secrets:
            job.secrets[subtask] = await self.keys.subtask(job.spec.id, subtask)
        return job.secrets[subtask]

    async def require_live(self, job: str) -> None:
        """For who has written a part: of a job that ended meanwhile, parts were removed and this one came after.

        Raises:
            JobGone: it ended; the part is gone.
        """
        progress = (await self._services.store.get(job, ["progress"])).get("progress")
        if not isinstance(progress, Progress) or progress.phase in ENDED:
            await asyncio.to_thread(self._services.folder(job).strip)
            raise JobGone(f"job {job} ended")

    async def forget(self, subtasks: Sequence[str], job: str) -> None:
        """Erase an ended job's keys from store and memory."""
        for name in self._inputs.names(f"{job}/"):
            self._inputs.drop(name)
        if (running := self._running.drop(job)) is not None:
            await running.protection.forget()
        await self.keys.erase(job, subtasks)

    def _load(self, spec: JobSpec, joined: Joined | None) -> JobAtHand:
        folder, blobs = self._services.folder(spec.id), self._services.blobs
        try:
            folder.check()
            program = check(blobs.get(spec.program))
            cut = (check(blobs.get(spec.cut.beginning)), check(blobs.get(spec.cut.rest))) if spec.cut else None
            local = check(blobs.get(spec.local_program)) if spec.local_program else None
            table = open_table(folder.table, spec.data) if joined is None else open_table(folder.joined, joined.data)
        except FileNotFoundError as error:
            raise FilesGone(f"the job's files are not here: {error}") from error
        return JobAtHand(spec, folder, table, program, cut, local)

    async def _prepared(self, name: str) -> Running:
        records = await self._services.store.get(name, ["job", "progress"])
        job, progress = records.get("job"), records.get("progress")
        if not isinstance(job, Job) or not isinstance(progress, Progress) or progress.phase in ENDED:
            raise JobGone(f"job {name} is not here, or it ended")
        if job.facts is None or job.assessment is None:
            raise JobGone(f"job {name} is not prepared")
        if progress.phase == "joining":
            raise JobGone(f"job {name} is not joined")
        inputs, traits = await self.inputs(job.spec, job.joined), traits_of(job.assessment.chosen)
        program, *local = (inputs.cut if traits.on_ciphertext else None) or (inputs.program,)
        key = None
        if traits.homomorphic_key:
            assert job.assessment.scheme is not None
            key = await self.keys.homomorphic(name, job.assessment.scheme)
        given = Ingredients(
            table=inputs.table,
            program=program,
            facts=job.facts,
            assessment=job.assessment,
            noise=job.spec.noise,
            key=key,
            secret=partial(self.subtask_secret, inputs),
            crew=self._services.crew,
            core_clock=self._services.core_clock,
        )
        local += [inputs.local_program] if inputs.local_program else []
        build: Callable[[Ingredients], BatchProtection | JointProtection]
        build = BUILDERS[traits] if job.spec.joint is None else JointProtection.build
        return Running(inputs, job.facts, program, tuple(local), await asyncio.to_thread(build, given))

    async def _contract(self, job: str, contract: str) -> Contract:
        key = f"contract/{contract}"
        record = (await self._services.store.get(job, [key])).get(key)
        if not isinstance(record, ContractRecord):
            raise VerificationFailed(f"no contract {contract} here", code="unknown-subtask")
        return record.contract
