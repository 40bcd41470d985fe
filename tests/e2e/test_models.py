"""Models exported from scikit-learn score 100,000 rows inside enclaves as scikit-learn scores them."""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import nodes.demo
from nodes.local import LocalNetwork
from nodes.renter.submission import JobOptions
from schemas.errors import BadProgram

MODELS = Path(__file__).resolve().parents[1] / "models"
DATA = Path(nodes.demo.__file__).parent / "breast_cancer.csv"
ROWS = 100_000
TOLERANCE = 1e-5
JOB_SECONDS_MAX = 100


def expected(model: str) -> dict[str, NDArray[np.float64]]:
    """What scikit-learn said of the demo's rows, by the names of the model's outputs."""
    with (MODELS / "expected.csv").open(newline="") as file:
        names, *rows = csv.reader(file)
    columns = np.array(rows, dtype=np.float64).T
    prefix = f"{model}_"
    return {n.removeprefix(prefix): column for n, column in zip(names, columns, strict=True) if n.startswith(prefix)}


def repeated(path: Path) -> Path:
    """The demo's rows again and again, 100,000 in all."""
    header, *lines = DATA.read_text().splitlines()
    path.write_text("\n".join([header, *(lines[row % len(lines)] for row in range(ROWS))]) + "\n")
    return path


@pytest.mark.parametrize("model", ["mlp", "forest", "boosting"])
async def test_an_enclave_scores_as_scikit_learn_does(tmp_path: Path, model: str) -> None:
    data, program = repeated(tmp_path / "data.csv"), (MODELS / f"{model}.onnx").read_bytes()
    options = JobOptions(protection="enclave", accept_software_enclave=True)
    async with LocalNetwork(tmp_path / "network") as network:
        spec = network.stage(data, program, None, options)
        await network.submit(spec)
        async with asyncio.timeout(JOB_SECONDS_MAX):
            reports = [each async for each in network.watch(spec.id)]
        assert (reports[-1].phase, reports[-1].protection, reports[-1].rows_done) == ("completed", "enclave", ROWS)
        got = np.genfromtxt(network.output(spec.id), delimiter=",", names=True)
    known = expected(model)
    assert set(known) <= set(got.dtype.names or ())
    for name, column in known.items():
        assert np.abs(got[name] - column[np.arange(ROWS) % len(column)]).max() < TOLERANCE


@pytest.mark.parametrize(
    ("model", "operator"),
    [("mlp", "Relu"), ("forest", "TreeEnsembleClassifier"), ("boosting", "TreeEnsembleRegressor")],
)
async def test_homomorphic_protection_refuses_it_naming_the_operator(tmp_path: Path, model: str, operator: str) -> None:
    program = (MODELS / f"{model}.onnx").read_bytes()
    async with LocalNetwork(tmp_path / "network") as network:
        with pytest.raises(BadProgram, match=f"^{operator} ") as refused:
            network.stage(DATA, program, None, JobOptions(protection="homomorphic"))
    assert refused.value.operator == operator
