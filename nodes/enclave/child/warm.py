"""Walks every code path of the enclave once before the lock closes: afterwards nothing can be imported or opened."""

from __future__ import annotations

from typing import Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gmpy2 import mpz
from onnx import ModelProto, TensorProto

from nodes.enclave.agreement import chunks, key_agreement
from nodes.enclave.agreement.chunks import DATA, BatchContext
from nodes.enclave.child.engine import Enclave
from nodes.enclave.errors import DataFault, Rejected
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.programs.check import check
from schemas.errors import BadProgram

_COLUMNS: Final = 2
_BLAS_ROWS: Final = 4096


def warm_up() -> None:
    """Agree on a key with oneself, compute a batch, well and badly, and encrypt a number homomorphically."""
    _warm_blas()
    program = _program()
    _walk(program)
    key = PaillierPublic(mpz(2**2047 + 1), mpz(4))  # no key that protects anything, and it is thrown away
    key.encrypt(np.ones((1, 1), dtype=np.int64))
    _expect_refusals(program)


def _warm_blas() -> None:
    """OpenBLAS takes its work space at the first product that is large enough to need it, by calls forbidden later."""
    tall, square = np.ones((_BLAS_ROWS, 64)), np.ones((64, 64))
    for left, right in ((tall, square), (tall, square[:, 0]), (tall.T, tall), (tall[:, 0], tall[:, 0])):
        np.matmul(left, right)
        np.matmul(left.astype(np.float32), right.astype(np.float32))


def _walk(program: bytes) -> None:
    enclave, renter, nonce = Enclave(), Ed25519PrivateKey.generate(), bytes(32)
    public, _ = enclave.offer(nonce, "warm", "warm")
    renter_public = renter.public_key().public_bytes_raw()
    offer = key_agreement.offer_digest(
        nonce=nonce, contract="warm", enclave_public=public, claims=b"", policy=b"", renter_public=renter_public
    )
    secret = key_agreement.new_secret()
    sealed = key_agreement.seal(secret, public, offer, renter.sign)
    enclave.accept(sealed, renter_public=renter_public, policy=b"", claims=b"", program=program, seal=None)
    context = BatchContext("warm", "warm", 0, 1, DATA, 0, key_agreement.schema_digest(program, None), 0, 1)
    key = key_agreement.data_key(secret, "warm", "warm", DATA, 0)
    for value in (1.0, np.nan, np.inf):
        body = chunks.encrypt(key, context.digest(), np.full((1, _COLUMNS), value).tobytes())
        try:
            enclave.execute(context, memoryview(body))
        except DataFault:
            continue


def _expect_refusals(program: bytes) -> None:
    for wrong in (b"", program[:-1], b"\x08\x07"):
        try:
            check(wrong)
        except BadProgram:
            continue
    try:
        chunks.decrypt(bytes(32), b"", bytes(chunks.encrypted_bytes(0)))
    except Rejected:
        return


def _program() -> bytes:
    """Sigmoid of a matrix product: [N, 2] to [N, 1]."""
    model = ModelProto(ir_version=8)
    model.opset_import.add(domain="", version=13)
    graph = model.graph
    graph.name = "warm"
    for name, columns, infos in (("x", _COLUMNS, graph.input), ("y", 1, graph.output)):
        info = infos.add(name=name)
        info.type.tensor_type.elem_type = TensorProto.DOUBLE
        info.type.tensor_type.shape.dim.add(dim_param="N")
        info.type.tensor_type.shape.dim.add(dim_value=columns)
    graph.initializer.add(name="w", dims=(_COLUMNS, 1), data_type=TensorProto.DOUBLE, double_data=(1.0, 2.0))
    graph.node.add(op_type="MatMul", input=("x", "w"), output=("z",))
    graph.node.add(op_type="Sigmoid", input=("z",), output=("y",))
    return bytes(model.SerializeToString())
