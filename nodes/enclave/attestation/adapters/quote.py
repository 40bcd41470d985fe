"""Intel quotes, taken apart: SGX (version 3) and TDX (versions 4 and 5 with TD 1.0 or 1.5 reports). Pure.

Layouts: Intel SGX ECDSA QuoteLibReference, appendix A, and Intel TDX DCAP Quoting Library API, appendix A. Only quotes
with ECDSA P-256 keys and an embedded PCK certificate chain are read. Nothing here is verified.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from nodes.enclave.attestation.guard import guarded
from nodes.enclave.attestation.port import SGX, TDX
from nodes.enclave.errors import Code, Rejected

QUOTE_BYTES_MAX: Final = 16 * 1024
HEADER_BYTES: Final = 48
SGX_BODY_BYTES: Final = 384
TD10_BODY_BYTES: Final = 584
TD15_BODY_BYTES: Final = 648

_SGX_VERSION: Final = 3
_TDX_VERSION: Final = 4
_TYPED_VERSION: Final = 5
_TYPED_BODIES: Final = {2: (TDX, TD10_BODY_BYTES), 3: (TDX, TD15_BODY_BYTES)}
_TEES: Final = {0: SGX, 0x81: TDX}
_ECDSA_P256: Final = 2
_PCK_CHAIN: Final = 5
_QE_REPORT: Final = 6
_SGX_DEBUG: Final = 1 << 1
_TD_DEBUG: Final = 0xFF
"""The whole TUD group: every bit of it puts the TD under debug."""
_TD_MIGRATABLE: Final = 1 << 29


@dataclass(frozen=True, slots=True)
class Quote:
    """A quote's parts. `signed` is covered by `signature`; `qe_report` by `qe_signature`, a PCK's."""

    kind: str
    version: int
    body: bytes
    signed: bytes
    signature: bytes
    attestation_key: bytes
    qe_report: bytes
    qe_signature: bytes
    qe_authentication: bytes
    pck_chain: bytes
    bytes_used: int

    @property
    def report_data(self) -> bytes:
        """The 64 bytes that the enclave bound."""
        return self.body[320:384] if self.kind == SGX else self.body[520:584]

    @property
    def debug(self) -> bool:
        """Whether the host may look into the enclave."""
        if self.kind == SGX:
            return bool(self._attributes & _SGX_DEBUG)
        return bool(self._attributes & _TD_DEBUG)

    @property
    def migratable(self) -> bool:
        """Whether a TD may be moved by a migration TD."""
        return self.kind == TDX and bool(self._attributes & _TD_MIGRATABLE)

    @property
    def registers(self) -> dict[str, bytes]:
        """The measurement registers by name."""
        if self.kind == SGX:
            return {"MRENCLAVE": self.body[64:96]}
        names = {"MRTD": 136, "RTMR0": 328, "RTMR1": 376, "RTMR2": 424, "RTMR3": 472}
        return {name: self.body[place : place + 48] for name, place in names.items()}

    @property
    def measurement(self) -> bytes:
        """SGX: MRENCLAVE (32 bytes). TDX: SHA-384 (48) over MRTD and RTMR0 to RTMR3, so that kernel and files count."""
        registers = b"".join(self.registers.values())
        return registers if self.kind == SGX else hashlib.sha384(registers).digest()

    @property
    def _attributes(self) -> int:
        place = 48 if self.kind == SGX else 120
        return int.from_bytes(self.body[place : place + 8], "little")

    @property
    def quoting_key_bound(self) -> bool:
        """Whether the quoting enclave's report names the key that signed the quote."""
        digest = hashlib.sha256(self.attestation_key + self.qe_authentication).digest()
        return self.qe_report[320:384] == digest + bytes(32)


class _Reader:
    """Takes parts from the front; too few bytes are an error."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.position = raw, 0

    def take(self, count: int) -> bytes:
        part = self.raw[self.position : self.position + count]
        if len(part) != count:
            raise Rejected(Code.EVIDENCE_MALFORMED, "the quote ends early")
        self.position += count
        return part

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")


def parse(blob: bytes) -> Quote:
    """The quote in these bytes, unverified. Behind it may stand zeros, and nothing else.

    Raises:
        Rejected: `evidence-size`, `evidence-malformed` or `evidence-version`.
    """
    if len(blob) > QUOTE_BYTES_MAX:
        raise Rejected(Code.EVIDENCE_SIZE, f"a quote of {len(blob)} bytes, at most {QUOTE_BYTES_MAX}")
    with guarded(Code.EVIDENCE_MALFORMED, "quote"):
        reader = _Reader(blob)
        version, key_type, tee = struct.unpack_from("<HHI", reader.take(HEADER_BYTES))
        kind, body = _body(reader, version, _TEES.get(tee))
        if key_type != _ECDSA_P256:
            raise Rejected(Code.EVIDENCE_MALFORMED, "a quote under an unknown kind of key")
        signed = blob[: reader.position]
        signature = _Reader(reader.take(reader.number(4)))
        if any(blob[reader.position :]):
            raise Rejected(Code.EVIDENCE_MALFORMED, "bytes behind the quote")
        read = _parts(signature, typed=version != _SGX_VERSION)
        return Quote(kind=kind, version=version, body=body, signed=signed, bytes_used=reader.position, **read)


def _body(reader: _Reader, version: int, kind: str | None) -> tuple[str, bytes]:
    if (version, kind) == (_SGX_VERSION, SGX):
        return SGX, reader.take(SGX_BODY_BYTES)
    if (version, kind) == (_TDX_VERSION, TDX):
        return TDX, reader.take(TD10_BODY_BYTES)
    if version == _TYPED_VERSION:
        found = _TYPED_BODIES.get(reader.number(2))
        if found is not None and found == (kind, reader.number(4)):
            return found[0], reader.take(found[1])
    raise Rejected(Code.EVIDENCE_VERSION, f"quote {version}")


def _parts(reader: _Reader, *, typed: bool) -> dict[str, bytes]:
    """What follows the signed part; `typed` when the quoting enclave's part has a header of its own."""
    signature, key = reader.take(64), reader.take(64)
    inner = reader
    if typed:
        if reader.number(2) != _QE_REPORT:
            raise Rejected(Code.EVIDENCE_MALFORMED, "a quote without its quoting enclave's report")
        inner = _Reader(reader.take(reader.number(4)))
    report, report_signature = inner.take(SGX_BODY_BYTES), inner.take(64)
    authentication = inner.take(inner.number(2))
    if inner.number(2) != _PCK_CHAIN:
        raise Rejected(Code.EVIDENCE_MALFORMED, "a quote without its PCK certificates")
    chain = inner.take(inner.number(4))
    if inner.position != len(inner.raw) or reader.position != len(reader.raw):
        raise Rejected(Code.EVIDENCE_MALFORMED, "bytes behind the quote's signature")
    return {
        "signature": signature,
        "attestation_key": key,
        "qe_report": report,
        "qe_signature": report_signature,
        "qe_authentication": authentication,
        "pck_chain": chain,
    }
