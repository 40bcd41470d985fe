"""Errors of the enclave room.

    VerificationFailed
     └── Rejected            evidence, a seal, a signature or a ciphertext is not right; `code` says which
    SubletError
     ├── EnclaveUnavailable  this machine cannot lock a child down; `missing` lists what it lacks
     │    └── NoEvidence     its hardware gives no attestation evidence; `missing` says why
     └── EnclaveEnded        the child is gone; `reason` says why. Start another and shake hands again
    BadData
     └── DataFault           a batch cannot be computed; `fault`, row and column say why, and never a value

No message here may hold keys, plaintext or values computed from plaintext.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from schemas.errors import BadData, SubletError, VerificationFailed


class Code(StrEnum):
    """Why something was rejected. Journals, tests and the other side tell the reasons apart by these."""

    # Evidence
    EVIDENCE_SIZE = "evidence-size"
    EVIDENCE_MALFORMED = "evidence-malformed"
    EVIDENCE_VERSION = "evidence-version"
    EVIDENCE_SIGNATURE = "evidence-signature"
    KIND_NOT_ACCEPTED = "kind-not-accepted"
    SOFTWARE_NOT_ACCEPTED = "software-not-accepted"
    SIGNER_NOT_ACCEPTED = "signer-not-accepted"
    MEASUREMENT = "measurement"
    DEBUG = "debug"
    EVIDENCE_ROOT = "evidence-root"
    EVIDENCE_CHAIN = "evidence-chain"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_REVOKED = "certificate-revoked"
    COLLATERAL_MISSING = "collateral-missing"
    COLLATERAL_MALFORMED = "collateral-malformed"
    COLLATERAL_SIGNATURE = "collateral-signature"
    COLLATERAL_EXPIRED = "collateral-expired"
    COLLATERAL_MISMATCH = "collateral-mismatch"
    QUOTE = "quote-refused"
    SIGNING_KEY = "signing-key"
    PLATFORM_MISMATCH = "platform-mismatch"
    MIGRATION = "migration"
    PRIVILEGE = "privilege-level"
    TCB_LOW = "tcb-low"
    TCB_STATUS = "tcb-status"
    ADVISORY = "advisory-rejected"
    REPORT_DATA = "report-data"
    NONCE_MISMATCH = "nonce-mismatch"
    NONCE_REUSED = "nonce-reused"
    NONCE_EXPIRED = "nonce-expired"
    JOB_MISMATCH = "job-mismatch"
    # Key agreement
    SUITE = "suite"
    PUBLIC_KEY = "public-key"
    SEAL = "seal"
    SEAL_REPLAYED = "seal-replayed"
    SESSION = "session"
    RENTER_SIGNATURE = "renter-signature"
    # Data
    CIPHERTEXT_LENGTH = "ciphertext-length"
    COMMITMENT = "commitment"
    CHUNK = "chunk"
    CONTEXT = "context"
    REQUEST_SIZE = "request-size"
    NO_ROWS = "no-rows"


POLICY_CODES: Final = frozenset(
    {
        Code.KIND_NOT_ACCEPTED,
        Code.SOFTWARE_NOT_ACCEPTED,
        Code.SIGNER_NOT_ACCEPTED,
        Code.MEASUREMENT,
        Code.DEBUG,
        Code.TCB_LOW,
        Code.TCB_STATUS,
        Code.ADVISORY,
    }
)
"""Evidence that is genuine, and not what the renter accepts: refused in one enclave of a lessor, refused in all."""

EXPLANATIONS = {
    Code.EVIDENCE_SIZE: "the attestation evidence is larger than allowed",
    Code.EVIDENCE_MALFORMED: "the attestation evidence is not a well-formed envelope",
    Code.EVIDENCE_VERSION: "the attestation evidence has an unknown version",
    Code.EVIDENCE_SIGNATURE: "the signature of the attestation evidence is wrong",
    Code.KIND_NOT_ACCEPTED: "the policy does not accept this kind of attestation evidence",
    Code.SOFTWARE_NOT_ACCEPTED: "the enclave is software, not confidential; the policy must accept that by name",
    Code.SIGNER_NOT_ACCEPTED: "the policy does not list the key that signed the attestation evidence",
    Code.MEASUREMENT: "the enclave runs code whose measurement is not in the policy's reference values",
    Code.DEBUG: "the enclave can be looked into (debug) and the policy forbids that",
    Code.EVIDENCE_ROOT: "the certificates of the evidence do not end at the vendor's root",
    Code.EVIDENCE_CHAIN: "the certificates of the evidence do not prove one another",
    Code.CERTIFICATE_EXPIRED: "a certificate of the evidence is not valid at this time; ask for fresh evidence",
    Code.CERTIFICATE_REVOKED: "the vendor revoked a certificate of the evidence",
    Code.COLLATERAL_MISSING: "the evidence cannot be verified without the vendor's collateral, which is not there",
    Code.COLLATERAL_MALFORMED: "the vendor's collateral is not well formed",
    Code.COLLATERAL_SIGNATURE: "the signature of the vendor's collateral is wrong",
    Code.COLLATERAL_EXPIRED: "the vendor's collateral is not valid at this time; fetch it again",
    Code.COLLATERAL_MISMATCH: "the vendor's collateral is for another kind of platform",
    Code.QUOTE: "the quote does not verify against the vendor's collateral",
    Code.SIGNING_KEY: "the report is not signed by the key of one chip",
    Code.PLATFORM_MISMATCH: "the evidence names another chip or firmware than the certificate of its key",
    Code.MIGRATION: "the enclave may be moved to another machine by an agent that the evidence does not cover",
    Code.PRIVILEGE: "the evidence was asked for from a less privileged level than the measured code's",
    Code.TCB_LOW: "the platform's firmware is older than the policy's minimum",
    Code.TCB_STATUS: "the policy does not accept the vendor's status of this platform",
    Code.ADVISORY: "the policy rejects platforms with this security advisory",
    Code.REPORT_DATA: "the evidence is for another nonce, contract or enclave key",
    Code.NONCE_MISMATCH: "the evidence answers another nonce",
    Code.NONCE_REUSED: "the nonce was used before; ask again with a fresh one",
    Code.NONCE_EXPIRED: "the nonce is too old; ask again with a fresh one",
    Code.JOB_MISMATCH: "the evidence is for another job",
    Code.SUITE: "the enclave key is of another cipher suite than MLKEM768-X25519, HKDF-SHA512, AES-256-GCM",
    Code.PUBLIC_KEY: "the public key is not valid",
    Code.SEAL: "the sealed secret does not open here: it was made for another offer or enclave, or changed",
    Code.SEAL_REPLAYED: "the offer was used already or never made; a seal opens once",
    Code.SESSION: "the enclave serves one key agreement and has it, or has none yet; start another process for another",
    Code.RENTER_SIGNATURE: "the renter's signature over the sealed secret is wrong",
    Code.CIPHERTEXT_LENGTH: "the ciphertext is truncated or has trailing bytes",
    Code.COMMITMENT: "the ciphertext was made with another key or for another context",
    Code.CHUNK: "a chunk of the ciphertext was changed, moved, repeated or left out",
    Code.CONTEXT: "the batch is for another subtask, program or sealing key than was agreed",
    Code.REQUEST_SIZE: "the request is larger than an enclave takes",
    Code.NO_ROWS: "the rows of this batch are not in this enclave; send them with the round",
}


class Rejected(VerificationFailed):
    """Evidence, a seal, a signature or a ciphertext is not right. `code` is one of `Code`."""

    def __init__(self, code: Code, detail: str = "") -> None:
        super().__init__(EXPLANATIONS[code] + (f" ({detail})" if detail else ""), code=code)


class EnclaveUnavailable(SubletError):  # noqa: N818
    """This machine cannot lock an enclave child down. `missing` lists what it lacks."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        super().__init__(
            f"no enclave can run here, missing: {'; '.join(missing)}. Use a Linux kernel with Landlock and seccomp, "
            "or allow an unlocked child by name (development only)"
        )
        self.missing = missing


class NoEvidence(EnclaveUnavailable):
    """This machine's hardware gives no attestation evidence for an enclave. `missing` says why."""

    def __init__(self, reason: str) -> None:
        SubletError.__init__(self, f"this machine gives no attestation evidence: {reason}")
        self.missing = (reason,)


class EndReason(StrEnum):
    """Why an enclave child ended."""

    CPU = "cpu"
    TIMEOUT = "timeout"
    """By the clock: the machine may have slept, or was busy."""
    MEMORY = "memory"
    MACHINE_MEMORY = "machine-memory"
    """The kernel took it: others on the machine may have used it up."""
    SYSCALL = "syscall"
    CHECK = "check"
    CRASH = "crash"
    CLOSED = "closed"


class EnclaveEnded(SubletError):  # noqa: N818
    """The enclave child is gone, and its keys with it. Start another one and shake hands again.

    After `cpu`, `memory`, `syscall` or `crash` do not give the same program to another child unexamined.
    """

    def __init__(self, reason: EndReason, detail: str) -> None:
        super().__init__(f"the enclave ended ({reason}): {detail}")
        self.reason = reason


class Fault(StrEnum):
    """What is wrong with a batch's data."""

    SHAPE = "shape"
    INPUT_NOT_FINITE = "input-not-finite"
    INPUT_TYPE = "input-type"
    RESULT_NOT_FINITE = "result-not-finite"
    RESULT_TOO_LARGE = "result-too-large"


FAULTS = {
    Fault.SHAPE: "the batch does not hold the rows and columns that the program takes",
    Fault.INPUT_NOT_FINITE: "the input is infinite",
    Fault.INPUT_TYPE: "the input does not fit the type that the program declares for it, such as a fraction for int64",
    Fault.RESULT_NOT_FINITE: "the program's result is not a finite number",
    Fault.RESULT_TOO_LARGE: "the program's result is too large to be sealed in 64 bits; use fewer result bits",
}


class DataFault(BadData):
    """A batch cannot be computed. `row` counts from 1 over the job's whole input."""

    def __init__(self, fault: Fault, *, row: int | None = None, column: str | None = None) -> None:
        where = "".join((f"row {row}, " if row is not None else "", f"column {column}: " if column is not None else ""))
        super().__init__(where + FAULTS[fault], row=row, column=column)
        self.fault = fault
