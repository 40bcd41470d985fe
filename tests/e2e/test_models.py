"""Models exported from scikit-learn score thousands of rows inside enclaves as scikit-learn scores them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from nodes.local import LocalNetwork
from nodes.renter.submission import JobOptions
from schemas.errors import BadProgram
from schemas.limits import PIECE_BYTES
from tests.support.models import DATA, NAMES, TOLERANCE, program, score, write_rows
from tests.support.tables import as_csv
from tests.unit.nodes.programs.exported import outside
from tests.unit.nodes.programs.models import data, model, node

ROWS = 5_000
JOB_SECONDS_MAX = 60


@pytest.mark.parametrize("name", NAMES)
async def test_an_enclave_scores_as_scikit_learn_does(tmp_path: Path, name: str) -> None:
    rows = write_rows(tmp_path / "data.csv", ROWS)
    async with LocalNetwork(tmp_path / "network") as network, asyncio.timeout(JOB_SECONDS_MAX):
        report, error = await score(network, name, rows)
    assert (report.phase, report.protection, report.rows_done) == ("completed", "enclave", ROWS)
    assert error < TOLERANCE


@pytest.mark.parametrize(
    ("name", "operator"),
    [("mlp", "Relu"), ("forest", "TreeEnsembleClassifier"), ("boosting", "TreeEnsembleRegressor")],
)
async def test_homomorphic_protection_refuses_it_naming_the_operator(tmp_path: Path, name: str, operator: str) -> None:
    async with LocalNetwork(tmp_path / "network") as network:
        with pytest.raises(BadProgram, match=f"^{operator} ") as refused:
            network.stage(DATA, program(name), None, JobOptions(protection="homomorphic"))
    assert refused.value.operator == operator


async def test_a_program_of_several_pieces_is_scored_as_outside(tmp_path: Path) -> None:
    width, random = 900, np.random.default_rng(1)
    weights = {"w": random.normal(size=(2, width)), "v": random.normal(size=(width, width)) / width}
    products = [node("MatMul", ["x", "w"], ["a"]), node("Relu", ["a"], ["r"]), node("MatMul", ["r", "v"], ["b"])]
    made = model([*products, node("ReduceMax", ["b"], ["y"], axes=[1])], inputs={"x": 2}, constants=weights)
    assert len(data(made)) > 3 * PIECE_BYTES
    (tmp_path / "data.csv").write_text("a,b\n" + "".join(f"{row},{row / 7}\n" for row in range(200)))
    async with LocalNetwork(tmp_path / "network") as network, asyncio.timeout(JOB_SECONDS_MAX):
        options = JobOptions(protection="enclave", accept_software_enclave=True)
        spec = network.stage(tmp_path / "data.csv", data(made), None, options)
        await network.submit(spec)
        report = [each async for each in network.watch(spec.id)][-1]
        got = np.genfromtxt(as_csv(network.output(spec.id)), delimiter=",", names=True)["y"]
    rows = np.array([[row, row / 7] for row in range(200)])
    assert report.phase == "completed"
    np.testing.assert_allclose(got, outside(made, rows)[:, 0], rtol=1e-6)
