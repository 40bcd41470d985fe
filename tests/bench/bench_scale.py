"""scale.workers: rows a second of a job in one lessor's enclaves with two worker processes, against one; on RabbitMQ.

The program is a network of two wide layers, so the lessor does most of the work; how much, of the processor time of all
processes but the broker's, stands beside the figure. Two processes want two cores, and the renter, the hubs and the
broker a part of them: twice as much is seen only where there are more.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import psutil  # type: ignore[import-untyped]

from tests.bench.harness import Result, interleave, more
from tests.support.deployment import Deployment, deployment
from tests.support.rabbitmq import running
from tests.unit.nodes.programs.models import data, model, node

NAME: Final = "scale.workers"
LESSOR: Final = "B11.B12"
COLUMNS, WIDTH = 32, 1200
BATCH_ROWS: Final = 400
FIRST, LAST, BATCHES = 6, 46, 50
"""Results between which is measured, of so many: not while sessions open, and not while the last ones end."""


def run(only: str) -> Iterator[Result]:
    """Measures the name if it starts with `only`."""
    if not NAME.startswith(only):
        return
    with TemporaryDirectory(prefix="sublet-bench-") as name, running() as server, ExitStack() as stack:
        folder = Path(name)
        table, program = _inputs(folder)
        markets = [
            Market(stack.enter_context(deployment(folder / f"{count}", server)), table, program, count)
            for count in (2, 1)
        ]
        for each in markets:
            each.start()
        two, one = interleave(markets[0].rows_per_second, markets[1].rows_per_second)
        share = markets[1].lessors_share
    yield more(NAME, two, one, f"one process, {share:.0%} of all work", "rows/s")


@dataclass(slots=True)
class Market:
    """A network with one lessor of so many worker processes."""

    network: Deployment
    table: Path
    program: Path
    workers: int
    lessors_share: float = 0.0
    """Of the processor time of the last job."""
    _others: list[psutil.Process] = field(default_factory=list)
    _lessors: list[psutil.Process] = field(default_factory=list)

    def start(self) -> None:
        """All processes."""
        for role, address in (("hub", "A11.hub"), ("hub", "B11.hub"), ("renter", "A11.A12")):
            self._others.append(psutil.Process(self.network.start(role, address).pid))
        for _ in range(self.workers):
            started = self.network.start("lessor", LESSOR, SUBLET_LESSOR_UNITS=str(self.workers))
            self._lessors.append(psutil.Process(started.pid))

    def rows_per_second(self) -> float:
        """Of one job."""
        files = (str(self.table), "--program", str(self.program), "--id-column", "id")
        wishes = ("--protection", "enclave", "--accept-software-enclave", "--lessors", "1", "--local-share", "0")
        job: str = self.network.job("submit", *files, *wishes, "--batch-rows", str(BATCH_ROWS))["job"]
        first = self.network.until_parts(job, FIRST)
        begun, before = time.perf_counter(), self._core_seconds()
        last = self.network.until_parts(job, LAST)
        seconds = time.perf_counter() - begun
        lessors, others = (after - was for after, was in zip(self._core_seconds(), before, strict=True))
        self.lessors_share = lessors / (lessors + others)
        report = self.network.ended(job)
        if report["state"] != "completed" or report["batches"] != BATCHES:
            raise RuntimeError(f"the job ended otherwise: {report}")
        return BATCH_ROWS * (last - first) / seconds

    def _core_seconds(self) -> tuple[float, float]:
        """Of lessors with their enclaves, and of all others, since they began."""
        return _used(self._lessors), _used(self._others)


def _used(processes: list[psutil.Process]) -> float:
    family = [one for each in processes for one in (each, *each.children(recursive=True))]
    return sum(sum(each.cpu_times()[:2]) for each in family)


def _inputs(folder: Path) -> tuple[Path, Path]:
    random = np.random.default_rng(7)
    rows = np.round(random.normal(size=(BATCHES * BATCH_ROWS, COLUMNS)), 3)
    names = [f"x{column}" for column in range(COLUMNS)]
    lines = [f"r{number}," + ",".join(map(str, row)) for number, row in enumerate(rows.tolist())]
    (folder / "data.csv").write_text("\n".join([",".join(["id", *names]), *lines]) + "\n")
    widths = (COLUMNS, WIDTH, WIDTH, 1)
    constants = {
        f"w{layer}": (random.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32).tolist()
        for layer, shape in enumerate(pairwise(widths))
    }
    nodes, given = [], "x"
    for layer in range(len(constants)):
        last = layer == len(constants) - 1
        product = "y" if last else f"p{layer}"
        nodes.append(node("MatMul", [given, f"w{layer}"], [product]))
        if not last:
            given = f"a{layer}"
            nodes.append(node("Relu", [product], [given]))
    (folder / "program.onnx").write_bytes(data(model(nodes, inputs={"x": COLUMNS}, constants=constants)))
    return folder / "data.csv", folder / "program.onnx"
