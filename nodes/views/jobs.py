"""What a job's records and journal say to a person: state, decisions with their numbers, contracts, route."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from nodes.renter.activities.workbench import JobFolder
from nodes.renter.protocol.records import ContractRecord, Job, Subtask
from nodes.store.errors import RecordUnreadable
from nodes.store.port import Store
from schemas.contracts import Contract
from schemas.ids import Address, hub_of
from schemas.jobs import APPROXIMATE, Assessment, Costs

JOB_PREFIX = "job-"
UNREADABLE = "unreadable"
"""The phase of a job whose records are damaged."""
SOFTWARE_NOTE = "not confidential: software enclaves protect nothing from the owner of their host"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """A job at one moment. Times are seconds since 1970 (UTC), 0 when not reached."""

    id: str
    phase: str
    asked: str = ""
    protection: str | None = None
    rows: int = 0
    rows_done: int = 0
    batches: int = 0
    batches_done: int = 0
    submitted_at: float = 0.0
    ended_at: float = 0.0
    code: str = ""
    reason: str = ""
    assessment: Assessment | None = None
    spent: Costs | None = None
    """What the assessment's `costs` predicted, as it came; None before any batch is done."""
    contracts: tuple[dict[str, Any], ...] = ()
    route: tuple[str, ...] = ()
    confidential: str = ""
    output: Path | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.phase in ("completed", "failed", UNREADABLE)

    @property
    def seconds(self) -> float:
        """From submission to the end."""
        return max(0.0, self.ended_at - self.submitted_at)


async def report(store: Store, job_id: str, jobs: Path) -> JobReport:
    """The job as the store has it.

    Raises:
        LookupError: there is no such job.
    """
    records = await store.read(job_id)
    job = records.get("job")
    if not isinstance(job, Job):
        raise LookupError(f"there is no job {job_id} here")
    contracts = [record for record in records.values() if isinstance(record, ContractRecord)]
    subtasks = {record.contract: record for record in records.values() if isinstance(record, Subtask)}
    output = JobFolder(jobs / job_id).output
    return JobReport(
        id=job_id,
        phase=job.phase,
        asked=job.spec.protection,
        protection=job.assessment.chosen if job.assessment else None,
        rows=job.facts.rows if job.facts else 0,
        rows_done=job.rows_done,
        batches=job.batches,
        batches_done=job.batches_done,
        submitted_at=job.submitted_at,
        ended_at=job.ended_at,
        code=job.code,
        reason=job.reason,
        assessment=job.assessment,
        spent=job.spent if job.spent.encrypt_seconds else None,
        contracts=tuple(_contract(record, subtasks.get(record.contract.id)) for record in contracts),
        route=tuple(dict.fromkeys(route(record.contract) for record in contracts)),
        confidential=_confidential(job),
        output=output if job.phase == "completed" else None,
    )


async def list_jobs(store: Store, jobs: Path) -> list[JobReport]:
    """All jobs of this renter, oldest first; of those whose records cannot be read, why."""
    reports = [await _report_or_why(store, name, jobs) for name in await store.aggregates(JOB_PREFIX)]
    return sorted(reports, key=lambda each: each.submitted_at)


async def _report_or_why(store: Store, job_id: str, jobs: Path) -> JobReport:
    try:
        return await report(store, job_id, jobs)
    except RecordUnreadable as error:
        return JobReport(id=job_id, phase=UNREADABLE, code=error.code, reason=str(error))


async def explain(store: Store, job_id: str) -> list[dict[str, Any]]:
    """The journal as lines: time, event, from whom, and what followed, with the numbers of every decision.

    Raises:
        LookupError: there is no such job.
    """
    lines = [_line(orjson.loads(entry)) for entry in await store.journal(job_id)]
    if not lines:
        raise LookupError(f"there is no job {job_id} here")
    return lines


def route(contract: Contract) -> str:
    """The hops between the parties, as N2 numbers them."""
    renter, lessor = Address(contract.renter), Address(contract.lessor)
    hubs = dict.fromkeys((hub_of(renter), hub_of(lessor)))
    return " → ".join((renter, *hubs, lessor))


def _contract(record: ContractRecord, subtask: Subtask | None) -> dict[str, Any]:
    contract = record.contract
    return {
        "id": contract.id,
        "lessor": contract.lessor,
        "renter_hub": contract.renter_hub,
        "lessor_hub": contract.lessor_hub,
        "protection": contract.protection,
        "units": contract.units,
        "price_micros": contract.price_micros,
        "state": "ended" if record.ended else "running",
        "subtask": subtask.phase if subtask else "",
        "rows": subtask.rows_done if subtask else 0,
        "batches": subtask.batches_done if subtask else 0,
    }


def _confidential(job: Job) -> str:
    if job.assessment is None:
        return ""
    if job.assessment.chosen == "homomorphic":
        stays = "; show the results to nobody" if job.assessment.scheme in APPROXIMATE else ""
        return f"lessors saw ciphertext only and had no key{stays}"
    return SOFTWARE_NOTE if job.spec.accept_software_enclave else "lessors' enclaves proved themselves"


def _line(entry: dict[str, Any]) -> dict[str, Any]:
    event = entry["event"]
    effects: list[dict[str, Any]] = entry["effects"]
    return {
        "time": entry["now"],
        "type": event["type"],
        "from": event["source"],
        "refused": entry["refused"],
        "sent": [f"{each['type']} → {each['to']}" for each in effects if each["effect"] == "publish"],
        "started": [each["activity"] for each in effects if each["effect"] == "perform"],
        "notes": [_note(each) for each in effects if each["effect"] == "note"],
    }


def _note(effect: dict[str, Any]) -> dict[str, Any]:
    return {name: effect[name] for name in ("kind", "text", "details")}
