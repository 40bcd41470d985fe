"""Frames of BFV as nobody of ours makes them, out of what a lessor has: the public key and an honest result. And what
one decryption of a crafted one gives away."""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nodes.homomorphic.bfv import linear
from nodes.homomorphic.bfv.frames import DIGEST_BYTES, WORD_BYTES, Words
from nodes.homomorphic.bfv.linear import BfvPublic
from nodes.homomorphic.bfv.parameters import HEADER_BYTES

Craft = Callable[[BfvPublic, bytes], bytes]
"""Of a key and an honest result of one ciphertext."""


def framed(public: BfvPublic, words: Words, noise: int = 1) -> bytes:
    """A body of one ciphertext, of words uint64 [2, primes, N]."""
    header = bytes.fromhex(public.digest)[:DIGEST_BYTES] + struct.pack(">Q", noise)
    octets = words.astype("<u8").view(np.uint8).reshape(*words.shape, WORD_BYTES)
    return header + octets[..., : public.parameters.set.word_bytes].tobytes()


def words_of(public: BfvPublic, body: bytes) -> Words:
    """Of a body of one ciphertext, to be changed."""
    ((_, words),) = public.all_words(body, 1, 1)
    return words.copy()


def key_reader(public: BfvPublic) -> bytes:
    """(0, round(q / t)), which decrypts to the secret key itself."""
    chosen, t = public.parameters.set, public.parameters.t
    words = np.zeros((2, len(public.engine.primes), chosen.degree), np.uint64)
    words[1, :, 0] = [(chosen.q + t // 2) // t % int(prime) for prime in public.engine.primes]
    return framed(public, words)


def _large_word(public: BfvPublic, body: bytes) -> bytes:
    """A word that is its prime."""
    words = words_of(public, body)
    words[0, 0, 3] = public.engine.primes[0]
    return framed(public, words)


def _transparent(public: BfvPublic, body: bytes) -> bytes:
    """It hides nothing."""
    words = words_of(public, body)
    words[1] = 0
    return framed(public, words)


def _of_another_key(public: BfvPublic, body: bytes) -> bytes:
    return linear.generate(public.parameters).public.encrypt(np.ones((1, 1), np.int64))


def _of_another_job(public: BfvPublic, body: bytes) -> bytes:
    """Of another job's key, under this one's name."""
    return body[:HEADER_BYTES] + _of_another_key(public, body)[HEADER_BYTES:]


HOSTILE: Final = MappingProxyType[str, tuple[Craft, str]](
    {
        "a word as large as its prime": (_large_word, "ciphertext-invalid"),
        "transparent": (_transparent, "ciphertext-invalid"),
        "another key's": (_of_another_key, "ciphertext-invalid"),
        "another key's under this one's name": (_of_another_job, "ciphertext-invalid"),
        "more noise than agreed": (
            lambda public, body: framed(public, words_of(public, body), public.parameters.noise + 1),
            "ciphertext-invalid",
        ),
        "no noise": (lambda public, body: framed(public, words_of(public, body), 0), "ciphertext-invalid"),
        "truncated": (lambda public, body: body[:-1], "ciphertext-length"),
        "longer": (lambda public, body: body + b"\0", "ciphertext-length"),
        "nothing": (lambda public, body: b"", "ciphertext-length"),
        "zeros": (lambda public, body: bytes(len(body)), "ciphertext-invalid"),
        "ones": (lambda public, body: b"\xff" * len(body), "ciphertext-invalid"),
        "the key itself": (lambda public, body: key_reader(public), "ciphertext-invalid"),
    }
)
"""With the code of its refusal where a ciphertext is not full: coefficients past the last row must be zero."""


def read_with(key: NDArray[np.int64], public: BfvPublic, words: Words) -> NDArray[np.int64]:
    """Decrypts words with a ternary key [N]: round(t (c0 + c1 s) / q) modulo t."""
    primes = [int(prime) for prime in public.engine.primes]
    parts = [_product(words[1, at].astype(np.int64), key, prime) for at, prime in enumerate(primes)]
    residues = [
        (part + words[0, at].astype(np.int64)) % prime
        for at, (part, prime) in enumerate(zip(parts, primes, strict=True))
    ]
    q, t = public.parameters.set.q, public.parameters.t
    basis = [q // prime * pow(q // prime, -1, prime) for prime in primes]
    whole = (
        sum(int(part[i]) * factor for part, factor in zip(residues, basis, strict=True)) % q for i in range(len(key))
    )
    numbers = [(t * number + q // 2) // q % t for number in whole]
    return np.array([number - t if number > t // 2 else number for number in numbers])


def _product(polynomial: NDArray[np.int64], key: NDArray[np.int64], prime: int) -> NDArray[np.int64]:
    """Modulo X^N + 1 and the prime."""
    total = np.zeros(len(key), np.int64)
    doubled = np.concatenate([-polynomial, polynomial])
    for at in np.flatnonzero(key):
        rolled = doubled[len(key) - at : 2 * len(key) - at]
        total = (total + int(key[at]) * rolled) % prime
    return total
