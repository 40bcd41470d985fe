"""Hubs, a renter and lessors in virtual time: their machines on a wire of the test's, stand-ins for what computes.

Nothing is encrypted and nothing signed on the wire; orders, contracts and receipts are. A worker computes one batch at
a time, which takes `batch_seconds`.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Struct

from broker.names import lane
from nodes.enclave.agreement.confirmation import confirmation_digest
from nodes.hub.directory import HubConfig
from nodes.hub.machine import HubMachine
from nodes.identity import Identity, verify
from nodes.lessor.protocol.config import LessorConfig
from nodes.lessor.protocol.draft import Worker
from nodes.lessor.protocol.machine import LessorMachine
from nodes.lessor.protocol.records import (
    BatchReturned,
    BatchUnfit,
    EvidenceMade,
    SealAccepted,
    Session,
    SessionWanted,
    WorkerStarted,
)
from nodes.machine import (
    TIMER_FIRED,
    CancelTimer,
    Context,
    Note,
    Perform,
    Publish,
    Refused,
    SetTimer,
    TimerFired,
    own_event,
)
from nodes.records import RecordSet
from nodes.renter.protocol.config import RenterConfig
from nodes.renter.protocol.machine import RenterMachine
from nodes.renter.protocol.outcomes import (
    BatchSent,
    EvidenceAccepted,
    JobAssembled,
    JobPrepared,
    JobSpoiled,
    ResultAccepted,
)
from nodes.renter.protocol.records import LOCAL, Facts, Job, Progress, Subtask
from schemas import codec
from schemas.contracts import Receipt
from schemas.events import CATALOGUE, BatchFailed, Event, JobCancelled, JobSubmitted, SubtaskAnnounced, batch_attributes
from schemas.ids import Address, address, derive_id, hub_address, hub_of
from schemas.jobs import Batch, Costs, JobSpec
from schemas.manifest import cut

START: Final = 1_800_000_000.0
LATENCY_SECONDS: Final = 0.02
PROGRAM: Final = b"a program"
RENTER: Final = address("A11", "A12")
HUBS: Final = ("A11", "B11")
MAC: Final = b"m" * 64


@dataclass(slots=True, eq=False)
class Node:
    """One process: its machine and records by aggregate; a lessor's worker also what waits for its sessions."""

    me: Address
    machine: Any
    records: dict[str, RecordSet] = field(default_factory=lambda: defaultdict(RecordSet))
    name: str = ""
    free_at: float = 0.0
    alive: bool = True
    waiting: dict[str, list[Event]] = field(default_factory=dict)


class Economy:
    """Hubs A11 and B11, renter A12, lessors B12, B13, … of so many workers with one unit each."""

    def __init__(
        self,
        *,
        lessors: int = 1,
        workers: int = 1,
        batch_seconds: float = 1.0,
        renter: Mapping[str, Any] | None = None,
        lessor: Mapping[str, Any] | None = None,
    ) -> None:
        self.now = START
        self.batch_seconds = batch_seconds
        self.lessors = [address("B11", f"B{12 + number}") for number in range(lessors)]
        names = [*map(hub_address, HUBS), RENTER, *self.lessors]
        self.identities = {name: Identity.from_seed(name, sha256(name.encode()).digest()) for name in names}
        self.hub_keys: dict[str, bytes] = {hub_address(hub): self.identities[hub_address(hub)].public for hub in HUBS}
        self.sent: list[Event] = []
        self.refused: list[tuple[Event, Refused]] = []
        self.notes: list[tuple[Address, Note]] = []
        self.unfit: Callable[[Address, Batch], BatchFailed | None] = lambda lessor, batch: None
        """Why a lessor's worker has no result for a batch."""
        self.spoiled: Callable[[int], str] = lambda batch: ""
        """What is wrong with the rows of a batch, when the renter computes it itself."""
        self.drop: Callable[[Event], bool] = lambda event: False
        """What the wire loses."""
        self.row_seconds: Callable[[Batch], float] = lambda batch: 0.0
        """That a lessor's worker takes for each row of a batch, beside `batch_seconds`."""
        self.said_seconds: Callable[[Batch], float] | None = None
        """What it says it took for each row, if that is another number."""
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._timers: dict[tuple[int, str, str], int] = {}
        self.nodes: dict[Address, list[Node]] = defaultdict(list)
        for hub in map(hub_address, HUBS):
            members = [name for name in names if hub_of(name) == hub_of(hub) and name != hub]
            inside: dict[str, bytes] = {name: self.identities[name].public for name in members}
            self.nodes[hub].append(Node(hub, HubMachine(HubConfig(hub, self.hub_keys, inside))))
        key = self.identities[RENTER].public
        config = RenterConfig(me=RENTER, key=key, hub_keys=self.hub_keys, **(renter or {}))
        self.nodes[RENTER].append(Node(RENTER, RenterMachine(config)))
        for each in self.lessors:
            for number in range(workers):
                self.start_worker(each, number, units=workers, lanes=workers, **(lessor or {}))
        self.run(seconds=1)

    # ---------------------------------------------------------------- acting

    def start_worker(self, lessor: Address, number: int, **config: Any) -> Node:
        """One more worker of a lessor, on its lane."""
        key = self.identities[lessor].public
        known = LessorConfig(me=lessor, key=key, hub_keys=self.hub_keys, **config)
        name = derive_id("worker", lessor, number)
        node = Node(lessor, LessorMachine(Worker(known, name, lane(number + 1))), name=name)
        self.nodes[lessor].append(node)
        self._after(0, lambda: self._internal(node, "worker.started", WorkerStarted(), "worker"))
        return node

    def submit(self, **wishes: Any) -> str:
        """A job of 10-row batches under `enclave`, of which a lessor takes `rehearsed` seconds; its id."""
        fields: dict[str, Any] = {"protection": "enclave", "local_share": 0.0, "batch_rows": 10, **wishes}
        job, rows = derive_id("job", next(self._count)), fields.pop("rows", 100)
        rehearsed = Costs(encrypt_seconds=0.0, lessor_seconds=fields.pop("rehearsed", 1.0), decrypt_seconds=0.0)
        spec = JobSpec(id=job, data="0" * 64, program="0" * 64, **fields)
        facts = Facts(
            rows=rows,
            width_in=1,
            width_out=1,
            sum_rows=False,
            program=cut(PROGRAM)[0],
            enclave=rehearsed,
        )
        self._facts = facts
        self._internal(self.renter, "job.submitted", JobSubmitted(spec=spec), job)
        return job

    def cancel(self, job: str) -> None:
        """The user takes a job back."""
        self._internal(self.renter, "job.cancelled", JobCancelled(job=job), job)

    def run(self, *, seconds: float = 0.0, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, event by event; `until` ends it earlier."""
        end = self.now + seconds
        while not until() and self._due and self._due[0][0] <= end:
            at, _, act = heapq.heappop(self._due)
            self.now = max(self.now, at)
            act()
        if not until():
            self.now = end

    def finish(self, job: str, *, seconds_max: float = 3600.0) -> Job:
        """Run until the job has ended and its receipts are in; the job."""
        self.run(seconds=seconds_max, until=lambda: self.progress(job).phase in ("completed", "failed"))
        self.run(seconds=2)
        return self.job(job)

    # ---------------------------------------------------------------- looking

    @property
    def renter(self) -> Node:
        return self.nodes[RENTER][0]

    def job(self, job: str) -> Job:
        found = self.renter.records[job]["job"]
        assert isinstance(found, Job)
        return found

    def progress(self, job: str) -> Progress:
        found = self.renter.records[job]["progress"]
        assert isinstance(found, Progress)
        return found

    def subtasks(self, job: str) -> list[Subtask]:
        """In the order in which they began."""
        records = self.renter.records[job]
        found = [each for each in map(records.get, records.under("subtask")) if isinstance(each, Subtask)]
        return sorted(found, key=lambda each: each.started_at)

    def receipts(self) -> list[Receipt]:
        """With both signatures, in their order."""
        found = [each.data.receipt for each in self.wire("receipt.countersigned")]  # type: ignore[union-attr]
        return sorted(found, key=lambda each: each.started_at)

    def wire(self, event_type: str) -> list[Event]:
        """What was sent of a type."""
        return [each for each in self.sent if each.type == event_type]

    def noted(self, kind: str) -> list[str]:
        """Texts of the renter's notes of a kind."""
        return [note.text for me, note in self.notes if me == RENTER and note.kind == kind]

    # ---------------------------------------------------------------- the wire

    def deliver(self, event: Event, to_lane: str = "") -> None:
        """Let its receiver have it now: any of its workers, or the one on the lane."""
        nodes = [each for each in self.nodes[event.to] if each.alive]
        if to_lane:
            nodes = [each for each in nodes if each.machine.worker.lane == to_lane]
        if not nodes:
            return
        node = min(nodes, key=lambda each: each.free_at) if event.type == "batch.dispatched" else nodes[0]
        if isinstance(node.machine, LessorMachine):
            self._to_worker(node, event)
        elif event.type == "batch.completed":
            self._result(node, event)
        else:
            self._receive(node, event)

    def _receive(self, node: Node, event: Event) -> None:
        try:
            aggregate = node.machine.aggregate_of(event)
            key = node.machine.key_of(node.records[aggregate], event)
            if key != self.identities[event.source].public:
                raise Refused("unknown-sender", f"{event.type} of {event.source}")
            self._handle(node, event, aggregate)
        except Refused as refusal:
            self.refused.append((event, refusal))

    def _handle(self, node: Node, event: Event, aggregate: str) -> None:
        records, sign = node.records[aggregate], self.identities[node.me].sign
        context = Context(node.me, self.now, sha256(event.id.encode()).digest(), event.id, sign, verify)
        step = node.machine.handle(records, event, context)
        for key in step.delete:
            records.drop(key)
        for key, record in step.put.items():
            records.put(key, record)
        for index, effect in enumerate(step.effects):
            match effect:
                case Publish():
                    self._publish(node, effect, derive_id("event", node.name, event.id, index))
                case SetTimer():
                    self._set_timer(node, aggregate, effect)
                case CancelTimer():
                    self._timers.pop((id(node), aggregate, effect.name), None)
                case Note():
                    self.notes.append((node.me, effect))
                case Perform():
                    self._perform(node, effect, event, aggregate)

    def _publish(self, node: Node, effect: Publish, event_id: str) -> None:
        row = CATALOGUE[effect.type]
        data = None if row.data is None else msgspec.convert(effect.data, row.data)
        body = PROGRAM if effect.blob else b""
        self.send(node, effect.type, effect.to, effect.subject, data, event_id=event_id, body=body, lane=effect.lane)

    def send(self, node: Node, event_type: str, to: str, subject: str, data: Struct | None, **more: Any) -> None:
        """Put an event on the wire."""
        to_lane, event_id = more.pop("lane", ""), more.pop("event_id", "") or derive_id("event", next(self._count))
        event = Event(event_id, event_type, node.me, Address(to), self.now, subject, data, **more)
        self.sent.append(event)
        if self.drop(event):
            return
        self._after(LATENCY_SECONDS, lambda: self.deliver(event, to_lane))

    def _after(self, seconds: float, act: Callable[[], None]) -> int:
        number = next(self._count)
        heapq.heappush(self._due, (self.now + seconds, number, act))
        return number

    def _set_timer(self, node: Node, aggregate: str, timer: SetTimer) -> None:
        key = (id(node), aggregate, timer.name)

        def fire() -> None:
            if self._timers.get(key) == number and node.alive:
                del self._timers[key]
                self._internal(node, TIMER_FIRED, TimerFired(name=timer.name, at=timer.at), aggregate)

        number = self._after(max(0.0, timer.at - self.now), fire)
        self._timers[key] = number

    def _internal(self, node: Node, event_type: str, data: Struct, aggregate: str) -> None:
        if not node.alive:
            return
        event_id = derive_id("internal", next(self._count))
        event = own_event(node.me, event_type, data, id=event_id, time=self.now, subject=aggregate)
        self._handle(node, event, aggregate)

    # ---------------------------------------------------------------- what the renter's activities do

    def _perform(self, node: Node, effect: Perform, event: Event, aggregate: str) -> None:
        if isinstance(node.machine, LessorMachine):
            self._work(node, effect.activity, effect.params, event)
            return
        params = effect.params

        def told(event_type: str, data: Struct) -> None:
            self._after(LATENCY_SECONDS, lambda: self._internal(node, event_type, data, aggregate))

        match effect.activity:
            case "prepare":
                told("job.prepared", JobPrepared(facts=self._facts))
            case "verify-evidence":
                told("evidence.accepted", _accepted(params["subtask"], params["worker"]))
            case "dispatch":
                batch = msgspec.convert(params["batch"], Batch)
                attributes = batch_attributes(batch)
                self.send(node, "batch.dispatched", params["lessor"], batch.job, None, attributes=attributes)
                sent = BatchSent(batch=batch.batch, attempt=batch.attempt, bytes_sent=1, encrypt_seconds=0.0)
                told("batch.sent", sent)
            case "compute-local" if reason := self.spoiled(params["batch"]):
                told("job.spoiled", JobSpoiled(code="bad-data", reason=reason))
            case "compute-local":
                told("result.accepted", ResultAccepted(batch=params["batch"], attempt=1, owner=LOCAL, digest="right"))
            case "assemble":
                told("job.assembled", JobAssembled(rows=1, digest="0" * 64))

    def _result(self, node: Node, event: Event) -> None:
        batch = codec.batch_of(event)
        accepted = ResultAccepted(
            batch=batch.batch,
            attempt=batch.attempt,
            owner=batch.subtask,
            digest="right",
            compute_seconds=batch.rows * (self.said_seconds or self.row_seconds)(batch),
        )
        self._internal(node, "result.accepted", accepted, batch.job)

    # ---------------------------------------------------------------- what a lessor's worker does

    def _to_worker(self, node: Node, event: Event) -> None:
        """A batch waits for its session, as in `nodes/lessor/worker.py`."""
        if event.type == "batch.dispatched" and node.machine.closed(node.records["worker"], event) is None:
            batch = codec.batch_of(event)
            session = node.records["worker"].get(f"session/{batch.subtask}")
            if not (isinstance(session, Session) and session.phase == "open"):
                node.waiting.setdefault(batch.subtask, []).append(event)
                self._want(node, batch.subtask, batch.job, event.source)
                return
        self._receive(node, event)
        if isinstance(event.data, SubtaskAnnounced):
            self._want(node, event.data.terms.subtask, event.data.terms.job, event.source)

    def _want(self, node: Node, subtask: str, job: str, renter: Address) -> None:
        self._internal(node, "session.wanted", SessionWanted(subtask=subtask, job=job, renter=renter), "worker")

    def _work(self, node: Node, activity: str, params: dict[str, Any], event: Event) -> None:
        match activity:
            case "offer":
                made = EvidenceMade(subtask=params["subtask"], evidence=b"e")
                self._after(1.0, lambda: self._internal(node, "evidence.made", made, "worker"))
            case "accept":
                accepted = SealAccepted(subtask=params["subtask"], mac=MAC, protections=())
                self._after(0.1, lambda: self._internal(node, "seal.accepted", accepted, "worker"))
            case "resolve":
                for each in node.waiting.pop(params["subtask"], []):
                    self._after(0.0 if params["code"] or not params["reason"] else 1.0, lambda e=each: self.deliver(e))  # type: ignore[misc]
            case "compute":
                batch = params["batch"]
                node.free_at = max(self.now, node.free_at) + self.batch_seconds + batch.rows * self.row_seconds(batch)
                done = node.free_at - self.now
                self._after(done, lambda: self._computed(node, batch, event))

    def _computed(self, node: Node, batch: Batch, event: Event) -> None:
        if not node.alive:
            return
        if f"session/{batch.subtask}" not in node.records["worker"]:  # it was closed, and what computed with it
            self.deliver(event)
            return
        failed = self.unfit(node.me, batch)
        if failed is not None:
            self._internal(node, "batch.unfit", BatchUnfit(renter=event.source, failed=failed), "worker")
            return
        self.send(node, "batch.completed", event.source, batch.job, None, attributes=batch_attributes(batch))
        self._internal(node, "batch.returned", BatchReturned(batch=batch, seconds=self.batch_seconds), "worker")


def _accepted(subtask: str, worker: str) -> EvidenceAccepted:
    return EvidenceAccepted(
        subtask=subtask,
        worker=worker,
        sealed=b"s",
        signature=b"g",
        claims=b"c",
        claims_shown={},
        policy_digest=b"p",
        mac_digest=confirmation_digest(MAC),
    )
