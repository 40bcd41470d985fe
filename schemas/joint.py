"""Joint computation (J1-J6): what a job says of it, who vouches for its parties, its events' data. Frozen data, pure.

A job with a joint part has a partner: lessors' enclaves seal what they compute of the renter's rows under the renter's
homomorphic key and send it to the partner, whose program runs on that and on its own columns of the same rows. Its
output goes, still encrypted, to the renter, whose update program makes of it the parameters of the next round.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from schemas import limits
from schemas.contracts import Contract, PublicKeyField, SignatureField
from schemas.ids import AddressField, DigestField, IdField
from schemas.orders import Timestamp

ROUNDS_MAX: Final = 1000
PARAMETERS_MAX: Final = 4096
JOINT_PROGRAM_BYTES_MAX: Final = 128 * 1024
"""A partner's program travels within its request."""
JOINT_KEY_BYTES_MAX: Final = 4096
VALUE_BITS_MAX: Final = 52

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Code = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,64}\Z", max_length=64)]
Text = Annotated[str, Meta(max_length=limits.REASON_CHARS_MAX)]
Round = Annotated[int, Meta(ge=1, le=ROUNDS_MAX)]
Rows = Annotated[int, Meta(ge=1, le=limits.ROWS_PER_JOB_MAX)]
Columns = Annotated[tuple[Name, ...], Meta(max_length=limits.COLUMNS_MAX)]
Salt = Annotated[bytes, Meta(min_length=32, max_length=32)]
Bits = Annotated[int, Meta(ge=-1100, le=1100)]


class Joint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The joint part of a job. Programs lie in the renter's blob store."""

    partner: AddressField
    dataset: Name
    """As the partner calls it."""
    program: DigestField
    """The partner's, with the inputs `received` and `local`."""
    columns: Columns = ()
    """That `local` takes, in its order; empty: all of the dataset's."""
    outputs: Annotated[int, Meta(ge=1, le=limits.COLUMNS_MAX)]
    """Numbers that the program gives per round."""
    rounds: Round = 1
    update: DigestField | None = None
    """The renter's, between rounds: of an output it makes the next parameters."""
    parameters: Annotated[tuple[float, ...], Meta(max_length=PARAMETERS_MAX)] = ()
    """Of the first round."""
    ids: DigestField | None = None
    """Of the renter's row ids in their order, salted with the job's id, where both sides say that theirs are the same;
    None: the rows in common are found by private set intersection."""
    release: Name
    """Of this program, which must be the partner's too."""


class Introduction(Struct, frozen=True, kw_only=True):
    """Each hub vouches for the key of its own participant, and signs the whole: so renter and partner, who share no
    contract, need to know only the hubs' keys (N4). Verifies offline."""

    job: IdField
    renter: AddressField
    partner: AddressField
    renter_hub: AddressField
    partner_hub: AddressField
    renter_key: PublicKeyField
    partner_key: Annotated[bytes, Meta(max_length=32)] = b""
    """Empty until the partner's hub has signed."""
    made_at: Timestamp
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
    program: Annotated[bytes, Meta(max_length=JOINT_PROGRAM_BYTES_MAX)]
    public_key: Annotated[bytes, Meta(max_length=JOINT_KEY_BYTES_MAX)]
    rows: Rows
    received: Annotated[int, Meta(ge=1, le=limits.COLUMNS_MAX)]
    """Values per row that the enclaves seal."""
    rounds: Round
    ids: DigestField | None = None
    """As in `Joint`."""
    salt: Salt | None = None
    """The renter's half of the alignment's salt; None where the ids are compared by their digest."""
    release: Name


class JointAccepted(Struct, frozen=True, kw_only=True):
    """The partner takes part."""

    job: IdField
    rows: Annotated[int, Meta(ge=0, le=limits.ROWS_PER_JOB_MAX)] = 0
    """How many ids the partner has, for private set intersection; 0 where they are compared by their digest."""
    salt: Salt | None = None
    """The partner's half."""


class JointDeferred(Struct, frozen=True, kw_only=True):
    """The partner waits for a person of its own to say so."""

    job: IdField


class JointEnded(Struct, frozen=True, kw_only=True):
    """One side tells the other that its part is over, and why: refused, done, taken back, or failed."""

    job: IdField
    code: Code
    reason: Text


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
    result_bits: Bits


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
