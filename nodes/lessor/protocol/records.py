"""What one worker of a lessor keeps, in memory alone, and the outcomes of its shell's activities. Frozen data, pure.

One aggregate. Keys: `offered`, `session/<subtask>`, `blob/<digest>`; `rented`, `work` and `closed/<contract>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from nodes.lessor.protocol.states import SessionPhase
from schemas.contracts import Contract, Receipt
from schemas.events import BatchFailed
from schemas.ids import Address
from schemas.jobs import Batch, SubtaskTerms

OFFERED: Final = "offered"


class Offered(Struct, frozen=True, kw_only=True):
    """The terms that this worker was started with."""

    since: float
    """Seconds since 1970."""


class Session(Struct, frozen=True, kw_only=True):
    """What this worker knows of one subtask; see `nodes/lessor/protocol/states.py`."""

    subtask: str
    job: str
    renter: Address
    phase: SessionPhase
    used_at: float
    """When it was asked for, or last computed a batch; seconds since 1970."""
    terms: SubtaskTerms | None = None
    """With the contract, whose signatures were verified when the terms came."""
    nonce: bytes = b""
    asked: tuple[str, ...] = ()
    """Digests of pieces that are on their way."""

    @property
    def pieces(self) -> tuple[str, ...]:
        """Digests of the pieces that it needs, in order."""
        files = self.terms.files() if self.terms else ()
        return tuple(dict.fromkeys(piece for _, manifest in files for piece in manifest.pieces))


class Blob(Struct, frozen=True, kw_only=True):
    """A piece of a program or public key, by the digest in its key."""

    raw: bytes
    kept_at: float


class Work(Struct, frozen=True, kw_only=True):
    """What this worker computed under a contract. Times are seconds since 1970."""

    began_at: float
    """The first batch."""
    ended_at: float
    """The last."""
    batches: int = 0
    """Each counts once, however often it came."""
    round: int = 1
    seen: int = 0
    """Bit n is set when batch n of this round counts already."""


class Rented(Struct, frozen=True, kw_only=True):
    """A running contract of this lessor, whichever of its workers serves it. Times are seconds since 1970."""

    until: float
    """When its lease ends."""
    used_at: float
    """When something was last asked under it, here or at another worker."""
    told_at: float = 0.0
    """When the others were last told that it is used."""


class Closed(Struct, frozen=True, kw_only=True):
    """A contract under which nothing more is computed."""

    until: float
    """When its lease ends at the latest: nobody needs to remember it longer. Seconds since 1970."""
    renter: str = ""
    renter_key: bytes = b""
    """Both as its terms say; empty where they never came."""
    receipt: Receipt | None = None
    """The one that was countersigned."""

    @classmethod
    def of(cls, contract: Contract, receipt: Receipt | None = None) -> Closed:
        """A contract whose terms are known."""
        renter, key = contract.renter, contract.renter_key
        return cls(until=contract.ends_at, renter=renter, renter_key=key, receipt=receipt)


class WorkerStarted(Struct, frozen=True, kw_only=True):
    """`worker.started`: the worker has its lane."""


class WorkerEnding(Struct, frozen=True, kw_only=True):
    """`worker.ending`: the worker was told to end."""


class SessionWanted(Struct, frozen=True, kw_only=True):
    """`session.wanted`: a batch of a subtask came that this worker does not know."""

    subtask: str
    job: str
    renter: Address


class ComputerReady(Struct, frozen=True, kw_only=True):
    """`computer.ready`: the program is compiled for ciphertexts."""

    subtask: str


class EvidenceMade(Struct, frozen=True, kw_only=True):
    """`evidence.made`: an enclave is there and offers a key."""

    subtask: str
    evidence: bytes


class SealAccepted(Struct, frozen=True, kw_only=True):
    """`seal.accepted`: the enclave holds the subtask secret."""

    subtask: str
    mac: bytes
    protections: tuple[str, ...]


class ComputerFailed(Struct, frozen=True, kw_only=True):
    """`computer.failed`: this worker cannot compute the subtask."""

    subtask: str
    code: str
    reason: str


class BatchUnfit(Struct, frozen=True, kw_only=True):
    """`batch.unfit`: a batch has no result."""

    renter: Address
    failed: BatchFailed


class BatchReturned(Struct, frozen=True, kw_only=True):
    """`batch.returned`: the broker has its result, which took so many seconds by the clock."""

    batch: Batch
    seconds: float


RECORD_TYPES: Final[Mapping[str, type[Struct]]] = MappingProxyType(
    {OFFERED: Offered, "session": Session, "blob": Blob, "work": Work, "closed": Closed, "rented": Rented}
)
INTERNAL_TYPES: Final[Mapping[str, type[Struct]]] = MappingProxyType(
    {
        "worker.started": WorkerStarted,
        "worker.ending": WorkerEnding,
        "session.wanted": SessionWanted,
        "computer.ready": ComputerReady,
        "evidence.made": EvidenceMade,
        "seal.accepted": SealAccepted,
        "computer.failed": ComputerFailed,
        "batch.unfit": BatchUnfit,
        "batch.returned": BatchReturned,
    }
)
