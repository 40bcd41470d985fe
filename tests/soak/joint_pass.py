"""A joint logistic model as a whole job: `python -m tests.soak.joint_pass --rows 100000 --renter 30 --partner 300`.

By hand: it takes minutes of all cores. Three subnets on a RabbitMQ of its own, a process per role; both tables are
Parquet files of one group of rows. Prints wall seconds, of each party the core-seconds, the largest memory of a process
and the bytes that its connections carried, and how far its weights are from those of the pooled model.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil  # type: ignore[import-untyped]
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from tests.e2e.test_joint_rabbitmq import INIT, PARTNER
from tests.soak.watch import Watch
from tests.support import together as joint
from tests.support.deployment import Deployment, deployment
from tests.support.rabbitmq import Server, running

LABEL: Final = "malignant"
RENTER: Final = "A11.A12"
STATISTICS_SECONDS: Final = 6.0
"""RabbitMQ counts what connections carry every five."""
JOB_SECONDS_MAX: Final = 7200
MIB: Final = 1024**2
DATASET: Final = """
[partner.datasets.claims]
file = "insurer.parquet"
id_column = "id"
"""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Data:
    """Columns of both parties, and the renter's label."""

    renter: Floats
    partner: Floats
    label: Floats

    @classmethod
    def drawn(cls, rows: int, renter: int, partner: int) -> Data:
        """Normal columns, some of which are correlated over the parties, and a label that depends on both."""
        rng = np.random.default_rng(1)
        ours, theirs = rng.normal(size=(rows, renter)), rng.normal(size=(rows, partner))
        common = min(10, renter, partner)
        theirs[:, :common] += ours[:, :common]
        odds = 0.3 * ours[:, 0] + theirs[:, :5] @ rng.normal(size=min(5, partner)) * 0.2
        return cls(ours, theirs, (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.float64))

    def write(self, renter: Path, partner: Path) -> None:
        """Both tables, of the same people in the same order."""
        ids = {"id": [f"person-{row}" for row in range(len(self.label))]}
        mine = {f"a{at}": column for at, column in enumerate(self.renter.T)}
        theirs = {f"c{at}": column for at, column in enumerate(self.partner.T)}
        for path, columns in ((renter, ids | mine | {LABEL: self.label}), (partner, ids | theirs)):
            parquet.write_table(pa.table(columns), path, row_group_size=len(self.label))

    def pooled(self, penalty_per_row: float) -> Floats:
        """First-order weights of all columns together, the renter's first, by deviation."""
        rows, mean = len(self.label), self.label.mean()
        values = np.hstack([self.renter, self.partner])
        values -= values.mean(axis=0)
        values /= values.std(axis=0)
        gram = values.T @ values + penalty_per_row * rows * np.eye(values.shape[1])
        return np.asarray(np.linalg.solve(gram, values.T @ ((self.label - mean) / (mean * (1 - mean)))))


def main(arguments: list[str]) -> int:
    """Exit 1 where the job did not complete."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--renter", type=int, default=30, help="columns")
    options.add_argument("--partner", type=int, default=300, help="columns")
    options.add_argument("--bits", type=int, default=2048, help="of the renter's key")
    options.add_argument("--partner-bits", type=int, default=10, help="of the partner's integers")
    options.add_argument("--match", action="store_true", help="find the rows in common by masked ids")
    given = options.parse_args(arguments)
    data = Data.drawn(given.rows, given.renter, given.partner)
    with tempfile.TemporaryDirectory(prefix="sublet-soak-") as name:
        folder = Path(name)
        with running() as server, deployment(folder / "network", server, *INIT) as network:
            at_partner = network.config(PARTNER).parent
            data.write(folder / "hospital.parquet", at_partner / "insurer.parquet")
            network.config(PARTNER).write_text(network.config(PARTNER).read_text() + DATASET)
            joint.policy(at_partner)
            return _fit(network, server, folder / "hospital.parquet", data, given)


def _fit(network: Deployment, server: Server, table: Path, data: Data, given: Any) -> int:
    started = network.start_all()
    started["C11.hub"], started[PARTNER] = [network.start("hub", "C11.hub")], [network.start("partner", PARTNER)]
    with Watch([psutil.Process(each.pid) for processes in started.values() for each in processes]) as watch:
        begun = time.monotonic()
        model = ("--algorithm", "logistic", "--label", LABEL, "--partner", PARTNER, "--dataset", joint.DATASET)
        bits = ("--key-bits", str(given.bits), "--partner-bits", str(given.partner_bits))
        mine = ("--id-column", "id", "--accept-software-enclave", *(() if given.match else ("--aligned",)))
        job: str = network.job("submit", str(table), *mine, *model, *bits)["job"]
        submitted = time.monotonic() - begun
        report = network.ended(job, seconds_max=JOB_SECONDS_MAX)
    print(
        f"{given.rows:,} rows x ({given.renter} + {given.partner}) at {given.bits} bits: {report['state']}", flush=True
    )
    print(f"  {submitted:.1f} s to submit, {report['seconds']:.1f} s from submission to the end")
    time.sleep(STATISTICS_SECONDS)
    carried = _carried(server, network.vhost)
    for address, processes in started.items():
        core = sum(watch.of(each.pid) for each in processes)
        of = {each.pid for each in processes}
        sizes = sorted((size for pid, size in watch.memory.items() if watch.root[pid] in of), reverse=True)
        sent, received = carried.get(address, (0, 0))
        largest = ", ".join(f"{size / MIB:.0f}" for size in sizes[:3])
        print(
            f"  {address}: {core:.1f} core-s; {largest} MiB; sent {sent / 1e6:.1f} MB, received {received / 1e6:.1f} MB"
        )
    print(f"  load average {psutil.getloadavg()[0]:.1f} on {psutil.cpu_count()} cores")
    if report["state"] != "completed":
        print(f"the job did not complete: {report['reason']}", file=sys.stderr)
        return 1
    _compare(network, job, data, report)
    return 0


def _carried(server: Server, vhost: str) -> dict[str, tuple[int, int]]:
    """Bytes that the connections of each node sent and received."""
    found: dict[str, tuple[int, int]] = {}
    for each in server.call("GET", f"vhosts/{vhost}/connections"):
        sent, received = found.get(each["user"], (0, 0))
        found[each["user"]] = (sent + each["recv_oct"], received + each["send_oct"])
    return found


def _compare(network: Deployment, job: str, data: Data, report: dict[str, Any]) -> None:
    out = network.folder / "weights.csv"
    network.sublet("job", "result", job, "--config", str(network.config(RENTER)), "--out", str(out))
    rows = [line.split(",") for line in out.read_text().splitlines()[1:]]
    found = {name: float(weight) for name, weight, *_ in rows}
    mine = np.array([found[f"a{at}"] for at in range(data.renter.shape[1])]) * data.renter.std(axis=0)
    pooled = data.pooled(1e-3)
    apart = np.abs(mine - pooled[: len(mine)]).max() / np.abs(pooled).max()
    print(f"  the renter's weights are within {apart:.1e} of the largest pooled one; {report['joint']['fit']}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
