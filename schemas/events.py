"""The catalogue: every event type with who sends it, who receives it, on which queue, and its data. Pure.

Names say what happened (past tense) or what is asked (imperative participle), grouped by what they are about. A
breaking change of an event's data is a new name (`…v2`), never another meaning of an old one; a field that may be
ignored is added with a default. What a next release may change stands in ARCHITECTURE.md, "Releases". JSON Schema and
the AsyncAPI document are generated from this list (`schemas/export.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from schemas import limits
from schemas.contracts import Contract, Receipt, Settlement
from schemas.fields import Code, Text
from schemas.hubs import HubCertificate, HubsAnnounced
from schemas.ids import Address, AddressField, DigestField, IdField
from schemas.jobs import Batch, JobSpec, SubtaskTerms
from schemas.joint import (
    ContractShown,
    IntroductionProposed,
    IntroductionRefused,
    IntroductionRequested,
    JointAccepted,
    JointApproved,
    JointDeclined,
    JointDeferred,
    JointEnded,
    JointRequested,
    NormTold,
    ReplyGiven,
    RoundOpened,
    RowsOmitted,
    SumsAdvanced,
    WorkContinued,
)
from schemas.membership import ParticipantAdmitted, ParticipantRemoved, ParticipantSettled
from schemas.orders import PROTECTIONS, BuyOrder, Capacity, Need, Offer, SellOrder, Timestamp

RELEASE: Final = 1
"""Of this catalogue. Each release that adds to it has the next number, and every event says its sender's."""
EVERYBODY: Final = "hub|renter|lessor|partner"
Role = Literal["hub", "renter", "lessor", "partner", "user", "worker"]
"""The last two speak as the node that they belong to."""
Lane = Annotated[str, Meta(pattern=r"^w[0-9]{1,3}\Z", max_length=4)]
WorkerId = IdField
Binary = Annotated[bytes, Meta(max_length=64 * 1024)]


@dataclass(frozen=True, slots=True)
class Event:
    """One event: CloudEvents attributes, and either typed JSON `data` or a raw `body`.

    `time` is seconds since 1970 (UTC). `subject` names the order, contract or job it is about. `cause` is the id of the
    event that led to this one. `attributes` are further CloudEvents extension attributes (batches carry theirs there).
    `traceparent` is W3C's trace context, or empty: it is not signed, and nothing but pictures rests on it.
    """

    id: str
    type: str
    source: Address
    to: Address
    time: float
    subject: str
    data: Struct | None = None
    body: bytes | memoryview = b""
    cause: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    traceparent: str = ""


# ---------------------------------------------------------------- data of the events

CAPACITIES_MAX: Final = len(PROTECTIONS) * limits.CAPACITIES_PER_NEIGHBOUR_MAX
"""Of one advertisement."""


class SellOrderPlaced(Struct, frozen=True, kw_only=True):
    """One of the lessor's workers stands behind its order."""

    order: SellOrder
    worker: WorkerId


class OrderCancelled(Struct, frozen=True, kw_only=True):
    """The author takes its order back; contracts already signed go on."""

    order: IdField
    reason: Text = ""
    worker: WorkerId | None = None
    """Of a sell order: the worker that ends. The order stays while others stand behind it."""


class BuyOrderRefused(Struct, frozen=True, kw_only=True):
    """No contract for this buy order, and why."""

    order: IdField
    job: IdField
    code: Code
    reason: Text


class LinkReported(Struct, frozen=True, kw_only=True):
    """A hub tells a renter what a job of its waits for: a link of the hub's is lost, or, without a reason, carries."""

    job: IdField
    neighbour: AddressField
    """The hub at the other end."""
    why: Text = ""
    contracts: Annotated[tuple[IdField, ...], Meta(max_length=limits.LESSORS_PER_JOB_MAX)] = ()
    """The job's that go over it. Without any, an order of the job's waits for those behind it."""


class CapacityAdvertised(Struct, frozen=True, kw_only=True):
    """All that a hub tells a neighbour of compute, its own and others'; what it told before holds no more."""

    capacities: Annotated[tuple[Capacity, ...], Meta(max_length=CAPACITIES_MAX)]


class Heartbeat(Struct, frozen=True, kw_only=True):
    """The sender's way to the receiver is open. `hears`: so is the way back, as far as the sender has heard."""

    hears: bool


class QuoteRequested(Struct, frozen=True, kw_only=True):
    """A hub asks another what its subnet would offer for this buy order."""

    quote: IdField
    buy: BuyOrder
    need: Need
    certificate: HubCertificate | None = None
    """The asking hub's own: the other one may not have heard of it, or of its key."""


class QuoteOffered(Struct, frozen=True, kw_only=True):
    """The other hub's answer: offers, best first, each reserved for a few seconds; none is an answer too."""

    quote: IdField
    order: IdField
    offers: Annotated[tuple[Offer, ...], Meta(max_length=limits.OFFERS_PER_QUOTE_MAX)]
    capacities: Annotated[tuple[Capacity, ...], Meta(max_length=len(PROTECTIONS))] = ()
    """With no offers, what the subnet has: who asked may not have been told, and need not ask in vain again."""
    certificate: HubCertificate | None = None
    """The offering hub's own, as in `QuoteRequested`."""


class QuoteReleased(Struct, frozen=True, kw_only=True):
    """The asking hub will not take (the rest of) what was quoted."""

    quote: IdField
    order: IdField


class ContractProposed(Struct, frozen=True, kw_only=True):
    """The renter's hub has signed; the lessor's hub is asked to."""

    quote: IdField
    contract: Contract


class ContractRefused(Struct, frozen=True, kw_only=True):
    """The lessor's hub does not sign: the reservation ended, or the order was cancelled or is not as quoted."""

    contract: IdField
    order: IdField
    code: Code
    reason: Text


class ContractCountersigned(Struct, frozen=True, kw_only=True):
    """Both hubs have signed."""

    contract: Contract


class ContractSigned(Struct, frozen=True, kw_only=True):
    """A hub delivers a contract signed by both hubs to its party."""

    contract: Contract


class ContractsCompleted(Struct, frozen=True, kw_only=True):
    """The renter's hub tells the renter that its buy order is matched: all contracts of the order."""

    order: IdField
    job: IdField
    contracts: Annotated[tuple[IdField, ...], Meta(max_length=limits.LESSORS_PER_JOB_MAX)]


class ContractEnded(Struct, frozen=True, kw_only=True):
    """The rental relationship is over; its units are free again."""

    contract: IdField
    code: Code
    reason: Text = ""


class JobSubmitted(Struct, frozen=True, kw_only=True):
    """A user of the renter's organisation wants this computed."""

    spec: JobSpec


class JobDeleted(Struct, frozen=True, kw_only=True):
    """The user wants a job and all that is kept of it to go; one that runs is taken back first."""

    job: IdField


class JobCancelled(Struct, frozen=True, kw_only=True):
    """The user takes the job back."""

    job: IdField
    reason: Text = ""


class SubtaskAnnounced(Struct, frozen=True, kw_only=True):
    """The renter tells the lessor what is coming, so that a worker can get keys before data."""

    terms: SubtaskTerms


class SubtaskRequested(Struct, frozen=True, kw_only=True):
    """A worker that lacks a subtask's terms, program or key asks for them on its lane."""

    job: IdField
    subtask: IdField
    worker: WorkerId
    lane: Lane


class SubtaskAssigned(Struct, frozen=True, kw_only=True):
    """Terms for one worker. With `nonce`, its enclave has to prove itself first (E1)."""

    terms: SubtaskTerms
    worker: WorkerId
    nonce: Binary = b""
    policy_digest: Binary = b""


class PiecesRequested(Struct, frozen=True, kw_only=True):
    """A worker has the terms of a subtask and asks for pieces of its files, a few at a time: it asks for more as they
    come, so that its lane never holds more, and what was lost on the way is asked for again."""

    job: IdField
    subtask: IdField
    worker: WorkerId
    lane: Lane
    pieces: Annotated[tuple[DigestField, ...], Meta(min_length=1, max_length=limits.PIECES_UNDER_WAY_MAX)]


class SubtaskRefused(Struct, frozen=True, kw_only=True):
    """The renter gives this worker nothing, and why. With the contract: a worker that knows nothing yet of the subtask
    learns from it whose signature this must be."""

    subtask: IdField
    contract: Contract
    worker: WorkerId
    code: Code
    reason: Text


class KeyOffered(Struct, frozen=True, kw_only=True):
    """A worker's enclave offers a public key with evidence (CBOR) that it holds the private one."""

    job: IdField
    subtask: IdField
    worker: WorkerId
    lane: Lane
    evidence: Binary


class KeySealed(Struct, frozen=True, kw_only=True):
    """The lessor's subtask secret, sealed to one verified enclave and signed by the renter."""

    subtask: IdField
    worker: WorkerId
    sealed: Binary
    signature: Binary
    claims: Binary
    policy_digest: Binary


class KeyConfirmed(Struct, frozen=True, kw_only=True):
    """The enclave holds the key: a MAC over the whole handshake."""

    job: IdField
    subtask: IdField
    worker: WorkerId
    mac: Binary
    protections: Annotated[tuple[Text, ...], Meta(max_length=32)] = ()


class KeyRefused(Struct, frozen=True, kw_only=True):
    """A worker cannot compute the subtask, or its enclave refuses the renter's half of the handshake."""

    job: IdField
    subtask: IdField
    worker: WorkerId
    code: Code
    reason: Text


class BatchFailed(Struct, frozen=True, kw_only=True):
    """A worker could not compute a batch; `final` when it would fail everywhere the same."""

    batch: Batch
    code: Code
    reason: Text
    final: bool


class BatchForwarded(Struct, frozen=True, kw_only=True):
    """A worker sent a batch's sealed result to the job's partner; with the core-seconds that it took."""

    batch: Batch
    core_seconds: Annotated[float, Meta(ge=0, le=1e9)]


class BatchTaken(Struct, frozen=True, kw_only=True):
    """The partner has a batch's sealed result, and it is what it should be."""

    batch: Batch


class BatchRejected(Struct, frozen=True, kw_only=True):
    """The partner does not take a batch's sealed result: its lessor erred."""

    batch: Batch
    code: Code
    reason: Text


class SubtaskCompleted(Struct, frozen=True, kw_only=True):
    """All rows of a subtask are in; the renter's half of the receipt."""

    contract: Contract
    receipt: Receipt


class ReceiptCountersigned(Struct, frozen=True, kw_only=True):
    """The receipt with both signatures."""

    receipt: Receipt


class ContractUsed(Struct, frozen=True, kw_only=True):
    """A worker tells the others of its lessor that something was asked under a contract."""

    contract: IdField
    until: Timestamp
    """When its lease ends."""


class ContractClosed(Struct, frozen=True, kw_only=True):
    """A worker tells the others of its lessor that nothing more is computed under a contract."""

    contract: IdField
    until: Timestamp
    """When its lease ends at the latest."""
    renter: AddressField | None = None
    renter_key: Annotated[bytes, Meta(max_length=32)] = b""
    receipt: Receipt | None = None
    """The one that was countersigned."""


class DeliveryFailed(Struct, frozen=True, kw_only=True):
    """A hub tells a sender that its message could not be routed."""

    event: Text
    type: Text
    to: AddressField
    reason: Text


class CheckRequested(Struct, frozen=True, kw_only=True):
    """A node asks its hub whether it is believed."""

    lane: Lane


class CheckAnswered(Struct, frozen=True, kw_only=True):
    """It is, or why not; the answer's time is the hub's."""

    event: Text
    code: Annotated[str, Meta(max_length=64)] = ""
    """Empty when it is believed."""
    reason: Text = ""


class MarketRequested(Struct, frozen=True, kw_only=True):
    """People at a participant ask their hub what compute there is."""

    lane: Lane


class MarketTold(Struct, frozen=True, kw_only=True):
    """What the hub's own subnet offers, and what other hubs last told it (N4)."""

    event: Text
    capacities: Annotated[tuple[Capacity, ...], Meta(max_length=limits.CAPACITIES_TOLD_MAX)]
    """Of the own subnet first; then those of the most units."""
    more: Annotated[int, Meta(ge=0)] = 0
    """That are left out."""


class EventRefused(Struct, frozen=True, kw_only=True):
    """A receiver does not believe its sender, by its clock or its key; so it will not believe what it sends next. Or it
    does not know what it was sent, which is of a later release."""

    event: Text
    type: Text
    code: Code
    reason: Text


# ---------------------------------------------------------------- the list


@dataclass(frozen=True, slots=True)
class EventType:
    """One row of the catalogue. `data` is the class of JSON data, or None where the body is raw bytes."""

    name: str
    sender: tuple[Role, ...]
    receiver: tuple[Role, ...]
    data: type[Struct] | None
    kind: str
    """The receiver's queue: control, batch, result or heartbeat; `lane` when the sender names the worker's lane."""
    about: str


def _rows() -> tuple[EventType, ...]:
    def row(name: str, sender: Any, receiver: Any, data: type[Struct] | None, kind: str, about: str) -> EventType:  # noqa: PLR0917
        as_tuple = tuple(sender.split("|")), tuple(receiver.split("|"))
        return EventType(name, *as_tuple, data, kind, about)

    return (
        row("order.sell.placed", "lessor", "hub", SellOrderPlaced, "control", "R1: a lessor offers compute, or renews"),
        row("order.sell.cancelled", "lessor", "hub", OrderCancelled, "control", "R1"),
        row("order.buy.placed", "renter", "hub", BuyOrder, "control", "R1: a renter asks for compute"),
        row("order.buy.cancelled", "renter", "hub", OrderCancelled, "control", "R1"),
        row("order.buy.refused", "hub", "renter", BuyOrderRefused, "control", "R2: no match in time"),
        row("link.reported", "hub", "renter", LinkReported, "control", "N2: why a job waits"),
        row("capacity.advertised", "hub", "hub", CapacityAdvertised, "control", "N4: the best hubs that one knows of"),
        row("hubs.announced", "hub", "hub", HubsAnnounced, "control", "N3, N4: by which hubs others are reached"),
        row("heartbeat.sent", "hub", "hub", Heartbeat, "heartbeat", "N2: the link from one hub to the next carries"),
        row("quote.requested", "hub", "hub", QuoteRequested, "control", "R2: what would your subnet offer?"),
        row("quote.offered", "hub", "hub", QuoteOffered, "control", "R2: reserved for seconds"),
        row("quote.released", "hub", "hub", QuoteReleased, "control", "R2: not taken"),
        row("contract.proposed", "hub", "hub", ContractProposed, "control", "R4: signed by the renter's hub"),
        row("contract.refused", "hub", "hub", ContractRefused, "control", "R4: not countersigned"),
        row("contract.countersigned", "hub", "hub", ContractCountersigned, "control", "R4: signed by both hubs"),
        row("contract.signed", "hub", "renter|lessor", ContractSigned, "control", "R4: delivered to the parties"),
        row("order.buy.matched", "hub", "renter", ContractsCompleted, "control", "R2, R3: all contracts are signed"),
        row("contract.ended", "renter|lessor|hub", "hub|lessor|renter", ContractEnded, "control", "R4: units are free"),
        row("job.submitted", "user", "renter", JobSubmitted, "control", "S1: a job for the renter's workers"),
        row("job.deleted", "user", "renter", JobDeleted, "control", "the user wants nothing of a job any more"),
        row("job.cancelled", "user", "renter", JobCancelled, "control", "the user takes a job back"),
        row("subtask.announced", "renter", "lessor", SubtaskAnnounced, "control", "S2: what is coming"),
        row("subtask.requested", "lessor", "renter", SubtaskRequested, "control", "S2: a worker lacks something"),
        row(
            "subtask.assigned",
            "renter",
            "lessor",
            SubtaskAssigned,
            "lane",
            "S2, E1: terms and the nonce (key request)",
        ),
        row("subtask.refused", "renter", "lessor", SubtaskRefused, "lane", "S2"),
        row("pieces.requested", "lessor", "renter", PiecesRequested, "control", "E2, H1: a worker lacks these pieces"),
        row("program.published", "renter", "lessor", None, "lane", "E2, H1: a piece of ONNX, content-addressed"),
        row("public-key.published", "renter", "lessor", None, "lane", "T1: a piece of a homomorphic public key"),
        row("key.offered", "lessor", "renter", KeyOffered, "control", "E1: evidence and enclave key"),
        row("key.sealed", "renter", "lessor", KeySealed, "lane", "E1: the subtask secret for one enclave"),
        row("key.confirmed", "lessor", "renter", KeyConfirmed, "control", "E1: the enclave holds it"),
        row("key.refused", "lessor", "renter", KeyRefused, "control", "E1: with its code"),
        row("batch.dispatched", "renter", "lessor", None, "batch", "H1, E2: raw ciphertext"),
        row("batch.completed", "lessor", "renter", None, "result", "H2, E4, T2: raw ciphertext"),
        row("batch.failed", "lessor", "renter", BatchFailed, "control", "with its reason"),
        row("batch.sealed", "lessor", "partner", None, "result", "J2: raw homomorphic ciphertext"),
        row("batch.forwarded", "lessor", "renter", BatchForwarded, "control", "J2: it went to the partner"),
        row("batch.taken", "partner", "renter", BatchTaken, "control", "J2: the partner has it"),
        row("batch.rejected", "partner", "renter", BatchRejected, "control", "J2: with its reason"),
        row("introduction.requested", "renter", "hub", IntroductionRequested, "control", "N4: who is this partner?"),
        row("introduction.proposed", "hub", "hub", IntroductionProposed, "control", "N4: the renter's hub vouches"),
        row("introduction.countersigned", "hub", "hub", IntroductionProposed, "control", "N4: the partner's too"),
        row("introduction.made", "hub", "renter", IntroductionProposed, "control", "N4: both hubs have signed"),
        row("introduction.refused", "hub", "hub|renter", IntroductionRefused, "control", "N4: no such partner"),
        row("joint.requested", "renter", "partner", JointRequested, "control", "J1: what is asked, and the public key"),
        row("joint.deferred", "partner", "renter", JointDeferred, "control", "J1: a person has to approve"),
        row("work.continued", "partner", "renter", WorkContinued, "control", "J3: it is at work on what it owes"),
        row("joint.accepted", "partner", "renter", JointAccepted, "control", "J1: the partner takes part"),
        row("joint.ended", "renter|partner", "partner|renter", JointEnded, "control", "J6: with its reason"),
        row("joint.approved", "user", "partner", JointApproved, "control", "J1: a person says yes"),
        row("joint.declined", "user", "partner", JointDeclined, "control", "J1: a person says no, or withdraws"),
        row("contract.shown", "renter", "partner", ContractShown, "control", "J2: whose results to take"),
        row("ids.masked", "renter|partner", "partner|renter", None, "result", "J1: a chunk of one side's masked ids"),
        row("ids.remasked", "renter|partner", "partner|renter", None, "result", "J1: a chunk of the other's, back"),
        row("rows.omitted", "partner", "renter", RowsOmitted, "control", "J1: too few to be told from earlier jobs'"),
        row("round.opened", "renter", "partner", RoundOpened, "control", "J5, J6: what the enclaves will seal"),
        row("round.answered", "partner", "renter", None, "result", "J4: raw homomorphic ciphertext"),
        row("sums.advanced", "partner", "renter", SumsAdvanced, "control", "J3: so far with a model's sums"),
        row("reply.given", "renter", "partner", ReplyGiven, "control", "J5: gives the partner its own weights"),
        row("norm.told", "partner", "renter", NormTold, "control", "J6: the partner has them"),
        row("subtask.completed", "renter", "lessor", SubtaskCompleted, "control", "half a receipt"),
        row("receipt.countersigned", "lessor", "renter", ReceiptCountersigned, "control", "the whole receipt"),
        row(
            "participant.admitted",
            "user",
            "hub",
            ParticipantAdmitted,
            "control",
            "N4: joins, or changes",
        ),
        row("participant.settled", "user", "hub", ParticipantSettled, "control", "N4: only the newest key counts"),
        row("participant.removed", "user", "hub", ParticipantRemoved, "control", "N4: leaves"),
        row(
            "contract.settled",
            "renter|lessor|worker",
            "hub|renter",
            Settlement,
            "control",
            "R4: both receipt signatures",
        ),
        row("market.requested", EVERYBODY, "hub", MarketRequested, "control", "N4: what compute is there?"),
        row("market.told", "hub", "user", MarketTold, "lane", "N4: to people at a node"),
        row("check.requested", EVERYBODY, "hub", CheckRequested, "control", "is this node believed?"),
        row("check.answered", "hub", "user", CheckAnswered, "lane", "to people at a node: it is, or why not"),
        row("event.refused", EVERYBODY, EVERYBODY, EventRefused, "control", "the sender's clock or key is not right"),
        row("contract.used", "worker", "lessor", ContractUsed, "lane", "R4: among workers"),
        row("contract.closed", "worker", "lessor", ContractClosed, "lane", "R4: among workers"),
        row("delivery.failed", "hub", "hub|renter|lessor|partner", DeliveryFailed, "control", "N2: no such address"),
    )


CATALOGUE: Final[Mapping[str, EventType]] = MappingProxyType({row.name: row for row in _rows()})


def batch_attributes(batch: Batch) -> dict[str, str]:
    """A batch's metadata as CloudEvents extension attributes: its body stays raw ciphertext."""
    later = {"round": str(batch.round)} if batch.round > 1 else {}
    return later | {
        "subtask": batch.subtask,
        "contract": batch.contract,
        "batch": str(batch.batch),
        "attempt": str(batch.attempt),
        "firstrow": str(batch.first_row),
        "rows": str(batch.rows),
    }
