"""memory.rows: whether memory stays constant in the number of rows. The peak of a whole `sublet run` of 200,000 rows,
beside that of 20,000; a ratio near 1 is the promise.

What is measured is the largest resident size that any process of the run reached (`ru_maxrss`): the process that holds
hubs, renter and lessors, or an enclave child, whichever is larger. The reported protection is the one with the worst
ratio.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.harness import Result, interleave, output_of
from tests.bench.inputs import write_program, write_table

NAME = "memory.rows"
MANY_ROWS, FEW_ROWS, COLUMNS = 200_000, 20_000, 9
PROTECTIONS = ("enclave", "homomorphic")
RUN_SECONDS_MAX = 900

WRAPPER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""A small process between the benchmark and the run: ru_maxrss begins with the size of the process that forked."""


def run(only: str) -> Iterator[Result]:
    """Measures when the asked-for prefix includes this name. A run that fails raises RuntimeError."""
    if NAME.startswith(only):
        with TemporaryDirectory(prefix="sublet-bench-") as folder:
            measured = [_measure(Path(folder), protection) for protection in PROTECTIONS]
            yield max(measured, key=lambda result: result.ratio)


def _measure(folder: Path, protection: str) -> Result:
    program = write_program(folder / "program.onnx", COLUMNS)
    many, few = (write_table(folder / f"{rows}.csv", rows, COLUMNS) for rows in (MANY_ROWS, FEW_ROWS))
    ours, peer = interleave(
        lambda: _peak_mib(many, program, protection), lambda: _peak_mib(few, program, protection), warm_up=False
    )
    return Result(NAME, ours, peer, f"{FEW_ROWS:,} rows ({protection})", "MiB", ours / peer)


def _peak_mib(data: Path, program: Path, protection: str) -> float:
    """The largest resident size, in MiB, of any process of one run."""
    sublet = [str(Path(sys.executable).with_name("sublet")), "run", str(data), "--program", str(program)]
    out = data.with_suffix(".out.csv")
    out.unlink(missing_ok=True)
    options = ["--protection", protection, "--id-column", "id", "--out", str(out), "--json"]
    command = [sys.executable, "-I", "-S", "-c", WRAPPER, *sublet, *options]
    return int(output_of(command, RUN_SECONDS_MAX).split()[-1]) / 1024
