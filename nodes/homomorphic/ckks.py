"""CKKS through TenSEAL: approximate and faster than Paillier on large batches; the extra `ckks` brings TenSEAL.

One ciphertext carries the same column of 4,096 rows, as fractions of a power of two (Cheon, Kim, Kim and Song,
ASIACRYPT '17). Nothing is rescaled: each program multiplies the scale by 2^40, for which the modulus has room twice.

Two rules. *Decryptions stay with the renter*: an approximate decryption carries the noise of the key, and whoever sees
ciphertext, program and decryption can compute the key from it (Li and Micciancio, EUROCRYPT '21); `keeps_decryptions`
says so, and `scheme.require_shareable` refuses to hand them on. *SEAL parses bytes from outside*: authenticate a body
before it comes here, and evaluate for strangers in a process that may die.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nodes.homomorphic.ciphertexts import body_bytes, invalid
from nodes.homomorphic.errors import BadCiphertext, BadKey
from nodes.homomorphic.packing import blocks_of
from nodes.homomorphic.scheme import SLOT_VALUE_LIMIT, IntegerProgram, Noise
from schemas.errors import BadConfig, BadData

DEGREE: Final = 8192
"""Of the polynomials; 128-bit security for a modulus of up to 218 bits (HomomorphicEncryption.org standard)."""
MODULUS_BITS: Final = (60, 40, 40, 60)
SCALE_BITS: Final = 40
LEVELS: Final = 2
"""Programs that can follow each other: 3 * 40 bits of scale fit below 60 + 40 + 40."""
SLOTS: Final = DEGREE // 2
FRAME_BYTES: Final = 344_064
"""One ciphertext with its header, padded: SEAL's compression makes them 331 kB, give or take some hundred bytes."""
INPUT_BITS_DEFAULT: Final = 32
INPUT_BITS_MAX: Final = 52
RELATIVE_ERROR: Final = 2.0**-22
"""Of the largest possible value; about 2^-29 was seen."""
CONTEXT_BYTES_MAX: Final = 4 * 1024 * 1024

_PUBLIC: Final = b"SCP1"
_SECRET: Final = b"SCS1"
_HEADER: Final = struct.Struct(">8sBhI")
"""Key, programs so far, exponent of the fractions, bytes of the ciphertext."""
_PARSE_ERRORS: Final = (ValueError, RuntimeError, TypeError, IndexError)


@dataclass(frozen=True, slots=True)
class Column:
    """One ciphertext: numbers that are fractions of 2^exponent, after `level` programs."""

    level: int
    exponent: int
    vector: Any


@dataclass(frozen=True, eq=False)
class CkksPublic:
    """Encrypts and computes. Implements the PublicKey port; `input_bits` bounds what can be encrypted."""

    data: bytes
    input_bits: int
    context: Any

    bits = sum(MODULUS_BITS)
    slots = SLOTS
    ciphertext_bytes = FRAME_BYTES
    relative_error = RELATIVE_ERROR

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the serialised key, hex."""
        return hashlib.sha256(self.data).hexdigest()

    def to_bytes(self) -> bytes:
        """`SCP1`, input bits, and SEAL's context without secret and Galois keys: 1.9 MB."""
        return self.data

    @classmethod
    def from_bytes(cls, data: bytes) -> CkksPublic:
        """Parse; raises BadKey, also for a context that brings a secret key."""
        context, input_bits = _parse_context(data, _PUBLIC)
        if context.is_private():
            raise BadKey("a public CKKS key came with its secret: its owner must make a new one")
        return cls(data, input_bits, context)

    def body_bytes(self, rows: int, width: int) -> int:
        """Exact length of the body of a [rows, width] matrix."""
        return body_bytes(rows, width, SLOTS, FRAME_BYTES)

    def encrypt(self, values: NDArray[np.int64], *, threads: int = 1) -> bytes:
        """int64 [rows, width] of at most 2^input_bits in size; raises BadData. TenSEAL uses its own threads."""
        if values.ndim != 2 or values.dtype != np.int64 or 0 in values.shape:
            raise BadData(f"only int64 [rows, columns] can be encrypted, not {values.dtype} {list(values.shape)}")
        if max(-int(values.min()), int(values.max())) > 1 << self.input_bits:
            raise BadData(f"a value is past 2^{self.input_bits}, the bound of this key: make a key for larger values")
        fractions = np.ldexp(values.astype(np.float64), -self.input_bits)
        blocks = (column[at : at + SLOTS] for column in fractions.T for at in range(0, len(column), SLOTS))
        return self._serialise([Column(0, self.input_bits, self._vector(block, 0)) for block in blocks])

    def evaluate(self, body: bytes, rows: int, program: IntegerProgram, *, threads: int = 1) -> bytes:
        """As the port says; the bias comes in a fresh ciphertext, which randomises the result.

        Raises Overflow before any work, BadCiphertext, and BadData when no level is left.
        """
        program.require_room(rows)
        columns = self.parse(body, rows, program.width_in)
        if len({(column.level, column.exponent) for column in columns}) != 1:
            raise invalid()
        level, exponent = columns[0].level + 1, program.largest(rows).bit_length()
        if level > LEVELS:
            raise BadData(f"at most {LEVELS} programs can follow each other under CKKS: decrypt in between")
        blocks = blocks_of(rows, SLOTS)
        by_block = [[column.vector for column in columns[at::blocks]] for at in range(blocks)]
        if program.sum_rows:
            by_block = [[self._sum(columns[at : at + blocks]) for at in range(0, len(columns), blocks)]]
        shift = columns[0].exponent - exponent
        results = []
        for weights, bias in zip(program.weights, program.bias, strict=True):
            for at, vectors in enumerate(by_block):
                fresh = np.zeros(1 if program.sum_rows else min(SLOTS, rows - at * SLOTS))
                fresh += _fraction(bias, -exponent)
                results.append(Column(level, exponent, self._weighted(vectors, weights, shift, fresh, level)))
        return self._serialise(results)

    def add(self, left: bytes, right: bytes, rows: int, width: int) -> bytes:
        """As the port says, for bodies after equally many programs and with equal exponents."""
        pairs = list(zip(self.parse(left, rows, width), self.parse(right, rows, width), strict=True))
        if any((a.level, a.exponent) != (b.level, b.exponent) for a, b in pairs):
            raise invalid()
        return self._serialise([Column(a.level, a.exponent, a.vector + b.vector) for a, b in pairs])

    def rerandomise(self, body: bytes, rows: int, width: int, *, threads: int = 1) -> bytes:
        """Adds a fresh encryption of zeros to every ciphertext."""
        columns = self.parse(body, rows, width)
        return self._serialise(
            [Column(c.level, c.exponent, c.vector + self._vector(np.zeros(1), c.level)) for c in columns]
        )

    @staticmethod
    def _sum(columns: Sequence[Column]) -> Any:
        total = columns[0].vector
        for column in columns[1:]:
            total = total + column.vector
        return total

    def _weighted(
        self, vectors: Sequence[Any], weights: Sequence[int], shift: int, fresh: NDArray[np.float64], level: int
    ) -> Any:
        """One output of one block. A vector that was made at a higher scale would be multiplied at that scale too, so
        the sum begins with a product, or with a number that passed the levels one by one."""
        terms = [vector * _fraction(weight, shift) for vector, weight in zip(vectors, weights, strict=True) if weight]
        if not terms:
            unit = self._vector(np.zeros(1), 0)
            for _ in range(level):
                unit = unit * 1.0
            terms = [unit]
        total = terms[0]
        for term in (*terms[1:], self._vector(fresh, level)):
            total += term
        return total

    def _vector(self, numbers: NDArray[np.float64], level: int) -> Any:
        """A fresh ciphertext; spare slots hold zeros, so that every vector is as long as any other."""
        padded = np.zeros(SLOTS)
        padded[: len(numbers)] = numbers
        return _tenseal().ckks_vector(self.context, padded.tolist(), scale=float(1 << SCALE_BITS * (level + 1)))

    def _load(self, data: bytes) -> Any:
        return _tenseal().ckks_vector_from(self.context, data)

    def parse(self, body: bytes, rows: int, width: int) -> list[Column]:
        """The ciphertexts of a body, column after column; raises BadCiphertext."""
        expected = self.body_bytes(rows, width)
        if not 0 < len(body) == expected:
            raise BadCiphertext(f"the body takes {expected} bytes, this one has {len(body)}", code="ciphertext-length")
        return [self._column(body[at : at + FRAME_BYTES]) for at in range(0, len(body), FRAME_BYTES)]

    def _column(self, frame: bytes) -> Column:
        key, level, exponent, size = _HEADER.unpack_from(frame)
        data = frame[_HEADER.size : _HEADER.size + size]
        padding = bytes(max(0, FRAME_BYTES - _HEADER.size - size))
        if key != bytes.fromhex(self.digest)[:8] or len(data) != size or not frame.endswith(padding):
            raise invalid()
        if level > LEVELS or not 0 <= exponent < SLOT_VALUE_LIMIT.bit_length():
            raise invalid()
        try:
            vector = self._load(data)
            fits = vector.size() == SLOTS and len(vector.ciphertext()) == 1
        except _PARSE_ERRORS:
            raise invalid() from None
        if not fits:
            raise invalid()
        return Column(level, exponent, vector)

    def _serialise(self, columns: Sequence[Column]) -> bytes:
        return b"".join([self._frame(column) for column in columns])

    def _frame(self, column: Column) -> bytes:
        data = bytes(column.vector.serialize())
        if _HEADER.size + len(data) > FRAME_BYTES:
            raise BadConfig(
                f"a ciphertext takes {len(data)} bytes: this build of SEAL does not compress", field="scheme"
            )
        header = _HEADER.pack(bytes.fromhex(self.digest)[:8], column.level, column.exponent, len(data))
        return (header + data).ljust(FRAME_BYTES, b"\0")


@dataclass(frozen=True, repr=False, eq=False)
class CkksSecret:
    """Decrypts. Implements the SecretKey port."""

    public: CkksPublic
    data: bytes
    context: Any

    keeps_decryptions = True

    def __repr__(self) -> str:
        return f"CkksSecret(public={self.public.digest[:16]})"

    def to_bytes(self) -> bytes:
        """`SCS1` and SEAL's context with the secret key: seal it before it is stored."""
        return self.data

    @classmethod
    def from_bytes(cls, data: bytes, public: CkksPublic) -> CkksSecret:
        """Parse; raises BadKey. The public key comes beside it."""
        context, _ = _parse_context(data, _SECRET)
        if not context.is_private():
            raise BadKey("these bytes hold no secret CKKS key: restore it or make a new one")
        return cls(public, data, context)

    def encrypt(self, values: NDArray[np.int64], *, noise: Noise = "fixed-base", threads: int = 1) -> bytes:
        """As CkksPublic.encrypt; CKKS has one kind of noise, and `noise` chooses nothing."""
        return self.public.encrypt(values, threads=threads)

    def decrypt(
        self, body: bytes, rows: int, width: int, *, sum_rows: bool = False, threads: int = 1
    ) -> NDArray[np.int64]:
        """int64, rounded; wrong by at most RELATIVE_ERROR of the largest possible value. Raises BadCiphertext."""
        held = min(rows, SLOTS) if sum_rows else rows
        columns = self.public.parse(body, held, width)
        fractions = np.array([self._fractions(column) for column in columns]).reshape(width, -1)
        if not (np.abs(fractions[:, held:]) < RELATIVE_ERROR).all():
            raise invalid()
        exponents = np.array([column.exponent for column in columns], dtype=np.int32).repeat(SLOTS).reshape(width, -1)
        values = np.rint(np.ldexp(fractions, exponents)[:, :held])
        if not (np.abs(values) < SLOT_VALUE_LIMIT).all():
            raise invalid()
        result = values.astype(np.int64)
        if sum_rows:
            result = result.sum(axis=1, dtype=np.int64, keepdims=True)
        return np.ascontiguousarray(result.T)

    def _fractions(self, column: Column) -> NDArray[np.float64]:
        column.vector.link_context(self.context)
        return np.array(column.vector.decrypt(), dtype=np.float64)


def generate(input_bits: int = INPUT_BITS_DEFAULT) -> CkksSecret:
    """A new key pair for values of up to 2^input_bits; raises BadConfig, also when TenSEAL is not installed."""
    if not 1 <= input_bits <= INPUT_BITS_MAX:
        raise BadConfig(f"{input_bits} input bits are not from 1 to {INPUT_BITS_MAX}", field="input_bits")
    tenseal = _tenseal()
    context = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS, poly_modulus_degree=DEGREE, coeff_mod_bit_sizes=list(MODULUS_BITS)
    )
    _configure(context)
    options = {"save_public_key": True, "save_galois_keys": False, "save_relin_keys": False}
    head = bytes([input_bits])
    public = CkksPublic.from_bytes(_PUBLIC + head + context.serialize(save_secret_key=False, **options))
    return CkksSecret(public, _SECRET + head + context.serialize(save_secret_key=True, **options), context)


def _configure(context: Any) -> None:
    context.global_scale = float(1 << SCALE_BITS)
    context.auto_rescale = False


def _parse_context(data: bytes, magic: bytes) -> tuple[Any, int]:
    start = len(magic) + 1
    if (
        data[: len(magic)] != magic
        or len(data) > CONTEXT_BYTES_MAX
        or not 1 <= (data[4:5] or b"\0")[0] <= INPUT_BITS_MAX
    ):
        raise BadKey("these bytes are not a CKKS key of the expected kind")
    try:
        context = _tenseal().context_from(data[start:])
        _configure(context)
    except _PARSE_ERRORS:
        raise BadKey("the CKKS key cannot be read: its owner must publish it again") from None
    return context, data[4]


def _fraction(number: int, exponent: int) -> float:
    return float(np.ldexp(float(number), exponent))


def _tenseal() -> Any:
    """TenSEAL, which is installed with the extra `ckks` only."""
    try:
        import tenseal  # noqa: PLC0415
    except ImportError:
        raise BadConfig("CKKS needs TenSEAL: pip install 'sublet[ckks]'", field="scheme") from None
    return tenseal
