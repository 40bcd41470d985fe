"""Hostile frames, and the attack that takes a key with one decryption: it works on a renter that does not audit."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from nodes.homomorphic.audit import Auditor
from nodes.homomorphic.bfv import linear
from nodes.homomorphic.bfv.frames import Words
from nodes.homomorphic.bfv.linear import BfvPublic, BfvSecret
from nodes.homomorphic.bfv.parameters import HEADER_BYTES, Parameters, fitting
from nodes.homomorphic.errors import BadCiphertext, BadKey
from nodes.homomorphic.port import IntegerProgram

PROGRAM: Final = IntegerProgram(((9, -5),), (17,), input_max=1 << 11)
WIDE: Final = IntegerProgram(((1 << 26, 3),), (0,), input_max=1 << 11)
"""Under two primes."""
ROWS: Final = 100


@dataclass(frozen=True)
class Job:
    """A key, a batch's values, and an honest result."""

    secret: BfvSecret
    program: IntegerProgram
    values: NDArray[np.int64] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def public(self) -> BfvPublic:
        return self.secret.public

    def opened(self, body: bytes) -> NDArray[np.int64]:
        """What a renter keeps of a result: nothing before the audit; raises BadCiphertext."""
        auditor = Auditor(self.program, b"a secret", "batch", ROWS, 0.0)
        shown = self.secret.decrypt(body, ROWS, 1)
        if not auditor.honest(shown, auditor.expect(self.values)):
            raise BadCiphertext("audited", code="wrong-result")
        return shown

    def framed(self, words: Words, noise: int = 1) -> bytes:
        """A body of one ciphertext."""
        header = bytes.fromhex(self.public.digest)[:8] + struct.pack(">Q", noise)
        octets = words.astype("<u8").view(np.uint8).reshape(*words.shape, 8)
        return header + octets[..., : self.public.parameters.set.word_bytes].tobytes()

    def words(self) -> Words:
        """Of the honest result."""
        ((_, words),) = self.public.all_words(self.body, ROWS, 1)
        return words.copy()

    def crafted(self) -> bytes:
        """(0, round(q / t)), which decrypts to the secret key itself."""
        chosen, t = self.public.parameters.set, self.public.parameters.t
        words = np.zeros((2, len(self.public.engine.primes), chosen.degree), np.uint64)
        words[1, :, 0] = [(chosen.q + t // 2) // t % int(prime) for prime in self.public.engine.primes]
        return self.framed(words)


@pytest.fixture(scope="module", params=["one prime", "two primes"])
def job(request: pytest.FixtureRequest) -> Job:
    program = PROGRAM if request.param == "one prime" else WIDE
    needed = fitting(program, ROWS)
    secret = linear.generate(Parameters(needed.chosen, needed.limit, 4 * needed.noise))  # with room to tamper in
    assert len(secret.public.parameters.set.prime_bits) == (1 if program is PROGRAM else 2)
    values = np.random.default_rng(5).integers(-2048, 2049, (ROWS, 2))
    return Job(secret, program, values, secret.public.evaluate(secret.encrypt(values), ROWS, program))


def large_word(job: Job) -> bytes:
    """A word that is its prime."""
    words = job.words()
    words[0, 0, 3] = job.public.engine.primes[0]
    return job.framed(words)


def transparent(job: Job) -> bytes:
    """A ciphertext that hides nothing, though it decrypts to the right result."""
    words = job.words()
    words[1] = 0
    return job.framed(words)


def of_another_key(job: Job) -> bytes:
    other = linear.generate(job.public.parameters)
    return other.public.evaluate(other.encrypt(job.values), ROWS, job.program)


def of_another_job(job: Job) -> bytes:
    """Of another key, under this one's name."""
    return job.body[:HEADER_BYTES] + of_another_key(job)[HEADER_BYTES:]


def noisier(job: Job) -> bytes:
    return job.framed(job.words(), job.public.parameters.noise + 1)


def without_noise(job: Job) -> bytes:
    return job.framed(job.words(), 0)


def of_other_rows(job: Job) -> bytes:
    return job.public.evaluate(job.secret.encrypt(job.values[::-1].copy()), ROWS, job.program)


def one_wrong(job: Job) -> bytes:
    """Of one row a result that differs by one."""
    wrong = np.zeros((ROWS, 1), np.int64)
    wrong[ROWS // 2] = 1
    return job.public.add(job.body, job.framed(blank(job, wrong), 1), ROWS, 1)


def blank(job: Job, values: NDArray[np.int64]) -> Words:
    ((_, words),) = job.public.all_words(job.secret.encrypt(values), ROWS, 1)
    return words


HOSTILE: Final[dict[str, tuple[Callable[[Job], bytes], str]]] = {
    "a word as large as its prime": (large_word, "ciphertext-invalid"),
    "transparent": (transparent, "ciphertext-invalid"),
    "another key's": (of_another_key, "ciphertext-invalid"),
    "another key's under this one's name": (of_another_job, "ciphertext-invalid"),
    "more noise than agreed": (noisier, "ciphertext-invalid"),
    "no noise": (without_noise, "ciphertext-invalid"),
    "truncated": (lambda job: job.body[:-1], "ciphertext-length"),
    "longer": (lambda job: job.body + b"\0", "ciphertext-length"),
    "nothing": (lambda job: b"", "ciphertext-length"),
    "zeros": (lambda job: bytes(len(job.body)), "ciphertext-invalid"),
    "ones": (lambda job: b"\xff" * len(job.body), "ciphertext-invalid"),
    "other rows": (of_other_rows, "wrong-result"),
    "one wrong row": (one_wrong, "wrong-result"),
    "the key itself": (lambda job: job.crafted(), "ciphertext-invalid"),
}


def test_an_honest_result_passes(job: Job) -> None:
    assert (job.opened(job.body) == job.values @ np.array(job.program.weights).T + np.array(job.program.bias)).all()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_results_are_refused(job: Job, name: str) -> None:
    craft, code = HOSTILE[name]
    with pytest.raises(BadCiphertext) as refused:
        job.opened(craft(job))
    assert refused.value.code == code


@pytest.mark.parametrize("name", [name for name, (_, code) in HOSTILE.items() if code != "wrong-result"])
def test_hostile_requests_are_refused_by_lessors_that_have_no_key(job: Job, name: str) -> None:
    """But of what only the key can tell: a key's other ciphertexts are as good as these."""
    identity = IntegerProgram(((1,),), (0,), input_max=2)
    body = HOSTILE[name][0](job)
    if name in {"another key's under this one's name", "the key itself"}:
        assert job.public.rerandomise(body, ROWS, 1) != body
        return
    with pytest.raises(BadCiphertext):
        job.public.evaluate(body, ROWS, identity)


def test_one_decryption_of_a_crafted_ciphertext_is_the_whole_key(job: Job) -> None:
    """A renter that shows what it decrypted without an audit loses its key to one message."""
    shown = job.secret.decrypt(job.crafted(), job.public.slots, 1)[:, 0]
    assert set(np.unique(shown)) == {-1, 0, 1}
    values = np.arange(job.public.slots, dtype=np.int64)[:, None] % 2000
    assert (read_with(shown, job, job.secret.encrypt(values)) == values[:, 0]).all()
    with pytest.raises(BadCiphertext):  # an audited batch gives nothing away
        job.opened(job.crafted())


def read_with(key: NDArray[np.int64], job: Job, body: bytes) -> NDArray[np.int64]:
    """Decrypts with a ternary key [N]: round(t (c0 + c1 s) / q) modulo t."""
    ((_, words),) = job.public.all_words(body, job.public.slots, 1)
    primes = [int(prime) for prime in job.public.engine.primes]
    parts = [product(words[1, at].astype(np.int64), key, prime) for at, prime in enumerate(primes)]
    residues = [
        (part + words[0, at].astype(np.int64)) % prime
        for at, (part, prime) in enumerate(zip(parts, primes, strict=True))
    ]
    q, t = job.public.parameters.set.q, job.public.parameters.t
    basis = [q // prime * pow(q // prime, -1, prime) for prime in primes]
    whole = (
        sum(int(part[i]) * factor for part, factor in zip(residues, basis, strict=True)) % q for i in range(len(key))
    )
    numbers = [(t * number + q // 2) // q % t for number in whole]
    return np.array([number - t if number > t // 2 else number for number in numbers])


def product(polynomial: NDArray[np.int64], key: NDArray[np.int64], prime: int) -> NDArray[np.int64]:
    """Modulo X^N + 1 and the prime."""
    total = np.zeros(len(key), np.int64)
    doubled = np.concatenate([-polynomial, polynomial])
    for at in np.flatnonzero(key):
        rolled = doubled[len(key) - at : 2 * len(key) - at]
        total = (total + int(key[at]) * rolled) % prime
    return total


@pytest.mark.parametrize("change", ["kind", "set", "limit", "noise", "short", "word", "empty"])
def test_mangled_keys_are_refused(job: Job, change: str) -> None:
    data = bytearray(job.public.to_bytes())
    if change == "kind":
        data[0] ^= 1
    elif change == "set":
        data[4] = 99
    elif change == "limit":
        data[5:13] = (1 << 57).to_bytes(8, "big")
    elif change == "noise":
        data[13:21] = (1).to_bytes(8, "big")
    elif change == "word":
        data[21:29] = b"\xff" * 8
    with pytest.raises(BadKey):
        BfvPublic.from_bytes({"short": bytes(data[:-8]), "empty": b""}.get(change, bytes(data)))


def test_halves_of_different_keys_are_refused(job: Job) -> None:
    other = linear.generate(Parameters(job.public.parameters.chosen, 5, 1 << 19))
    size = len(job.secret.to_bytes()) - len(job.public.to_bytes())
    with pytest.raises(BadKey, match="halves"):
        BfvSecret.from_bytes(job.secret.to_bytes()[:size] + other.public.to_bytes())


def test_a_secret_does_not_show_itself(job: Job) -> None:
    assert job.secret.to_bytes()[25:45].hex() not in repr(job.secret)
    assert repr(job.secret) == f"BfvSecret(public={job.public.digest[:16]})"
