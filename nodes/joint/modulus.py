"""A proof that a modulus n is coprime to phi(n), so that x -> x^n is a permutation and noise hides everything. Pure.

Without it, who makes the key could choose n so that ciphertexts under "full noise" still tell of what they were made
of. Goldberg, Reyzin, Sagga and Baldimtsi, "Efficient Noninteractive Certification of RSA Moduli and Beyond" (ASIACRYPT
2019, eprint 2018/057), section 3.2: the verifier sees n-th roots of ROOTS hash values, and that no prime below
SMALL_PRIMES_BELOW divides n. If n and phi(n) share a factor, which is then a prime of n and so at least that large, a
random value has a root with a probability of at most 1 / SMALL_PRIMES_BELOW; 11 roots leave 6370^-11 < 2^-128 (eprint
2018/987, section 6.2.3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import gmpy2
from gmpy2 import mpz

from nodes.joint.errors import BadPeer

ROOTS = 11
SMALL_PRIMES_BELOW = 6370

_LABEL = b"sublet joint modulus v1"
_SLACK_BYTES = 16
"""More than n has, so that a hash value modulo n is uniform up to 2^-128."""


def context(job: str, renter: str) -> bytes:
    """Of the proof in a job's request."""
    return f"{job}/{renter}".encode()


def proof(p: mpz, q: mpz, context: bytes) -> bytes:
    """The n-th roots, each as long as n. `context` names the job and the parties, so that a proof serves once."""
    n = p * q
    exponent = gmpy2.invert(n, (p - 1) * (q - 1))
    size = _size(n)
    return b"".join([gmpy2.powmod(value, exponent, n).to_bytes(size, "big") for value in _values(n, context)])


def require_good(n: mpz, proved: bytes, context: bytes) -> None:
    """Raises BadPeer `modulus-unproved`."""
    size = _size(n)
    if len(proved) != ROOTS * size or gmpy2.gcd(n, _primorial()) != 1:
        raise _unproved()
    roots = [mpz.from_bytes(proved[at : at + size], "big") for at in range(0, len(proved), size)]
    if not all(0 < root < n for root in roots) or gmpy2.powmod_base_list(roots, n, n) != _values(n, context):
        raise _unproved()


def _unproved() -> BadPeer:
    return BadPeer(
        "the key's modulus is not proved to be good: its owner must make a new key and prove it",
        code="modulus-unproved",
    )


def _values(n: mpz, context: bytes) -> list[mpz]:
    size = _size(n)
    seed = hashlib.sha256(_LABEL + len(context).to_bytes(8, "big") + context + n.to_bytes(size, "big")).digest()
    wide = hashlib.shake_256(seed).digest(ROOTS * (size + _SLACK_BYTES))
    cuts: Sequence[int] = range(0, len(wide), size + _SLACK_BYTES)
    return [mpz.from_bytes(wide[at : at + size + _SLACK_BYTES], "big") % n for at in cuts]


def _size(n: mpz) -> int:
    return -(-int(n.bit_length()) // 8)


def _primorial() -> mpz:
    return gmpy2.primorial(SMALL_PRIMES_BELOW - 1)
