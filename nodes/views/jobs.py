"""What a job's records say to a person: state, decision with its numbers, contracts, route."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from msgspec import Struct

from broker.network import Network, route_of
from nodes.data import manifest
from nodes.protections import traits_of
from nodes.renter.files import outputs
from nodes.renter.files.fits import FitReport, read_fit
from nodes.renter.files.folder import JobFolder
from nodes.renter.protocol import runs
from nodes.renter.protocol.records import (
    JOB_PREFIX,
    Agreement,
    ContractRecord,
    Job,
    Ledger,
    LostLink,
    Progress,
    Round,
    Subtask,
    Worker,
)
from nodes.renter.protocol.states import JobPhase
from nodes.store.errors import RecordUnreadable
from nodes.store.port import Store
from nodes.views.errors import UnknownJob
from nodes.views.ids import beginning, unique
from schemas.contracts import Contract
from schemas.errors import BadData, JobFailed
from schemas.ids import Address, hub_of
from schemas.jobs import APPROXIMATE, Assessment, Costs, CutNote
from schemas.joint import Learned

UNREADABLE: Final = "unreadable"
"""The phase of a job whose records are damaged."""
WAITING: Final = "waiting"
"""The phase of a job that no worker has taken yet."""
PHASES: Final = (WAITING, *(phase for phase in get_args(JobPhase) if phase != "new"), UNREADABLE)
"""All that are listed."""
KINDS: Final = ("job", "progress", "contract", "subtask", "agreement", "ledger", "round", "worker")
"""Of the records that a report is made of: all but those of single batches."""
WATCH_SECONDS: Final = 0.2
"""How often a watched job is looked at."""
CONFIDENTIAL: Final = "yes"
"""What claims say of an enclave that its host cannot look into."""
SOFTWARE_NOTE: Final = "not confidential: software enclaves protect nothing from the owner of their host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rental:
    """A contract of a job, and how far its subtask is."""

    id: str
    lessor: str
    renter_hub: str
    lessor_hub: str
    protection: str
    units: int
    price_micros: int
    """Millionths of the network's currency per unit and hour."""
    state: Literal["running", "ended"]
    subtask: str
    """Its phase; empty before the rows are split."""
    rows: int
    batches: int
    """Both done so far."""
    under_way: int = 0
    """Batches that it was sent and has not answered."""
    waiting: int = 0
    """Batches that it has yet to be sent."""
    core_seconds: float = 0.0
    """That its rows took, as the lessor says."""
    heard_at: float = 0.0
    """When the lessor was last heard of, seconds since 1970."""
    cost_micros: int = 0
    """As its receipt says, once there is one: when its subtask is completed."""
    route: str = ""
    """The hops between the parties."""
    seconds: float = 0.0
    """From the subtask's beginning to the last that was heard of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What an enclave that got a key had proved of itself."""

    lessor: str
    kind: str
    measurement: str
    """Of what it runs, hexadecimal."""
    confidential: bool
    """Against the owner of its machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """A job's partner, its rounds, and what each side learned so far."""

    partner: str
    dataset: str
    round: int
    """The one under way, or the last."""
    rounds: int
    fits: bool
    """Whether a model is fitted."""
    fit: FitReport | None
    """Of a model that was fitted, or that rows are scored with."""
    ledger: tuple[Learned, ...]
    round_phase: str = ""
    """Of the one under way."""
    accepted: bool = False
    """Whether the partner takes part."""
    owes_since: float = 0.0
    """When the partner was last due to say something and has not, seconds since 1970; 0 when it owes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """A job at one moment. Times are seconds since 1970 (UTC), 0 when not reached."""

    id: str
    phase: str
    asked: str = ""
    protection: str | None = None
    columns: tuple[str, ...] = ()
    """That the program takes, in its order."""
    columns_by: str = ""
    """What decided that: the program's names (name), the file's order (position), or the user (choice)."""
    rows: int = 0
    rows_done: int = 0
    batches: int = 0
    batches_done: int = 0
    submitted_at: float = 0.0
    ended_at: float = 0.0
    code: str = ""
    """Why it failed; `nodes.views.failures` says whose fault that is."""
    reason: str = ""
    assessment: Assessment | None = None
    price_micros_max: int = 0
    """That it pays per unit and hour, in millionths of the network's currency."""
    cut: CutNote | None = None
    """Where the program is cut, when only its beginning runs on ciphertext."""
    spent: Costs | None = None
    """What the assessment's `costs` predicted, as it came; None before any batch is done."""
    contracts: tuple[Rental, ...] = ()
    route: tuple[str, ...] = ()
    confidential: str = ""
    proofs: tuple[Proof, ...] = ()
    """Of enclaves that got a key; none where lessors compute on ciphertext."""
    finishes: bool = False
    """Whether a program of the user's runs here, on what comes back."""
    output: Path | None = None
    id_column: str | None = None
    """That names the rows of the output; without one they are numbered."""
    sum_rows: bool = False
    """Whether the output is one row, for all rows together."""
    joint: Joining | None = None
    renter: str = ""
    """Its address, where it is known from a contract."""
    ordered_at: float = 0.0
    """When the order was placed whose contracts are awaited, seconds since 1970; 0 where none are."""
    unowned: int = 0
    """Batches of lost subtasks that no live one has taken over yet."""
    here: int | None = None
    """Batches that are left to the renter itself, since its key decrypts nothing more."""
    lost_links: tuple[LostLink, ...] = ()
    """Of its hub's: what goes over them waits."""
    causes: tuple[tuple[str, str], ...] = ()
    """Code and text of everything that went wrong on the way."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.phase in ("completed", "failed", UNREADABLE)

    @property
    def seconds(self) -> float:
        """From submission to the end."""
        return max(0.0, self.ended_at - self.submitted_at)


async def report(store: Store, job_id: str, jobs: Path, network: Network | None = None) -> JobReport:
    """The job as the store has it; `jobs` is the folder of all jobs, `network` says which hubs lie on the way.

    Raises:
        UnknownJob: there is no such job.
        RecordUnreadable: its records are damaged.
    """
    records = (await store.select([job_id], KINDS)).get(job_id, {})
    if isinstance(records, RecordUnreadable):
        raise records
    job, progress = records.get("job"), records.get("progress")
    if not isinstance(job, Job) or not isinstance(progress, Progress):
        raise UnknownJob(job_id)
    contracts = [each.contract for each in _rented(records)]
    columns, decided = _columns(JobFolder(jobs / job_id))
    proofs = _proofs(records)
    on_ciphertext = job.assessment is not None and traits_of(job.assessment.chosen).on_ciphertext
    return JobReport(
        id=job_id,
        phase=progress.phase,
        asked=job.spec.protection,
        protection=job.assessment.chosen if job.assessment else None,
        columns=columns,
        columns_by=decided,
        rows=job.facts.rows if job.facts else 0,
        rows_done=progress.rows_done,
        batches=job.batches,
        batches_done=progress.batches_done,
        submitted_at=job.submitted_at,
        ended_at=job.ended_at,
        code=job.code,
        reason=job.reason,
        assessment=job.assessment,
        price_micros_max=job.spec.price_micros_max,
        cut=_cut(JobFolder(jobs / job_id)) if on_ciphertext else None,
        spent=progress.spent if progress.spent.encrypt_seconds else None,
        contracts=_rentals(records),
        route=_routes(contracts, job, network),
        confidential=_confidential(job, proofs),
        proofs=proofs,
        finishes=job.spec.local_program is not None,
        output=JobFolder(jobs / job_id).output if progress.phase == "completed" else None,
        id_column=job.spec.id_column,
        sum_rows=job.facts is not None and job.facts.sum_rows,
        joint=_joining(job, progress, records, jobs),
        renter=contracts[0].renter if contracts else "",
        ordered_at=job.ordered_at if _is_pending(job, records) else 0.0,
        unowned=runs.count(progress.waiting),
        here=None if progress.here is None else runs.count(progress.here),
        lost_links=progress.lost_links,
        causes=job.causes,
    )


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


def route(contract: Contract) -> str:
    """The hops between the parties, as N2 numbers them."""
    renter, lessor = Address(contract.renter), Address(contract.lessor)
    hubs = dict.fromkeys((hub_of(renter), hub_of(lessor)))
    return " → ".join((renter, *hubs, lessor))


def way_to_partner(lessor: Address, partner: Address, network: Network | None) -> str:
    """The hops of sealed results (N3); those between the hubs of both are left open where no network says them."""
    first, last = hub_of(lessor), hub_of(partner)
    hubs: tuple[str, ...] = (first, "…", last)
    if network is not None and {first, last} <= {hub.name for hub in network.hubs}:
        hubs = route_of(network, first, last)
    return " → ".join((lessor, *hubs, partner))


def _routes(contracts: Sequence[Contract], job: Job, network: Network | None) -> tuple[str, ...]:
    ways, joint = [route(each) for each in contracts], job.spec.joint
    if joint is not None:
        ways += [way_to_partner(Address(each.lessor), Address(joint.partner), network) for each in contracts]
    return tuple(dict.fromkeys(ways))


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


def _columns(folder: JobFolder) -> tuple[tuple[str, ...], str]:
    """What the job's table says of its columns, as long as it is there."""
    try:
        known, _ = manifest.read(folder.table)
    except (OSError, BadData):
        return (), ""
    return known.taken or known.numbers, known.by


def _cut(folder: JobFolder) -> CutNote | None:
    """Where the job's program is cut for ciphertext, as long as its folder is there."""
    try:
        return outputs.read(folder.path).cut
    except JobFailed:
        return None


def _is_pending(job: Job, records: Mapping[str, Struct]) -> bool:
    started = {each.contract for each in records.values() if isinstance(each, Subtask)}
    return bool(job.order) and not (job.expected_contracts and started.issuperset(job.expected_contracts))


def _joining(job: Job, progress: Progress, records: Mapping[str, Struct], jobs: Path) -> Joining | None:
    joint, ledger = job.spec.joint, records.get("ledger")
    round_, agreement = records.get(f"round/{progress.round}"), records.get("agreement")
    if joint is None:
        return None
    return Joining(
        partner=joint.partner,
        dataset=joint.dataset,
        round=progress.round,
        rounds=joint.rounds,
        fits=joint.fitting is not None,
        fit=None if joint.fitting is None and joint.score is None else read_fit(JobFolder(jobs / job.spec.id)),
        ledger=ledger.lines if isinstance(ledger, Ledger) else (),
        round_phase=round_.phase if isinstance(round_, Round) else "",
        accepted=isinstance(agreement, Agreement) and agreement.accepted,
        owes_since=agreement.owes_since if isinstance(agreement, Agreement) else 0.0,
    )


def _rentals(records: Mapping[str, Struct]) -> tuple[Rental, ...]:
    subtasks = {each.contract: each for each in records.values() if isinstance(each, Subtask)}
    return tuple(_rental(each, subtasks.get(each.contract.id)) for each in _rented(records))


def _rented(records: Mapping[str, Struct]) -> list[ContractRecord]:
    """By lessor, and then by time."""
    found = (each for each in records.values() if isinstance(each, ContractRecord))
    return sorted(found, key=lambda each: (each.contract.lessor, each.contract.starts_at, each.contract.id))


def _rental(record: ContractRecord, subtask: Subtask | None) -> Rental:
    contract = record.contract
    return Rental(
        id=contract.id,
        lessor=contract.lessor,
        renter_hub=contract.renter_hub,
        lessor_hub=contract.lessor_hub,
        protection=contract.protection,
        units=contract.units,
        price_micros=contract.price_micros,
        state="ended" if record.ended else "running",
        subtask=subtask.phase if subtask else "",
        rows=subtask.rows_done if subtask else 0,
        batches=subtask.batches_done if subtask else 0,
        under_way=len(subtask.under_way) if subtask else 0,
        waiting=runs.count(subtask.queue) if subtask else 0,
        core_seconds=subtask.core_seconds if subtask else 0.0,
        heard_at=subtask.heard_at if subtask else 0.0,
        cost_micros=subtask.cost_micros if subtask else 0,
        route=route(contract),
        seconds=max(0.0, subtask.heard_at - subtask.started_at) if subtask else 0.0,
    )


def _proofs(records: Mapping[str, Struct]) -> tuple[Proof, ...]:
    lessors = {each.id: each.lessor for each in records.values() if isinstance(each, Subtask)}
    found = (
        Proof(
            lessor=lessors.get(key.split("/")[1], ""),
            kind=record.claims["kind"],
            measurement=record.claims["measurement"],
            confidential=record.claims["confidential"] == CONFIDENTIAL,
        )
        for key, record in records.items()
        if isinstance(record, Worker) and record.claims
    )
    return tuple(sorted(dict.fromkeys(found), key=lambda each: each.lessor))


def _confidential(job: Job, proofs: Sequence[Proof]) -> str:
    if job.assessment is None:
        return ""
    if traits_of(job.assessment.chosen).on_ciphertext:
        stays = "; show the results to nobody" if job.assessment.scheme in APPROXIMATE else ""
        return f"lessors saw ciphertext only and had no key{stays}"
    proved = all(each.confidential for each in proofs) if proofs else not job.spec.accept_software_enclave
    return "lessors' enclaves proved themselves" if proved else SOFTWARE_NOTE
