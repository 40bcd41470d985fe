"""A lessor that computes on ciphertexts and changes some of the results: what guessing would look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from nodes.crew.crew import Crew
from nodes.homomorphic import schemes
from nodes.homomorphic.bfv.linear import BfvPublic
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.homomorphic.port import PublicKey
from nodes.lessor.compute.ciphertexts import CiphertextComputer
from nodes.lessor.compute.port import Computed
from schemas.jobs import Batch, SubtaskTerms
from tests.support.frames import framed

Wrong = Callable[[Batch], range]
"""Which rows of a batch, from 0, it gets wrong."""
Change = Callable[[PublicKey, Batch, bytes, bytes], bytes]
"""Of a request and its honest result, what it sends in place of that."""


def first_row(batch: Batch) -> range:
    """Only one."""
    return range(1)


def every_twentieth(batch: Batch) -> range:
    """5 %."""
    return range(0, batch.rows, 20)


def adding_one(wrong: Wrong) -> Change:
    """1 more in some rows of the first output."""

    def change(public: PublicKey, batch: Batch, request: bytes, result: bytes) -> bytes:
        size = public.result_bytes(batch.rows, 1)
        return _more(public, result[:size], batch.rows, wrong(batch)) + result[size:]

    return change


def _more(public: PublicKey, column: bytes, rows: int, wrong: range) -> bytes:
    if isinstance(public, BfvPublic):  # which adds nothing that could pass the noise it was made for
        return _more_in_words(public, column, rows, wrong)
    assert isinstance(public, PaillierPublic)
    blocks, size, n_squared = bytearray(column), public.ciphertext_bytes, int(public.n_squared)
    for row in wrong:
        block, slot = divmod(row, public.slots)
        place = slice(block * size, (block + 1) * size)
        factor = 1 + int(public.n) * (1 << (public.slot_bits * slot))
        blocks[place] = (int.from_bytes(blocks[place], "big") * factor % n_squared).to_bytes(size, "big")
    return bytes(blocks)


def _more_in_words(public: BfvPublic, column: bytes, rows: int, wrong: range) -> bytes:
    """A whole number m is q m / t in the coefficient of its row."""
    chosen, primes = public.parameters.set, public.engine.primes
    one = np.array([chosen.q // public.parameters.t % int(prime) for prime in primes], np.uint64)
    made = []
    for block, (noise, words) in enumerate(public.all_words(column, rows, 1)):
        at = [row - block * public.slots for row in wrong if row // public.slots == block]
        changed = words.copy()
        changed[0][:, at] = (changed[0][:, at] + one[:, None]) % primes[:, None]
        made.append(framed(public, changed, noise))
    return b"".join(made)


@dataclass(frozen=True, slots=True)
class CheatingComputer(CiphertextComputer):
    """Changes every result."""

    public: PublicKey
    change: Change

    async def compute(self, batch: Batch, body: bytes) -> Computed:
        """The honest result, changed."""
        computed = await CiphertextComputer.compute(self, batch, body)
        return replace(computed, body=self.change(self.public, batch, body, computed.body))


def cheat(monkeypatch: pytest.MonkeyPatch, lessor: str, change: Change) -> None:
    """Let this lessor of a network in this process cheat from now on."""
    honest = CiphertextComputer.build

    async def build(terms: SubtaskTerms, program: bytes, public_key: bytes, crew: Crew) -> CiphertextComputer:
        built = await honest(terms, program, public_key, crew)
        if terms.contract.lessor != lessor:
            return built
        assert terms.scheme is not None
        return CheatingComputer(crew, built.kit, schemes.read_public(terms.scheme, public_key), change)

    monkeypatch.setattr(CiphertextComputer, "build", build)
