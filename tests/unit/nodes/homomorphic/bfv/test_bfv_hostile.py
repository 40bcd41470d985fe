"""Hostile frames, and the attack that takes a key with one decryption: it works on a renter that does not audit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from nodes.homomorphic.audit import Auditor
from nodes.homomorphic.bfv import linear
from nodes.homomorphic.bfv.linear import BfvPublic, BfvSecret
from nodes.homomorphic.bfv.parameters import Parameters, fitting
from nodes.homomorphic.errors import BadCiphertext, BadKey
from nodes.homomorphic.port import IntegerProgram
from tests.support.frames import HOSTILE, key_reader, read_with, words_of
from tests.support.seal import needs_seal

pytestmark = needs_seal

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


@pytest.fixture(scope="module", params=["one prime", "two primes"])
def job(request: pytest.FixtureRequest) -> Job:
    program = PROGRAM if request.param == "one prime" else WIDE
    needed = fitting(program, ROWS)
    secret = linear.generate(Parameters(needed.chosen, needed.limit, 4 * needed.noise))  # with room to tamper in
    assert len(secret.public.parameters.set.prime_bits) == (1 if program is PROGRAM else 2)
    values = np.random.default_rng(5).integers(-2048, 2049, (ROWS, 2))
    return Job(secret, program, values, secret.public.evaluate(secret.encrypt(values), ROWS, program))


def of_other_rows(job: Job) -> bytes:
    return job.public.evaluate(job.secret.encrypt(job.values[::-1].copy()), ROWS, job.program)


def one_wrong(job: Job) -> bytes:
    """Of one row a result that differs by one."""
    wrong = np.zeros((ROWS, 1), np.int64)
    wrong[ROWS // 2] = 1
    return job.public.add(job.body, job.secret.encrypt(wrong), ROWS, 1)


WRONG: Final[dict[str, Callable[[Job], bytes]]] = {"other rows": of_other_rows, "one wrong row": one_wrong}
"""Well-formed results that only the audit refuses."""


def test_an_honest_result_passes(job: Job) -> None:
    assert (job.opened(job.body) == job.values @ np.array(job.program.weights).T + np.array(job.program.bias)).all()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_results_are_refused(job: Job, name: str) -> None:
    craft, code = HOSTILE[name]
    with pytest.raises(BadCiphertext) as refused:
        job.opened(craft(job.public, job.body))
    assert refused.value.code == code


@pytest.mark.parametrize("name", WRONG)
def test_wrong_results_are_refused_by_the_audit(job: Job, name: str) -> None:
    with pytest.raises(BadCiphertext) as refused:
        job.opened(WRONG[name](job))
    assert refused.value.code == "wrong-result"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_requests_are_refused_by_lessors_that_have_no_key(job: Job, name: str) -> None:
    """But of what only the key can tell: a key's other ciphertexts are as good as these."""
    identity = IntegerProgram(((1,),), (0,), input_max=2)
    body = HOSTILE[name][0](job.public, job.body)
    if name in {"another key's under this one's name", "the key itself"}:
        assert job.public.rerandomise(body, ROWS, 1) != body
        return
    with pytest.raises(BadCiphertext):
        job.public.evaluate(body, ROWS, identity)


def test_one_decryption_of_a_crafted_ciphertext_is_the_whole_key(job: Job) -> None:
    """A renter that shows what it decrypted without an audit loses its key to one message."""
    shown = job.secret.decrypt(key_reader(job.public), job.public.slots, 1)[:, 0]
    assert set(np.unique(shown)) == {-1, 0, 1}
    values = np.arange(job.public.slots, dtype=np.int64)[:, None] % 2000
    body = job.secret.encrypt(values)
    assert (read_with(shown, job.public, words_of(job.public, body)) == values[:, 0]).all()
    with pytest.raises(BadCiphertext):  # an audited batch gives nothing away
        job.opened(key_reader(job.public))


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
