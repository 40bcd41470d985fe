"""Key agreement between a renter and one lessor's enclave (E1), as pure functions. Draws randomness, does no I/O.

HPKE (RFC 9180) with MLKEM768-X25519, HKDF-SHA-512 and AES-256-GCM, base mode, one shot. `H` and `lp` as in `labels`:

    report_data  = H("report-data", nonce, contract, enclave_pub)          enclave_pub = suite ‖ ML-KEM ‖ X25519
    offer        = H("offer", nonce, contract, enclave_pub, claims, policy digest, renter_pub)
    sealed       = HPKE.Seal(enclave_pub, info=offer, secret)
    signature    = renter signs H("renter-sig", offer, sealed)             in place of HPKE's auth mode
    transcript   = H("transcript", offer, sealed, signature)
    confirmation = a MAC over the transcript (`confirmation`)
    key(d, e)    = HKDF-Expand(HKDF-Extract(H("subtask", contract, job), secret), lp("sublet/v1", d, e))

Why two key schedules: a lessor may run many workers, each with an enclave and an offer of its own, and a batch must
open in whichever of them takes it. So what the renter seals is the *subtask secret*, 32 random bytes per contract and
never the same for two contracts, sealed to every verified enclave of that lessor apart. The keys of the data depend on
the secret, the contract and the job alone, and are equal in all of them; the confirmation depends on everything that
was said in one handshake.

The renter's signature covers the offer, and the offer its public key: the enclave cannot know which renter is the right
one, but it can make sure that whoever sealed the secret also signed it. That the key is the contract's is for the
lessor's host (and every later reader of the transcript) to compare.

Keys are erased with the process that held them: Python cannot wipe bytes.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from nodes.enclave.agreement.labels import H, lp
from nodes.enclave.errors import Code, Rejected
from schemas.succession import is_signed

SUITE_ID: Final = bytes.fromhex("647a00030002")
"""HPKE's registered numbers: KEM MLKEM768-X25519, KDF HKDF-SHA512, AEAD AES-256-GCM."""
MLKEM_PUBLIC_BYTES: Final = 1184
X25519_PUBLIC_BYTES: Final = 32
ENCLAVE_PUBLIC_BYTES: Final = len(SUITE_ID) + MLKEM_PUBLIC_BYTES + X25519_PUBLIC_BYTES
MLKEM_SEED_BYTES: Final = 64
X25519_SEED_BYTES: Final = 32
SECRET_BYTES: Final = 32
NONCE_BYTES_MIN: Final = 16
NONCE_BYTES_MAX: Final = 64

SealKind = Literal["result", "round", "row"]
_SCHEMAS: Final[Mapping[SealKind, str]] = MappingProxyType(
    {"result": "schema", "round": "schema-joint", "row": "schema-row"}
)

Signer = Callable[[bytes], bytes]
"""Signs with the renter's Ed25519 identity."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An enclave's key pair for one offer. `public` is what the evidence vouches for."""

    public: bytes = field(repr=False)
    private: MLKEM768X25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> KeyPair:
        """A fresh pair."""
        return cls.from_seeds(secrets.token_bytes(MLKEM_SEED_BYTES), secrets.token_bytes(X25519_SEED_BYTES))

    @classmethod
    def from_seeds(cls, mlkem_seed: bytes, x25519_seed: bytes) -> KeyPair:
        """The pair that these secret seeds (64 and 32 bytes) stand for."""
        mlkem, x25519 = MLKEM768PrivateKey.from_seed_bytes(mlkem_seed), X25519PrivateKey.from_private_bytes(x25519_seed)
        public = SUITE_ID + mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        return cls(public, MLKEM768X25519PrivateKey(mlkem, x25519))


@dataclass(frozen=True, slots=True)
class Sealed:
    """A subtask secret on its way to one enclave, and the renter's signature over it."""

    sealed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def new_secret() -> bytes:
    """A fresh subtask secret, for one contract and never another."""
    return secrets.token_bytes(SECRET_BYTES)


def check_public_key(enclave_public: bytes) -> None:
    """Whether an enclave's public key is of our suite and well formed.

    Raises:
        Rejected: `suite` (no downgrade is ever accepted) or `public-key`.
    """
    _public_key(enclave_public)


def report_data(nonce: bytes, contract: str, enclave_public: bytes) -> bytes:
    """The 64 bytes that attestation evidence binds."""
    return H("report-data", nonce, contract, enclave_public)


def offer_digest(
    *, nonce: bytes, contract: str, enclave_public: bytes, claims: bytes, policy: bytes, renter_public: bytes
) -> bytes:
    """Everything that was agreed before the seal; `claims` and `policy` are their `.digest()`."""
    return H("offer", nonce, contract, enclave_public, claims, policy, renter_public)


def seal(secret: bytes, enclave_public: bytes, offer: bytes, sign: Signer) -> Sealed:
    """Seal the subtask secret to the enclave that made the offer. Renter's side.

    Raises:
        Rejected: `suite` or `public-key`: what the enclave offers cannot be used.
    """
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a subtask secret has {SECRET_BYTES} bytes, not {len(secret)}")
    key = _public_key(enclave_public)
    try:
        sealed = _hpke().encrypt(secret, key, info=offer)
    except ValueError:  # an X25519 point of small order
        raise Rejected(Code.PUBLIC_KEY, "the enclave's") from None
    return Sealed(sealed, sign(H("renter-sig", offer, sealed)))


def open_seal(keys: KeyPair, sealed: Sealed, offer: bytes, renter_public: bytes) -> bytes:
    """The subtask secret. Enclave's side; the caller makes sure that an offer is used once.

    Raises:
        Rejected: `public-key` or `renter-signature`, both before any key is derived; `seal`.
    """
    verify_renter(renter_public, sealed, offer)
    try:
        secret = _hpke().decrypt(sealed.sealed, keys.private, info=offer)
    except (InvalidTag, ValueError):
        raise Rejected(Code.SEAL) from None
    if len(secret) != SECRET_BYTES:
        raise Rejected(Code.SEAL)
    return secret


def verify_renter(renter_public: bytes, sealed: Sealed, offer: bytes) -> None:
    """Check the renter's signature over what it sealed.

    Raises:
        Rejected: `public-key` or `renter-signature`.
    """
    try:
        Ed25519PublicKey.from_public_bytes(renter_public)
    except ValueError:
        raise Rejected(Code.PUBLIC_KEY, "renter") from None
    if not is_signed(renter_public, H("renter-sig", offer, sealed.sealed), sealed.signature, _verify):
        raise Rejected(Code.RENTER_SIGNATURE)


def _verify(public: bytes, data: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def transcript(offer: bytes, sealed: Sealed) -> bytes:
    """The whole handshake in 64 bytes."""
    return H("transcript", offer, sealed.sealed, sealed.signature)


def data_key(secret: bytes, contract: str, job: str, direction: str, epoch: int) -> bytes:
    """The 32-byte key of one direction and epoch: the same in every enclave that holds the subtask secret.

    A job with many rounds counts epochs up, so that no key outlives its round.
    """
    prk = HKDF.extract(SHA512(), H("subtask", contract, job), secret)
    return HKDFExpand(SHA512(), SECRET_BYTES, lp("sublet/v1", direction, epoch)).derive(prk)


def schema_digest(program: bytes, seal: SealSpec | None) -> bytes:
    """What a subtask's data and results mean: the program as sent and how results are sealed.

    It is part of every batch's context, so an enclave that was given another program or another homomorphic key than
    the renter chose cannot open a single batch.
    """
    if seal is None:
        return H("schema", H("program", program))
    return H(_SCHEMAS[seal.kind], H("program", program), H("seal-key", seal.public_key), seal.result_bits)


@dataclass(frozen=True, slots=True)
class SealSpec:
    """Sealed results (T1, T2): encrypt round(y·2^result_bits) under this homomorphic key (`PublicKey.to_bytes()`).

    Those of a `round` go to a partner (J2), who has no key of the enclave's, so nothing but the homomorphic encryption
    is around them; each batch brings the bits of its round (`rounds.py`). So it is with those by `row`, of which each
    ciphertext has all numbers of one row in slots.
    """

    public_key: bytes = field(repr=False)
    result_bits: int
    kind: SealKind = "result"


def _hpke() -> Suite:
    return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA512, AEAD.AES_256_GCM)


def _public_key(raw: bytes) -> MLKEM768X25519PublicKey:
    if raw[: len(SUITE_ID)] != SUITE_ID:
        raise Rejected(Code.SUITE)
    if len(raw) != ENCLAVE_PUBLIC_BYTES:
        raise Rejected(Code.PUBLIC_KEY, "the enclave's")
    mlkem, x25519 = raw[len(SUITE_ID) : -X25519_PUBLIC_BYTES], raw[-X25519_PUBLIC_BYTES:]
    try:
        return MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(mlkem), X25519PublicKey.from_public_bytes(x25519)
        )
    except ValueError:
        raise Rejected(Code.PUBLIC_KEY, "the enclave's") from None
