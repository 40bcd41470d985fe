"""Jobs on RabbitMQ with real processes and default settings, during outages: `python -m tests.soak.outages`.

Each fault once, in the middle of a job of a minute; with `--random N`, N jobs with three faults each. Every row must
come back exactly once, and nobody be blamed. `--only broker disk` runs those whose name begins so, `--rows N` makes
jobs longer.
Disks are filled where this user may mount file systems; else these faults are left out, which is said.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import random
import shutil
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

ROWS: Final = 160_000
"""Some 95 s on two quiet cores, where 48,000 took 28."""
COLUMNS: Final = 9
BATCH_ROWS: Final = 141
JOB_SECONDS_MIN: Final = 60.0
"""A shorter job is over before it has met anything."""
JOB_SECONDS_MAX: Final = 900.0
PAUSE_SECONDS: Final = 120.0
FULL_SECONDS: Final = 30.0
AWAY_SECONDS: Final = 2.0
END_SECONDS_MAX: Final = 30.0
DISK_MIB: Final = 96
TOLERANCE: Final = 1e-3
POLL_SECONDS: Final = 0.1


@dataclass
class Run:
    """A network with a job on its way."""

    network: Deployment
    server: Server
    processes: dict[str, list[subprocess.Popen[bytes]]]
    disks: frozenset[str]
    """Addresses whose folder is a file system of its own."""
    job: str = ""
    wrong: list[str] = field(default_factory=list)

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
        mine += [start(run.network, role, address) for _ in victims]

    return fault


def restart_broker(run: Run) -> None:
    """As by a power cut."""
    assert run.server.power is not None
    run.server.power.restart()


def pause_broker(run: Run) -> None:
    """A machine that stands still: connections stay, nothing answers. A worker that is told to end meanwhile ends."""
    assert run.server.power is not None
    run.server.power.pause()
    begin, workers = time.monotonic(), run.processes["B11.B13"]
    worker = workers.pop()
    worker.send_signal(signal.SIGTERM)
    try:
        worker.wait(END_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        run.wrong.append("a worker did not end while the broker stood still")
        worker.kill()
    workers.append(start(run.network, "lessor", "B11.B13"))
    time.sleep(max(0.0, begin + PAUSE_SECONDS - time.monotonic()))
    run.server.power.resume()


def fill(address: str) -> Callable[[Run], None]:
    """No byte of room on a node's disk: for its store, its jobs, its temporary files and its log."""

    def fault(run: Run) -> None:
        ballast = run.network.config(address).parent / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(1 << 12)):
                pass
        time.sleep(FULL_SECONDS)
        ballast.unlink()

    return fault


def nothing(run: Run) -> None:
    """What a job takes by itself."""


NODES: Final = {
    "A11.hub": ("hub", 1),
    "B11.hub": ("hub", 1),
    "A11.A12": ("renter", 1),
    "B11.B12": ("lessor", 2),
    "B11.B13": ("lessor", 2),
}
FAULTS: Final[dict[str, Callable[[Run], None]]] = {
    "none": nothing,
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
    "disk full at a lessor": fill("B11.B12"),
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
    """A small file system in a folder's place, with what is in it; whether this user may make one."""
    aside = folder.with_name(f"{folder.name} aside")
    folder.rename(aside)
    folder.mkdir(mode=0o700)
    options = f"size={DISK_MIB}m,mode=0700"
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=False, capture_output=True
    )
    shutil.copytree(aside, folder, dirs_exist_ok=True)
    try:
        yield made.returncode == 0
    finally:
        if made.returncode == 0:
            subprocess.run(["umount", "-l", str(folder)], check=False)
        shutil.rmtree(folder)
        aside.rename(folder)


def start(network: Deployment, role: str, address: str) -> subprocess.Popen[bytes]:
    """A process of a node that keeps all that it writes in its folder."""
    return network.start(role, address, TMPDIR=str(network.config(address).parent))


@contextmanager
def running(server: Server, folder: Path) -> Iterator[Run]:
    """A network whose nodes have disks of their own, and whose lessors have two workers each."""
    with deployment(folder, server) as network, ExitStack() as stack:
        disks = [each for each in NODES if stack.enter_context(disk(network.config(each).parent))]
        stack.callback(network.stop)
        processes = {each: [start(network, role, each) for _ in range(count)] for each, (role, count) in NODES.items()}
        yield Run(network, server, processes, frozenset(disks))


def submit(run: Run, data: Path, weights: Path) -> None:
    """A job on ciphertext."""
    wishes = ("--linear", str(weights), "--id-column", "key", "--protection", "homomorphic", "--noise", "exact")
    more = ("--batch-rows", str(BATCH_ROWS), "--local-share", "0.02", "--lessors-min", "2")
    run.job = run.network.job("submit", str(data), *wishes, *more)["job"]


def verdict(run: Run, report: dict[str, Any], expected: np.ndarray, seconds_min: float = JOB_SECONDS_MIN) -> str:
    """What is wrong; empty when every row came back once, and nobody was blamed."""
    if report["state"] != "completed":
        return f"{report['state']}: {report.get('code')} {report.get('reason')}"
    if report["seconds"] < seconds_min:
        return f"took {report['seconds']:.0f} s, too short to say anything: give it more --rows"
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


def reached(run: Run, parts: float) -> bool:
    """Return when so many results are in; whether the job still runs then."""
    deadline = time.monotonic() + JOB_SECONDS_MAX
    while run.parts() < parts and not run.ended() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return run.parts() >= parts and not run.ended()


def one(server: Server, rows: int, names: list[str], moments: list[float]) -> bool:
    """One job with these faults, each when that share of its results is in; whether all was well."""
    with tempfile.TemporaryDirectory(prefix="sublet-soak-") as folder, running(server, Path(folder) / "network") as run:
        data, weights, expected = write_inputs(Path(folder), rows)
        submit(run, data, weights)
        told, wrong = [], run.wrong
        for name, moment in zip(names, moments, strict=True):
            if name.startswith("disk") and not run.disks:
                told.append(f"{name}: left out, no file system may be mounted")
                continue
            if not reached(run, moment * rows / BATCH_ROWS):
                wrong.append(f"{name}: met no running job")
                continue
            FAULTS[name](run)
            told.append(f"{name}: next result after {run.recovered():.0f} s")
        report = run.network.ended(run.job, seconds_max=JOB_SECONDS_MAX)
        wrong += filter(None, [verdict(run, report, expected)])
        load, mark = os.getloadavg()[0], "BAD" if wrong else "ok "
        print(f"{mark} {report['seconds']:4.0f} s, load {load:.0f}: {'; '.join([*told, *wrong])}", flush=True)
        if wrong:
            print(run.network.logs(), file=sys.stderr, flush=True)
        return not wrong


def main() -> int:
    """Exit 1 when anything was lost, doubled or blamed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument("--only", nargs="+", default=[""], metavar="PREFIX")
    parser.add_argument("--rows", type=int, default=ROWS)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends too
    draw = random.Random(asked.seed)
    names = [name for name in FAULTS if name.startswith(tuple(asked.only))]
    runs = [([name], [0.3]) for name in names]
    if asked.random:
        print(f"seed {asked.seed}")
        names = [name for name in names if FAULTS[name] is not nothing]
        runs = [(draw.sample(names, 3), sorted(draw.uniform(0.1, 0.8) for _ in range(3))) for _ in range(asked.random)]
    with private() as server:
        good = [one(server, asked.rows, *each) for each in runs]
    print(f"{sum(good)} of {len(good)} jobs had every row once, and nobody was blamed")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
