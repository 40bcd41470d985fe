"""The renter's side of ciphertexts, as tasks for a crew: what goes to the partner, and what comes back.

Rows are encrypted by a rented enclave or by the renter itself, with the public key only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nodes.homomorphic.paillier import ciphertexts
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.paillier.slots import Layout
from schemas.errors import BadData


def encrypted(public: PaillierPublic, rows: NDArray[np.int64], size_max: int) -> bytes:
    """One ciphertext for each row of `rows` int64 [rows, width], columns and target, in slots.

    Raises BadData for a number past `size_max`, on which the partner's proof rests.
    """
    largest = int(np.abs(rows).max(initial=0))
    if largest > size_max:
        raise BadData(f"a number of a row is {largest} in size, but at most {size_max} was agreed: quantise it again")
    return public.encrypt_plaintexts(Layout.widest(public.bits, rows.shape[1]).pack(rows))


def opened(secret: PaillierSecret, body: bytes, width: int, count: int, size_bits: int) -> list[list[float]]:
    """The partner's `count` rotated moments of `width` numbers each; as floats, for they may pass 64 bits.

    Raises BadCiphertext, always the same unless the length is wrong, for anything but what was announced.
    """
    public = secret.public
    numbers = ciphertexts.read(body, public.n, public.ciphertext_bytes, count * public.ciphertext_bytes)
    rows = Layout.widest(public.bits, width).unpack(secret.decrypt_plaintexts(numbers), public.n, 1 << size_bits)
    return [[float(number) for number in row] for row in rows]
