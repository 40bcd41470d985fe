"""What an enclave refuses, each by its code, and that it is as ready afterwards as it was before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite
from gmpy2 import mpz
from numpy.typing import NDArray

from nodes.enclave.agreement import chunks, key_agreement
from nodes.enclave.agreement.chunks import RESULT
from nodes.enclave.agreement.key_agreement import SUITE_ID, X25519_PUBLIC_BYTES, KeyPair, Sealed, SealSpec
from nodes.enclave.agreement.labels import H
from nodes.enclave.child.engine import OFFERS_PER_PROCESS_MAX, RESULT_BITS_MAX, Enclave
from nodes.enclave.errors import Code, DataFault, Fault, Rejected
from nodes.homomorphic.paillier.public import PaillierPublic
from schemas.errors import BadProgram
from tests.unit.nodes.enclave.enclaves import CONTRACT, JOB, Subtask, model, renter_public
from tests.unit.nodes.enclave.enclaves import renter as identity

NONCE = bytes(range(32))
PROGRAM = model(2, np.array([[1.0], [3.0]]))
ROWS = np.array([[7.25, 1.5], [-2.0, 4.0]])
HOMOMORPHIC = PaillierPublic(mpz(2**2047 + 1), mpz(4)).to_bytes()
CLAIMS, POLICY = b"\x01" * 64, b"\x02" * 64


@dataclass
class Renter:
    """The other half of one agreement, honest unless told otherwise."""

    enclave: Enclave = field(default_factory=Enclave)
    secret: bytes = field(default_factory=key_agreement.new_secret)
    public: bytes = b""

    def ask(self, nonce: bytes = NONCE) -> Renter:
        self.public, _ = self.enclave.offer(nonce, CONTRACT, JOB)
        return self

    @property
    def offer(self) -> bytes:
        return key_agreement.offer_digest(
            nonce=NONCE,
            contract=CONTRACT,
            enclave_public=self.public,
            claims=CLAIMS,
            policy=POLICY,
            renter_public=renter_public(),
        )

    def sealed(self, to: bytes | None = None, offer: bytes | None = None) -> Sealed:
        return key_agreement.seal(self.secret, to or self.public, offer or self.offer, identity().sign)

    def accept(self, sealed: Sealed | None = None, **changes: Any) -> Renter:
        said: dict[str, Any] = {"renter_public": renter_public(), "policy": POLICY, "claims": CLAIMS}
        said |= {"program": PROGRAM, "seal": None} | changes
        self.enclave.accept(sealed or self.sealed(), **said)
        return self

    @property
    def subtask(self) -> Subtask:
        return Subtask(self.secret, PROGRAM, None)

    def execute(
        self,
        tamper: Callable[[bytes], bytes] = bytes,
        data: NDArray[np.float64] = ROWS,
        rows: int = len(ROWS),
        **changes: Any,
    ) -> list[float]:
        context = self.subtask.context(rows)
        body = tamper(self.subtask.encrypt(context, data))
        result = self.enclave.execute(replace(context, **changes), memoryview(body))
        return list(np.frombuffer(self.subtask.decrypt(context, bytes(result)), "<f8"))


def asked() -> Renter:
    return Renter().ask()


def agreed() -> Renter:
    return asked().accept()


def require_offer_stands(renter: Renter) -> None:
    assert renter.accept().execute() == (ROWS @ [1.0, 3.0]).tolist()


def require_no_session(renter: Renter) -> None:
    """Nothing was opened, and the process serves another agreement."""
    with pytest.raises(Rejected) as refused:
        renter.execute()
    assert refused.value.code == Code.SESSION
    renter.ask(bytes(32))


def require_session_stands(renter: Renter) -> None:
    assert renter.execute() == (ROWS @ [1.0, 3.0]).tolist()


def require_spent(renter: Renter) -> None:
    """The offer that failed is gone: not even the honest seal opens it."""
    with pytest.raises(Rejected) as refused:
        renter.accept()
    assert refused.value.code == Code.SEAL_REPLAYED
    require_no_session(renter)


def many_offers() -> Renter:
    renter = Renter()
    for number in range(OFFERS_PER_PROCESS_MAX - 1):
        renter.ask(number.to_bytes(16, "big"))
    return renter.ask()


def short_secret(renter: Renter) -> Sealed:
    """Sealed and signed as it should be, and of another length than a secret has."""
    mlkem, x25519 = renter.public[len(SUITE_ID) : -X25519_PUBLIC_BYTES], renter.public[-X25519_PUBLIC_BYTES:]
    key = MLKEM768X25519PublicKey(MLKEM768PublicKey.from_public_bytes(mlkem), X25519PublicKey.from_public_bytes(x25519))
    suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA512, AEAD.AES_256_GCM)
    return signed(renter, suite.encrypt(bytes(31), key, info=renter.offer))


def signed(renter: Renter, sealed: bytes) -> Sealed:
    return Sealed(sealed, identity().sign(H("renter-sig", renter.offer, sealed)))


def flipped(place: int) -> Callable[[bytes], bytes]:
    def flip(body: bytes) -> bytes:
        changed = bytearray(body)
        changed[place] ^= 1
        return bytes(changed)

    return flip


Case = tuple[Callable[[], Renter], Callable[[Renter], object], Code, Callable[[Renter], None]]

REFUSALS: dict[str, Case] = {
    "a nonce that was answered": (asked, lambda r: r.ask(), Code.NONCE_REUSED, require_offer_stands),
    "a nonce that is too short": (asked, lambda r: r.ask(bytes(15)), Code.EVIDENCE_MALFORMED, require_offer_stands),
    "a nonce that is too long": (asked, lambda r: r.ask(bytes(65)), Code.EVIDENCE_MALFORMED, require_offer_stands),
    "one offer too many": (many_offers, lambda r: r.ask(bytes(32)), Code.SESSION, require_offer_stands),
    "an offer after the agreement": (agreed, lambda r: r.ask(bytes(32)), Code.SESSION, require_session_stands),
    "a seal before any offer": (
        Renter,
        lambda r: r.accept(Sealed(b"", b"")),
        Code.SEAL_REPLAYED,
        require_no_session,
    ),
    "a seal that was opened": (agreed, lambda r: r.accept(), Code.SEAL_REPLAYED, require_session_stands),
    "a seal that somebody else signed": (
        asked,
        lambda r: r.accept(key_agreement.seal(r.secret, r.public, r.offer, Ed25519PrivateKey.generate().sign)),
        Code.RENTER_SIGNATURE,
        require_spent,
    ),
    "a seal under other claims": (
        asked,
        lambda r: r.accept(claims=bytes(64)),
        Code.RENTER_SIGNATURE,
        require_spent,
    ),
    "a renter's key that is none": (
        asked,
        lambda r: r.accept(renter_public=b"short"),
        Code.PUBLIC_KEY,
        require_spent,
    ),
    "a seal to another enclave": (
        asked,
        lambda r: r.accept(r.sealed(to=KeyPair.generate().public)),
        Code.SEAL,
        require_spent,
    ),
    "a seal that is empty": (asked, lambda r: r.accept(signed(r, b"")), Code.SEAL, require_spent),
    "a secret of another length": (asked, lambda r: r.accept(short_secret(r)), Code.SEAL, require_spent),
    "a homomorphic key that is none": (
        asked,
        lambda r: r.accept(seal=SealSpec(b"no key", 20)),
        Code.PUBLIC_KEY,
        require_spent,
    ),
    "too many result bits": (
        asked,
        lambda r: r.accept(seal=SealSpec(HOMOMORPHIC, RESULT_BITS_MAX + 1)),
        Code.PUBLIC_KEY,
        require_spent,
    ),
    "a batch before the agreement": (asked, lambda r: r.execute(), Code.SESSION, require_offer_stands),
    "a batch of another job": (agreed, lambda r: r.execute(job="job-2"), Code.CONTEXT, require_session_stands),
    "a result in place of a batch": (
        agreed,
        lambda r: r.execute(direction=RESULT),
        Code.CONTEXT,
        require_session_stands,
    ),
    "a batch for another program": (
        agreed,
        lambda r: r.execute(schema=bytes(64)),
        Code.CONTEXT,
        require_session_stands,
    ),
    "a batch of another subtask": (
        agreed,
        lambda r: r.execute(subtask="subtask-2"),
        Code.COMMITMENT,
        require_session_stands,
    ),
    "a batch as another attempt": (agreed, lambda r: r.execute(attempt=2), Code.COMMITMENT, require_session_stands),
    "a batch that is cut off": (
        agreed,
        lambda r: r.execute(lambda body: body[: chunks.HEADER_BYTES]),
        Code.CIPHERTEXT_LENGTH,
        require_session_stands,
    ),
    "a batch with a changed byte": (
        agreed,
        lambda r: r.execute(flipped(-1)),
        Code.CHUNK,
        require_session_stands,
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_it_is_refused_says_nothing_of_what_it_saw_and_changes_nothing(name: str) -> None:
    prepare, act, code, require_unchanged = REFUSALS[name]
    renter = prepare()
    with pytest.raises(Rejected) as refused:
        act(renter)
    assert refused.value.code == code
    for secret in (renter.secret.hex(), repr(renter.secret)[2:-1], "7.25", ROWS.tobytes().hex()):
        assert secret not in str(refused.value)
    require_unchanged(renter)


def test_a_refused_program_spends_the_offer_and_leaves_no_session() -> None:
    renter = asked()
    with pytest.raises(BadProgram):
        renter.accept(program=b"not a program")
    require_spent(renter)


@pytest.mark.parametrize(
    ("data", "rows", "fault"),
    [
        (np.ones((3, 2)), 2, Fault.SHAPE),
        (np.ones((2, 3)), 2, Fault.SHAPE),
        (np.ones((0, 2)), 0, Fault.SHAPE),
        (np.array([[1.0, np.inf], [1.0, 1.0]]), 2, Fault.INPUT_NOT_FINITE),
        (np.array([[1.0, np.nan], [1.0, 1.0]]), 2, Fault.RESULT_NOT_FINITE),
        (np.full((2, 2), 1.7e308), 2, Fault.RESULT_NOT_FINITE),
    ],
)
def test_data_that_cannot_be_computed_is_a_fault_without_a_value_and_the_session_stands(
    data: NDArray[np.float64], rows: int, fault: Fault
) -> None:
    renter = agreed()
    with pytest.raises(DataFault) as refused:
        renter.execute(data=data, rows=rows)
    assert refused.value.fault is fault
    assert "1.7e" not in str(refused.value)
    require_session_stands(renter)


def test_a_fraction_for_an_input_of_whole_numbers_is_a_fault_with_its_row() -> None:
    made = onnx.ModelProto.FromString(PROGRAM)
    made.graph.node.insert(0, onnx.helper.make_node("Cast", ["whole"], [made.graph.input[0].name], to=11))
    made.graph.input[0].name, made.graph.input[0].type.tensor_type.elem_type = "whole", onnx.TensorProto.INT64
    program = bytes(made.SerializeToString())
    renter = asked().accept(program=program)
    subtask = Subtask(renter.secret, program, None)
    context = subtask.context(2)
    with pytest.raises(DataFault) as refused:
        renter.enclave.execute(context, memoryview(subtask.encrypt(context, np.array([[1.0, 2.0], [0.5, 1.0]]))))
    assert (refused.value.fault, refused.value.row) == (Fault.INPUT_TYPE, context.first_row + 2)


def test_nothing_of_a_batch_that_does_not_verify_stays_in_the_enclaves_buffer() -> None:
    renter = agreed()
    with pytest.raises(Rejected):
        renter.execute(flipped(-1))
    kept = bytes(vars(renter.enclave)["_plaintext"].view(ROWS.nbytes))
    assert not any(kept)
