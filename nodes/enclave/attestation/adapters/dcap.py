"""Evidence of kinds `tdx` and `sgx`: Intel quotes with ECDSA keys (DCAP). No I/O.

    blob = the quote
    aux  = Intel's collateral for it, as JSON (`collateral`)

Everything is verified twice. First here, plainly: chain, signatures, dates, revocation, each with a code of its own.
Then by dcap-qvl, which also judges the TCB levels and the quoting enclave's identity; both must agree. It judges no
enclave that is under debug, so these are refused even by a policy that allows debug. The hash of a quote identifies
nothing: some of its bytes are padding that no signature covers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import dcap_qvl
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from nodes.enclave.attestation.adapters import certificates
from nodes.enclave.attestation.adapters import collateral as intel
from nodes.enclave.attestation.adapters.quote import Quote, parse
from nodes.enclave.attestation.guard import guarded
from nodes.enclave.attestation.port import SGX, TDX, Claims, Evidence
from nodes.enclave.errors import Code, Rejected

INTEL_ROOTS: Final = frozenset({bytes.fromhex("44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3")})
"""SHA-256 of the Intel SGX Root CA's certificate."""
COLLATERAL: Final = "dcap"
"""Name in `collateral` of what the renter fetched itself; it replaces `aux`."""
STATEMENTS: Final = {SGX: "Intel SGX", TDX: "Intel TDX"}
_PCK_NAME: Final = "Intel SGX PCK Certificate"


@dataclass(frozen=True, slots=True)
class DcapVerifier:
    """Verifies Intel quotes of both kinds. `roots` are SHA-256 of the accepted root certificates."""

    roots: frozenset[bytes] = field(default=INTEL_ROOTS)

    def verify(self, evidence: Evidence, *, now: datetime, collateral: Mapping[str, bytes]) -> Claims:
        """What the quoting enclave signed, when its platform's chain ends at Intel."""
        quote = parse(evidence.blob)
        found = intel.read(collateral.get(COLLATERAL, evidence.aux))
        pck = self._pck_chain(quote, now)
        levels, identity = intel.check(found, pck, root=pck[-1], now=now)
        _check_signatures(quote, pck[0])
        if quote.debug:
            raise Rejected(Code.DEBUG, "Intel enclaves are never judged in debug mode")
        if quote.migratable:
            raise Rejected(Code.MIGRATION)
        with guarded(Code.QUOTE):
            if dcap_qvl.parse_quote(evidence.blob).fmspc().upper() != levels.fmspc.upper():
                raise Rejected(Code.COLLATERAL_MISMATCH, levels.fmspc)
            judged = _second_opinion(evidence.blob[: quote.bytes_used], found, pck[-1], now)
            _check_agreement(quote, judged)
            return _claims(quote, judged, min(levels.evaluation, identity.evaluation))

    def _pck_chain(self, quote: Quote, now: datetime) -> list[x509.Certificate]:
        found = certificates.read_bundle(quote.pck_chain)
        chain = certificates.order(found[0], found)
        with guarded(Code.EVIDENCE_CHAIN):
            if certificates.fingerprint(chain[-1]) not in self.roots:
                raise Rejected(Code.EVIDENCE_ROOT, "Intel")
            certificates.check_chain(chain, now)
            if len(chain) != 3 or certificates.common_name(chain[0]) != _PCK_NAME:
                raise Rejected(Code.EVIDENCE_CHAIN, "a quote under a key that Intel certified for something else")
        return chain


def _check_signatures(quote: Quote, pck: x509.Certificate) -> None:
    with guarded(Code.EVIDENCE_SIGNATURE, "quoting enclave"):
        certificates.verify_ecdsa(pck, ec.SECP256R1, certificates.pair(quote.qe_signature), quote.qe_report, SHA256())
        if not quote.quoting_key_bound:
            raise Rejected(Code.EVIDENCE_SIGNATURE, "the quoting enclave names another key")
    with guarded(Code.EVIDENCE_SIGNATURE):
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + quote.attestation_key)
        certificates.check_ecdsa(key, certificates.pair(quote.signature), quote.signed, SHA256())


def _second_opinion(
    blob: bytes, found: intel.Collateral, root: x509.Certificate, now: datetime
) -> dcap_qvl.VerifiedReport:
    collateral = dcap_qvl.QuoteCollateralV3.from_json(intel.to_json(found))
    return dcap_qvl.verify_with_root_ca(blob, collateral, root.public_bytes(Encoding.DER), int(now.timestamp()))


def _check_agreement(quote: Quote, judged: dcap_qvl.VerifiedReport) -> None:
    """Both readings of the quote must be of the same enclave."""
    ((_, report),) = msgspec.json.decode(judged.to_json())["report"].items()
    while "report_data" not in report:  # newer reports hold the older one
        report = report["base"]
    register = "mr_enclave" if quote.kind == SGX else "mr_td"
    ours = (quote.report_data.hex(), next(iter(quote.registers.values())).hex())
    if ours != (report["report_data"], report[register]):
        raise Rejected(Code.QUOTE, "two readings of it differ")


def _claims(quote: Quote, judged: dcap_qvl.VerifiedReport, evaluation: int) -> Claims:
    return Claims(
        kind=quote.kind,
        measurement=quote.measurement,
        report_data=quote.report_data,
        signer=bytes(judged.ppid),
        debug=False,
        confidential=True,
        statement=STATEMENTS[quote.kind],
        tcb=(("evaluation", evaluation),),
        tcb_status=judged.status,
        advisories=tuple(sorted(judged.advisory_ids)),
    )
