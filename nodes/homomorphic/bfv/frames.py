"""How ciphertexts and keys lie in bytes, and what is looked at before SEAL sees anything of them. Pure.

A frame is one ciphertext: the first bytes of the key's digest, the noise that it may carry, and the words: two
polynomials, for each prime a word per coefficient. A key is a header and its words. The header names parameters that we
know; nothing else is taken from who sends it. Everything else of SEAL's own format is composed at the receiver.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nodes.homomorphic.bfv.parameters import HEADER_BYTES, SETS, Parameters, Set
from nodes.homomorphic.errors import BadKey, Overflow, invalid

Words = NDArray[np.uint64]

WORD_BYTES: Final = 8
POLYNOMIALS: Final = 2
_NATIVE: Final = (4, 8)
"""Sizes of words that NumPy converts at once."""
DIGEST_BYTES: Final = 8
_FRAME: Final = struct.Struct(">8sQ")
_KEY: Final = struct.Struct(">4sBQQ")
"""Kind, set, limit, noise."""
assert _FRAME.size == HEADER_BYTES


def pack(digest: bytes, noise: int, words: Words, word_bytes: int) -> tuple[bytes, bytes]:
    """The pieces of a frame, to be joined once for a whole body; `words` uint64 [2, primes, N]."""
    return _FRAME.pack(digest, noise), narrowed(words, word_bytes)


def unpack(frame: memoryview, digest: bytes, primes: Words, noise_max: int, chosen: Set) -> tuple[int, Words]:
    """Noise and words [2, primes, N]; raises BadCiphertext, always the same.

    Refused are another key's, noise that was not agreed, words that are no residues, and transparent ciphertexts, whose
    second polynomial is zero: those hide nothing.
    """
    key, noise = _FRAME.unpack_from(frame)
    if key != digest or not 0 < noise <= noise_max:
        raise invalid()
    shape = (POLYNOMIALS, len(primes), chosen.degree)
    words = widened(frame[_FRAME.size :], chosen.word_bytes).reshape(shape)
    if (words.max(axis=2) >= primes).any() or not words[1].any():
        raise invalid()
    return noise, words


def narrowed(words: Words, word_bytes: int) -> bytes:
    """The lowest bytes of each word, little-endian."""
    if word_bytes in _NATIVE:
        return words.astype(f"<u{word_bytes}").tobytes()
    octets = words.astype("<u8", copy=False).view(np.uint8).reshape(*words.shape, WORD_BYTES)
    return octets[..., :word_bytes].tobytes()


def widened(data: memoryview, word_bytes: int) -> Words:
    """Words of so many bytes, as uint64."""
    if word_bytes in _NATIVE:
        return np.frombuffer(data, f"<u{word_bytes}").astype("<u8")
    octets = np.frombuffer(data, np.uint8).reshape(-1, word_bytes)
    spread = np.zeros((len(octets), WORD_BYTES), np.uint8)
    spread[:, :word_bytes] = octets
    return spread.view("<u8")[:, 0]


def key_bytes(kind: bytes, parameters: Parameters, words: Words) -> bytes:
    """A key with its header."""
    return _KEY.pack(kind, parameters.chosen, parameters.limit, parameters.noise) + words.astype("<u8").tobytes()


def key_parts(data: bytes, kind: bytes) -> tuple[Parameters, memoryview]:
    """Parameters of a key, and what follows its header; raises BadKey."""
    if len(data) <= _KEY.size or data[: len(kind)] != kind:
        raise BadKey("these bytes are not a BFV key of the expected kind")
    _, chosen, limit, noise = _KEY.unpack_from(data)
    if chosen >= len(SETS) or noise < SETS[chosen].public_noise:
        raise BadKey("the BFV key has parameters that nobody knows: its owner must make another")
    try:
        return Parameters(chosen, limit, noise), memoryview(data)[_KEY.size :]
    except Overflow as error:
        raise BadKey(f"the BFV key proves nothing: {error}") from None


def key_words(data: memoryview, shape: Sequence[int], primes: Words) -> Words:
    """The words [..., primes, N] of a key; raises BadKey."""
    if len(data) != WORD_BYTES * int(np.prod(shape)):
        raise BadKey("the BFV key does not have the length of its parameters: its owner must publish it again")
    words = np.frombuffer(data, "<u8").reshape(shape)
    if (words >= primes[:, None]).any() or not words.any():
        raise BadKey("the BFV key is not one: its owner must publish it again")
    return words
