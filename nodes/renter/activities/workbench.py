"""What a renter's worker has at hand of a job: its files, program, encodings and keys, loaded once and kept while used.

Nothing here is the truth: all of it can be made again from the job's folder and the store, by any worker of the renter.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nodes.crew.crew import Crew, Kit
from nodes.data.binding import bind, require_chain
from nodes.data.table import Table, open_table, read_header
from nodes.enclave.agreement import key_agreement
from nodes.enclave.attestation.policy import Policy
from nodes.enclave.attestation.port import Verifier
from nodes.homomorphic import schemes
from nodes.homomorphic.audit import Expected
from nodes.homomorphic.encoding import integer_program
from nodes.homomorphic.port import SecretKey
from nodes.identity import Identity
from nodes.programs.check import check
from nodes.programs.program import Program
from nodes.renter.files.folder import JobFolder
from nodes.renter.protections.ciphertext import Plan
from nodes.renter.protocol.records import Facts, Job
from nodes.store.blobs import BlobStore
from nodes.store.port import Store
from schemas.errors import BadData
from schemas.jobs import Assessment, FixedPoint, JobSpec, Scheme

JOBS_AT_HAND_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Services:
    """What the renter's activities need from outside. Wired in one place (`nodes/bootstrap.py`)."""

    identity: Identity
    store: Store
    blobs: BlobStore
    jobs: Path
    clock: Callable[[], float]
    """Seconds since 1970 (UTC)."""
    core_clock: Callable[[], float]
    """Processor seconds of the calling thread."""
    crew: Crew
    """Computes on ciphertexts, one process per core."""
    calibration: Path
    """Keeps what was measured of this machine."""
    policy: Callable[[bool], Policy]
    """The evidence policy; the argument says whether the job accepts software enclaves."""
    verifiers: dict[str, Verifier] = field(default_factory=dict)

    def folder(self, job: str) -> JobFolder:
        """The job's folder."""
        return JobFolder(self.jobs / job)


@dataclass(slots=True)
class JobAtHand:
    """A job's inputs in memory."""

    spec: JobSpec
    folder: JobFolder
    table: Table
    program: Program
    local_program: Program | None
    key: SecretKey | None = field(default=None, repr=False)
    plan: Kit[Plan] | None = field(default=None, repr=False)
    key_kit: Kit[SecretKey] | None = field(default=None, repr=False)
    expected: dict[tuple[int, int], Expected] = field(default_factory=dict, repr=False)
    """Checksums of results that are under way, by batch and attempt; made again where they are missing."""
    secrets: dict[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Running:
    """A job whose protection is decided."""

    job: JobAtHand
    facts: Facts
    assessment: Assessment


class Workbench:
    """A bounded cache of jobs at hand; loading happens off the event loop, once per job."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._jobs: OrderedDict[str, JobAtHand] = OrderedDict()
        self._lock = asyncio.Lock()

    async def job(self, spec: JobSpec) -> JobAtHand:
        """The job's inputs, loaded if they are not at hand.

        Raises:
            BadInput: data or program cannot be used.
        """
        async with self._lock:
            if spec.id not in self._jobs:
                self._jobs[spec.id] = await asyncio.to_thread(self._load, spec)
            self._jobs.move_to_end(spec.id)
            while len(self._jobs) > JOBS_AT_HAND_MAX:
                self._jobs.popitem(last=False)
            return self._jobs[spec.id]

    async def state(self, job: str) -> Job:
        """The job's control record.

        Raises:
            LookupError: no such job.
        """
        records = await self._services.store.read(job)
        record = records.get("job")
        if not isinstance(record, Job):
            raise LookupError(f"no job {job}")
        return record

    async def running(self, job: str) -> Running:
        """A prepared job's inputs, facts and assessment.

        Raises:
            LookupError: no such job, or it is not prepared.
        """
        state = await self.state(job)
        if state.facts is None or state.assessment is None:
            raise LookupError(f"job {job} is not prepared")
        return Running(await self.job(state.spec), state.facts, state.assessment)

    async def plan(self, running: Running) -> Kit[Plan]:
        """What the crew needs for batches on ciphertext, compiled and packed once."""
        job, scheme = running.job, running.assessment.scheme
        if job.plan is None:
            assert scheme is not None
            fixed = running.facts.of(scheme).fixed_point
            assert fixed is not None
            key = await self.homomorphic_key(job, scheme)
            job.plan = await asyncio.to_thread(_packed, job, scheme, key, fixed)
        return job.plan

    async def sealing_key(self, running: Running) -> Kit[SecretKey]:
        """What the crew needs to open sealed results."""
        if running.job.key_kit is None:
            running.job.key_kit = Kit.of(await self.homomorphic_key(running.job, running.assessment.scheme))
        return running.job.key_kit

    async def homomorphic_key(
        self, job: JobAtHand, scheme: Scheme | None, make: Callable[[], SecretKey] | None = None
    ) -> SecretKey:
        """The job's secret key from the store, or a new one that is stored first."""
        assert scheme is not None
        if job.key is None:
            raw = await self._secret(homomorphic_name(job.spec.id), None if make is None else lambda: make().to_bytes())
            job.key = await asyncio.to_thread(schemes.read_secret, scheme, raw)
        return job.key

    async def subtask_secret(self, job: JobAtHand, subtask: str) -> bytes:
        """The secret that only this subtask's lessor gets (E1); made on first use."""
        if subtask not in job.secrets:
            job.secrets[subtask] = await self._secret(subtask_name(subtask), key_agreement.new_secret)
        return job.secrets[subtask]

    async def forget(self, job: str, subtasks: Sequence[str]) -> None:
        """Erase an ended job's keys from store and memory."""
        at_hand = self._jobs.pop(job, None)
        for kit in () if at_hand is None else (at_hand.plan, at_hand.key_kit):
            if kit is not None:
                await self._services.crew.forget(kit)
        for name in (homomorphic_name(job), *map(subtask_name, subtasks)):
            await self._services.store.delete_secret(name)

    async def _secret(self, name: str, make: Callable[[], bytes] | None) -> bytes:
        store, identity = self._services.store, self._services.identity
        sealed = await store.get_secret(name)
        if sealed is None:
            if make is None:
                raise LookupError(f"no secret {name} in the store")
            fresh = await asyncio.to_thread(make)
            sealed = await store.put_secret(name, identity.seal(fresh, name))
        return identity.unseal(sealed, name)

    def _load(self, spec: JobSpec) -> JobAtHand:
        folder = self._services.folder(spec.id)
        program = check(self._services.blobs.get(spec.program))
        local = check(self._services.blobs.get(spec.local_program)) if spec.local_program else None
        table = load_table(folder.data, program, spec.id_column)
        if table.digest != spec.data:
            raise BadData(f"{folder.data.name} is not what was submitted: its SHA-256 differs; submit it again")
        check_fit(table, program, local)
        return JobAtHand(spec, folder, table, program, local)


def homomorphic_name(job: str) -> str:
    """Under which the store keeps a job's homomorphic secret key."""
    return f"homomorphic/{job}"


def subtask_name(subtask: str) -> str:
    """Under which the store keeps a subtask's secret."""
    return f"subtask/{subtask}"


def _packed(job: JobAtHand, scheme: Scheme, key: SecretKey, fixed: FixedPoint) -> Kit[Plan]:
    program = integer_program(schemes.compiled(scheme, job.program), fixed)
    return Kit.of(Plan(job.table, key, program, fixed, job.spec.noise))


def load_table(path: Path, program: Program, id_column: str | None) -> Table:
    """The input, read once: the columns that the program needs are checked and indexed.

    Raises:
        BadData: naming row and column of the first value that cannot be used.
    """
    header = read_header(path)
    return open_table(header, bind(program, header, id_column), id_column)


def check_fit(table: Table, program: Program, local: Program | None) -> None:
    """Whether data and programs fit each other.

    Raises:
        BadInput: saying what does not.
    """
    if table.rows == 0:
        raise BadData("the input has a header but no rows: nothing to compute")
    if local is not None:
        require_chain(program, local)
