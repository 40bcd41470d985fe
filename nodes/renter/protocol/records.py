"""What the renter keeps about a job, one record per thing that changes on its own. Frozen data, pure.

Aggregate = job id, beside the days of receipts (`nodes/receipts.py`). Keys: `job`, `progress`, `contract/<id>`,
`subtask/<id>`, `batch/<number>`, `worker/<subtask>/<worker>`, and of joint jobs `agreement`, `ledger`,
`round/<number>`, and while rows are aligned `alignment` and `chunk/<way>/<number>`. `job` is large and changes a few
times, `progress` is small and changes with every batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from msgspec import Struct, structs

from nodes import receipts
from nodes.joint.records import RECORDS as ALIGNMENT_RECORDS
from nodes.protections import Traits, traits_of
from nodes.renter.protocol.runs import Runs
from nodes.renter.protocol.states import JobPhase, RoundPhase, SubtaskPhase
from schemas.contracts import Contract, Settlement
from schemas.ids import derive_id
from schemas.jobs import Assessment, Costs, FixedPoint, JobSpec, Scheme
from schemas.joint import Introduction, Learned
from schemas.manifest import Manifest

JOB_PREFIX: Final = "job-"
"""How names of aggregates that are jobs begin."""
VALUE_BYTES: Final = 8
"""Of a number in plaintext (float64), as an enclave's batch carries it."""
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
    at: int = 0
    """Which of the scheme's shapes its ciphertexts have."""
    fixed_point: FixedPoint | None = None
    computation: str = ""
    """Digest of the integer program; empty when there is none."""
    error_bound: float | None = None
    costs: Costs | None = None


class Facts(Struct, frozen=True, kw_only=True):
    """What preparing found out about data and program, and what it measured."""

    rows: int
    width_in: int
    width_out: int
    """Of the program; once the protection is chosen, of what lessors compute of it."""
    width_cut: int = 0
    """Of its beginning, where only that runs on ciphertext; else 0."""
    sum_rows: bool
    program: Manifest
    beginning: Manifest | None = None
    """Of a program that is cut: what runs on ciphertext."""
    row_elements: int = 1
    """Numbers that the program makes of a row."""
    memory_mib: int = 0
    """Predicted for one unit of a lessor that computes in an enclave."""
    needs_enclave: str = ""
    """Why the program cannot run on ciphertext at all; empty when it can."""
    no_enclave: str = ""
    """Why no enclave can get the data; empty when the policy accepts some kind."""
    schemes: tuple[SchemeFacts, ...] = ()
    """Those that the job may use."""
    enclave: Costs | None = None
    sealed_result: Costs | None = None
    public_key: Manifest | None = None
    """The job's homomorphic one; None when none was made."""
    cores: int = 1
    free_cores: float = 1.0
    result_bits: int = 0
    """Fixed-point bits of sealed results."""
    by_row: bool = False
    """Whether each ciphertext has all results of one row."""
    ciphertext_bytes: int = 0
    """Of such a one."""

    @property
    def width(self) -> int:
        """Numbers that a row is large as, on its way in or out."""
        return max(self.width_in, self.width_out, self.ciphertext_bytes // VALUE_BYTES)

    def under(self, chosen: Traits) -> Facts:
        """Of a job whose protection is chosen."""
        return structs.replace(self, width_out=self.width_cut) if self.width_cut and chosen.on_ciphertext else self

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
    rows_each: int
    """Of every batch but the last."""


class Target(Struct, frozen=True, kw_only=True):
    """What a label became (`nodes/joint/models.py`)."""

    intercept: float
    """The linear predictor of a mean row."""
    mean: float
    """Of the label."""
    moved: int
    """Rows of the renter's that stood alone in its columns, and were moved towards the mean."""


class Joined(Struct, frozen=True, kw_only=True):
    """The table that a joint job's lessors compute on, made of the job's own."""

    data: str
    """Its digest."""
    rows: int
    target: Target | None = None
    """Of a model."""


class Job(Struct, frozen=True, kw_only=True):
    """What a job is, what was decided about it, and how it ended."""

    spec: JobSpec
    submitted_at: float
    facts: Facts | None = None
    assessment: Assessment | None = None
    joined: Joined | None = None
    """None where lessors compute on the job's table as it is."""
    order: str = ""
    ordered_at: float = 0.0
    """When it was placed, seconds since 1970."""
    renewing: tuple[str, ...] = ()
    """Contracts that the order would renew; none where it is for new ones."""
    orders_placed: int = 0
    replacements: int = 0
    """Of those, for lessors that were lost."""
    expected_contracts: tuple[str, ...] = ()
    batches: int = 0
    parts: tuple[Part, ...] = ()
    """In row order."""
    avoid: tuple[str, ...] = ()
    causes: tuple[tuple[str, str], ...] = ()
    """(code, text) of everything that went wrong on the way; a failure reports them all."""
    code: str = ""
    reason: str = ""
    ended_at: float = 0.0

    @property
    def computed(self) -> Manifest:
        """The program that lessors compute, of a job that is past preparing."""
        facts, assessment = self.decided
        cut = facts.beginning if traits_of(assessment.chosen).on_ciphertext else None
        return cut or facts.program

    @property
    def decided(self) -> tuple[Facts, Assessment]:
        """Facts and assessment of a job that is past preparing."""
        assert self.facts is not None
        assert self.assessment is not None
        return self.facts, self.assessment


class LostLink(Struct, frozen=True, kw_only=True):
    """A link of the own hub's that does not carry now, as the hub said."""

    neighbour: str
    """The hub at its other end."""
    why: str
    lost_at: float
    """Seconds since 1970 (UTC)."""
    contracts: tuple[str, ...]
    """Of this job, over it: who serves them is not silent."""


class Progress(Struct, frozen=True, kw_only=True):
    """How far a job is."""

    phase: JobPhase
    batches_done: int = 0
    rows_done: int = 0
    spent: Costs = Costs(encrypt_seconds=0.0, lessor_seconds=0.0, decrypt_seconds=0.0)
    """On what lessors computed, so far; the assessment's `costs` predicted it."""
    waiting: Runs = ()
    """Batches of lost subtasks that no live subtask has taken over yet."""
    here: Runs | None = None
    """Batches that the renter computes itself, once its key decrypts nothing more; None as long as it does."""
    round: int = 1
    """Of a joint job, whose batches are counted anew in each."""
    forwarded: int = 0
    """Batches of this round that lessors say to have sent to the partner."""
    lost_links: tuple[LostLink, ...] = ()
    """That this job may wait for, by neighbour."""


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
    queue: Runs
    under_way: tuple[int, ...] = ()
    batches_done: int = 0
    rows_done: int = 0
    core_seconds: float = 0.0
    """That these rows took, as the lessor says."""
    cuts: int = 0
    """Times that its queue was cut anew."""
    started_at: float = 0.0
    heard_at: float = 0.0
    full_at: float = 0.0
    """When its lessor's queue had no room; 0 when it never was so. Seconds since 1970."""
    pieces_sent: int = 0
    """Of its files, to all its workers together."""
    renews: str = ""
    """The subtask whose contract this one's renewed; it begins where that one ends."""
    cost_micros: int = 0
    """As its receipt says, once there is one."""


class BatchRecord(Struct, frozen=True, kw_only=True):
    """A batch that was sent at least once; `digest` is of the accepted plaintext result."""

    number: int
    first_row: int
    rows: int
    owner: str
    attempt: int
    excused: int = 0
    """Attempts that ended without anybody's fault."""
    refused_by: tuple[str, ...] = ()
    """Lessors that say it would fail everywhere."""
    sent_at: float = 0.0
    """When the broker confirmed it; 0 while it is being encrypted."""
    digest: str = ""
    round: int = 1
    rows_at: str = ""
    """Of joint jobs: the subtask whose enclaves were sent the rows, which stay there (J6)."""


class Agreement(Struct, frozen=True, kw_only=True):
    """What binds a joint job's partner, and whether it owes something."""

    introduction: Introduction
    salt: bytes = b""
    """The renter's half of the alignment's; 32 bytes."""
    accepted: bool = False
    ended: bool = False
    """By the partner."""
    columns: int = 0
    """Of the partner's own, in a model."""
    owes_since: float = 0.0
    """When it was last due to say something and has not; 0 when it owes nothing. Seconds since 1970."""
    works_since: float = 0.0
    """The same, but for signs that it is at work."""


class Round(Struct, frozen=True, kw_only=True):
    """One round of a joint job."""

    number: int
    phase: RoundPhase
    parameters: str = ""
    """Digest of the file that holds them."""
    result_bits: int = 0
    value_bits: int = 0
    output: str = ""
    """Digest of the file that holds the decrypted output, or the renter's part of a model."""
    norm: float = 0.0
    """Of the partner's part of a model: sum of squares of its weights, of standardised columns."""


class Ledger(Struct, frozen=True, kw_only=True):
    """What both parties of a joint job learned so far."""

    lines: tuple[Learned, ...] = ()


class Worker(Struct, frozen=True, kw_only=True):
    """One worker's handshake (E1). `mac_digest` recognises the confirmation that only the enclave can make."""

    lane: str
    nonce: bytes
    asked_at: float
    state: Literal["assigned", "verifying", "sealed", "confirmed", "refused"]
    mac_digest: str = ""
    claims: dict[str, str] = {}


def subtask_of(contract: str) -> str:
    """Id of the subtask that this contract serves."""
    return derive_id("subtask", contract)


RECORD_TYPES: Final[Mapping[str, type[Struct]]] = MappingProxyType(
    {
        "job": Job,
        "progress": Progress,
        "contract": ContractRecord,
        "subtask": Subtask,
        "batch": BatchRecord,
        "worker": Worker,
        "agreement": Agreement,
        "round": Round,
        "ledger": Ledger,
        receipts.RECORD: Settlement,
        **ALIGNMENT_RECORDS,
    }
)
