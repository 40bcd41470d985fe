"""Jobs on a real RabbitMQ with a process per role, some of which are killed."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.support.deployment import Deployment, deployment
from tests.support.rabbitmq import Server
from tests.support.seal import needs_seal
from tests.unit.nodes.programs.models import data, model, node

pytestmark = pytest.mark.rabbitmq

ROWS, COLUMNS = 5_000, 9
BATCH_ROWS = {"homomorphic": 235, "sealed-result": 235, "enclave": 25}
TOLERANCE = {"homomorphic": 1e-3, "sealed-result": 1e-3, "enclave": 1e-6}


@dataclass(frozen=True, slots=True)
class Market:
    """One network for all tests of this module, with two workers of each lessor: processes by address."""

    network: Deployment
    started: Mapping[str, list[subprocess.Popen[bytes]]]

    def kill(self, address: str) -> None:
        """A process of a node ends in the middle of whatever it does."""
        killed = self.started[address].pop(0)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()

    def replace(self, role: str, address: str) -> None:
        """Another process of the node begins."""
        self.started[address].append(self.network.start(role, address))


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory, rabbitmq: Server) -> Iterator[Market]:
    with deployment(tmp_path_factory.mktemp("market") / "network", rabbitmq) as network:
        yield Market(network, network.start_all(workers=2))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, np.ndarray]:
    """5,000 rows × 9 columns, a linear model, and its results in plaintext."""
    random = np.random.default_rng(ROWS)
    scales = 10.0 ** np.arange(-3, 6)
    rows = np.round(random.normal(size=(ROWS, COLUMNS)) * scales, 6)
    weights = np.round(random.normal(size=COLUMNS) / scales, 6)
    folder = tmp_path_factory.mktemp("files")
    names = [f"x{column}" for column in range(COLUMNS)]
    with (folder / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", *names])
        writer.writerows([f"row-{number}", *row] for number, row in enumerate(rows.tolist()))
    lines = [f"{name},{weight!r}" for name, weight in zip(names, weights.tolist(), strict=True)]
    (folder / "weights.csv").write_text("\n".join(["name,weight", *lines, "bias,0.5"]) + "\n")
    return folder / "data.csv", folder / "weights.csv", rows @ weights + 0.5


def submit(network: Deployment, files: tuple[Path, Path, np.ndarray], protection: str, *options: str) -> str:
    table, weights, _ = files
    wishes = ("--linear", str(weights), "--id-column", "key", "--protection", protection, "--accept-software-enclave")
    job: str = network.job("submit", str(table), *wishes, *options)["job"]
    return job


def check_result(network: Deployment, job: str, expected: np.ndarray, tolerance: float, folder: Path) -> None:
    out = folder / "out.csv"
    network.sublet("job", "result", job, "--config", str(network.config("A11.A12")), "--out", str(out))
    with out.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header[0] == "key"
    assert [row[0] for row in rows] == [f"row-{number}" for number in range(ROWS)]
    assert np.abs(np.array([float(row[1]) for row in rows]) - expected).max() < tolerance


@pytest.mark.parametrize(
    ("protection", "scheme"),
    [
        ("homomorphic", "paillier"),
        pytest.param("homomorphic", "bfv", marks=needs_seal),
        ("enclave", "auto"),
        ("sealed-result", "paillier"),
    ],
)
@pytest.mark.timeout(180)
def test_a_job_completes_though_a_worker_is_killed(
    market: Market, files: tuple[Path, Path, np.ndarray], protection: str, scheme: str, tmp_path: Path
) -> None:
    network = market.network
    wishes = ("--scheme", scheme, "--batch-rows", str(BATCH_ROWS[protection]), "--local-share", "0.02")
    job = submit(network, files, protection, *wishes)
    parts = network.until_parts(job, 3)
    market.kill("B11.B12")
    assert parts < ROWS // BATCH_ROWS[protection], "the job ended before the worker was killed"
    report = network.ended(job)
    assert report["state"] == "completed", report
    assert report["rows_done"] == ROWS
    assert scheme == "auto" or report["assessment"]["scheme"] == scheme
    check_result(network, job, files[2], TOLERANCE[protection], tmp_path)
    market.replace("lessor", "B11.B12")


@pytest.mark.timeout(180)
def test_a_polynomial_is_computed_on_ciphertext(
    market: Market, files: tuple[Path, Path, np.ndarray], tmp_path: Path
) -> None:
    """The square of the linear score."""
    network, (table, weights, score) = market.network, files
    with weights.open(newline="") as file:
        _, *lines, _ = csv.reader(file)
    constants = {"w": [[float(line[1])] for line in lines], "b": [0.5]}
    square = [node("Gemm", ["x", "w", "b"], ["score"]), node("Mul", ["score", "score"], ["y"])]
    (tmp_path / "square.onnx").write_bytes(data(model(square, inputs={"x": COLUMNS}, constants=constants)))
    wishes = ("--protection", "homomorphic", "--scheme", "ckks", "--results-stay", "--max-error", "1")
    job = network.job("submit", str(table), "--program", str(tmp_path / "square.onnx"), "--id-column", "key", *wishes)
    report = network.ended(job["job"])
    assert report["state"] == "completed", report
    check_result(network, job["job"], score**2, report["assessment"]["candidates"][0]["error_bound"], tmp_path)


@pytest.mark.timeout(180)
def test_a_cancelled_job_ends_without_a_result(market: Market, files: tuple[Path, Path, np.ndarray]) -> None:
    network = market.network
    job = submit(network, files, "homomorphic", "--price-max", "0")
    network.until(job, lambda report: report["state"] == "ordering")
    network.sublet("job", "cancel", job, "--config", str(network.config("A11.A12")))
    report = network.ended(job)
    assert (report["state"], report["code"]) == ("failed", "cancelled")
    assert network.sublet("job", "result", job, "--config", str(network.config("A11.A12")), check=False).returncode == 1


@pytest.mark.timeout(180)
def test_a_renter_and_a_hub_that_are_killed_go_on_where_they_were(
    market: Market, files: tuple[Path, Path, np.ndarray], tmp_path: Path
) -> None:
    network = market.network
    job = submit(network, files, "enclave", "--batch-rows", "25", "--local-share", "0")
    network.until_parts(job, 1)
    for address, role in (("A11.A12", "renter"), ("A11.hub", "hub")):
        market.kill(address)
        market.replace(role, address)
    report = network.ended(job)
    assert report["state"] == "completed", report
    assert report["rows_done"] == ROWS
    check_result(network, job, files[2], TOLERANCE["enclave"], tmp_path)
