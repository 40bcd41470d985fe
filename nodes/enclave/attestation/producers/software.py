"""Evidence of kind `software` from a lessor's development key.

The key belongs to a *quoting service in the host* and not to the enclave child: real platforms work like this too (a
quoting enclave or firmware signs what the measured code reports), one key serves all workers of a lessor, and the
process that runs untrusted programs never holds it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from nodes.enclave.attestation.adapters import software
from nodes.enclave.attestation.envelope import encode
from nodes.enclave.attestation.port import SOFTWARE, Evidence


@dataclass(frozen=True, slots=True)
class SoftwareQuoter:
    """Signs reports of a lessor's enclave children. `measurement` is that of the code they run (`measurement()`)."""

    key: Ed25519PrivateKey = field(repr=False)
    measurement: bytes

    def quote(self, *, report_data: bytes, pub: bytes, nonce: bytes, job: str, debug: bool) -> bytes:
        """Encoded evidence; `debug` when the child is not fully locked down."""
        signed = software.signed_part(self.measurement, report_data, debug=debug)
        blob, aux = signed + self.key.sign(software.to_sign(signed)), self.key.public_key().public_bytes_raw()
        return encode(Evidence(kind=SOFTWARE, blob=blob, aux=aux, pub=pub, nonce=nonce, job=job))
