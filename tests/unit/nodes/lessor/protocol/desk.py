"""A worker's machine at a desk: its records, what it did last, and a subtask that it may be given."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct, structs

from nodes.contracts import charge_micros
from nodes.identity import verify
from nodes.lessor.protocol.config import LessorConfig
from nodes.lessor.protocol.draft import Worker
from nodes.lessor.protocol.machine import LessorMachine
from nodes.lessor.protocol.records import ComputerReady, Session
from nodes.machine import TIMER_FIRED, Context, Effect, Perform, Publish, SetTimer, TimerFired
from nodes.records import RecordSet
from schemas.contracts import Contract, Receipt
from schemas.events import Event, KeySealed, SubtaskAnnounced, SubtaskAssigned, batch_attributes
from schemas.ids import Address, derive_id
from schemas.jobs import Batch, FixedPoint, SubtaskTerms
from schemas.manifest import cut
from schemas.orders import Protection
from schemas.signing import struct_bytes
from tests.unit.nodes.lessor.rentals import HUB_KEYS, IDENTITIES, LESSOR, RENTER, contract

NOW = 1_000_000.0
NAME, LANE = derive_id("worker", 1), "w3"
PROGRAM, PUBLIC_KEY = b"a program", b"a public key"
FIXED = FixedPoint(column_exponents=(0,), weight_bits=8, input_bits=8)


def sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def terms(protection: Protection = "homomorphic", **changes: Any) -> SubtaskTerms:
    of = rented(protection)
    ciphertext = {"scheme": "paillier", "fixed_point": FIXED, "computation": "0" * 64, "public_key": cut(PUBLIC_KEY)[0]}
    sealed = {"result_bits": 20, "public_key": cut(PUBLIC_KEY)[0]}
    special = {"homomorphic": ciphertext, "enclave": {}, "sealed-result": sealed}[protection]
    fields: dict[str, Any] = {
        "job": of.buy.job,
        "subtask": derive_id("subtask", of.id),
        "contract": of,
        "protection": protection,
        "program": cut(PROGRAM)[0],
        "width_in": 1,
        "width_out": 1,
    }
    return SubtaskTerms(**(fields | special | changes))


def rented(protection: Protection = "homomorphic", *, now: float = NOW, **changes: Any) -> Contract:
    made = contract(now=now)
    buy = structs.replace(made.buy, protection=protection, signature=b"")
    buy = structs.replace(buy, signature=IDENTITIES[RENTER].sign(struct_bytes(buy)))
    fields = {"buy": buy, "protection": protection, **changes}
    return contract(now=now, **fields)


SUBTASK = terms().subtask
JOB = terms().job


@dataclass
class Desk:
    """A worker's machine with its records; `did` are the effects of the last event."""

    machine: LessorMachine = field(
        default_factory=lambda: LessorMachine(
            Worker(LessorConfig(me=LESSOR, key=IDENTITIES[LESSOR].public, hub_keys=HUB_KEYS), NAME, LANE)
        )
    )
    records: RecordSet = field(default_factory=RecordSet)
    now: float = NOW
    did: tuple[Effect, ...] = ()
    count: int = 0

    def event(self, event_type: str, data: Struct | None, source: Address, **more: Any) -> Event:
        self.count += 1
        fields: dict[str, Any] = {"subject": SUBTASK, **more}
        return Event(
            id=f"event-{self.count}", type=event_type, source=source, to=LESSOR, time=self.now, data=data, **fields
        )

    def handle(self, event_type: str, data: Struct | None = None, source: Address = RENTER, **more: Any) -> Desk:
        event = self.event(event_type, data, source, **more)
        context = Context(LESSOR, self.now, bytes(32), event.id, IDENTITIES[LESSOR].sign, verify)
        step = self.machine.handle(self.records, event, context)
        for key in step.delete:
            self.records.drop(key)
        for key, record in step.put.items():
            self.records.put(key, record)
        self.did = step.effects
        return self

    def inside(self, event_type: str, data: Struct) -> Desk:
        return self.handle(event_type, data, LESSOR)

    def announce(self, protection: Protection = "homomorphic") -> Desk:
        return self.handle("subtask.announced", SubtaskAnnounced(terms=terms(protection)))

    def assign(self, protection: Protection = "homomorphic", **changes: Any) -> Desk:
        data = SubtaskAssigned(terms=terms(protection, **changes), worker=NAME, nonce=b"nonce")
        return self.handle("subtask.assigned", data)

    def publish(self, raw: bytes = PROGRAM, source: Address = RENTER) -> Desk:
        return self.handle("program.published", None, source, body=raw)

    def seal(self, worker: str = NAME) -> Desk:
        data = KeySealed(subtask=SUBTASK, worker=worker, sealed=b"s", signature=b"g", claims=b"c", policy_digest=b"p")
        return self.handle("key.sealed", data)

    def open(self) -> Desk:
        self.announce().assign().publish().publish(PUBLIC_KEY)
        return self.inside("computer.ready", ComputerReady(subtask=SUBTASK))

    def batch(self, source: Address = RENTER, **changes: Any) -> Desk:
        batch = structs.replace(BATCH, **changes)
        return self.handle(
            "batch.dispatched", None, source, subject=batch.job, body=b"x", attributes=batch_attributes(batch)
        )

    def timer(self, name: str) -> Desk:
        return self.inside(TIMER_FIRED, TimerFired(name=name, at=self.now))

    @property
    def phase(self) -> str:
        record = self.records.get(f"session/{SUBTASK}")
        return record.phase if isinstance(record, Session) else "gone"

    @property
    def sent(self) -> list[str]:
        return [each.type for each in self.did if isinstance(each, Publish)]

    @property
    def performed(self) -> list[str]:
        return [each.activity for each in self.did if isinstance(each, Perform)]

    def deadline(self) -> float:
        """Seconds until the session is given up, as the last event set it."""
        return [each.at for each in self.did if isinstance(each, SetTimer)][-1] - self.now

    def params(self, activity: str) -> dict[str, Any]:
        (params,) = (each.params for each in self.did if isinstance(each, Perform) and each.activity == activity)
        return params

    def data(self, event_type: str) -> dict[str, Any]:
        (data,) = (each.data for each in self.did if isinstance(each, Publish) and each.type == event_type)
        assert isinstance(data, dict)
        return data


BATCH = Batch(job=JOB, subtask=SUBTASK, contract=rented().id, batch=0, attempt=1, first_row=0, rows=1)


def session_of(desk: Desk) -> Session:
    record = desk.records[f"session/{SUBTASK}"]
    assert isinstance(record, Session)
    return record


def receipt(**changes: Any) -> Receipt:
    fields: dict[str, Any] = {
        "contract": rented().id,
        "job": JOB,
        "subtask": SUBTASK,
        "rows": 1,
        "batches": 1,
        "started_at": NOW,
        "ended_at": NOW + 1,
    } | changes
    cost = charge_micros(rented(), fields["ended_at"] - fields["started_at"])
    unsigned = Receipt(**{"cost_micros": cost, **fields})
    return structs.replace(unsigned, renter_signature=IDENTITIES[RENTER].sign(struct_bytes(unsigned)))
