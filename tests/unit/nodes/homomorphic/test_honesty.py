"""Every cheat is caught and nobody honest is accused, on real ciphertexts of every exact scheme."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from nodes.homomorphic.audit import Auditor
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.port import IntegerProgram, SecretKey

ROWS = 40
BATCHES_HONEST = 200
BATCHES_WRONG = 20
PROGRAM = IntegerProgram(((31_007, -32_768),), (123_456,), input_max=1 << 18)
EXACT: dict[str, Callable[[IntegerProgram], SecretKey]] = {"paillier": lambda program: paillier.generate(2048)}
"""How keys are made of the schemes whose results are audited as integers."""


@dataclass(frozen=True)
class Parties:
    """A renter with its key, and what its lessor sends back."""

    key: SecretKey

    def rows(self, batch: int) -> NDArray[np.int64]:
        reach = PROGRAM.input_max
        return np.random.default_rng(batch).integers(-reach, reach, (ROWS, PROGRAM.width_in), endpoint=True)

    def result(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        body = self.key.public.evaluate(self.key.encrypt(values), ROWS, PROGRAM)
        return self.key.decrypt(body, ROWS, PROGRAM.width_out)

    def accepts(self, batch: int, result: NDArray[np.int64]) -> bool:
        auditor = Auditor(PROGRAM, b"\x07" * 32, str(batch), ROWS, 0.0)
        return auditor.honest(result, auditor.expect(self.rows(batch)))


@pytest.fixture(scope="module", params=EXACT)
def parties(request: pytest.FixtureRequest) -> Parties:
    return Parties(EXACT[request.param](PROGRAM))


def test_no_honest_result_of_200_is_accused(parties: Parties) -> None:
    assert all(parties.accepts(batch, parties.result(parties.rows(batch))) for batch in range(BATCHES_HONEST))


@pytest.mark.parametrize("wrong", [1, ROWS // 20], ids=["one row", "a twentieth"])
def test_each_of_20_cheats_is_caught(parties: Parties, wrong: int) -> None:
    """The lessor computes some rows of others' values; each differs by as little as it can choose."""
    for batch in range(BATCHES_WRONG):
        values, random = parties.rows(batch), np.random.default_rng(1000 + batch)
        values[random.choice(ROWS, wrong, replace=False), batch % PROGRAM.width_in] ^= 1
        assert not parties.accepts(batch, parties.result(values))
