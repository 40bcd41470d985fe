"""A lessor that computes on Paillier ciphertexts and changes some of the results: what guessing would look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from nodes.crew.crew import Crew
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.lessor.compute.ciphertexts import CiphertextComputer
from nodes.lessor.compute.port import Computed
from schemas.jobs import Batch, SubtaskTerms

Wrong = Callable[[Batch], range]
"""Which rows of a batch, from 0, it gets wrong."""


def first_row(batch: Batch) -> range:
    """Only one."""
    return range(1)


def every_twentieth(batch: Batch) -> range:
    """5 %."""
    return range(0, batch.rows, 20)


@dataclass(frozen=True, slots=True)
class CheatingComputer(CiphertextComputer):
    """Adds 1 to some rows of the first output of every result."""

    public: PaillierPublic
    wrong: Wrong

    async def compute(self, batch: Batch, body: bytes) -> Computed:
        """The honest result, changed."""
        computed = await CiphertextComputer.compute(self, batch, body)
        public, blocks = self.public, bytearray(computed.body)
        size, n_squared = public.ciphertext_bytes, int(public.n_squared)
        for row in self.wrong(batch):
            block, slot = divmod(row, public.slots)
            place = slice(block * size, (block + 1) * size)
            factor = 1 + int(public.n) * (1 << (public.slot_bits * slot))
            changed = int.from_bytes(blocks[place], "big") * factor % n_squared
            blocks[place] = changed.to_bytes(size, "big")
        return replace(computed, body=bytes(blocks))


def cheat(monkeypatch: pytest.MonkeyPatch, lessor: str, wrong: Wrong) -> None:
    """Let this lessor of a network in this process cheat from now on."""
    honest = CiphertextComputer.build

    async def build(terms: SubtaskTerms, program: bytes, public_key: bytes, crew: Crew) -> CiphertextComputer:
        built = await honest(terms, program, public_key, crew)
        if terms.contract.lessor != lessor:
            return built
        return CheatingComputer(crew, built.kit, PaillierPublic.from_bytes(public_key), wrong)

    monkeypatch.setattr(CiphertextComputer, "build", build)
