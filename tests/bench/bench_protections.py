"""protections.*: core-seconds of a whole `sublet run` of 200,000 rows of 30 columns by protection, taking turns.

    protections.homomorphic   on ciphertext, beside the same run in enclaves: the ratio is the price of needing no trust
    protections.sealed        in enclaves that encrypt their results, beside the same

What is measured is the processor time of the run and all its processes, from reading the table to writing the results.
The first run of each is not counted: it measures the machine, which is kept.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from tests.bench.harness import ROUNDS_MIN, Result, in_turns, output_of
from tests.bench.inputs import write_program, write_table

ROWS, COLUMNS = 200_000, 30
RUN_SECONDS_MAX: Final = 900
PEER: Final = "enclave"
NAMES: Final = {"protections.homomorphic": "homomorphic", "protections.sealed": "sealed-result"}

WRAPPER: Final = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime)
sys.exit(code)
"""
"""A process whose only child is the run: RUSAGE_CHILDREN counts those that are collected, and theirs."""


def run(only: str) -> Iterator[Result]:
    """Measures the names that start with `only`. A run that fails raises RuntimeError."""
    names = {name: protection for name, protection in NAMES.items() if name.startswith(only)}
    if not names:
        return
    with TemporaryDirectory(prefix="sublet-bench-") as folder:
        job = _Job.made(Path(folder))
        runs = [lambda protection=protection: job.core_seconds(protection) for protection in (PEER, *names.values())]
        rounds = in_turns(runs, ROUNDS_MIN)
        peer, *ours = [median(figures) for figures in zip(*rounds, strict=True)]
        for name, seconds in zip(names, ours, strict=True):
            yield Result(name, seconds, peer, PEER, "core-s", seconds / peer)


@dataclass(frozen=True)
class _Job:
    data: Path
    program: Path

    @classmethod
    def made(cls, folder: Path) -> _Job:
        return cls(write_table(folder / "data.csv", ROWS, COLUMNS), write_program(folder / "program.onnx", COLUMNS))

    def core_seconds(self, protection: str) -> float:
        """Of one run."""
        out = self.data.with_suffix(".out.csv")
        out.unlink(missing_ok=True)
        sublet = [str(Path(sys.executable).with_name("sublet")), "run", str(self.data), "--program", str(self.program)]
        options = ["--protection", protection, "--id-column", "id", "--out", str(out), "--json"]
        return float(output_of([sys.executable, "-I", "-S", "-c", WRAPPER, *sublet, *options], RUN_SECONDS_MAX))
