"""Are lessors that compute wrongly caught, and honest ones never? `make soak` runs whole jobs and counts.

Under each exact scheme, jobs go through two hubs to two lessors, a batch of 4,096 rows to each. In the dishonest runs
one of them changes 5 % of its rows, or one row. A run fails when a wrong row is accepted, when the cheat is not caught,
or when an honest lessor is.
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
from numpy.typing import NDArray

from nodes.local import LocalNetwork
from nodes.programs.build import linear
from nodes.renter.submission import JobOptions
from tests.support.cheating import Wrong, adding_one, cheat, every_twentieth, first_row
from tests.support.tables import as_csv

BATCH_ROWS: Final = 4096
ROWS: Final = 2 * BATCH_ROWS
WEIGHTS: Final = {"a": [2.0], "b": [-1.25]}
PROGRAM: Final = linear(WEIGHTS, [0.5], ["y"])
CHEAT: Final = "B11.B13"
ERROR_MAX: Final = 1e-4
SCHEMES: Final = ("bfv", "paillier")
CHEATS: Final[dict[str, Wrong]] = {"5 % of its rows": every_twentieth, "one row": first_row}


@dataclass(frozen=True, slots=True)
class Trial:
    """What every run computes."""

    table: Path
    results: NDArray[np.float64]

    @classmethod
    def made(cls, folder: Path) -> Trial:
        """In a folder."""
        rows, path = np.random.default_rng(8).uniform(-4, 4, (ROWS, len(WEIGHTS))).round(6), folder / "data.csv"
        np.savetxt(path, rows, fmt="%.6f", delimiter=",", header=",".join(WEIGHTS), comments="")
        return cls(path, rows @ np.array([2.0, -1.25]) + 0.5)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one job."""

    completed: bool
    lost: frozenset[str]
    codes: frozenset[str]
    error: float


async def one(network: LocalNetwork, trial: Trial, scheme: str) -> Outcome:
    """Run a job to its end."""
    wishes = JobOptions(
        protection="homomorphic", scheme=scheme, max_error=ERROR_MAX, batch_rows=BATCH_ROWS, local_share=0.0
    )
    spec = network.stage(trial.table, PROGRAM, None, wishes)
    await network.submit(spec)
    report = [each async for each in network.watch(spec.id)][-1]
    notes = [note for line in await network.explain(spec.id) for note in line["notes"]]
    return Outcome(
        completed=report.phase == "completed",
        lost=frozenset(each.lessor for each in report.contracts if each.subtask == "lost"),
        codes=frozenset(note["details"]["code"] for note in notes if note["kind"] == "incident"),
        error=_error(report.output, trial.results) if report.output else np.inf,
    )


def _error(output: Path, results: NDArray[np.float64]) -> float:
    """The largest difference to plaintext."""
    return float(np.abs(np.loadtxt(as_csv(output), delimiter=",", skiprows=1, usecols=1) - results).max())


async def count(runs: int, scheme: str, *, dishonest: bool) -> int:
    """How many of so many runs went as they should."""
    good = 0
    lost = frozenset({CHEAT}) if dishonest else frozenset()
    codes = frozenset({"wrong-result"}) if dishonest else frozenset()
    with tempfile.TemporaryDirectory(prefix="sublet-soak-") as folder:
        trial = Trial.made(Path(folder))
        for each in range(runs):
            async with LocalNetwork(Path(folder) / str(each)) as network:
                seen = await one(network, trial, scheme)
            right = seen.completed and (seen.lost, seen.codes) == (lost, codes) and seen.error <= ERROR_MAX
            good += right
            if not right:
                print(f"run {each}: {seen}")
    return good


def main(arguments: Any = None) -> int:
    """Exit 1 when any run went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.honesty")
    parser.add_argument("--dishonest", type=int, default=20, metavar="RUNS", help="per scheme and way to cheat")
    parser.add_argument("--honest", type=int, default=100, metavar="RUNS", help="per scheme, of two batches each")
    asked = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    wrong = 0
    for scheme in SCHEMES:
        for name, rows in CHEATS.items():
            with pytest.MonkeyPatch.context() as patch:
                cheat(patch, CHEAT, adding_one(rows))
                caught = asyncio.run(count(asked.dishonest, scheme, dishonest=True))
            print(
                f"{scheme}: a lessor that computes {name} wrongly: caught in {caught} of {asked.dishonest} runs",
                flush=True,
            )
            wrong += asked.dishonest - caught
        left = asyncio.run(count(asked.honest, scheme, dishonest=False))
        print(f"{scheme}: honest lessors: accused in {asked.honest - left} of {asked.honest} runs", flush=True)
        wrong += asked.honest - left
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
