"""Internal events: what activities and the collector tell the machine. Frozen data, pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from nodes.joint.records import INTERNAL as ALIGNMENT_TYPES
from nodes.machine import ActivityFailed, PublishFailed
from nodes.renter.protocol.records import Facts, Joined
from schemas.errors import SubletError, VerificationFailed


class JobPrepared(Struct, frozen=True, kw_only=True):
    """`job.prepared`: data and program can be used."""

    facts: Facts


class JobJoined(Struct, frozen=True, kw_only=True):
    """`job.joined`: the table that lessors compute on lies in the job's folder."""

    joined: Joined


class EvidenceAccepted(Struct, frozen=True, kw_only=True):
    """`evidence.accepted`: the enclave proved itself and the subtask secret is sealed to it."""

    subtask: str
    worker: str
    sealed: bytes
    signature: bytes
    claims: bytes
    claims_shown: dict[str, str]
    policy_digest: bytes
    mac_digest: str


class EvidenceRejected(Struct, frozen=True, kw_only=True):
    """`evidence.rejected`: no key for this enclave."""

    subtask: str
    worker: str
    code: str
    reason: str


class BatchSent(Struct, frozen=True, kw_only=True):
    """`batch.sent`: the broker has confirmed a dispatched batch; with its size, and the core-seconds to encrypt it."""

    batch: int
    attempt: int
    bytes_sent: int
    encrypt_seconds: float


class BatchUnsent(Struct, frozen=True, kw_only=True):
    """`batch.unsent`: the broker did not take a dispatched batch, for its lessor's queue is full."""

    batch: int
    attempt: int


class ResultAccepted(Struct, frozen=True, kw_only=True):
    """`result.accepted`: a result was authenticated, decrypted, checked and lies in its part file."""

    batch: int
    attempt: int
    owner: str
    digest: str
    decrypt_seconds: float = 0.0
    compute_seconds: float = 0.0
    """As its lessor says. Both are seconds of one core."""
    bytes_back: int = 0


class ResultHeld(Struct, frozen=True, kw_only=True):
    """`result.held`: a lessor's result is here, and waits to be decrypted: its lessor is not silent."""

    owner: str


class ResultRefused(Struct, frozen=True, kw_only=True):
    """`result.refused`: a result could not be authenticated, decrypted or has the wrong shape."""

    batch: int
    attempt: int
    owner: str
    code: str
    reason: str
    evidence: str = ""
    """Names the lessor's signed message in the job's folder."""


class RoundPlanned(Struct, frozen=True, kw_only=True):
    """`round.planned`: a round's parameters lie in their file, and the largest result that rows can have is known."""

    round: int
    parameters: str
    result_bits: int
    value_bits: int


class RoundsDone(Struct, frozen=True, kw_only=True):
    """`rounds.done`: the update program says that no further round is wanted."""

    round: int


class OutputAccepted(Struct, frozen=True, kw_only=True):
    """`output.accepted`: the partner's output of a round was decrypted and lies in its file."""

    round: int
    digest: str
    outputs: int
    decrypt_seconds: float
    bytes_back: int
    reply: tuple[float, ...] = ()
    """What gives the partner its own weights of a model; empty where it gets none."""


class OutputRefused(Struct, frozen=True, kw_only=True):
    """`output.refused`: the partner's output cannot be used."""

    round: int
    code: str
    reason: str


class JobAssembled(Struct, frozen=True, kw_only=True):
    """`job.assembled`: all parts are joined in order, local program applied, the output is in its place."""

    rows: int
    digest: str


class JobSpoiled(Struct, frozen=True, kw_only=True):
    """`job.spoiled`: the renter's own data, program, options or files cannot be used; no lessor can help."""

    code: str
    reason: str


class JobKept(Struct, frozen=True, kw_only=True):
    """`job.kept`: it could not be erased yet: something that it asked for is still to be carried out, or a job is
    submitted that may need its files."""


def own_fault(error: SubletError) -> JobSpoiled:
    """The renter's rows, program, files or keys are not what they were when the job was prepared."""
    code = error.code if isinstance(error, VerificationFailed) else "bad-data"
    return JobSpoiled(code=code, reason=str(error))


INTERNAL_TYPES: Final[Mapping[str, type[Struct]]] = MappingProxyType(
    {
        "job.prepared": JobPrepared,
        "job.joined": JobJoined,
        "evidence.accepted": EvidenceAccepted,
        "evidence.rejected": EvidenceRejected,
        "batch.sent": BatchSent,
        "batch.unsent": BatchUnsent,
        "result.accepted": ResultAccepted,
        "result.held": ResultHeld,
        "result.refused": ResultRefused,
        "round.planned": RoundPlanned,
        "rounds.done": RoundsDone,
        "output.accepted": OutputAccepted,
        "output.refused": OutputRefused,
        "job.assembled": JobAssembled,
        "job.spoiled": JobSpoiled,
        "job.kept": JobKept,
        "activity.failed": ActivityFailed,
        "publish.failed": PublishFailed,
        **ALIGNMENT_TYPES,
    }
)
