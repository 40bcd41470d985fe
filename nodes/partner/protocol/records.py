"""What a partner keeps about its part in a job, and the outcomes of its activities. Frozen data, pure.

Aggregate = job id. Keys: `part`, `request`, `ledger`, `contract/<id>`, `round/<number>`, `taken/<round>/<batch>`,
where a model is fitted `unit/<number>`, and where ids are masked `alignment` and `chunk/<way>/<number>`.
`request` holds program and key, and goes with the part's end; `part` is the summary that stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from nodes.joint.categories import Categories, Encoding, Omitted
from nodes.joint.records import INTERNAL as ALIGNMENT_TYPES
from nodes.joint.records import RECORDS as ALIGNMENT_RECORDS
from nodes.joint.records import MasksSorted
from nodes.ledger import Moments, Rounds, Scores
from nodes.machine import ActivityFailed, PublishFailed
from nodes.partner.protocol.states import PartPhase, RoundPhase
from schemas.contracts import Contract
from schemas.jobs import Batch
from schemas.joint import Algorithm, JointRequested, Learned


class Part(Struct, frozen=True, kw_only=True):
    """The partner's part in one job. Times are seconds since 1970 (UTC)."""

    job: str
    renter: str
    renter_key: bytes
    """For which both hubs vouched; Ed25519, 32 bytes."""
    phase: PartPhase
    dataset: str
    columns: tuple[str, ...]
    program: str = ""
    """Digest of the program as it was sent."""
    algorithm: Algorithm | None = None
    """Of the model to fit instead."""
    texts: tuple[Categories, ...] = ()
    """How the last of a model's columns were made of text."""
    omitted: tuple[Omitted, ...] = ()
    """Columns of the dataset that a model does not have."""
    score: str = ""
    """The job that fitted the model with which rows are scored instead."""
    outputs: int = 0
    """Numbers of an output; of a model the partner's columns."""
    rows: int = 0
    """The renter's; once ids were matched, those in common."""
    rows_min: int = 0
    """The fewest that must be."""
    received: int = 0
    rounds: int = 0
    answered: int = 0
    """Rounds whose output went out."""
    asked_at: float = 0.0
    heard_at: float = 0.0
    """When the renter, or a lessor of it, was last heard of."""
    ended_at: float = 0.0
    working_since: float = 0.0
    """Of what the renter waits for; 0 when it waits for nothing."""
    code: str = ""
    reason: str = ""
    weights: tuple[float, ...] = ()
    """Of this partner's columns as they are, when a model was fitted and it may know them."""
    offset: float = 0.0
    """Makes the mean of its scores 0."""

    @property
    def encoding(self) -> Encoding:
        """Of a model's columns."""
        return Encoding.of(self.columns, self.texts)

    @property
    def taught_by_rounds(self) -> Rounds | Moments | Scores:
        """What its rounds teach."""
        if self.score:
            return Scores(self.rows)
        if self.algorithm is not None:
            return Moments(self.rows, self.received - 1, self.outputs, self.algorithm.partner_coefficients)
        return Rounds(rows=self.rows, received=self.received, outputs=self.outputs, rounds=self.rounds)


class ContractRecord(Struct, frozen=True, kw_only=True):
    """A contract that the renter showed, verified."""

    contract: Contract


class Round(Struct, frozen=True, kw_only=True):
    """One round, and how much of it is in."""

    number: int
    phase: RoundPhase
    value_bits: int
    result_bits: int
    rows: int = 0
    batches: int = 0
    units: int = 0
    """Summed up, where a model is fitted."""
    output: str = ""
    """Digest of the blob that went to the renter."""


class Taken(Struct, frozen=True, kw_only=True):
    """A sealed result that counts; its partial sums lie in the file of this digest."""

    batch: int
    first_row: int
    rows: int
    lessor: str
    digest: str


class Summed(Struct, frozen=True, kw_only=True):
    """A unit whose sums lie in the file of this digest."""

    number: int
    digest: str


class Ledger(Struct, frozen=True, kw_only=True):
    """What both parties learned so far."""

    lines: tuple[Learned, ...] = ()


RECORD_TYPES: Final[Mapping[str, type[Struct]]] = MappingProxyType(
    {
        "part": Part,
        "request": JointRequested,
        "contract": ContractRecord,
        "round": Round,
        "taken": Taken,
        "unit": Summed,
        "ledger": Ledger,
        **ALIGNMENT_RECORDS,
    }
)


class RequestExamined(Struct, frozen=True, kw_only=True):
    """`request.examined`: what policy and data say. An empty `code` and not `undecided`: it is covered."""

    code: str = ""
    reason: str = ""
    detail: str = ""
    """For this partner alone."""
    undecided: bool = False
    columns: tuple[str, ...] = ()
    texts: tuple[Categories, ...] = ()
    omitted: tuple[Omitted, ...] = ()
    outputs: int = 0
    rows: int = 0
    """Of the dataset."""
    rows_min: int = 0
    """The fewest that must be in common."""


class PartialTaken(Struct, frozen=True, kw_only=True):
    """`partial.taken`: a sealed result was valid, and its partial sums are kept."""

    batch: Batch
    lessor: str
    digest: str


class PartialRefused(Struct, frozen=True, kw_only=True):
    """`partial.refused`: a sealed result cannot be used."""

    batch: Batch
    lessor: str
    code: str
    reason: str


class ColumnsMade(Struct, frozen=True, kw_only=True):
    """`columns.made`: a model's integers of the rows in common; or why there are none. As `RequestExamined`."""

    rows: int = 0
    """That are used of them."""
    code: str = ""
    reason: str = ""
    detail: str = ""


class UnitSummed(Struct, frozen=True, kw_only=True):
    """`unit.summed`: its sums are kept, still encrypted."""

    unit: int
    digest: str


class WeightsMade(Struct, frozen=True, kw_only=True):
    """`weights.made`: this partner's part of a model."""

    weights: tuple[float, ...]
    """Of its columns as they are."""
    offset: float
    norm: float
    """Sum of squares of the weights of standardised columns."""


class RoundAnswered(Struct, frozen=True, kw_only=True):
    """`round.made`: a round's output lies in the blob of this digest; or why there is none."""

    round: int
    digest: str = ""
    outputs: int = 0
    """Numbers in it."""
    bits: int = 0
    """The output is round(y·2^bits)."""
    size_bits: int = 0
    """Of a model: no number of the output reaches 2^size_bits."""
    code: str = ""
    reason: str = ""


INTERNAL_TYPES: Final[Mapping[str, type[Struct]]] = MappingProxyType(
    {
        "request.examined": RequestExamined,
        "partial.taken": PartialTaken,
        "partial.refused": PartialRefused,
        "round.made": RoundAnswered,
        "columns.made": ColumnsMade,
        "unit.summed": UnitSummed,
        "weights.made": WeightsMade,
        "activity.failed": ActivityFailed,
        "publish.failed": PublishFailed,
        "masks.sorted": MasksSorted,
        **ALIGNMENT_TYPES,
    }
)
