"""A network on RabbitMQ of which each process is of this release or the next, and jobs on it that must not notice."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import numpy as np
import orjson
import pandas as pd

import sublet
from broker.port import DEAD_REASON
from tests.support import together
from tests.support.deployment import COMMAND_SECONDS_MAX, POLL_SECONDS, Deployment
from tests.support.releases import NEW_TYPES, THIS, Release

COLUMNS: Final = ("a", "b", "c")
MODEL: Final = sublet.linear({"a": 2.0, "b": -1.0, "c": 0.5}, bias=0.25)
TOLERANCE: Final = {"homomorphic": 1e-3, "sealed-result": 1e-2, "enclave": 1e-9}
RENTER: Final = "A11.A12"
FIT_COLUMNS: Final = 2
"""Of the renter's: a partner allows one for ten rows, in all jobs on these rows together."""
FIT_TOLERANCE: Final = 1e-3
"""Of the largest weight: what the noise and the fixed point of a fit may change."""
TOLD: Final = "not understood"
"""What the log of a sender says whose receiver is of an older release."""
PATIENCE: Final = "handshake_seconds_max = 300\nbatch_deadline_seconds = 600\n"
"""On a machine with far more processes than cores nobody is to be blamed for its load."""
READY: Final[Mapping[str, str]] = {
    "lessor": "worker ready",
    "renter": "starting",
    "hub": "starting",
    "partner": "starting",
}
END_SECONDS_MAX: Final = 30.0
"""As docs/operators.md says of SIGTERM, and a little."""
LETTERS_MAX: Final = 100_000


@dataclass(slots=True)
class Fleet:
    """The network's processes by node, and what release each is of."""

    network: Deployment
    roles: Mapping[str, str]
    """Of each node, by address."""
    processes: dict[str, list[subprocess.Popen[bytes]]] = field(default_factory=dict)

    def begin(self, workers: int, others: Mapping[str, Release] | None = None) -> None:
        """So many processes of each node: of this release, but for `others`."""
        for address in self.roles:
            release = (others or {}).get(address, THIS)
            self.processes[address] = [self._started(address, release) for _ in range(workers)]

    def upgrade(self, address: str, release: Release, busy: Callable[[], None] = lambda: None) -> None:
        """Replace a node's processes by those of a release, one by one, as an operator does.

        `busy` returns when the process that is to end has something to do.
        """
        for former in list(self.processes[address]):
            self.processes[address].append(self._started(address, release))
            busy()
            former.send_signal(signal.SIGTERM)
            assert former.wait(END_SECONDS_MAX) == 0, (address, self.network.logs())
            self.processes[address].remove(former)

    def require_alive(self) -> None:
        """Nobody ended by itself."""
        for address, processes in self.processes.items():
            assert all(process.poll() is None for process in processes), (address, self.network.logs())

    def logged(self) -> list[dict[str, Any]]:
        """All lines of all logs."""
        paths = self.network.folder.glob("nodes/*/*.log")
        lines = [line for path in paths for line in path.read_bytes().splitlines() if line.startswith(b"{")]
        return [orjson.loads(line) for line in lines if line.endswith(b"}")]

    def dead_letters(self) -> Counter[tuple[str, str]]:
        """Of all hubs, by type and reason."""
        found: Counter[tuple[str, str]] = Counter()
        for hub in {address.partition(".")[0] for address in self.roles}:
            asked = {"count": LETTERS_MAX, "ackmode": "ack_requeue_true", "encoding": "base64"}
            path = f"queues/{self.network.vhost}/q.{hub}.dead/get"
            for letter in self.network.server.call("POST", path, asked) or ():
                headers = letter["properties"]["headers"]
                found[str(headers.get("ce-type")), str(headers[DEAD_REASON])] += 1
        return found

    def _started(self, address: str, release: Release) -> subprocess.Popen[bytes]:
        role = self.roles[address]
        before = self._said(address)
        process = self.network.start(role, address, command=release.command)
        deadline = time.monotonic() + COMMAND_SECONDS_MAX
        while self._said(address) == before:
            assert process.poll() is None, (address, self.network.logs())
            assert time.monotonic() < deadline, (address, self.network.logs())
            time.sleep(POLL_SECONDS)  # another process writes it and tells nobody
        return process

    def _said(self, address: str) -> int:
        """How often its processes said that they work."""
        role, folder = self.roles[address], self.network.config(address).parent
        return sum(path.read_text().count(f'"{READY[role]}"') for path in folder.glob(f"{role}-*.log"))


@dataclass(slots=True)
class Jobs:
    """Small jobs, one after the other or at a time, whose results are known."""

    network: Deployment
    renter: sublet.Network
    lessors: int
    rows: int = 40
    _numbers: count[int] = field(default_factory=lambda: count(1))
    done: Counter[str] = field(default_factory=Counter)

    def submit(self, protection: str, rows: int | None = None) -> tuple[sublet.Job[Any], pd.DataFrame]:
        """A job on rows of its own."""
        random = np.random.default_rng(next(self._numbers))
        table = pd.DataFrame(np.round(random.normal(size=(rows or self.rows, len(COLUMNS))), 4), columns=COLUMNS)
        asked: dict[str, Any] = {"lessors": self.lessors, "lessors_min": self.lessors, "local_share": 0.0}
        asked |= {"protection": protection, "accept": ["software-enclave"], "scheme": "paillier", "batch_rows": 10}
        return self.renter.submit(table, MODEL, **asked), table

    def require(self, job: sublet.Job[Any], table: pd.DataFrame, protection: str) -> None:
        """Every row once and right, and nobody blamed."""
        found = job.result(timeout=COMMAND_SECONDS_MAX)["result"].to_numpy()
        expected = 2.0 * table["a"] - table["b"] + 0.5 * table["c"] + 0.25
        assert len(found) == len(table)
        assert float(np.abs(found - expected.to_numpy()).max()) <= TOLERANCE[protection]
        report = job.report()
        assert report.rows_done == len(table), report
        assert len(report.contracts) == self.lessors, report
        assert not [each for each in report.contracts if each.subtask != "completed"], report
        self.done[protection] += 1

    def running(self, protection: str, rows: int) -> Generator[None, None, None]:
        """Each step returns with a job that runs; in the end all were right."""
        under_way: list[tuple[sublet.Job[Any], pd.DataFrame]] = []
        try:
            while True:
                if not under_way or under_way[-1][0].done():
                    under_way.append(self.submit(protection, rows))
                    self._until_part(under_way[-1][0])
                yield
        finally:
            for job, table in under_way:
                self.require(job, table, protection)

    def _until_part(self, job: sublet.Job[Any]) -> None:
        parts = self.network.config(RENTER).parent / "data" / "jobs" / job.id / "parts"
        deadline = time.monotonic() + COMMAND_SECONDS_MAX
        while not job.done() and not any(parts.glob("*.f64")):
            assert time.monotonic() < deadline, (job.report(), self.network.logs())
            time.sleep(POLL_SECONDS)  # another process writes it and tells nobody

    def run(self, number: int, at_once: int = 2) -> None:
        """So many of all protections in turn, some at a time."""
        kinds = [tuple(TOLERANCE)[index % len(TOLERANCE)] for index in range(number)]
        for first in range(0, number, at_once):
            some = [(*self.submit(kind), kind) for kind in kinds[first : first + at_once]]
            for job, table, kind in some:
                self.require(job, table, kind)


@dataclass(slots=True)
class Fits:
    """Models of the same two tables, one job after the other: each has the weights of the first."""

    renter: sublet.Network
    partner: str
    case: together.Case
    done: int = 0
    _under_way: list[sublet.JointModel] = field(default_factory=list)
    _first: Mapping[str, float] | None = None

    def begin(self) -> None:
        """Return when the partner takes part in another."""
        table, accepted = pd.read_csv(self.case.renter), ["software-enclave"]
        asked: dict[str, Any] = {"id": "id", "outliers": "move", "key_bits": 2048, "accept": accepted}
        asked["columns"] = [*table.columns[1 : 1 + FIT_COLUMNS]]
        model = self.renter.fit_joint(
            table, together.LABEL, partner=self.partner, dataset=together.DATASET, lessors=1, **asked
        )
        self._under_way.append(model)
        deadline = time.monotonic() + COMMAND_SECONDS_MAX
        while (joint := model.report().joint) is None or not joint.accepted:
            assert time.monotonic() < deadline, model.report()
            time.sleep(POLL_SECONDS)  # another process decides and tells nobody

    def require_all(self) -> None:
        """Those that were begun are there, and right."""
        while self._under_way:
            model = self._under_way.pop()
            model.result(timeout=COMMAND_SECONDS_MAX)
            first = self._first = self._first or dict(model.coefficients)
            largest = max(map(abs, first.values()))
            assert model.coefficients.keys() == first.keys()
            assert max(abs(model.coefficients[name] - first[name]) for name in first) <= FIT_TOLERANCE * largest
            assert model.ledger, model.id
            self.done += 1


def accept(network: Deployment, *releases: Release) -> None:
    """What a renter's operator does before the first lessor or the renter itself is upgraded."""
    settings = network.config(RENTER)
    values = ", ".join(f'"{each.measurement()}"' for each in releases)
    table = "[renter]\n"
    text = settings.read_text()
    text = text if table in text else f"{text}\n{table}"
    settings.write_text(text.replace(table, f"{table}measurements = [{values}]\n{PATIENCE}", 1))


def require_documented(letters: Counter[tuple[str, str]]) -> None:
    """Only what a later release said to an older one was set aside."""
    assert not [each for each in letters if each[1] != "unknown-type" or each[0] not in NEW_TYPES], letters
