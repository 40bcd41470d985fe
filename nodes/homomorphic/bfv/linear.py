"""BFV through SEAL: exact, and far cheaper than Paillier on thousands of rows; the extra `bfv` brings SEAL.

One ciphertext carries the same column of as many rows as its polynomials have coefficients. A key is made for one job:
its parameters follow from what the job's program can reach at most (`parameters.py`), and nothing that could pass that
is computed. Each ciphertext says how much noise it may carry.

Two rules. *One decryption of a crafted ciphertext tells the whole key*: nothing decrypted, nor anything computed from
it, leaves before the audit has passed (`audit.py`). Results that passed are exact and tell nothing about the key, so
they may be shown. A partner's results cannot be audited: this scheme is not for joint computation. *SEAL parses no
foreign bytes*: `frames.py` checks every word first.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nodes.homomorphic.bfv import frames, seal
from nodes.homomorphic.bfv.frames import DIGEST_BYTES, POLYNOMIALS, Words
from nodes.homomorphic.bfv.parameters import FRESH_NOISE, Parameters, fitting
from nodes.homomorphic.bfv.seal import Engine
from nodes.homomorphic.errors import BadCiphertext, BadKey, Overflow, invalid
from nodes.homomorphic.packing import blocks_of, body_bytes
from nodes.homomorphic.port import IntegerProgram, Noise
from schemas.errors import BadData

_PUBLIC: Final = b"SBP1"
_SECRET: Final = b"SBS1"
_SIGN_BIT: Final = 63

Encrypt = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class BfvPublic:
    """Encrypts and computes. Implements the PublicKey port."""

    data: bytes = field(repr=False)
    parameters: Parameters
    engine: Engine = field(repr=False)
    encryptor: Any = field(repr=False)

    relative_error = 0.0

    def __reduce__(self) -> tuple[Any, ...]:
        return BfvPublic.from_bytes, (self.data,)

    @classmethod
    def from_bytes(cls, data: bytes) -> BfvPublic:
        """Parse; raises BadKey, and BadConfig where SEAL is not installed."""
        parameters, rest = frames.key_parts(data, _PUBLIC)
        engine = seal.engine(parameters)
        shape = (POLYNOMIALS, len(engine.key_primes), engine.degree)
        words = frames.key_words(rest, shape, engine.key_primes)
        return cls(bytes(data), parameters, engine, engine.encryptor(words))

    def laid_out(self, program: IntegerProgram) -> BfvPublic:
        """This key: it was made for its program."""
        return self

    def to_bytes(self) -> bytes:
        """Parameters and SEAL's public key; no keys for products or rotations."""
        return self.data

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the serialised key, hex."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def _mark(self) -> bytes:
        return bytes.fromhex(self.digest)[:DIGEST_BYTES]

    @property
    def bits(self) -> int:
        """Of all primes."""
        return sum(self.parameters.set.modulus_bits)

    @property
    def slots(self) -> int:
        """Rows that share one ciphertext."""
        return self.parameters.set.degree

    @property
    def ciphertext_bytes(self) -> int:
        """Width of one serialised ciphertext."""
        return self.parameters.set.ciphertext_bytes

    def body_bytes(self, rows: int, width: int) -> int:
        """Exact length of the body of a [rows, width] matrix."""
        return body_bytes(rows, width, self.slots, self.ciphertext_bytes)

    def result_bytes(self, rows: int, width: int) -> int:
        return self.body_bytes(rows, width)

    def encrypt(self, values: NDArray[np.int64]) -> bytes:
        """int64 [rows, width] of at most the key's limit in size; raises BadData."""
        return self.encrypted(values, self.encryptor.encrypt, self.parameters.set.public_noise)

    def encrypted(self, values: NDArray[np.int64], encrypt: Encrypt, noise: int) -> bytes:
        """As `encrypt`, by SEAL's `encrypt(plaintext)`, which makes as much noise."""
        if values.ndim != 2 or values.dtype != np.int64 or 0 in values.shape:
            raise BadData(f"only int64 [rows, columns] can be encrypted, not {values.dtype} {list(values.shape)}")
        if max(-int(values.min()), int(values.max())) > self.parameters.limit:
            raise BadData(f"a value is past {self.parameters.limit}, the bound of this key: make a key for larger ones")
        rows, width = values.shape
        padded = np.zeros((width, blocks_of(rows, self.slots) * self.slots), np.int64)
        padded[:, :rows] = values.T
        padded += (padded >> _SIGN_BIT) & self.parameters.t
        blocks = padded.astype("<u8").reshape(-1, self.slots)
        made = (self._frame(noise, encrypt(self.engine.plaintext(each))) for each in blocks)
        return b"".join(itertools.chain.from_iterable(made))

    def evaluate(self, body: bytes, rows: int, program: IntegerProgram) -> bytes:
        """As the port says; the bias comes in a fresh ciphertext, which randomises the result.

        Raises Overflow before any work where values or noise could pass what the key was made for, and BadCiphertext.
        """
        program.require_linear()
        program.require_room(rows)
        blocks = blocks_of(rows, self.slots)
        self._require_room(program, blocks if program.sum_rows else 1)
        columns = self._ciphertexts(body, rows, program.width_in)
        made: list[list[bytes]] = [[] for _ in program.bias]
        for at in range(1 if program.sum_rows else blocks):
            held = 1 if program.sum_rows else min(self.slots, rows - at * self.slots)
            block = range(blocks) if program.sum_rows else (at,)
            inputs = (self._sum(columns, column * blocks, block) for column in range(program.width_in))
            for frame, bias, (noise, total) in zip(made, program.bias, self._weighted(inputs, program), strict=True):
                fresh = self._fresh(bias, held)
                if total is not None:
                    self.engine.evaluator.add_inplace(fresh, total)
                frame.extend(self._frame(self._allowed(noise), fresh))
        return b"".join(itertools.chain.from_iterable(made))

    def add(self, left: bytes, right: bytes, rows: int, width: int) -> bytes:
        made: list[bytes] = []
        pairs = zip(*(self._all(body, rows, width) for body in (left, right)), strict=True)
        for (one, a), (other, b) in pairs:
            self.engine.evaluator.add_inplace(a, b)
            made.extend(self._frame(self._allowed(one + other), a))
        return b"".join(made)

    def rerandomise(self, body: bytes, rows: int, width: int) -> bytes:
        """Adds a fresh encryption of zeros to every ciphertext."""
        made: list[bytes] = []
        for noise, ciphertext in self._all(body, rows, width):
            self.engine.evaluator.add_inplace(ciphertext, self._fresh(0, 1))
            made.extend(self._frame(self._allowed(noise + self.parameters.set.public_noise), ciphertext))
        return b"".join(made)

    def all_words(self, body: bytes, rows: int, width: int) -> Iterator[tuple[int, Words]]:
        """Noise and words [2, primes, N] of all ciphertexts; raises BadCiphertext, for the length before any work."""
        return map(self._words(body, rows, width), range(blocks_of(rows, self.slots) * width))

    def _words(self, body: bytes, rows: int, width: int) -> Callable[[int], tuple[int, Words]]:
        size, view = self.ciphertext_bytes, memoryview(body)
        expected = self.body_bytes(rows, width)
        if not 0 < len(body) == expected:
            raise BadCiphertext(f"the body takes {expected} bytes, this one has {len(body)}", code="ciphertext-length")
        chosen, primes, most = self.parameters.set, self.engine.primes, self.parameters.noise
        return lambda at: frames.unpack(view[at * size : (at + 1) * size], self._mark, primes, most, chosen)

    def _ciphertexts(self, body: bytes, rows: int, width: int) -> Callable[[int], tuple[int, Any]]:
        words = self._words(body, rows, width)

        def ciphertext(at: int) -> tuple[int, Any]:
            noise, found = words(at)
            return noise, self.engine.ciphertext(found)

        return ciphertext

    def _all(self, body: bytes, rows: int, width: int) -> Iterator[tuple[int, Any]]:
        return map(self._ciphertexts(body, rows, width), range(blocks_of(rows, self.slots) * width))

    def _frame(self, noise: int, ciphertext: Any) -> tuple[bytes, bytes]:
        return frames.pack(self._mark, noise, self.engine.words(ciphertext), self.parameters.set.word_bytes)

    def _require_room(self, program: IntegerProgram, blocks: int) -> None:
        """Raises Overflow where a result, or a sum of `blocks` of rows in it, could pass the key's limit."""
        reached = program.largest(blocks)
        if reached > self.parameters.limit:
            raise Overflow(
                f"a result could reach {reached}, but this key is for {self.parameters.limit} at most: make a key for "
                "this program",
                reached=reached,
                limit=self.parameters.limit,
            )

    def _allowed(self, noise: int) -> int:
        """The noise of a result; raises Overflow where decryption could fail."""
        if noise > self.parameters.noise:
            raise Overflow(
                f"noise could reach {noise}, but this key is for {self.parameters.noise} at most: make a key for this "
                "program",
                reached=noise,
                limit=self.parameters.noise,
            )
        return noise

    def _sum(self, columns: Callable[[int], tuple[int, Any]], first: int, block: Iterable[int]) -> tuple[int, Any]:
        """The ciphertexts at `first` plus each of `block`, added up, and their noise."""
        found = (columns(first + at) for at in block)
        noise, total = next(found)
        for more, other in found:
            noise += more
            self.engine.evaluator.add_inplace(total, other)
        return noise, total

    def _weighted(self, inputs: Iterable[tuple[int, Any]], program: IntegerProgram) -> list[tuple[int, Any]]:
        """[width_out] noise with a bias and sum of products; None where all weights are zero.

        Negative weights are subtracted: SEAL takes t - |w| for a weight of t's size where t is below its primes.
        """
        evaluator = self.engine.evaluator
        noises, totals = [self.parameters.set.public_noise] * program.width_out, [None] * program.width_out
        for column, (noise, ciphertext) in enumerate(inputs):
            for output, weights in enumerate(program.weights):
                weight = weights[column]
                if not weight:
                    continue
                noises[output] += abs(weight) * noise
                product = evaluator.multiply_plain(ciphertext, self.engine.constant(abs(weight)))
                totals[output] = _added(evaluator, totals[output], product, negative=weight < 0)
        return list(zip(noises, totals, strict=True))

    def _fresh(self, number: int, held: int) -> Any:
        """A fresh ciphertext of one number in the first `held` coefficients; the others hold zeros."""
        words = np.zeros(self.slots, np.uint64)
        words[:held] = number % self.parameters.t
        return self.encryptor.encrypt(self.engine.plaintext(words))


def _added(evaluator: Any, total: Any, product: Any, *, negative: bool) -> Any:
    if total is None:
        if negative:
            evaluator.negate_inplace(product)
        return product
    if negative:
        evaluator.sub_inplace(total, product)
    else:
        evaluator.add_inplace(total, product)
    return total


@dataclass(frozen=True, repr=False, eq=False)
class BfvSecret:
    """Decrypts. Implements the SecretKey port."""

    public: BfvPublic
    data: bytes
    encryptor: Any
    decryptor: Any

    keeps_decryptions = False

    def __repr__(self) -> str:
        return f"BfvSecret(public={self.public.digest[:16]})"

    def __reduce__(self) -> tuple[Any, ...]:
        return BfvSecret.from_bytes, (self.data,)

    def laid_out(self, program: IntegerProgram) -> BfvSecret:
        """As BfvPublic.laid_out."""
        return self

    def to_bytes(self) -> bytes:
        """Parameters, SEAL's secret key, and the public key: seal it before it is stored."""
        return self.data

    @classmethod
    def from_bytes(cls, data: bytes) -> BfvSecret:
        """Parse, the public key too; raises BadKey."""
        parameters, rest = frames.key_parts(data, _SECRET)
        engine = seal.engine(parameters)
        shape = (len(engine.key_primes), engine.degree)
        size = frames.WORD_BYTES * shape[0] * shape[1]
        words = frames.key_words(rest[:size], shape, engine.key_primes)
        public = BfvPublic.from_bytes(bytes(rest[size:]))
        if public.parameters != parameters:
            raise BadKey("the halves of this BFV key do not belong together: restore it or make a new one")
        return cls(public, bytes(data), *engine.owner(words))

    def encrypt(self, values: NDArray[np.int64], *, noise: Noise = "fixed-base") -> bytes:
        """As BfvPublic.encrypt, faster and with less noise; BFV has one kind of it, and `noise` chooses nothing."""
        return self.public.encrypted(values, self.encryptor.encrypt_symmetric, FRESH_NOISE)

    def decrypt(self, body: bytes, rows: int, width: int, *, sum_rows: bool = False) -> NDArray[np.int64]:
        """As the port says. Show nothing of it to anybody before an audit has passed."""
        public = self.public
        slots, t, engine = public.slots, public.parameters.t, public.engine
        held = min(rows, slots) if sum_rows else rows
        found = [engine.ciphertext(words) for _, words in public.all_words(body, held, width)]
        plain = np.stack([engine.coefficients(self.decryptor.decrypt(each)) for each in found])
        values = plain.astype(np.int64).reshape(width, -1)
        values -= (values > t // 2) * np.int64(t)
        if values[:, held:].any():
            raise invalid()
        if sum_rows:
            values = values.sum(axis=1, dtype=np.int64, keepdims=True)
        return np.ascontiguousarray(values[:, :rows].T)


def generate(parameters: Parameters) -> BfvSecret:
    """A new key pair; raises BadConfig where SEAL is not installed."""
    secret, public = seal.engine(parameters).generate()
    hidden = frames.key_bytes(_SECRET, parameters, secret)
    return BfvSecret.from_bytes(hidden + frames.key_bytes(_PUBLIC, parameters, public))


def generate_for(program: IntegerProgram, rows: int, first: int = 0) -> BfvSecret:
    """A new key pair for this program on what its owner encrypts, at most `rows` rows at a time; raises Overflow."""
    return generate(fitting(program, rows, first))
