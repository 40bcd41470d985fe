"""What one event changes of a job: the renter's records by name. Pure."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from nodes import draft
from nodes.machine import Refused
from nodes.renter.protocol import states
from nodes.renter.protocol.config import RenterConfig
from nodes.renter.protocol.records import Agreement, BatchRecord, ContractRecord, Job, Progress, Round, Subtask, Worker
from nodes.renter.protocol.states import JobPhase
from nodes.states import advance
from schemas.events import Event


class Draft(draft.Draft[RenterConfig]):
    """A draft over one job's aggregate."""

    @property
    def job(self) -> Job:
        """The job of this aggregate.

        Raises:
            Refused: there is none.
        """
        job = self.find(Job, "job")
        if job is None:
            raise Refused("unknown-job", "no such job here")
        return job

    def change_job(self, **fields: Any) -> Job:
        """Write the job with these fields changed."""
        job = structs.replace(self.job, **fields)
        self.put("job", job)
        return job

    @property
    def progress(self) -> Progress:
        """How far the job is; raises Refused as `job`."""
        progress = self.find(Progress, "progress")
        if progress is None:
            raise Refused("unknown-job", "no such job here")
        return progress

    @property
    def phase(self) -> JobPhase:
        """The job's; `new` when there is none."""
        progress = self.find(Progress, "progress")
        return "new" if progress is None else progress.phase

    def change_progress(self, **fields: Any) -> Progress:
        """Write the progress with these fields changed; its phase only by `advance`."""
        progress = structs.replace(self.progress, **fields)
        self.put("progress", progress)
        return progress

    def advance(self, happened: str) -> None:
        """Take the job to the phase that follows; raises IllegalTransition."""
        self.put("progress", structs.replace(self.progress, phase=advance(states.JOB, self.phase, happened)))

    def subtask(self, subtask_id: str) -> Subtask:
        """The subtask of this id.

        Raises:
            Refused: there is none.
        """
        subtask = self.find(Subtask, f"subtask/{subtask_id}")
        if subtask is None:
            raise Refused("unknown-subtask", f"no subtask {subtask_id} in this job")
        return subtask

    def subtask_from(self, event: Event, subtask_id: str) -> Subtask:
        """The subtask of this id; raises Refused where there is none, or the event's sender does not serve it."""
        subtask = self.subtask(subtask_id)
        if event.source != subtask.lessor:
            raise Refused("not-the-lessor", f"{event.source} does not serve {subtask_id}")
        return subtask

    def change_subtask(self, subtask_id: str, **fields: Any) -> Subtask:
        """Write a subtask with these fields changed."""
        subtask = structs.replace(self.subtask(subtask_id), **fields)
        self.put(f"subtask/{subtask_id}", subtask)
        return subtask

    def advance_subtask(self, subtask_id: str, happened: str, **fields: Any) -> Subtask:
        """Take a subtask to the phase that follows, with these fields changed; raises IllegalTransition."""
        phase = advance(states.SUBTASK, self.subtask(subtask_id).phase, happened)
        return self.change_subtask(subtask_id, phase=phase, **fields)

    def subtasks(self) -> list[Subtask]:
        """All of this job, in order of their ids."""
        return sorted((each for _, each in self.each(Subtask, "subtask")), key=lambda each: each.id)

    def contracts(self) -> list[ContractRecord]:
        """All of this job, in order of their ids."""
        return sorted((each for _, each in self.each(ContractRecord, "contract")), key=lambda each: each.contract.id)

    def find_contract(self, contract_id: str) -> ContractRecord | None:
        """The contract of this id, or None."""
        return self.find(ContractRecord, f"contract/{contract_id}")

    def contract(self, contract_id: str) -> ContractRecord:
        """The contract of this id.

        Raises:
            Refused: there is none.
        """
        contract = self.find_contract(contract_id)
        if contract is None:
            raise Refused("unknown-contract", f"no contract {contract_id} in this job")
        return contract

    def batch(self, number: int) -> BatchRecord | None:
        """The record of a batch that was sent, or None."""
        return self.find(BatchRecord, f"batch/{number}")

    @property
    def agreement(self) -> Agreement:
        """With the partner of a joint job; raises Refused where there is none."""
        agreement = self.find(Agreement, "agreement")
        if agreement is None:
            raise Refused("no-partner", "this job has no partner yet")
        return agreement

    def round(self, number: int) -> Round | None:
        """A round of a joint job, or None."""
        return self.find(Round, f"round/{number}")

    @property
    def round_is_open(self) -> bool:
        """Whether batches may go out: always, where the job has no rounds."""
        current = self.round(self.progress.round)
        return self.job.spec.joint is None or (current is not None and current.phase == "open")

    def workers(self, subtask_id: str) -> list[Worker]:
        """All handshakes of a subtask."""
        return [each for _, each in self.each(Worker, f"worker/{subtask_id}")]

    def worker(self, subtask_id: str, worker: str) -> Worker | None:
        """A worker's handshake, or None."""
        return self.find(Worker, f"worker/{subtask_id}/{worker}")
