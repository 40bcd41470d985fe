"""scale.workers: rows a second of a job in one lessor's enclaves with two worker processes, against one; on RabbitMQ.

The program multiplies by one wide matrix again and again, so the lessor does most of the work; how much, of all that
the machine does meanwhile, the broker too, stands beside the figure. Each worker process has a core, with its enclave:
else one alone would spread over two, and two could not do more. All others run where there is time. So on two cores,
where two workers leave the others no core of their own, the figure is no more than twice the lessor's share.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import psutil  # type: ignore[import-untyped]

from broker.names import queue_name
from schemas.ids import address
from tests.bench.harness import Result, interleave, more
from tests.support.deployment import Deployment, deployment
from tests.support.rabbitmq import running
from tests.unit.nodes.programs.models import data, model, node

NAME: Final = "scale.workers"
LESSOR: Final = "B11.B12"
WORKERS_MAX: Final = 2
COLUMNS, WIDTH, DEPTH = 32, 1200, 48
BATCH_ROWS: Final = 400
FIRST, LAST, BATCHES = 6, 46, 50
"""Results between which is measured, of so many: not while sessions open, and not while the last ones end."""

END_SECONDS_MAX, LOOK_SECONDS = 30.0, 0.2


def run(only: str) -> Iterator[Result]:
    """Measures the name if it starts with `only`."""
    if not NAME.startswith(only):
        return
    with TemporaryDirectory(prefix="sublet-bench-") as name, running() as server:
        folder = Path(name)
        table, program = _inputs(folder)
        with deployment(folder / "network", server) as network:
            market = Market(network, table, program)
            two, one = interleave(lambda: market.rows_per_second(2), lambda: market.rows_per_second(1))
    yield more(NAME, two, one, f"one process, {market.lessors_share:.0%} of the machine's work", "rows/s")


@dataclass(slots=True)
class Market:
    """A network with one lessor, of as many worker processes as are asked for."""

    network: Deployment
    table: Path
    program: Path
    lessors_share: float = 0.0
    """Of what the machine did during the last job, as processor time."""
    _others: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _lessors: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def rows_per_second(self, workers: int) -> float:
        """Of one job."""
        self._run(workers)
        files = (str(self.table), "--program", str(self.program), "--id-column", "id")
        wishes = ("--protection", "enclave", "--accept-software-enclave", "--lessors", "1", "--local-share", "0")
        job: str = self.network.job("submit", *files, *wishes, "--batch-rows", str(BATCH_ROWS))["job"]
        first = self.network.until_parts(job, FIRST)
        begun, before = time.perf_counter(), self._core_seconds()
        last = self.network.until_parts(job, LAST)
        seconds = time.perf_counter() - begun
        lessors, all_ = (after - was for after, was in zip(self._core_seconds(), before, strict=True))
        self.lessors_share = lessors / all_
        report = self.network.ended(job)
        if report["state"] != "completed" or report["batches"] != BATCHES:
            raise RuntimeError(f"the job ended otherwise: {report}")
        return BATCH_ROWS * (last - first) / seconds

    def _run(self, workers: int) -> None:
        """Start what does not run yet, and end the worker that is too many."""
        if not self._others:
            roles = (("hub", "A11.hub"), ("hub", "B11.hub"), ("renter", "A11.A12"))
            self._others += [self.network.start(role, address) for role, address in roles]
        while len(self._lessors) > workers:
            ended = self._lessors.pop()
            ended.terminate()
            ended.wait(END_SECONDS_MAX)
        while len(self._lessors) < workers:
            self._lessors.append(self._worker())
        while self._serving() != workers:
            time.sleep(LOOK_SECONDS)  # the server tells nobody who consumes

    def _worker(self) -> subprocess.Popen[bytes]:
        """One more, on the first core that none has."""
        taken = {core for each in self._lessors for core in os.sched_getaffinity(each.pid)}
        started = self.network.start("lessor", LESSOR, SUBLET_LESSOR_UNITS=str(WORKERS_MAX))
        os.sched_setaffinity(started.pid, {min(os.sched_getaffinity(0) - taken)})  # what it starts later has it too
        return started

    def _serving(self) -> int:
        """Workers that take batches."""
        found = self.network.server.call("GET", f"consumers/{self.network.vhost}")
        return sum(each["queue"]["name"] == queue_name(address("B11", "B12"), "batch") for each in found)

    def _core_seconds(self) -> tuple[float, float]:
        """Of lessors with their enclaves since they began, and of the whole machine since that did."""
        spent = psutil.cpu_times()
        return _used(self._lessors), sum(spent) - spent.idle - getattr(spent, "iowait", 0.0)


def _used(processes: list[subprocess.Popen[bytes]]) -> float:
    parents = [psutil.Process(each.pid) for each in processes]
    family = [one for each in parents for one in (each, *each.children(recursive=True))]
    return sum(sum(each.cpu_times()[:2]) for each in family)


def _inputs(folder: Path) -> tuple[Path, Path]:
    random = np.random.default_rng(7)
    rows = np.round(random.normal(size=(BATCHES * BATCH_ROWS, COLUMNS)), 3)
    names = [f"x{column}" for column in range(COLUMNS)]
    lines = [f"r{number}," + ",".join(map(str, row)) for number, row in enumerate(rows.tolist())]
    (folder / "data.csv").write_text("\n".join([",".join(["id", *names]), *lines]) + "\n")
    shapes = {"first": (COLUMNS, WIDTH), "each": (WIDTH, WIDTH), "last": (WIDTH, 1)}
    constants = {
        name: (random.normal(size=shape) * np.sqrt(2 / shape[0])).astype(np.float32) for name, shape in shapes.items()
    }
    nodes, given = [], "x"
    for layer, weights in enumerate(["first", *["each"] * DEPTH]):
        nodes += [node("MatMul", [given, weights], [f"p{layer}"]), node("Relu", [f"p{layer}"], [f"a{layer}"])]
        given = f"a{layer}"
    nodes.append(node("MatMul", [given, "last"], ["y"]))
    (folder / "program.onnx").write_bytes(data(model(nodes, inputs={"x": COLUMNS}, constants=constants)))
    return folder / "data.csv", folder / "program.onnx"
