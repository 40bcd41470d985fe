"""All verifiers by kind of evidence, with the vendors' roots pinned."""

from __future__ import annotations

from nodes.enclave.attestation.adapters.dcap import DcapVerifier
from nodes.enclave.attestation.adapters.nitro import NitroVerifier
from nodes.enclave.attestation.adapters.snp import SnpVerifier
from nodes.enclave.attestation.adapters.software import SoftwareVerifier
from nodes.enclave.attestation.port import NITRO, SGX, SNP, SOFTWARE, TDX, Verifier


def all_verifiers() -> dict[str, Verifier]:
    """A verifier for every kind of evidence."""
    intel = DcapVerifier()
    return {SNP: SnpVerifier(), TDX: intel, SGX: intel, NITRO: NitroVerifier(), SOFTWARE: SoftwareVerifier()}
