"""Every cheat is caught and nobody honest is accused, on real ciphertexts of every exact scheme, in full batches."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from nodes.homomorphic import schemes
from nodes.homomorphic.audit import Auditor
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.port import IntegerProgram, SecretKey
from tests.support.seal import needs_seal

ROWS: Final = 4096
HONEST: Final = int(os.environ.get("HONESTY_BATCHES", "200"))
WRONG: Final = 20
PAILLIER_SHARE: Final = 1 if "HONESTY_BATCHES" in os.environ else 10
"""Of Paillier's batches only every so many-th, but in `make soak`: a batch takes 60 times as long."""
PROGRAM: Final = IntegerProgram(((31_007, -32_768),), (123_456,), input_max=1 << 18)


@dataclass(frozen=True)
class Parties:
    """A renter with its key, what its lessor sends back, and how often they are put to the test."""

    key: SecretKey
    honest: int
    wrong: int

    def rows(self, batch: int) -> NDArray[np.int64]:
        reach = PROGRAM.input_max
        return np.random.default_rng(batch).integers(-reach, reach, (ROWS, PROGRAM.width_in), endpoint=True)

    def result(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        body = self.key.public.evaluate(self.key.encrypt(values), ROWS, PROGRAM)
        return self.key.decrypt(body, ROWS, PROGRAM.width_out)

    def accepts(self, batch: int, result: NDArray[np.int64]) -> bool:
        auditor = Auditor(PROGRAM, b"\x07" * 32, str(batch), ROWS, 0.0)
        return auditor.honest(result, auditor.expect(self.rows(batch)))


def under_bfv() -> Parties:
    return Parties(schemes.generate("bfv", PROGRAM, ROWS), HONEST, WRONG)


def under_paillier() -> Parties:
    return Parties(paillier.generate(2048, subgroup=True), HONEST // PAILLIER_SHARE, max(2, WRONG // PAILLIER_SHARE))


EXACT: Final[dict[str, Callable[[], Parties]]] = {"bfv": under_bfv, "paillier": under_paillier}
"""Schemes whose results are audited as integers."""


@pytest.fixture(scope="module", params=[pytest.param("bfv", marks=needs_seal), "paillier"])
def parties(request: pytest.FixtureRequest) -> Parties:
    return EXACT[request.param]()


def test_no_honest_result_is_accused(parties: Parties) -> None:
    assert all(parties.accepts(batch, parties.result(parties.rows(batch))) for batch in range(parties.honest))


@pytest.mark.parametrize("wrong", [1, ROWS // 20], ids=["one row", "a twentieth"])
def test_each_cheat_is_caught(parties: Parties, wrong: int) -> None:
    """The lessor computes some rows of others' values; each differs by as little as it can choose."""
    for batch in range(parties.wrong):
        values, random = parties.rows(batch), np.random.default_rng(1000 + batch)
        values[random.choice(ROWS, wrong, replace=False), batch % PROGRAM.width_in] ^= 1
        assert not parties.accepts(batch, parties.result(values))
