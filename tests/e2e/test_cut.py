"""Classifiers as scikit-learn's exporter writes them, with default options, as jobs: what scikit-learn predicts."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.cli.compare import compare
from nodes.cli.inputs import Inputs
from nodes.local import LocalNetwork
from nodes.renter.submission import JobOptions
from nodes.views.report import JobReport
from tests.support.models import MODELS
from tests.support.tables import as_csv
from tests.unit.nodes.programs.models import data as serialised
from tests.unit.nodes.programs.models import model, node

FOLDER = MODELS / "classifiers"
DATA = FOLDER / "wine.csv"
MAX_ERROR = 1e-6
FLOAT32_ERROR = 2e-6
"""Of probabilities that scikit-learn computes in float64."""
JOB_SECONDS_MAX = 60


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[LocalNetwork]:
    async with LocalNetwork(tmp_path / "network") as running:
        yield running


async def run(
    network: LocalNetwork, name: str, local: bytes | None = None, data: Path = DATA, **wishes: Any
) -> JobReport:
    options = JobOptions(accept_software_enclave=True, max_error=MAX_ERROR, **wishes)
    spec = network.stage(data, (FOLDER / f"{name}.onnx").read_bytes(), local, options)
    await network.submit(spec)
    async with asyncio.timeout(JOB_SECONDS_MAX):
        return [each async for each in network.watch(spec.id)][-1]


def read(path: Path | None) -> tuple[list[str], list[list[str]]]:
    assert path is not None
    with (as_csv(path) if path.is_dir() else path).open(newline="") as file:
        names, *rows = csv.reader(file)
    return names, rows


@pytest.mark.parametrize("name", ["two", "three"])
async def test_a_default_export_runs_on_ciphertext_and_gives_probabilities_and_labels(
    network: LocalNetwork, name: str
) -> None:
    report = await run(network, name, protection="homomorphic")
    assert (report.phase, report.protection) == ("completed", "homomorphic")
    assert report.cut is not None
    assert (report.cut.numbers, report.cut.flips) == ({"two": 1, "three": 3}[name], True)
    assert report.cut.factor == {"two": 0.25, "three": 0.5}[name]
    names, rows = read(report.output)
    (_, *classes), known = read(FOLDER / f"{name}.csv")
    assert names == ["row", "output_label", *(f"probabilities_{each}" for each in classes)]
    assert [row[1] for row in rows] == [row[0] for row in known]
    got, expected = (np.array([row[skip:] for row in each], float) for each, skip in ((rows, 2), (known, 1)))
    np.testing.assert_allclose(got, expected, rtol=0, atol=report.cut.factor * MAX_ERROR + FLOAT32_ERROR)
    inputs = Inputs(DATA, (FOLDER / f"{name}.onnx").read_bytes())
    comparison = compare(inputs, JobOptions(max_error=MAX_ERROR, protection="homomorphic"), report)
    assert comparison.good
    assert comparison.max_abs_error < comparison.tolerance


async def test_the_assessment_chooses_between_the_beginning_on_ciphertext_and_all_in_enclaves(
    network: LocalNetwork,
) -> None:
    chosen = await run(network, "svm")
    assert (chosen.protection, chosen.cut is not None) == ("homomorphic", True)
    enclosed = await run(network, "svm", encrypt_seconds_max=0.0)
    assert (enclosed.protection, enclosed.cut) == ("enclave", None)
    labels = [[row[1] for row in read(each.output)[1]] for each in (chosen, enclosed)]
    assert labels[0] == labels[1] == [row[0] for row in read(FOLDER / "svm.csv")[1]]


async def test_text_labels_of_trees_come_back_from_enclaves(network: LocalNetwork) -> None:
    report = await run(network, "forest", protection="enclave")
    assert [row[1] for row in read(report.output)[1]] == [row[0] for row in read(FOLDER / "forest.csv")[1]]


async def test_the_users_local_program_follows_the_rest(network: LocalNetwork) -> None:
    double = model([node("Mul", ["x", "two"], ["y"])], {"x": 3}, constants={"two": [2.0]})
    report = await run(network, "two", serialised(double), protection="homomorphic")
    names, rows = read(report.output)
    assert names == ["row", "y_0", "y_1", "y_2"]
    got = np.array([row[1:] for row in rows], float)
    expected = np.array([row[1:] for row in read(FOLDER / "two.csv")[1]], float)
    np.testing.assert_allclose(got[:, 1:], 2 * expected, rtol=0, atol=5e-6)
    assert set(got[:, 0]) == {0.0, 2.0}, "labels are numbers to a local program"


async def test_columns_of_text_are_encoded_here_and_run_on_ciphertext(network: LocalNetwork) -> None:
    report = await run(network, "people", data=FOLDER / "people.csv", protection="homomorphic")
    assert (report.phase, report.protection) == ("completed", "homomorphic")
    assert (report.columns, report.columns_by) == (("sex", "age", "town", "income"), "name")
    names, rows = read(report.output)
    (_, *classes), known = read(FOLDER / "people-scores.csv")
    assert names == ["row", "output_label", *(f"probabilities_{each}" for each in classes)]
    assert [row[1] for row in rows] == [row[0] for row in known]
    got, expected = (np.array([row[skip:] for row in each], float) for each, skip in ((rows, 2), (known, 1)))
    np.testing.assert_allclose(got, expected, rtol=0, atol=0.25 * MAX_ERROR + FLOAT32_ERROR)
    inputs = Inputs(FOLDER / "people.csv", (FOLDER / "people.onnx").read_bytes())
    assert compare(inputs, JobOptions(max_error=MAX_ERROR, protection="homomorphic"), report).good
    stored = b"".join(path.read_bytes() for path in network.jobs.rglob("*") if path.is_file())
    assert b"Bonn" not in stored
    assert b"old" in stored, "the label's text stays in the folder"
