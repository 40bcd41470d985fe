"""What one event changes of a job: the renter's records by name. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import structs

from nodes import draft
from nodes.draft import R
from nodes.machine import Refused
from nodes.renter.protocol.records import BatchRecord, ContractRecord, Job, Subtask, Worker


class Draft(draft.Draft):
    """A draft over one job's aggregate."""

    def each(self, record_type: type[R], prefix: str) -> Iterator[tuple[str, R]]:
        """All records under `prefix/`, in key order."""
        yield from sorted(super().each(record_type, prefix), key=lambda found: found[0])

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

    def subtask(self, subtask_id: str) -> Subtask:
        """The subtask of this id.

        Raises:
            Refused: there is none.
        """
        subtask = self.find(Subtask, f"subtask/{subtask_id}")
        if subtask is None:
            raise Refused("unknown-subtask", f"no subtask {subtask_id} in this job")
        return subtask

    def change_subtask(self, subtask_id: str, **fields: Any) -> Subtask:
        """Write a subtask with these fields changed."""
        subtask = structs.replace(self.subtask(subtask_id), **fields)
        self.put(f"subtask/{subtask_id}", subtask)
        return subtask

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

    def worker(self, subtask_id: str, worker: str) -> Worker | None:
        """A worker's handshake, or None."""
        return self.find(Worker, f"worker/{subtask_id}/{worker}")
