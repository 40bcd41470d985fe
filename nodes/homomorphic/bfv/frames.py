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
DIGEST_BYTES: Final = 8
_FRAME: Final = struct.Struct(">8sQ")
_KEY: Final = struct.Struct(">4sBQQ")
"""Kind, set, limit, noise."""
assert _FRAME.size == HEADER_BYTES


def pack(digest: bytes, noise: int, words: Words, word_bytes: int) -> tuple[bytes, bytes]:
    """The pieces of a frame, to be joined once for a whole body; `words` uint64 [2, primes, N]."""
    octets = words.astype("<u8", copy=False).view(np.uint8).reshape(*words.shape, WORD_BYTES)
    return _FRAME.pack(digest, noise), octets[..., :word_bytes].tobytes()


def unpack(frame: memoryview, digest: bytes, primes: Words, noise_max: int, chosen: Set) -> tuple[int, Words]:
    """Noise and words [2, primes, N]; raises BadCiphertext, always the same.

    Refused are another key's, noise that was not agreed, words that are no residues, and transparent ciphertexts, whose
    second polynomial is zero: those hide nothing.
    """
    key, noise = _FRAME.unpack_from(frame)
    if key != digest or not 0 < noise <= noise_max:
        raise invalid()
    packed = np.frombuffer(frame, np.uint8, offset=_FRAME.size)
    octets = packed.reshape(POLYNOMIALS, len(primes), chosen.degree, chosen.word_bytes)
    spread = np.zeros((*octets.shape[:-1], WORD_BYTES), np.uint8)
    spread[..., : chosen.word_bytes] = octets
    words = spread.view("<u8")[..., 0]
    if (words >= primes[:, None]).any() or not words[1].any():
        raise invalid()
    return noise, words


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
