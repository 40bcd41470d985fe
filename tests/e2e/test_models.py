"""Models exported from scikit-learn score thousands of rows inside enclaves as scikit-learn scores them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nodes.local import LocalNetwork
from nodes.renter.submission import JobOptions
from schemas.errors import BadProgram
from tests.support.models import DATA, NAMES, TOLERANCE, program, score, write_rows

ROWS = 5_000
JOB_SECONDS_MAX = 60


@pytest.mark.parametrize("model", NAMES)
async def test_an_enclave_scores_as_scikit_learn_does(tmp_path: Path, model: str) -> None:
    data = write_rows(tmp_path / "data.csv", ROWS)
    async with LocalNetwork(tmp_path / "network") as network, asyncio.timeout(JOB_SECONDS_MAX):
        report, error = await score(network, model, data)
    assert (report.phase, report.protection, report.rows_done) == ("completed", "enclave", ROWS)
    assert error < TOLERANCE


@pytest.mark.parametrize(
    ("model", "operator"),
    [("mlp", "Relu"), ("forest", "TreeEnsembleClassifier"), ("boosting", "TreeEnsembleRegressor")],
)
async def test_homomorphic_protection_refuses_it_naming_the_operator(tmp_path: Path, model: str, operator: str) -> None:
    async with LocalNetwork(tmp_path / "network") as network:
        with pytest.raises(BadProgram, match=f"^{operator} ") as refused:
            network.stage(DATA, program(model), None, JobOptions(protection="homomorphic"))
    assert refused.value.operator == operator
