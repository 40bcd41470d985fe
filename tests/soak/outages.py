"""Jobs on RabbitMQ with real processes and default settings, during outages: `python -m tests.soak.outages`.

Each fault once, in the middle of a job; with `--random N`, N jobs with three faults each. Every row must come back
exactly once, and nobody be blamed. `--only broker` runs those whose name begins so, `--rows N` makes jobs longer.
Disks are filled where this user may mount file systems; else these faults are left out, which is said.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.support.deployment import Deployment, deployment
from tests.support.rabbitmq import Server, private

ROWS: Final = 24_000
COLUMNS: Final = 9
BATCH_ROWS: Final = 141
JOB_SECONDS_MAX: Final = 900.0
PAUSE_SECONDS: Final = 120.0
FULL_SECONDS: Final = 30.0
AWAY_SECONDS: Final = 2.0
DISK_MIB: Final = 96
TOLERANCE: Final = 1e-3
POLL_SECONDS: Final = 0.1


@dataclass
class Run:
    """A network with a job on its way."""

    network: Deployment
    server: Server
    processes: dict[str, list[subprocess.Popen[bytes]]]
    job: str = ""
    disks: dict[str, Path] = field(default_factory=dict)

    def parts(self) -> int:
        """Results that are in."""
        folder = self.network.folder / "nodes" / "A11.A12" / "data" / "jobs" / self.job / "parts"
        return len(list(folder.glob("*.f64"))) if folder.exists() else 0

    def ended(self) -> bool:
        """Whether the job's output is there."""
        return (self.network.folder / "nodes" / "A11.A12" / "data" / "jobs" / self.job / "output").exists()

    def recovered(self) -> float:
        """Seconds until another result is in, or the job has ended."""
        begin, before = time.monotonic(), self.parts()
        while self.parts() <= before and not self.ended():
            if time.monotonic() - begin > JOB_SECONDS_MAX:
                return float("inf")
            time.sleep(POLL_SECONDS)
        return time.monotonic() - begin


def kill(address: str, role: str, *, all_workers: bool = False) -> Callable[[Run], None]:
    """Kill -9, and start again as a supervisor does."""

    def fault(run: Run) -> None:
        mine = run.processes[address]
        victims = mine[:] if all_workers else mine[:1]
        for process in victims:
            process.send_signal(signal.SIGKILL)
            process.wait()
            mine.remove(process)
        time.sleep(AWAY_SECONDS)
        mine += [run.network.start(role, address) for _ in victims]

    return fault


def restart_broker(run: Run) -> None:
    """As by a power cut."""
    assert run.server.power is not None
    run.server.power.restart()


def pause_broker(run: Run) -> None:
    """A machine that stands still: connections stay, nothing answers."""
    assert run.server.power is not None
    run.server.power.pause()
    time.sleep(PAUSE_SECONDS)
    run.server.power.resume()


def fill(address: str) -> Callable[[Run], None]:
    """No room on a node's disk, for its store, its files and its log."""

    def fault(run: Run) -> None:
        ballast = run.disks[address] / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(1 << 16)):
                    pass
            except OSError:
                pass
        time.sleep(FULL_SECONDS)
        ballast.unlink()

    return fault


FAULTS: Final[dict[str, Callable[[Run], None]]] = {
    "lessor worker killed": kill("B11.B12", "lessor"),
    "all workers of a lessor killed": kill("B11.B12", "lessor", all_workers=True),
    "renter's hub killed": kill("A11.hub", "hub"),
    "lessors' hub killed": kill("B11.hub", "hub"),
    "renter killed": kill("A11.A12", "renter"),
    "broker restarted": restart_broker,
    "broker paused": pause_broker,
    "disk full at the renter": fill("A11.A12"),
    "disk full at the renter's hub": fill("A11.hub"),
    "disk full at the lessors' hub": fill("B11.hub"),
}


def write_inputs(folder: Path, rows: int) -> tuple[Path, Path, np.ndarray]:
    """A table, a linear model, and its results in plaintext."""
    values = np.round(np.random.default_rng(rows).normal(size=(rows, COLUMNS)), 4)
    weights = np.round(np.linspace(-2, 2, COLUMNS), 3)
    names = [f"x{column}" for column in range(COLUMNS)]
    with (folder / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", *names])
        writer.writerows([f"row-{number}", *row] for number, row in enumerate(values.tolist()))
    lines = [f"{name},{weight!r}" for name, weight in zip(names, weights.tolist(), strict=True)]
    (folder / "weights.csv").write_text("\n".join(["name,weight", *lines, "bias,0.5"]) + "\n")
    return folder / "data.csv", folder / "weights.csv", values @ weights + 0.5


@contextmanager
def disk(folder: Path) -> Iterator[bool]:
    """A small file system of its own at a folder; whether this user may make one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    try:
        yield made.returncode == 0
    finally:
        if made.returncode == 0:
            subprocess.run(["umount", "-l", str(folder)], check=False)


@contextmanager
def running(server: Server, folder: Path) -> Iterator[Run]:
    """A network whose stores lie on disks of their own, and whose lessors have two workers each."""
    with deployment(folder, server) as network, ExitStack() as stack:
        disks = {}
        for address in ("A11.A12", "A11.hub", "B11.hub"):
            data = folder / "nodes" / address / "data"
            if stack.enter_context(disk(data)):
                disks[address] = data
        stack.callback(network.stop)
        yield Run(network, server, network.start_all(workers=2), disks=disks)


def submit(run: Run, data: Path, weights: Path) -> None:
    """A job on ciphertext."""
    wishes = ("--linear", str(weights), "--id-column", "key", "--protection", "homomorphic")
    more = ("--batch-rows", str(BATCH_ROWS), "--local-share", "0.02")
    run.job = run.network.job("submit", str(data), *wishes, *more)["job"]


def verdict(run: Run, report: dict[str, Any], expected: np.ndarray) -> str:
    """What is wrong; empty when every row came back once, and nobody was blamed."""
    if report["state"] != "completed":
        return f"{report['state']}: {report.get('code')} {report.get('reason')}"
    lost = [each["lessor"] for each in report["contracts"] if each["subtask"] != "completed"]
    if lost or len(report["contracts"]) != 2:
        return f"blamed: {', '.join(lost)}; {len(report['contracts'])} contracts"
    out = run.network.folder / "out.csv"
    run.network.sublet("job", "result", run.job, "--config", str(run.network.config("A11.A12")), "--out", str(out))
    with out.open(newline="") as file:
        _, *rows = csv.reader(file)
    if [row[0] for row in rows] != [f"row-{number}" for number in range(len(expected))]:
        return f"{len(rows)} rows, not those of the input"
    difference = np.abs(np.array([float(row[1]) for row in rows]) - expected).max()
    return "" if difference < TOLERANCE else f"results differ by {difference}"


def one(server: Server, rows: int, names: list[str], moments: list[float]) -> bool:
    """One job with these faults, each when that share of its results is in; whether all was well."""
    with tempfile.TemporaryDirectory(prefix="sublet-soak-") as folder, running(server, Path(folder)) as run:
        data, weights, expected = write_inputs(Path(folder), rows)
        begin = time.monotonic()
        submit(run, data, weights)
        batches, told = rows / BATCH_ROWS, []
        for name, moment in zip(names, moments, strict=True):
            while run.parts() < moment * batches and not run.ended():
                time.sleep(POLL_SECONDS)
                if time.monotonic() - begin > JOB_SECONDS_MAX:
                    print(run.network.logs())
                    return False
            if name.startswith("disk") and not run.disks:
                told.append(f"{name}: left out, no file system may be mounted")
                continue
            FAULTS[name](run)
            told.append(f"{name}: {run.recovered():.0f} s to the next result")
        report = run.network.ended(run.job)
        wrong = verdict(run, report, expected)
        seconds = time.monotonic() - begin
        print(f"{'BAD ' + wrong if wrong else 'ok'}; {seconds:.0f} s in all; {'; '.join(told)}", flush=True)
        if wrong:
            print(run.network.logs())
        return not wrong


def main() -> int:
    """Exit 1 when anything was lost, doubled or blamed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument("--only", default="")
    parser.add_argument("--rows", type=int, default=ROWS)
    asked = parser.parse_args()
    draw = random.Random(asked.seed)
    names = [name for name in FAULTS if name.startswith(asked.only)]
    runs = [([name], [0.3]) for name in names]
    if asked.random:
        print(f"seed {asked.seed}")
        runs = [(draw.sample(names, 3), sorted(draw.uniform(0.1, 0.8) for _ in range(3))) for _ in range(asked.random)]
    with private() as server:
        good = [one(server, asked.rows, *each) for each in runs]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
