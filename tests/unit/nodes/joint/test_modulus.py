"""The proof that a modulus is coprime to phi of it."""

from __future__ import annotations

import gmpy2
import pytest
from gmpy2 import mpz

from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.joint import modulus
from nodes.joint.errors import BadPeer


def _refused(n: mpz, proved: bytes, context: bytes = b"job") -> None:
    with pytest.raises(BadPeer) as caught:
        modulus.require_good(n, proved, context)
    assert caught.value.code == "modulus-unproved"


def test_a_key_of_ours_is_proved_good(secret: PaillierSecret) -> None:
    modulus.require_good(secret.public.n, modulus.proof(secret.p, secret.q, b"job"), b"job")


def test_eleven_roots_leave_less_than_2_to_the_minus_128() -> None:
    assert modulus.SMALL_PRIMES_BELOW**modulus.ROOTS > 2**128


@pytest.mark.parametrize("spoil", ["another job", "cut", "one bit", "zeros", "not reduced"])
def test_a_proof_serves_one_job_and_is_whole(secret: PaillierSecret, spoil: str) -> None:
    n, proved = secret.public.n, modulus.proof(secret.p, secret.q, b"job")
    root = mpz.from_bytes(proved[-256:], "big") + n
    spoiled = {
        "another job": proved,
        "cut": proved[:-256],
        "one bit": proved[:-1] + bytes((proved[-1] ^ 1,)),
        "zeros": bytes(len(proved)),
        "not reduced": proved[:-256] + root.to_bytes(257, "big")[-256:],
    }
    _refused(n, spoiled[spoil], b"another job" if spoil == "another job" else b"job")


def test_a_modulus_that_shares_a_factor_with_its_phi_has_no_proof() -> None:
    """q = 2 k p + 1 makes p a factor of phi(n): only one value in p has an n-th root."""
    p = gmpy2.next_prime(mpz(1) << 512)
    times = 2
    while not gmpy2.is_prime(times * p + 1):
        times += 2
    n = p * (times * p + 1)
    with pytest.raises(ZeroDivisionError):
        modulus.proof(p, times * p + 1, b"job")
    _refused(n, bytes(modulus.ROOTS * (n.bit_length() // 8 + 1)))


def test_a_modulus_with_a_small_factor_is_refused(secret: PaillierSecret) -> None:
    n = secret.p * 6367
    _refused(n, modulus.proof(secret.p, mpz(6367), b"job"))
