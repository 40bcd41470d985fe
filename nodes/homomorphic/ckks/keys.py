"""What the keys of both kinds of CKKS share: their bytes, and how columns become the frames of a body and come back.

A body holds ciphertexts, column after column; each carries the same column of SLOTS rows. A ciphertext's *level* is how
many primes of the modulus it has lost, and 0 for what goes in.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from nodes.homomorphic.ckks import frames as ckks_frames
from nodes.homomorphic.ckks import seal as ckks_seal
from nodes.homomorphic.ckks.seal import SLOTS, Engine, Memory
from nodes.homomorphic.errors import BadCiphertext, BadKey, invalid
from nodes.homomorphic.packing import body_bytes
from nodes.homomorphic.port import IntegerProgram


@dataclass(frozen=True, eq=False)
class Public(ABC):
    """A public key. `input_bits` bounds what can be encrypted; `depth` is for how many products in a row it is."""

    data: bytes
    input_bits: int
    depth: int
    engine: Engine
    encryptor: Any

    slots = SLOTS
    kind: ClassVar[bytes]
    depths: ClassVar[Container[int]]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_bytes, (self.data,)

    @classmethod
    @abstractmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse; raises BadKey."""

    @abstractmethod
    def frame_bytes(self, level: int) -> int:
        """Width of one serialised ciphertext of this level."""

    @abstractmethod
    def scale(self, level: int) -> float:
        """By what the numbers in a ciphertext of this level are multiplied."""

    def laid_out(self, program: IntegerProgram) -> Self:
        """This key: its slots hold any number."""
        return self

    def to_bytes(self) -> bytes:
        """Kind, input bits, depth, and SEAL's keys; no secret and no Galois keys."""
        return self.data

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the serialised key, hex."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def ciphertext_bytes(self) -> int:
        """Width of one serialised ciphertext that goes in."""
        return self.frame_bytes(0)

    def body_bytes(self, rows: int, width: int) -> int:
        """Exact length of the body of a [rows, width] matrix that goes in."""
        return body_bytes(rows, width, SLOTS, self.frame_bytes(0))

    def packed(self, values: NDArray[np.float64], exponent: int, encrypt: Any) -> bytes:
        """The body of float64 [rows, width], by SEAL's `encrypt(plaintext, ciphertext)`."""
        frames: list[bytes] = []
        with Memory() as memory:
            for column in values.T:
                for at in range(0, len(column), SLOTS):
                    ciphertext = self.engine.ciphertext()
                    encrypt(self.engine.plaintext(column[at : at + SLOTS].tolist(), self.scale(0)), ciphertext)
                    frames.extend(self.frame(0, exponent, ciphertext, memory))
        return b"".join(frames)

    def frame(self, level: int, exponent: int, ciphertext: Any, memory: Memory) -> tuple[bytes, bytes, bytes]:
        """The bytes of one ciphertext of numbers of at most 2^exponent in size, in pieces to be joined."""
        return ckks_frames.pack(self.digest, level, exponent, memory.save(ciphertext), self.frame_bytes(level))

    def ciphertexts(
        self, body: bytes, rows: int, width: int, memory: Memory, level: int = 0
    ) -> Callable[[int], tuple[int, Any]]:
        """Exponent and ciphertext at a place of a body; both raise BadCiphertext, for the length before any work."""
        size, view = self.frame_bytes(level), memoryview(body)
        expected = body_bytes(rows, width, SLOTS, size)
        if not 0 < len(body) == expected:
            raise BadCiphertext(f"the body takes {expected} bytes, this one has {len(body)}", code="ciphertext-length")
        return lambda at: self.unframed(view[at * size : (at + 1) * size], level, memory)

    def all_ciphertexts(
        self, body: bytes, rows: int, width: int, memory: Memory, level: int = 0
    ) -> Iterator[tuple[int, Any]]:
        """As `ciphertexts`, one after the other."""
        return map(self.ciphertexts(body, rows, width, memory, level), range(len(body) // self.frame_bytes(level)))

    def unframed(self, frame: memoryview, level: int, memory: Memory) -> tuple[int, Any]:
        """Exponent and ciphertext of one frame; raises BadCiphertext."""
        claimed, exponent, data = ckks_frames.unpack(frame, self.digest)
        ciphertext = ckks_frames.load(self.engine, data, memory)
        if claimed != level or not self.engine.is_whole(ciphertext, level) or ciphertext.scale != self.scale(level):
            raise invalid()
        return exponent, ciphertext


P = TypeVar("P", bound=Public)


@dataclass(frozen=True, repr=False, eq=False)
class Secret(Generic[P]):
    """A secret key, with its public one."""

    public: P
    data: bytes
    encryptor: Any
    decryptor: Any

    keeps_decryptions = True
    kind: ClassVar[bytes]
    public_class: ClassVar[type[Any]]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(public={self.public.digest[:16]})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_bytes, (self.data,)

    def laid_out(self, program: IntegerProgram) -> Self:
        """As Public.laid_out."""
        return self

    def to_bytes(self) -> bytes:
        """Kind, input bits, depth, SEAL's secret key, and the public key: seal it before it is stored."""
        return self.data

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse, the public key too; raises BadKey."""
        input_bits, depth, key, rest = ckks_frames.key_parts(data, cls.kind, cls.public_class.depths)
        public = cls.public_class.from_bytes(rest)
        if (public.input_bits, public.depth) != (input_bits, depth):
            raise BadKey("the halves of this CKKS key do not belong together: restore it or make a new one")
        api, context = public.engine.api, public.engine.context
        secret = api.SecretKey()
        ckks_frames.load_key(public.engine, secret, key)
        return cls(public, data, api.Encryptor(context, secret), api.Decryptor(context, secret))

    @classmethod
    def make(cls, input_bits: int, depth: int, modulus_bits: tuple[int, ...]) -> Self:
        """A new key pair; raises BadConfig for a bound that no key has, and where TenSEAL is not installed."""
        ckks_frames.require_input_bits(input_bits)
        engine = ckks_seal.engine(modulus_bits)
        generator, public = engine.api.KeyGenerator(engine.context), engine.api.PublicKey()
        generator.create_public_key(public)
        with Memory() as memory:
            data = ckks_frames.key_bytes(cls.public_class.kind, input_bits, depth, memory.save(public))
            if depth:
                data += memory.save(generator.create_relin_keys())
            hidden = ckks_frames.key_bytes(cls.kind, input_bits, depth, memory.save(generator.secret_key()))
        return cls.from_bytes(hidden + data)

    def numbers(self, ciphertext: Any) -> NDArray[np.float64]:
        """What a ciphertext holds, one number per slot."""
        plain = self.public.engine.api.Plaintext()
        self.decryptor.decrypt(ciphertext, plain)
        return np.fromiter(self.public.engine.encoder.decode_double(plain), np.float64, SLOTS)
