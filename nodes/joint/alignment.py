"""Which rows two parties share. Pure.

Where both say that they have the same ids in the same order, one digest tells whether that is so. Else by private set
intersection, by Diffie and Hellman on X25519: both sides learn which rows they share.

Each side hashes its ids to points, multiplies them by its secret and sends them; each multiplies what it received by
its own secret and sends that back, cut to REMASKED_BYTES. Ids in common then have the same double mask (Meadows, IEEE
S&P 1986; Huberman, Franklin and Hogg, EC '99). Only x-coordinates travel (RFC 7748), and these rules keep them safe:

- An x is taken only where it is that of a point on the curve, not on its twist: hashing tries until it is, and what is
  received is refused unless it is, is below p, and has its highest bit clear. Otherwise which ids fall on the twist
  would show.
- RFC 7748's clamping clears the cofactor, and an all-zero product is refused: points of small order tell nothing.
- Secrets and the salt, to which both sides contribute, are new in each job: masks of two jobs have nothing in common.

The partner sends its masked ids sorted, so that their order says nothing of its table. The renter sends its own in its
order, which becomes that of the result: the partner learns it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from gmpy2 import legendre, mpz
from numpy.typing import NDArray

from nodes.joint.chunks import MASKED_BYTES, REMASKED_BYTES
from nodes.joint.errors import BadPeer
from schemas.errors import BadData

SALT_BYTES = 32
SECRET_BYTES = 32

_P = mpz(2**255 - 19)
_A = 486662

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Masking:
    """One side's secret and the job's salt: the kit of its tasks."""

    secret: bytes = field(repr=False)
    """SECRET_BYTES of randomness, new in each job."""
    salt: bytes

    def __post_init__(self) -> None:
        if len(self.secret) != SECRET_BYTES or len(self.salt) != SALT_BYTES:
            raise ValueError("a masking takes a secret and a salt of 32 bytes each")


def ids_digest(job: str, ids: Iterable[list[str]]) -> str:
    """SHA-256 of all row ids in their order, each behind its length, salted with the job's id.

    Equal exactly where both sides' ids are. Somebody who can guess the whole list can confirm the guess, and nothing
    less than the whole list.
    """
    digest = hashlib.sha256(f"sublet/v1/ids/{job}".encode())
    for each in ids:
        for raw in map(_raw, each):
            digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.hexdigest()


def require_ids(ids: Iterable[list[str]]) -> None:
    """Raises BadData with counts and rows, for this side's eyes: ids must be there, and each must name one row.

    Looks at hashes of 16 bytes, so that 10^6 ids take 16 MB.
    """
    empty, first, hashes = 0, 0, bytearray()
    for each in ids:
        missing = [at for at, text in enumerate(each) if not text.strip()]
        if missing and not empty:
            first = len(hashes) // REMASKED_BYTES + missing[0] + 1
        empty += len(missing)
        hashes += b"".join([hashlib.blake2b(_raw(text), digest_size=REMASKED_BYTES).digest() for text in each])
    rows = len(hashes) // REMASKED_BYTES
    if empty:
        raise BadData(f"{empty} of {rows} rows have no id, row {first} first: give them one or leave them out")
    _, firsts, inverse = np.unique(_table(bytes(hashes), REMASKED_BYTES), return_index=True, return_inverse=True)
    repeated = np.flatnonzero(firsts[inverse] != np.arange(rows))
    if len(repeated):
        at = int(repeated[0])
        message = (
            f"{len(repeated)} of {rows} ids were there before, that of row {at + 1} in row {firsts[inverse[at]] + 1}"
        )
        raise BadData(f"{message}: an id must name one row only")


def masked(masking: Masking, ids: list[str]) -> bytes:
    """MASKED_BYTES for every id, in their order; a task for one chunk of ids."""
    key = X25519PrivateKey.from_private_bytes(masking.secret)
    read = X25519PublicKey.from_public_bytes
    return b"".join([key.exchange(read(hashed(each, masking.salt))) for each in ids])


def remasked(masking: Masking, received: bytes) -> bytes:
    """REMASKED_BYTES for every masked id of the other side, in their order; a task for one chunk.

    Raises BadPeer `ids-invalid`.
    """
    key = X25519PrivateKey.from_private_bytes(masking.secret)
    read = X25519PublicKey.from_public_bytes
    points = _points(received)
    try:
        return b"".join([key.exchange(read(point))[:REMASKED_BYTES] for point in points])
    except ValueError:
        raise _invalid() from None


def hashed(identifier: str, salt: bytes) -> bytes:
    """The x-coordinate, 32 bytes, of a point on the curve: by SHA-256 of salt, counter and id until it is one."""
    text = _raw(identifier)
    for attempt in range(256):
        digest = bytearray(hashlib.sha256(salt + bytes((attempt,)) + text).digest())
        digest[-1] &= 0x7F
        x = mpz.from_bytes(bytes(digest), "little")
        if x < _P and on_curve(x):
            return bytes(digest)
    raise AssertionError("256 hash values in a row off the curve: once in 2^256")


def on_curve(x: mpz) -> bool:
    """Whether x^3 + A x^2 + x is a square modulo p, and not 0: then it is that of a point of the curve."""
    return bool(legendre(x * (x * (x + _A) + 1) % _P, _P) == 1)


def _points(received: bytes) -> list[bytes]:
    if len(received) % MASKED_BYTES:
        raise _invalid()
    points = [received[at : at + MASKED_BYTES] for at in range(0, len(received), MASKED_BYTES)]
    for point in points:
        x = mpz.from_bytes(point, "little")
        if x >= _P or not on_curve(x):
            raise _invalid()
    return points


def _raw(identifier: str) -> bytes:
    return identifier.encode("utf-8", "surrogatepass")


def _invalid() -> BadPeer:
    return BadPeer("the other side sent what is no masked id: it must follow the protocol", code="ids-invalid")


def sorted_masks(masks: bytes) -> tuple[bytes, Places]:
    """The partner's masks in the order in which they travel, and which of its rows each is of."""
    table = _table(masks, MASKED_BYTES)
    order = np.argsort(table, kind="stable")
    return table[order].tobytes(), order.astype(np.int64)


def matched(renters: bytes, partners: bytes, order: Places) -> tuple[Places, Places]:
    """Rows of the renter and of the partner that share an id, int64 each, in the renter's order.

    `renters` and `partners` are their double masks, the renter's in its order, the partner's as `order` says: at the
    partner the rows of `sorted_masks`; the renter, who does not know them, gives 0, 1, 2, ... and gets places in what
    it received. Raises BadPeer `ids-repeated`.
    """
    left, right = _table(renters, REMASKED_BYTES), _table(partners, REMASKED_BYTES)
    if len(np.unique(left)) < len(left) or len(np.unique(right)) < len(right):
        raise BadPeer("the other side sent an id twice: it must follow the protocol", code="ids-repeated")
    _, renter_places, partner_places = np.intersect1d(left, right, assume_unique=True, return_indices=True)
    by_renter = np.argsort(renter_places)
    return renter_places[by_renter].astype(np.int64), order[partner_places[by_renter]]


def _table(masks: bytes, size: int) -> NDArray[np.bytes_]:
    """All of one length, so that it does not matter that zeros at the end are not compared."""
    if len(masks) % size:
        raise _invalid()
    return np.frombuffer(masks, dtype=f"S{size}")
