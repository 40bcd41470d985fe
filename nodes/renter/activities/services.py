"""What the renter's activities need from outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nodes.crew.crew import Crew
from nodes.enclave.attestation.policy import Policy
from nodes.enclave.attestation.port import Verifier
from nodes.identity import Identity
from nodes.renter.files.folder import JobFolder
from nodes.store.blobs import BlobStore
from nodes.store.port import Store


@dataclass(frozen=True, slots=True)
class Services:
    """Wired in one place (`nodes/bootstrap/`)."""

    identity: Identity
    store: Store
    blobs: BlobStore
    jobs: Path
    clock: Callable[[], float]
    """Seconds since 1970 (UTC)."""
    core_clock: Callable[[], float]
    """Processor seconds of the calling thread."""
    crew: Crew
    """Computes on ciphertexts, one process per core."""
    calibration: Path
    """Keeps what was measured of this machine."""
    policy: Callable[[bool], Policy]
    """The evidence policy; the argument says whether the job accepts software enclaves."""
    verifiers: dict[str, Verifier] = field(default_factory=dict)

    def folder(self, job: str) -> JobFolder:
        """The job's folder."""
        return JobFolder(self.jobs / job)
