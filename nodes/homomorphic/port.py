"""The port of the homomorphic room: what any scheme must offer, and the integer program it runs. Pure.

A scheme works on *bodies*: the ciphertexts of an integer matrix, column after column, so that one linear program
serves every row of a ciphertext at once (H1-H3). Bodies carry no header: rows and columns travel beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from nodes.homomorphic.errors import DecryptionsStay, Overflow
from nodes.programs.affine import Monomial
from schemas.errors import BadProgram

SLOT_BITS: Final = 64
"""No value has a wider signed slot; values must stay below 2^63 in size."""
SLOT_BITS_MIN: Final = 16
"""Of a value whose bound would do with less."""
SLOT_VALUE_LIMIT: Final = 2 ** (SLOT_BITS - 1)

FLOAT_BITS: Final = 1024
"""Integers of fewer bits than this can be floats."""

Noise = Literal["fixed-base", "exact"]
"""`fixed-base`: fast, under the short-exponent assumption. `exact`: uniform noise, needs the secret key."""


@dataclass(frozen=True, slots=True)
class IntegerProgram:
    """`y_k = sum_j weights[k][j] * x_j + bias[k]` on integers; with `sum_rows`, x is the sum over all rows.

    weights [K][F] and bias [K] hold Python integers; `input_max` is the largest |x_j| that the encoder lets through.
    Behind the weights of the columns come those of their `products`, weights [K][F + P]: a product of d columns is
    divided by input_max^(d - 1), so that none passes input_max either.
    Raises BadProgram when the shapes disagree or the program has no input or output.
    """

    weights: tuple[tuple[int, ...], ...]
    bias: tuple[int, ...]
    sum_rows: bool = False
    input_max: int = 1
    products: tuple[Monomial, ...] = ()

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.weights}
        if len(widths) != 1 or max(widths) <= len(self.products) or len(self.bias) != len(self.weights):
            raise BadProgram("an integer program needs weights [K][F] and bias [K] with K and F at least 1")
        if self.input_max < 0:
            raise BadProgram(f"input_max is {self.input_max}; a size cannot be negative")

    @property
    def width_in(self) -> int:
        """Number of input columns F."""
        return len(self.weights[0]) - len(self.products)

    @property
    def width_out(self) -> int:
        """Number of output columns K."""
        return len(self.weights)

    @property
    def degree(self) -> int:
        """Columns in the longest product; 1 for a linear program."""
        return max(map(len, self.products), default=1)

    @property
    def slot_bits(self) -> int:
        """Of the narrowest slots in which columns and results surely stay; each side packs by the program it knows.

        Sums over rows may fill the widest, for how many rows they add up is not said here.
        """
        if self.sum_rows:
            return SLOT_BITS
        needed = max(self.largest(1), self.input_max).bit_length() + 1
        return min(max(needed, SLOT_BITS_MIN), SLOT_BITS)

    def terms(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Columns float64 [N, F] and their products, [N, F + P]: what the weights are for."""
        made = [values[:, list(each)].prod(axis=1) / float(self.input_max) ** (len(each) - 1) for each in self.products]
        return np.column_stack([values, *made]) if made else values

    def require_linear(self) -> None:
        """Raises BadProgram: for schemes that do not multiply ciphertexts by each other."""
        if self.products:
            raise BadProgram("the program multiplies columns by each other, which keys of this scheme do not compute")

    def largest(self, rows: int) -> int:
        """The largest |value| that any output, or any part of one, can take over `rows` rows."""
        repeats = rows if self.sum_rows else 1
        return max(
            sum(map(abs, row)) * self.input_max * repeats + abs(bias)
            for row, bias in zip(self.weights, self.bias, strict=True)
        )

    def require_room(self, rows: int, slot_bits: int = SLOT_BITS) -> None:
        """Prove that no slot can overflow over `rows` rows; raises Overflow with the numbers."""
        reached, limit = self.largest(rows), 1 << (slot_bits - 1)
        if slot_bits < SLOT_BITS:
            reached = max(reached, self.input_max)
        if reached >= limit:
            raise Overflow(
                f"a result could reach {_shown(reached)}, but a slot holds values below 2^{slot_bits - 1} "
                f"({limit:.3e}): narrow the bounds or the weights, or send fewer rows than {rows}",
                reached=reached,
                limit=limit,
            )


def _shown(number: int) -> str:
    """A size for people; it may be past what a float can hold."""
    return f"{number:.3e}" if number.bit_length() < FLOAT_BITS else f"2^{number.bit_length() - 1}"


@dataclass(frozen=True, slots=True)
class Shape:
    """What can be said of a scheme before any key is made; the names are those of the PublicKey port."""

    key_bits: int
    slots: int
    ciphertext_bytes: int
    relative_error: float
    result_bytes: int
    """Of one ciphertext of a result."""


class PublicKey(Protocol):
    """Encrypts and computes; anybody may hold it (T1, J1)."""

    @property
    def bits(self) -> int:
        """Size of the modulus."""

    @property
    def slots(self) -> int:
        """Rows that share one ciphertext."""

    @property
    def ciphertext_bytes(self) -> int:
        """Width of one serialised ciphertext."""

    @property
    def relative_error(self) -> float:
        """The largest error of a decrypted value, as a part of the largest value that it could have; 0: exact."""

    @property
    def digest(self) -> str:
        """SHA-256 of the serialised key, hex."""

    def laid_out(self, program: IntegerProgram) -> PublicKey:
        """The same key for this program's values alone, where the scheme then holds more rows in a ciphertext.

        Both sides do that by the program that they know: nothing of it is said.
        """

    def to_bytes(self) -> bytes:
        """Everything that others need to encrypt, compute and re-randomise."""

    def body_bytes(self, rows: int, width: int) -> int:
        """Exact length of the body of a [rows, width] matrix."""

    def result_bytes(self, rows: int, width: int) -> int:
        """Exact length of the body of a [rows, width] result."""

    def encrypt(self, values: NDArray[np.int64]) -> bytes:
        """Encrypt int64 [rows, width] into a body."""

    def evaluate(self, body: bytes, rows: int, program: IntegerProgram) -> bytes:
        """Run the program on a body without any key (H2). The result is re-randomised and has the same layout:
        [rows, K], or with `sum_rows` one block of partial sums for each of the K columns.

        Raises BadCiphertext, Overflow when the program cannot be proved to stay in its slots, and BadProgram for one
        that the scheme cannot run.
        """

    def add(self, left: bytes, right: bytes, rows: int, width: int) -> bytes:
        """The body of the sums of two [rows, width] matrices, not randomised afresh; raises BadCiphertext."""

    def rerandomise(self, body: bytes, rows: int, width: int) -> bytes:
        """The same matrix under fresh noise, so that nobody sees where it came from; raises BadCiphertext."""


class SecretKey(Protocol):
    """Decrypts; never leaves the renter."""

    @property
    def public(self) -> PublicKey:
        """The key to hand out."""

    @property
    def keeps_decryptions(self) -> bool:
        """Whether a decryption gives the key away to who holds its ciphertext: then it must not leave the renter."""

    def laid_out(self, program: IntegerProgram) -> SecretKey:
        """As PublicKey.laid_out."""

    def to_bytes(self) -> bytes:
        """The secret itself: seal it before it is stored."""

    def encrypt(self, values: NDArray[np.int64], *, noise: Noise = "fixed-base") -> bytes:
        """As PublicKey.encrypt; the owner may choose exact noise."""

    def decrypt(self, body: bytes, rows: int, width: int, *, sum_rows: bool = False) -> NDArray[np.int64]:
        """int64 [rows, width]; with `sum_rows` int64 [1, width], where `rows` are those that went in.

        Raises BadCiphertext, whatever the reason.
        """


def require_shareable(key: SecretKey) -> None:
    """Call before a decryption, or anything exact computed from one, is sent to another party (J5).

    Raises DecryptionsStay for schemes that are not secure then (IND-CPA-D).
    """
    if key.keeps_decryptions:
        raise DecryptionsStay(
            "decryptions of this scheme stay with the renter, because they give its key away: use Paillier for results "
            "that others must see"
        )
