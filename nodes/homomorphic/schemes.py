"""The schemes that a job can use, by name: what is known of each without a key, how to make keys and to read them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from nodes.homomorphic import ckks, paillier
from nodes.homomorphic.ckks import CkksPublic, CkksSecret
from nodes.homomorphic.paillier import PaillierSecret
from nodes.homomorphic.paillier_public import PaillierPublic
from nodes.homomorphic.scheme import SLOT_BITS, IntegerProgram, PublicKey, SecretKey
from schemas.jobs import Scheme

SCHEMES: Final[tuple[Scheme, ...]] = ("paillier", "paillier-subgroup", "ckks")
KEY_BITS: Final = paillier.KEY_BITS_DEFAULT
MUST_STAY: Final = (
    "who sees ciphertexts and results of an approximate scheme can compute its key: use it only for results that you "
    "show to nobody, and say so (--results-stay)"
)
LEVELS: Final = 1
"""Programs that follow each other under one CKKS key."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What can be said of a scheme before any key is made; the names are those of the PublicKey port."""

    key_bits: int
    slots: int
    ciphertext_bytes: int
    relative_error: float


def shape(scheme: Scheme) -> Shape:
    """How much a ciphertext holds and takes."""
    if scheme == "ckks":
        bits = ckks.modulus_bits(LEVELS)
        return Shape(sum(bits), ckks.SLOTS, ckks.frame_bytes(LEVELS), ckks.RELATIVE_ERROR)
    return Shape(KEY_BITS, (KEY_BITS - 3) // SLOT_BITS, KEY_BITS // 4, 0.0)


def unavailable(scheme: Scheme) -> str:
    """Why this installation cannot use the scheme; empty when it can."""
    if scheme == "ckks" and find_spec("tenseal") is None:
        return "CKKS needs TenSEAL: pip install 'sublet[ckks]'"
    return ""


def require_accuracy(scheme: Scheme, program: IntegerProgram, rows: int) -> None:
    """Raises TooCoarse where the scheme's error could be larger than its `relative_error` says."""
    if scheme == "ckks":
        ckks.require_accuracy(program, rows)


def generate(scheme: Scheme, input_bits: int) -> SecretKey:
    """A new key for values of up to 2^input_bits in size; raises BadConfig where the scheme is not available."""
    if scheme == "ckks":
        return ckks.generate(input_bits, LEVELS)
    return paillier.generate(KEY_BITS, subgroup=scheme == "paillier-subgroup")


def read_secret(scheme: Scheme, data: bytes) -> SecretKey:
    """A secret key from its bytes; raises BadKey."""
    return CkksSecret.from_bytes(data) if scheme == "ckks" else PaillierSecret.from_bytes(data)


def read_public(scheme: Scheme, data: bytes) -> PublicKey:
    """A public key from bytes that anybody may have sent; raises BadKey."""
    return CkksPublic.from_bytes(data) if scheme == "ckks" else PaillierPublic.from_bytes(data)
