"""What one worker of a lessor keeps, in memory alone, and the outcomes of its shell's activities. Frozen data, pure.

One aggregate. Keys: `offered`, `session/<subtask>`, `blob/<digest>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from nodes.lessor.protocol.states import SessionPhase
from schemas.events import BatchFailed
from schemas.ids import Address
from schemas.jobs import SubtaskTerms

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


RECORD_TYPES: Final[Mapping[str, type[Struct]]] = MappingProxyType({OFFERED: Offered, "session": Session, "blob": Blob})


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
    }
)
