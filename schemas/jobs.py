"""Jobs, subtasks and batches (S1, S2): what the renter wants computed and how it is cut. Frozen data, pure."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from schemas import limits
from schemas.contracts import Contract
from schemas.fields import ScaleBits
from schemas.ids import AddressField, DigestField, IdField
from schemas.joint import Joint, Round
from schemas.manifest import Manifest
from schemas.orders import Micros, Protection

Count = Annotated[int, Meta(ge=0, le=limits.ROWS_PER_JOB_MAX)]
ColumnName = Annotated[str, Meta(min_length=1, max_length=256)]

Scheme = Literal["paillier", "paillier-subgroup", "bfv", "ckks", "ckks-degree-2", "ckks-degree-4"]
"""Homomorphic schemes: packed Paillier; the same with faster decryption under one more assumption; exact BFV on
lattices; approximate CKKS for linear programs, and for polynomials of a row's values of degree 2 and 4 at most."""
APPROXIMATE: Final[frozenset[Scheme]] = frozenset({"ckks", "ckks-degree-2", "ckks-degree-4"})
"""Those whose decryptions give the key away."""
ONE_REFUSAL: Final[frozenset[Scheme]] = frozenset({"bfv"})
"""Those whose key leaks a little with each result that is refused: the first one is the last that is decrypted."""
PAILLIER: Final[frozenset[Scheme]] = frozenset({"paillier", "paillier-subgroup"})
"""Those with a choice of noise, and whose programs are compiled."""
ProtectionWish = Literal["auto", Protection]
SchemeWish = Literal["auto", "paillier", "paillier-subgroup", "bfv", "ckks"]
"""What a user may ask for; `auto` leaves the choice to the assessment."""
Noise = Literal["fixed-base", "exact"]
"""Of Paillier ciphertexts. `fixed-base` is fast and assumes that short exponents hide; `exact` assumes nothing more."""


class CutProgram(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program in two: the beginning runs on ciphertext, the rest on its decrypted results, at the renter."""

    beginning: DigestField
    rest: DigestField


class CutNote(Struct, frozen=True, kw_only=True):
    """Where a program is cut when it runs on ciphertext."""

    at: tuple[str, ...]
    """The values at the cut: the last that are computed on ciphertext."""
    numbers: int
    """That come back for each row."""
    locally: tuple[str, ...]
    """Operators that run at the renter, in their order, each once."""
    factor: float | None
    """What an error of 1 at the cut comes to at most in a result; None where that is not known."""
    flips: bool
    """Whether some results are labels or steps, which flip where they are near a tie."""


class JobSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job as its user submits it. The files named by digest lie in the renter's job folder."""

    id: IdField
    data: DigestField
    """SHA-256 of the input file."""
    program: DigestField
    cut: CutProgram | None = None
    """What runs instead of `program` when the assessment chooses ciphertext; None where that can run all of it, or
    nothing worth while."""
    local_program: DigestField | None = None
    """Runs on the decrypted results, at the renter (H3, T3)."""
    id_column: ColumnName | None = None
    protection: ProtectionWish = "auto"
    scheme: SchemeWish = "auto"
    """`auto` takes the cheapest of those that need no assumption the user did not allow; `ckks` is the kind of CKKS
    that the program needs."""
    noise: Noise = "fixed-base"
    results_stay: bool = False
    """The user shows the results to nobody. Only then may CKKS be used: its decryptions give its key away."""
    lessors: Annotated[int, Meta(ge=1, le=limits.LESSORS_PER_JOB_MAX)] = 2
    """At most: the job starts with those that there are."""
    lessors_min: Annotated[int, Meta(ge=1, le=limits.LESSORS_PER_JOB_MAX)] = 1
    units: Annotated[int, Meta(ge=1, le=limits.UNITS_PER_ORDER_MAX)] | None = None
    """Units wanted in all, at most; by default one per lessor."""
    price_micros_max: Micros = limits.PRICE_MICROS_MAX_DEFAULT
    budget_micros: Annotated[int, Meta(ge=0, le=10**18)] | None = None
    """Millionths of the network's currency that all its contracts may cost together."""
    lease_seconds: Annotated[float, Meta(gt=0, le=limits.LEASE_SECONDS_MAX)] = limits.LEASE_SECONDS_DEFAULT
    """Of a contract; those that are still needed are renewed."""
    match_seconds: Annotated[float, Meta(gt=0, le=3600.0)] = limits.MATCH_SECONDS_DEFAULT
    encrypt_seconds_max: Annotated[float, Meta(ge=0, le=1e9)] = limits.ENCRYPT_SECONDS_MAX_DEFAULT
    """What the renter affords for homomorphic encryption of the target data (A1)."""
    decrypt_seconds_max: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    """What it affords for homomorphic decryption of the results. Where given, `auto` has results sealed in the enclaves
    when encrypting the data is too dear (T2)."""
    max_error: Annotated[float, Meta(gt=0, le=1e9)] = limits.MAX_ERROR_DEFAULT
    """Largest absolute error of a program's result that fixed-point encoding may cause; of values at the cut, where the
    program is cut."""
    local_share: Annotated[float, Meta(ge=0, le=1)] = 0.1
    """Share of the rows that the renter computes itself (S1)."""
    batch_rows: Annotated[int, Meta(ge=1, le=limits.ROWS_PER_BATCH_MAX)] | None = None
    accept_software_enclave: bool = False
    """Software evidence is refused unless the renter opts in by name: it protects against nobody who owns the host."""
    joint: Joint | None = None
    """The job's joint part, if it has a partner."""


class FixedPoint(Struct, frozen=True, kw_only=True):
    """How reals become integers for homomorphic computing.

    Column j with exponent e_j is sent as round(x·2^(input_bits − e_j)), its weights as round(w·2^(weight_bits + e_j));
    every result is then scaled by 2^(input_bits + weight_bits).
    """

    column_exponents: Annotated[tuple[ScaleBits, ...], Meta(max_length=limits.COLUMNS_MAX)]
    input_bits: Annotated[int, Meta(ge=0, le=64)]
    weight_bits: ScaleBits


class SubtaskTerms(Struct, frozen=True, kw_only=True):
    """Everything a lessor's worker must know to compute batches of one subtask, besides program, keys and data."""

    job: IdField
    subtask: IdField
    contract: Contract
    protection: Protection
    program: Manifest
    width_in: Annotated[int, Meta(ge=1, le=limits.COLUMNS_MAX)]
    width_out: Annotated[int, Meta(ge=1, le=limits.COLUMNS_MAX)]
    scheme: Scheme | None = None
    """Of `homomorphic` subtasks."""
    fixed_point: FixedPoint | None = None
    """Of `homomorphic` subtasks."""
    computation: DigestField | None = None
    """Digest of the integer program that the renter compiled from program and fixed point; the lessor's must agree."""
    result_bits: Annotated[int, Meta(ge=0, le=62)] | None = None
    """Of `sealed-result` subtasks: results are encrypted as round(y·2^result_bits)."""
    public_key: Manifest | None = None
    """The homomorphic public key to use."""
    partner: AddressField | None = None
    """Of joint jobs: where sealed results go (J2)."""
    by_row: bool = False
    """Of joint jobs: each ciphertext has all results of one row."""

    def files(self) -> tuple[tuple[str, Manifest], ...]:
        """What a worker needs besides: the type of event in which each file comes, and its pieces."""
        program = ("program.published", self.program)
        return (program,) if self.public_key is None else (program, ("public-key.published", self.public_key))


class Batch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One batch of one subtask: rows [first_row, first_row + rows) of the job's input, in its `attempt`-th sending."""

    job: IdField
    subtask: IdField
    contract: IdField
    batch: Annotated[int, Meta(ge=0, lt=limits.BATCHES_PER_JOB_MAX)]
    attempt: Annotated[int, Meta(ge=1, le=limits.BATCH_ATTEMPTS_MAX + limits.BATCH_EXCUSES_MAX)]
    first_row: Count
    rows: Annotated[int, Meta(ge=1, le=limits.ROWS_PER_BATCH_MAX)]
    round: Round = 1
    """Of joint jobs, which count attempts anew in each (J6)."""


class Costs(Struct, frozen=True, kw_only=True):
    """What computing all target data takes: seconds of one core, and bytes through the hubs."""

    encrypt_seconds: float
    """Of the renter: reading, encoding and encrypting."""
    lessor_seconds: float
    """Of all lessors together, on cores like the renter's."""
    decrypt_seconds: float
    """Of the renter: decrypting, checking and writing."""
    bytes_sent: int = 0
    bytes_back: int = 0

    @property
    def renter_seconds(self) -> float:
        """What the renter computes."""
        return self.encrypt_seconds + self.decrypt_seconds


class Candidate(Struct, frozen=True, kw_only=True):
    """One way to protect the data that the assessment looked at: whether it can be used, why not, and what it costs."""

    protection: Protection
    scheme: Scheme | None = None
    possible: bool
    reason: str
    error_bound: float | None = None
    """Largest absolute error of a result that encoding and scheme can cause."""
    costs: Costs | None = None
    """Predicted; None where nothing could be predicted."""


class Assessment(Struct, frozen=True, kw_only=True):
    """The decision of A1 and A2 with every number that led to it."""

    asked: str
    chosen: Protection
    scheme: Scheme | None = None
    """In which data or sealed results are encrypted; None for `enclave`."""
    noise: Noise | None = None
    """Of the data's ciphertexts, where the scheme has a choice."""
    rows: Count
    """That lessors compute."""
    columns: int
    cores: int
    free_cores: float
    encrypt_seconds: float
    """Predicted for encrypting all target data homomorphically on the free cores, by the clock; 0 if not predicted."""
    encrypt_seconds_max: float
    decrypt_seconds_max: float | None = None
    max_error: float
    memory_mib: int = 0
    """That one unit of a lessor needs, in an enclave; 0 on ciphertext."""
    costs: Costs = Costs(encrypt_seconds=0.0, lessor_seconds=0.0, decrypt_seconds=0.0)
    """Predicted for what was chosen; compared with what it took when the job ends."""
    candidates: tuple[Candidate, ...]
    reason: str
