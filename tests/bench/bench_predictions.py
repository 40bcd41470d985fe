"""predictions.*: what an assessment predicts, beside what the job then takes: core-seconds of the renter's encrypting
and decrypting and of its lessors' computing. A ratio of 1 is a true prediction.

Every job is a whole `sublet run`. The first one calibrates; no earlier calibration is used.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.bench.harness import Result, output_of
from tests.bench.inputs import write_program, write_table

RUN_SECONDS_MAX: Final = 300
PARTS: Final = ("encrypt", "lessor", "decrypt")


@dataclass(frozen=True, slots=True)
class Job:
    """Size, shape and options."""

    rows: int
    columns: int
    outputs: int
    options: tuple[str, ...]


HOMOMORPHIC: Final = ("--protection", "homomorphic")
BFV: Final = (*HOMOMORPHIC, "--scheme", "bfv")
PAILLIER: Final = (*HOMOMORPHIC, "--scheme", "paillier")
JOBS: Final = {
    "bfv-small": Job(569, 30, 1, BFV),
    "bfv-narrow": Job(20_000, 9, 1, BFV),
    "bfv-outputs": Job(20_000, 20, 8, BFV),
    "bfv-large": Job(200_000, 30, 1, BFV),
    "paillier-small": Job(569, 30, 1, PAILLIER),
    "paillier-narrow": Job(10_000, 9, 1, PAILLIER),
    "paillier-outputs": Job(2_000, 20, 8, PAILLIER),
    "enclave-small": Job(5_000, 30, 1, ("--protection", "enclave")),
    "enclave-large": Job(200_000, 30, 1, ("--protection", "enclave")),
    "enclave-long": Job(1_000_000, 9, 1, ("--protection", "enclave")),
    "enclave-wide": Job(20_000, 300, 20, ("--protection", "enclave")),
    "sealed": Job(5_000, 9, 2, ("--protection", "sealed-result", "--decrypt-seconds-max", "100")),
    "exact": Job(569, 30, 1, (*PAILLIER, "--noise", "exact")),
    "subgroup": Job(10_000, 30, 1, (*HOMOMORPHIC, "--scheme", "paillier-subgroup")),
    "ckks": Job(60_000, 20, 4, (*HOMOMORPHIC, "--scheme", "ckks", "--results-stay")),
}
"""What an assessment chooses among, each in several shapes."""


def run(only: str) -> Iterator[Result]:
    """Measures the jobs one of whose names starts with `only`. A run that fails raises RuntimeError."""
    with TemporaryDirectory(prefix="sublet-bench-") as folder:
        for name, job in JOBS.items():
            names = [f"predictions.{name}.{part}" for part in PARTS]
            if any(each.startswith(only) for each in names):
                report = _report(Path(folder), job)
                predicted, spent = report["assessment"]["costs"], report["spent"]
                for each, part in zip(names, PARTS, strict=True):
                    ours, peer = (costs[f"{part}_seconds"] for costs in (spent, predicted))
                    yield Result(each, ours, peer, "predicted", "core-seconds", ours / peer)


def _report(folder: Path, job: Job) -> dict[str, Any]:
    data = write_table(folder / "data.csv", job.rows, job.columns)
    program = write_program(folder / "program.onnx", job.columns, job.outputs)
    sublet = [str(Path(sys.executable).with_name("sublet")), "run", str(data), "--program", str(program)]
    out = folder / "out.csv"
    out.unlink(missing_ok=True)
    command = [*sublet, *job.options, "--id-column", "id", "--out", str(out), "--json"]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder)}
    report: dict[str, Any] = json.loads(output_of(command, RUN_SECONDS_MAX, environment))
    return report
