"""Joint computation (J1-J6): what a job says of it, who vouches for its parties, its events' data. Frozen data, pure.

A job with a joint part has a partner: lessors' enclaves seal what they compute of the renter's rows under the renter's
homomorphic key and send it to the partner, whose program runs on that and on its own columns of the same rows. Its
output goes, still encrypted, to the renter, whose update program makes of it the parameters of the next round.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from schemas import limits
from schemas.contracts import Contract
from schemas.fields import PUBLIC_KEY_BYTES, Code, PublicKeyField, ScaleBits, SignatureField, Text
from schemas.hubs import HubCertificate
from schemas.ids import AddressField, DigestField, IdField
from schemas.orders import Timestamp

JOINT_VERSION: Final = 1
"""Of how renter, enclaves and partner compute with each other (`nodes/joint/`). Whoever changes what one makes of
another's numbers counts up, here one release later than in `JOINT_VERSIONS`."""
JOINT_VERSIONS: Final = frozenset({JOINT_VERSION})
"""In which a partner takes part."""
ROUNDS_MAX: Final = 1000
PARAMETERS_MAX: Final = 4096
JOINT_PROGRAM_BYTES_MAX: Final = 128 * 1024
"""A partner's program travels within its request."""
JOINT_KEY_BYTES_MAX: Final = 4096
MODULUS_PROOF_BYTES_MAX: Final = 8192
VALUE_BITS_MAX: Final = 52
"""Doubles tell all whole numbers of so many bits apart."""

Name = Annotated[str, Meta(min_length=1, max_length=256)]
JointVersion = Annotated[int, Meta(ge=1, le=1_000_000)]
Round = Annotated[int, Meta(ge=1, le=ROUNDS_MAX)]
Rows = Annotated[int, Meta(ge=1, le=limits.ROWS_PER_JOB_MAX)]
Columns = Annotated[tuple[Name, ...], Meta(max_length=limits.COLUMNS_MAX)]
Count = Annotated[int, Meta(ge=0, le=limits.ROWS_PER_JOB_MAX)]
Salt = Annotated[bytes, Meta(min_length=32, max_length=32)]


Outliers = Literal["refuse", "move"]
"""Rows that stand alone in a party's columns: it takes no part, or moves them towards the mean."""
AlgorithmName = Literal["ridge", "ols", "logistic", "poisson"]

PENALTIES_PER_ROW: Final[Mapping[AlgorithmName, float]] = MappingProxyType(
    {"ridge": 1e-3, "ols": 0.0, "logistic": 1e-3, "poisson": 1e-3}
)
"""By default."""


class Algorithm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model over both parties' columns, fitted by moments (`nodes/joint/models.py`): what both sides know of it."""

    name: AlgorithmName
    penalty_per_row: Annotated[float, Meta(ge=0, le=1e6)]
    """Times the number of rows it is what scikit-learn's Ridge calls alpha, on standardised columns."""
    renter_bits: Annotated[int, Meta(ge=4, le=31)] | None = None
    """Of the integers that the renter's columns become. None: as many as slots leave room for."""
    partner_bits: Annotated[int, Meta(ge=4, le=26)] | None = None
    """Of the partner's. None: as many as the rows in common ask for (both: `nodes/joint/columns.py`)."""
    partner_coefficients: bool = True
    """Whether the partner learns the weights of its own columns."""


class Fitting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An algorithm as the renter alone knows it."""

    algorithm: Algorithm
    label: Name
    """The column of the renter's that is modelled."""
    outliers: Outliers = "refuse"
    """What becomes of the renter's rows that stand alone in its columns."""
    key_bits: Literal[2048, 3072] = 3072


class Joint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The joint part of a job. Programs lie in the renter's blob store."""

    partner: AddressField
    dataset: Name
    """As the partner calls it."""
    program: DigestField | None = None
    """The partner's, with the inputs `received` and `local`; none where a model is fitted."""
    fitting: Fitting | None = None
    """The model to fit instead."""
    score: IdField | None = None
    """The job of this renter and partner that fitted the model with which to score rows instead."""
    columns: Columns = ()
    """Of the dataset: those that `local` takes, in its order, or that the model has; empty: all."""
    outputs: Annotated[int, Meta(ge=0, le=limits.COLUMNS_MAX)] = 0
    """Numbers that the program gives per round."""
    rounds: Round = 1
    update: DigestField | None = None
    """The renter's, between rounds: of an output it makes the next parameters."""
    parameters: Annotated[tuple[float, ...], Meta(max_length=PARAMETERS_MAX)] = ()
    """Of the first round."""
    ids: DigestField | None = None
    """Of the renter's row ids in their order, salted with the job's id, where both sides say that theirs are the same;
    None: the rows in common are found by private set intersection."""
    version: JointVersion = JOINT_VERSION
    """Of how both sides compute."""


class Introduction(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Each hub vouches for the key of its own participant, and signs the whole: so renter and partner, who share no
    contract, need to know only the hubs' keys (N4). Verifies offline."""

    job: IdField
    renter: AddressField
    partner: AddressField
    renter_hub: AddressField
    partner_hub: AddressField
    renter_key: PublicKeyField
    partner_key: Annotated[bytes, Meta(max_length=PUBLIC_KEY_BYTES)] = b""
    """Empty until the partner's hub has signed."""
    made_at: Timestamp
    hub_certificates: Annotated[tuple[HubCertificate, ...], Meta(max_length=2)] = ()
    """As in contracts."""
    renter_hub_signature: SignatureField = b""
    partner_hub_signature: SignatureField = b""


# ---------------------------------------------------------------- data of the events


class IntroductionRequested(Struct, frozen=True, kw_only=True):
    """A renter asks its hub who a partner is."""

    job: IdField
    partner: AddressField


class IntroductionProposed(Struct, frozen=True, kw_only=True):
    """The renter's hub vouches for the renter; then the partner's for the partner; then both have signed."""

    introduction: Introduction


class IntroductionRefused(Struct, frozen=True, kw_only=True):
    """No hub knows such a partner."""

    job: IdField
    renter: AddressField
    partner: AddressField
    code: Code
    reason: Text


class JointRequested(Struct, frozen=True, kw_only=True):
    """What a renter asks of a partner (J1): everything that its policy has to know, and the renter's public key."""

    introduction: Introduction
    job: IdField
    dataset: Name
    columns: Columns
    program: Annotated[bytes, Meta(max_length=JOINT_PROGRAM_BYTES_MAX)] = b""
    """Empty where a model is fitted."""
    algorithm: Algorithm | None = None
    """Of the model to fit."""
    score: IdField | None = None
    """As in `Joint`."""
    public_key: Annotated[bytes, Meta(max_length=JOINT_KEY_BYTES_MAX)]
    modulus_proof: Annotated[bytes, Meta(max_length=MODULUS_PROOF_BYTES_MAX)]
    """That noise under the key hides everything (`nodes/joint/modulus.py`)."""
    rows: Rows
    received: Annotated[int, Meta(ge=1, le=limits.COLUMNS_MAX)]
    """Values per row that the enclaves seal: where a model is fitted, the renter's columns and the label."""
    rounds: Round
    ids: DigestField | None = None
    """As in `Joint`."""
    salt: Salt | None = None
    """The renter's half of the alignment's salt; None where the ids are compared by their digest."""
    version: JointVersion


class JointAccepted(Struct, frozen=True, kw_only=True):
    """The partner takes part."""

    job: IdField
    rows: Annotated[int, Meta(ge=0, le=limits.IDS_PER_ALIGNMENT_MAX)] = 0
    """How many ids the partner has, for private set intersection; 0 where they are compared by their digest."""
    salt: Salt | None = None
    """The partner's half."""
    columns: Annotated[int, Meta(ge=0, le=limits.COLUMNS_MAX)] = 0
    """Of its own, in a model."""


class JointDeferred(Struct, frozen=True, kw_only=True):
    """The partner waits for a person of its own to say so."""

    job: IdField


class WorkContinued(Struct, frozen=True, kw_only=True):
    """The partner works on what it owes, and is not done yet."""

    job: IdField


class JointEnded(Struct, frozen=True, kw_only=True):
    """One side tells the other that its part is over, and why: refused, done, taken back, or failed."""

    job: IdField
    code: Code
    reason: Text


class RowsOmitted(Struct, frozen=True, kw_only=True):
    """So many of the rows in common the partner does not use: with earlier jobs' sums they would show. The renter does
    not find them in common."""

    job: IdField
    rows: Rows


class ContractShown(Struct, frozen=True, kw_only=True):
    """Whose sealed results the partner may take."""

    job: IdField
    contract: Contract


class RoundOpened(Struct, frozen=True, kw_only=True):
    """What the enclaves will seal in this round: of so many rows numbers of at most 2^value_bits in size, as
    round(y·2^result_bits)."""

    job: IdField
    round: Round
    rows: Rows
    value_bits: Annotated[int, Meta(ge=1, le=VALUE_BITS_MAX)]
    result_bits: ScaleBits


class SumsAdvanced(Struct, frozen=True, kw_only=True):
    """The partner goes on with its sums: it has done so many of all units."""

    job: IdField
    done: Count
    units: Count


class ReplyGiven(Struct, frozen=True, kw_only=True):
    """What gives the partner the weights of its own columns, and nothing else (`nodes/joint/schur.py`)."""

    job: IdField
    values: Annotated[tuple[float, ...], Meta(max_length=limits.COLUMNS_MAX)]


class NormTold(Struct, frozen=True, kw_only=True):
    """The partner has its weights; the sum of their squares, of standardised columns, goes into the report."""

    job: IdField
    norm: Annotated[float, Meta(ge=0)]


class JointApproved(Struct, frozen=True, kw_only=True):
    """A person at the partner lets a waiting request go on."""

    job: IdField


class JointDeclined(Struct, frozen=True, kw_only=True):
    """A person at the partner refuses a waiting request, or withdraws from one that goes on."""

    job: IdField
    reason: Text = ""


# ---------------------------------------------------------------- the ledger


class Learned(Struct, frozen=True, kw_only=True):
    """One line of a leakage ledger: what a party learned in a job, told by kind, count and shape."""

    party: Literal["renter", "partner", "lessor"]
    kind: Code
    count: Annotated[int, Meta(ge=0)]
    shape: Text
    noise: Text = ""
    """What lies on it; empty: it is in the clear."""
    round: Annotated[int, Meta(ge=0, le=ROUNDS_MAX)] = 0
    """0 for what is learned once."""
