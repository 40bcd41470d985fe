"""The models from scikit-learn as jobs: rows to score, and what scikit-learn said of them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

import nodes.demo
from nodes.local import LocalNetwork
from nodes.renter.submission import JobOptions
from nodes.views.report import JobReport
from tests.support.tables import as_csv

MODELS: Final = Path(__file__).resolve().parents[1] / "models"
NAMES: Final = ("mlp", "forest", "boosting")
DATA: Final = Path(nodes.demo.__file__).parent / "breast_cancer.csv"
TOLERANCE: Final = 1e-5


def program(model: str) -> bytes:
    """As exported."""
    return (MODELS / f"{model}.onnx").read_bytes()


def write_rows(path: Path, rows: int) -> Path:
    """The demo's rows again and again, so many in all."""
    header, *lines = DATA.read_text().splitlines()
    path.write_text("\n".join([header, *(lines[row % len(lines)] for row in range(rows))]) + "\n")
    return path


async def score(network: LocalNetwork, model: str, data: Path) -> tuple[JobReport, float]:
    """A whole job in enclaves: its report, and the largest difference to what scikit-learn said."""
    spec = network.stage(data, program(model), None, JobOptions(protection="enclave", accept_software_enclave=True))
    await network.submit(spec)
    report = [each async for each in network.watch(spec.id)][-1]
    return report, _error(model, network.output(spec.id)) if report.phase == "completed" else np.inf


def _error(model: str, output: Path) -> float:
    got = np.genfromtxt(as_csv(output), delimiter=",", names=True)
    known = _expected(model)
    assert set(known) <= set(got.dtype.names or ())
    return max(float(np.abs(got[n] - np.resize(column, len(got))).max()) for n, column in known.items())


def _expected(model: str) -> dict[str, NDArray[np.float64]]:
    """What scikit-learn said of the demo's rows, by the names of the model's outputs."""
    with (MODELS / "expected.csv").open(newline="") as file:
        names, *rows = csv.reader(file)
    columns = np.array(rows, dtype=np.float64).T
    prefix = f"{model}_"
    return {n.removeprefix(prefix): column for n, column in zip(names, columns, strict=True) if n.startswith(prefix)}
