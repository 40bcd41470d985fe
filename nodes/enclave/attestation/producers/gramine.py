"""Evidence of kind `sgx` from Gramine's pseudo-files. They belong to the whole process: two threads would mix them up.

Gramine: `attestation_type` says whether quotes can be made; `user_report_data` takes 64 bytes; `quote` is made anew by
each opening.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nodes.enclave.attestation.adapters import quote
from nodes.enclave.attestation.envelope import encode
from nodes.enclave.attestation.port import SGX, Evidence
from nodes.enclave.attestation.producers.files import Files
from nodes.enclave.attestation.producers.quoting import (
    BLOB_BYTES_MAX,
    Collateral,
    bounded,
    checked_request,
    no_collateral,
    persist,
    same_report_data,
)
from nodes.enclave.errors import NoEvidence

ROOT: Final = Path("/dev/attestation")
TYPE_BYTES_MAX: Final = 32
DCAP: Final = "dcap"


@dataclass(frozen=True, slots=True)
class GramineQuoter:
    """Asks Gramine for a quote of the enclave that this process is."""

    files: Files
    root: Path = ROOT
    collateral: Collateral = field(default=no_collateral)
    turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def quote(self, *, report_data: bytes, pub: bytes, nonce: bytes, job: str, debug: bool) -> bytes:
        """The quote of this very process in its envelope.

        Raises:
            NoEvidence: Gramine gives none.
        """
        checked_request(report_data, debug=debug)
        with self.turn:
            blob = persist(lambda: self._attempt(report_data), str(self.root))
        return encode(Evidence(kind=SGX, blob=blob, aux=self.collateral(), pub=pub, nonce=nonce, job=job))

    def _attempt(self, report_data: bytes) -> bytes:
        found = self.files.read(self.root / "attestation_type", TYPE_BYTES_MAX).decode("ascii", "replace").strip()
        if found != DCAP:
            raise NoEvidence(f"Gramine is set up for attestation {found[:16]!r}, not {DCAP!r}")
        self.files.write(self.root / "user_report_data", report_data)
        blob = bounded(self.files.read(self.root / "quote", BLOB_BYTES_MAX), BLOB_BYTES_MAX, "quote")
        same_report_data(quote.parse(blob).report_data, report_data)
        return blob
