"""The renter's side of ciphertexts, as a task for a crew: what comes back from the partner."""

from __future__ import annotations

from nodes.homomorphic.paillier import ciphertexts
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.paillier.slots import Layout


def opened(secret: PaillierSecret, body: bytes, width: int, count: int, size_bits: int) -> list[list[float]]:
    """The partner's `count` rotated moments of `width` numbers each; as floats, for they may pass 64 bits.

    Raises BadCiphertext, always the same unless the length is wrong, for anything but what was announced.
    """
    public = secret.public
    numbers = ciphertexts.read(body, public.n, public.ciphertext_bytes, count * public.ciphertext_bytes)
    rows = Layout.widest(public.bits, width).unpack(secret.decrypt_plaintexts(numbers), public.n, 1 << size_bits)
    return [[float(number) for number in row] for row in rows]
