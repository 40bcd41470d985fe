"""Are lessors that compute wrongly caught, and honest ones never? `make soak` runs whole jobs and counts.

Each job goes through two hubs to two lessors with default settings. In the dishonest runs one of them changes 5 % of
its rows. A run fails when a wrong row is accepted, when the cheat is not caught, or when an honest lessor is.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import structlog

import nodes.demo
from nodes.local import LocalNetwork
from nodes.programs import runtime
from nodes.programs.check import check
from nodes.renter.submission import JobOptions
from tests.support.cheating import cheat, every_twentieth
from tests.support.tables import as_csv

DEMO: Final = Path(nodes.demo.__file__).parent
PROGRAM: Final = (DEMO / "breast_cancer_linear.onnx").read_bytes()
DATA: Final = DEMO / "breast_cancer.csv"
CHEAT: Final = "B11.B13"
ERROR_MAX: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one job."""

    completed: bool
    lost: frozenset[str]
    codes: frozenset[str]
    error: float


async def one(network: LocalNetwork) -> Outcome:
    """Run a job to its end."""
    spec = network.stage(DATA, PROGRAM, None, JobOptions(protection="homomorphic"))
    await network.submit(spec)
    report = [each async for each in network.watch(spec.id)][-1]
    notes = [note for line in await network.explain(spec.id) for note in line["notes"]]
    return Outcome(
        completed=report.phase == "completed",
        lost=frozenset(each.lessor for each in report.contracts if each.subtask == "lost"),
        codes=frozenset(note["details"]["code"] for note in notes if note["kind"] == "incident"),
        error=_error(report.output) if report.output else np.inf,
    )


def _error(output: Path) -> float:
    """The largest difference to plaintext."""
    program = check(PROGRAM)
    header, *lines = (line.split(",") for line in DATA.read_text().splitlines())
    columns = [header.index(name) for name in program.column_names]
    rows = np.array([[float(line[column]) for column in columns] for line in lines])
    got = np.loadtxt(as_csv(output), delimiter=",", skiprows=1, usecols=1)
    return float(np.abs(got - runtime.evaluate(program, rows)[:, 0]).max())


async def count(runs: int, *, dishonest: bool) -> int:
    """How many of so many runs went as they should."""
    good = 0
    with tempfile.TemporaryDirectory(prefix="sublet-soak-") as folder:
        for each in range(runs):
            async with LocalNetwork(Path(folder) / str(each)) as network:
                seen = await one(network)
            lost = frozenset({CHEAT}) if dishonest else frozenset()
            codes = frozenset({"wrong-result"}) if dishonest else frozenset()
            right = seen.completed and (seen.lost, seen.codes) == (lost, codes) and seen.error < ERROR_MAX
            good += right
            if not right:
                print(f"run {each}: {seen}")
    return good


def main(arguments: Any = None) -> int:
    """Exit 1 when any run went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.honesty")
    parser.add_argument("--dishonest", type=int, default=20, metavar="RUNS")
    parser.add_argument("--honest", type=int, default=200, metavar="RUNS")
    asked = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    with pytest.MonkeyPatch.context() as patch:
        cheat(patch, CHEAT, every_twentieth)
        caught = asyncio.run(count(asked.dishonest, dishonest=True))
    print(f"a lessor that computes 5 % of its rows wrongly: caught in {caught} of {asked.dishonest} runs", flush=True)
    left = asyncio.run(count(asked.honest, dishonest=False))
    print(f"honest lessors: accused in {asked.honest - left} of {asked.honest} runs")
    return 0 if (caught, left) == (asked.dishonest, asked.honest) else 1


if __name__ == "__main__":
    sys.exit(main())
