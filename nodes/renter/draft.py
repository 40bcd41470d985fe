"""Collects what one event changes: an overlay over the records, and the effects in order. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from msgspec import Struct, structs

from nodes.renter.records import BatchRecord, ContractRecord, Job, Subtask, Worker
from nodes.runtime.machine import Context, Effect, Note, Publish, Records, Refused, Step, publish
from schemas.events import Event

R = TypeVar("R", bound=Struct)


def data_of(event: Event, data_class: type[R]) -> R:
    """The event's data as this class.

    Raises:
        Refused: it is another's.
    """
    if not isinstance(event.data, data_class):
        raise Refused("wrong-data", f"{event.type} without its data")
    return event.data


class Draft:
    """Reads through to the records; writes stay here until `step()`."""

    def __init__(self, records: Records, context: Context) -> None:
        self.context = context
        self._records = records
        self._put: dict[str, Struct] = {}
        self._effects: list[Effect] = []

    @property
    def now(self) -> float:
        """Seconds since 1970 (UTC)."""
        return self.context.now

    def find(self, record_type: type[R], key: str) -> R | None:
        """The record at `key`, or None."""
        record = self._put.get(key, self._records.get(key))
        if record is None or isinstance(record, record_type):
            return record
        raise TypeError(f"{key} is not a {record_type.__name__}")

    def each(self, record_type: type[R], prefix: str) -> Iterator[tuple[str, R]]:
        """All records under `prefix/`, in key order."""
        start = prefix + "/"
        for key in sorted({key for source in (self._records, self._put) for key in source if key.startswith(start)}):
            record = self.find(record_type, key)
            if record is not None:
                yield key, record

    def put(self, key: str, record: Struct) -> None:
        """Write a record."""
        self._put[key] = record

    def do(self, *effects: Effect) -> None:
        """Append effects."""
        self._effects.extend(effects)

    def send(self, event_type: str, to: str, subject: str, data: Struct | None = None, **more: Any) -> Publish:
        """Append a `Publish`."""
        effect = publish(event_type, to, subject, data, **more)
        self.do(effect)
        return effect

    def note(self, kind: str, text: str, /, **details: Any) -> None:
        """Append a journal note."""
        self.do(Note(kind=kind, text=text, details=details))

    def step(self) -> Step:
        """All changes."""
        return Step(put=self._put, effects=tuple(self._effects))

    # ---------------------------------------------------------------- the renter's records by name

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
