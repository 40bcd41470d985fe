"""What the renter keeps about a job, one record per thing that changes on its own. Frozen data, pure.

Aggregate = job id. Keys: `job`, `contract/<id>`, `subtask/<id>`, `batch/<number>`, `worker/<subtask>/<worker>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from msgspec import Struct

from schemas.contracts import Contract
from schemas.jobs import Assessment, Costs, FixedPoint, JobSpec, Scheme

JobPhase = Literal["preparing", "ordering", "running", "assembling", "completed", "failed"]
SubtaskPhase = Literal["keying", "running", "completed", "lost"]
LOCAL: Final = "local"
"""Owner of the batches that the renter computes itself."""


class SchemeFacts(Struct, frozen=True, kw_only=True):
    """What preparing found out about one homomorphic scheme for this job."""

    scheme: Scheme
    refused: str = ""
    """Why it cannot compute this job on ciphertext; empty when it can."""
    key_bits: int
    slots: int
    ciphertext_bytes: int
    fixed_point: FixedPoint | None = None
    computation: str = ""
    """Digest of the integer program; empty when there is none."""
    error_bound: float | None = None
    costs: Costs | None = None


class Facts(Struct, frozen=True, kw_only=True):
    """What preparing found out about data and program, and what it measured."""

    rows: int
    columns: tuple[str, ...]
    width_in: int
    width_out: int
    sum_rows: bool
    needs_enclave: str = ""
    """Why the program cannot run on ciphertext at all; empty when it can."""
    no_enclave: str = ""
    """Why no enclave can get the data; empty when the policy accepts some kind."""
    schemes: tuple[SchemeFacts, ...] = ()
    """Those that the job may use."""
    enclave: Costs | None = None
    sealed_result: Costs | None = None
    public_key: str = ""
    """Digest of the job's homomorphic public key; empty when none was made."""
    cores: int = 1
    free_cores: float = 1.0
    result_bits: int = 0
    """Fixed-point bits of sealed results."""

    def of(self, scheme: Scheme | None) -> SchemeFacts:
        """What is known of a scheme; raises LookupError where it was not looked at."""
        for each in self.schemes:
            if each.scheme == scheme:
                return each
        raise LookupError(f"no facts of {scheme}")


class Part(Struct, frozen=True, kw_only=True):
    """A run of batches with one owner: a subtask, or the renter itself (S1)."""

    owner: str
    first_batch: int
    batches: int
    first_row: int
    rows: int


class Job(Struct, frozen=True, kw_only=True):
    """The job as a whole."""

    spec: JobSpec
    phase: JobPhase
    submitted_at: float
    facts: Facts | None = None
    assessment: Assessment | None = None
    order: str = ""
    orders_placed: int = 0
    expected_contracts: tuple[str, ...] = ()
    batch_rows: int = 0
    batches: int = 0
    parts: tuple[Part, ...] = ()
    batches_done: int = 0
    rows_done: int = 0
    spent: Costs = Costs(encrypt_seconds=0.0, lessor_seconds=0.0, decrypt_seconds=0.0)
    """On what lessors computed, so far; the assessment's `costs` predicted it."""
    waiting: tuple[int, ...] = ()
    """Batches of lost subtasks that no live subtask has taken over yet."""
    avoid: tuple[str, ...] = ()
    causes: tuple[tuple[str, str], ...] = ()
    """(code, text) of everything that went wrong on the way; a failure reports them all."""
    code: str = ""
    reason: str = ""
    ended_at: float = 0.0


class ContractRecord(Struct, frozen=True, kw_only=True):
    """A contract as delivered by the own hub, verified."""

    contract: Contract
    order: str
    ended: bool = False


class Subtask(Struct, frozen=True, kw_only=True):
    """One contract's part of the job (S2). `queue` are the batches it has yet to be sent, next first."""

    id: str
    contract: str
    lessor: str
    phase: SubtaskPhase
    queue: tuple[tuple[int, int], ...]
    """Runs [first, end) of batch numbers."""
    under_way: tuple[int, ...] = ()
    batches_done: int = 0
    rows_done: int = 0
    started_at: float = 0.0
    heard_at: float = 0.0


class BatchRecord(Struct, frozen=True, kw_only=True):
    """A batch that was sent at least once; `digest` is of the accepted plaintext result."""

    number: int
    first_row: int
    rows: int
    owner: str
    attempt: int
    sent_at: float = 0.0
    """When the broker confirmed it; 0 while it is being encrypted."""
    digest: str = ""


class Worker(Struct, frozen=True, kw_only=True):
    """One worker's handshake (E1). `mac_digest` recognises the confirmation that only the enclave can make."""

    lane: str
    nonce: bytes
    asked_at: float
    state: Literal["assigned", "verifying", "sealed", "confirmed", "refused"]
    mac_digest: str = ""
    claims: dict[str, str] = {}


RECORD_TYPES: Final[Mapping[str, type[Struct]]] = MappingProxyType(
    {"job": Job, "contract": ContractRecord, "subtask": Subtask, "batch": BatchRecord, "worker": Worker}
)


# ---------------------------------------------------------------- internal events: outcomes of activities


class JobPrepared(Struct, frozen=True, kw_only=True):
    """`job.prepared`: data and program can be used."""

    facts: Facts


class JobRejected(Struct, frozen=True, kw_only=True):
    """`job.rejected`: data, program or options cannot be used."""

    code: str
    reason: str


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


class BatchUnsendable(Struct, frozen=True, kw_only=True):
    """`batch.unsendable`: reading, encoding or encrypting a batch failed for good."""

    batch: int
    attempt: int
    code: str
    reason: str


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


class ResultRefused(Struct, frozen=True, kw_only=True):
    """`result.refused`: a result could not be authenticated, decrypted or has the wrong shape."""

    batch: int
    attempt: int
    owner: str
    code: str
    reason: str
    evidence: str = ""
    """Names the lessor's signed message in the job's folder."""


class JobAssembled(Struct, frozen=True, kw_only=True):
    """`job.assembled`: all parts are joined in order, local program applied, the output is in its place."""

    rows: int
    digest: str


class JobSpoiled(Struct, frozen=True, kw_only=True):
    """`job.spoiled`: joining or the local program failed."""

    code: str
    reason: str


class ActivityFailed(Struct, frozen=True, kw_only=True):
    """`activity.failed`: an activity of the shell failed unexpectedly, several times."""

    activity: str
    params: dict[str, object]
    error: str


class PublishFailed(Struct, frozen=True, kw_only=True):
    """`publish.failed`: the broker says that nobody receives at this address."""

    type: str
    to: str
    reason: str


INTERNAL_TYPES: Final[Mapping[str, type[Struct]]] = MappingProxyType(
    {
        "job.prepared": JobPrepared,
        "job.rejected": JobRejected,
        "evidence.accepted": EvidenceAccepted,
        "evidence.rejected": EvidenceRejected,
        "batch.sent": BatchSent,
        "batch.unsendable": BatchUnsendable,
        "result.accepted": ResultAccepted,
        "result.refused": ResultRefused,
        "job.assembled": JobAssembled,
        "job.spoiled": JobSpoiled,
        "activity.failed": ActivityFailed,
        "publish.failed": PublishFailed,
    }
)
