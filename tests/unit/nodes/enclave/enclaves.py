"""What the enclave tests share: programs, a renter, a lessor's quoting service and whole handshakes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from nodes.enclave.agreement import chunks, key_agreement
from nodes.enclave.agreement.chunks import DATA, RESULT, BatchContext
from nodes.enclave.agreement.confirmation import is_confirmed
from nodes.enclave.agreement.key_agreement import SealSpec
from nodes.enclave.attestation.adapters.software import SoftwareVerifier
from nodes.enclave.attestation.measure import measurement
from nodes.enclave.attestation.policy import Policy
from nodes.enclave.attestation.port import SOFTWARE
from nodes.enclave.attestation.producers.software import SoftwareQuoter
from nodes.enclave.host.process import EnclaveProcess
from nodes.enclave.offer import Challenge, VerifiedOffer, verify_offer
from nodes.programs.check import check

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONTRACT = "contract-1"
JOB = "job-1"
VERIFIERS = {SOFTWARE: SoftwareVerifier()}


def quoter() -> SoftwareQuoter:
    """A lessor's development quoting service, of a fixed key."""
    return SoftwareQuoter(Ed25519PrivateKey.from_private_bytes(bytes(range(200, 232))), measurement())


def policy() -> Policy:
    """A renter that accepts software enclaves of this very code."""
    return Policy(accept_software=True, measurements=frozenset({measurement()}))


def renter() -> Ed25519PrivateKey:
    """A renter's identity."""
    return Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def renter_public() -> bytes:
    """Its public half."""
    return renter().public_key().public_bytes_raw()


def model(width: int, weights: NDArray[np.float64], *, activation: str | None = None) -> bytes:
    """ONNX: one input matrix [N, width] times `weights` [width, K], then perhaps an element-wise operator."""
    proto = ModelProto(ir_version=8)
    proto.opset_import.add(domain="", version=13)
    graph = proto.graph
    graph.name = "test"
    for name, columns, infos in (("x", width, graph.input), ("y", weights.shape[1], graph.output)):
        info = infos.add(name=name)
        info.type.tensor_type.elem_type = TensorProto.DOUBLE
        info.type.tensor_type.shape.dim.add(dim_param="N")
        info.type.tensor_type.shape.dim.add(dim_value=columns)
    graph.initializer.add(
        name="w", dims=weights.shape, data_type=TensorProto.DOUBLE, raw_data=weights.astype("<f8").tobytes()
    )
    last = "y" if activation is None else "z"
    graph.node.add(op_type="MatMul", input=("x", "w"), output=(last,))
    if activation is not None:
        graph.node.add(op_type=activation, input=("z",), output=("y",))
    return bytes(proto.SerializeToString())


@cache
def _travels(program: bytes) -> np.dtype[Any]:
    return check(program).travels


@dataclass(frozen=True)
class Subtask:
    """The renter's view of one subtask after the handshake."""

    secret: bytes
    program: bytes
    seal: SealSpec | None

    def context(self, rows: int, *, first_row: int = 0, batch: int = 0, attempt: int = 1) -> BatchContext:
        schema = key_agreement.schema_digest(self.program, self.seal)
        return BatchContext(JOB, "subtask-1", batch, attempt, DATA, 0, schema, first_row, rows)

    def encrypt(self, context: BatchContext, rows: NDArray[np.float64]) -> bytes:
        key = key_agreement.data_key(self.secret, CONTRACT, JOB, DATA, context.epoch)
        return chunks.encrypt(key, context.digest(), rows.astype(_travels(self.program)).tobytes())

    def decrypt(self, context: BatchContext, body: bytes) -> bytes:
        key = key_agreement.data_key(self.secret, CONTRACT, JOB, RESULT, context.epoch)
        return chunks.decrypt(key, context.result.digest(), body)


def challenge() -> Challenge:
    """A fresh nonce that was answered after a second."""
    return Challenge(secrets.token_bytes(32), CONTRACT, JOB, age_seconds=1.0)


async def verified_offer(enclave: EnclaveProcess) -> VerifiedOffer:
    """Challenge the enclave and verify its answer."""
    asked = challenge()
    evidence = await enclave.offer(asked.nonce, CONTRACT, JOB)
    return verify_offer(asked, evidence, verifiers=VERIFIERS, policy=policy(), renter_public=renter_public(), now=NOW)


async def agree(enclave: EnclaveProcess, program: bytes, seal: SealSpec | None = None) -> Subtask:
    """The whole handshake, confirmed."""
    offer = await verified_offer(enclave)
    secret = key_agreement.new_secret()
    sealed = offer.seal(secret, renter().sign)
    mac = await enclave.accept(
        sealed.sealed,
        sealed.signature,
        renter_public=renter_public(),
        policy_digest=offer.policy_digest,
        claims=offer.claims.digest(),
        program=program,
        seal=seal,
    )
    assert is_confirmed(mac, offer.confirmation_digest(secret, sealed))
    return Subtask(secret, program, seal)
