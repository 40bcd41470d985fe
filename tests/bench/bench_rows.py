"""rows.*: a homomorphic job of 200,000 rows of 30 columns on RabbitMQ, one process per role, on all cores.

    rows.rate    rows per second from submission to result, beside what the cores could do if they did nothing but
                 encrypt, compute and decrypt
    rows.busy    how busy all cores are from the first batch to the last result
    rows.memory  the sum of all processes' largest resident sizes, beside that of 20,000 rows; RabbitMQ's apart

Where the core-seconds went is printed by role. Ends early, with the job's reason, when a job fails.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.bench.harness import Result
from tests.bench.inputs import write_program, write_table
from tests.support.deployment import Deployment, deployment
from tests.support.rabbitmq import running

MANY_ROWS, FEW_ROWS, COLUMNS = 200_000, 20_000, 30
SAMPLE_SECONDS: Final = 0.1
JOB_SECONDS_MAX: Final = 600.0
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
MIB: Final = 1024.0
"""Kibibytes in one."""
NAMES: Final = ("rows.rate", "rows.busy", "rows.memory")


@dataclass(slots=True)
class Usage:
    """What the processes of one run took, by role."""

    core_seconds: dict[str, float]
    peak_mib: dict[str, float]


@dataclass(slots=True)
class Sampler:
    """Looks at all descendants of this process until it is stopped; those that end keep their last figures."""

    done: threading.Event = field(default_factory=threading.Event)
    ticks: dict[int, int] = field(default_factory=dict)
    peaks: dict[int, float] = field(default_factory=dict)
    roles: dict[int, str] = field(default_factory=dict)

    def run(self) -> None:
        """In a thread of its own."""
        while not self.done.wait(SAMPLE_SECONDS):
            self.look()

    def look(self) -> None:
        """Once."""
        for process, parent in descendants(os.getpid()).items():
            try:
                self._read(process, parent)
            except (FileNotFoundError, ProcessLookupError):
                continue

    def usage(self) -> Usage:
        """Sums by role."""
        usage = Usage({}, {})
        for process, role in self.roles.items():
            usage.core_seconds[role] = usage.core_seconds.get(role, 0.0) + self.ticks[process] / TICKS_PER_SECOND
            usage.peak_mib[role] = usage.peak_mib.get(role, 0.0) + self.peaks.get(process, 0.0)
        return usage

    def _read(self, process: int, parent: int) -> None:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        if process not in self.roles:
            role = role_of(Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0"))
            self.roles[process] = f"{self.roles.get(parent, '')} crew".strip() if role == "crew" else role
        self.ticks[process] = int(fields[11]) + int(fields[12])
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                self.peaks[process] = int(line.split()[1]) / MIB


def descendants(root: int) -> dict[int, int]:
    """Process: its parent; parents first."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found: dict[int, int] = {}
    level = [root]
    while level:
        below = {process: parent for process, parent in parents.items() if parent in level}
        found |= below
        level = list(below)
    return found


def role_of(command: list[bytes]) -> str:
    """What a process is, by its command line."""
    words = [Path(os.fsdecode(word)).name for word in command]
    if "beam.smp" in words:
        return "rabbitmq"
    if "nodes.crew" in words:
        return "crew"
    at = words.index("nodes.cli") if "nodes.cli" in words else -1
    return words[at + 1] if at >= 0 else "other"


@dataclass(frozen=True, slots=True)
class Run:
    """One job: its report, what was used, and the seconds from the first batch to the last result."""

    report: Mapping[str, Any]
    usage: Usage
    busy_seconds: float
    busy_core_seconds: float


def run(only: str) -> Iterator[Result]:
    """Measures the names that start with `only`, on one server."""
    names = [name for name in NAMES if name.startswith(only)]
    if not names:
        return
    with running() as server, TemporaryDirectory(prefix="sublet-bench-") as folder:
        runs = {}
        for rows in (FEW_ROWS, MANY_ROWS) if "rows.memory" in names else (MANY_ROWS,):
            site = Path(folder) / str(rows)
            with deployment(site, server) as here:
                runs[rows] = _job(here, site, rows)
        measured = runs[MANY_ROWS]
        _explain(measured)
        yield from (result for result in _results(runs) if result.name in names)


def _results(runs: Mapping[int, Run]) -> Iterator[Result]:
    measured, cores = runs[MANY_ROWS], len(os.sched_getaffinity(0))
    spent = measured.report["spent"]
    arithmetic = sum(spent[name] for name in ("encrypt_seconds", "lessor_seconds", "decrypt_seconds"))
    rate, possible = MANY_ROWS / measured.report["seconds"], MANY_ROWS / (arithmetic / cores)
    yield Result("rows.rate", rate, possible, "the arithmetic alone", "rows/s", rate / possible)
    busy = measured.busy_core_seconds / measured.busy_seconds
    yield Result("rows.busy", busy, cores, "all cores", "cores", busy / cores)
    if FEW_ROWS in runs:
        many, few = (_ours(runs[rows].usage.peak_mib) for rows in (MANY_ROWS, FEW_ROWS))
        yield Result("rows.memory", many, few, f"{FEW_ROWS:,} rows", "MiB", many / few)


def _ours(by_role: Mapping[str, float]) -> float:
    return sum(figure for role, figure in by_role.items() if role != "rabbitmq")


def _job(here: Deployment, folder: Path, rows: int) -> Run:
    data = write_table(folder / "data.csv", rows, COLUMNS)
    program = write_program(folder / "program.onnx", COLUMNS)
    here.start_all()
    sampler = Sampler()
    thread = threading.Thread(target=sampler.run, daemon=True)
    thread.start()
    try:
        options = ("--program", str(program), "--protection", "homomorphic", "--id-column", "id")
        job = here.job("submit", str(data), *options)["job"]
        here.until_parts(job, 1)
        sampler.look()
        begin, used = time.monotonic(), sum(sampler.usage().core_seconds.values())
        here.until_file("A11.A12", job, "output", seconds_max=JOB_SECONDS_MAX)
        sampler.look()
        busy = time.monotonic() - begin, sum(sampler.usage().core_seconds.values()) - used
        report = here.until(job, lambda seen: seen["state"] in ("completed", "failed"))
    finally:
        sampler.done.set()
        thread.join()
    if report["state"] != "completed":
        raise RuntimeError(f"the job failed: {report['reason']}")
    return Run(report, sampler.usage(), *busy)


def _explain(measured: Run) -> None:
    """Where the time went, to standard error."""
    report, usage = measured.report, measured.usage
    print(f"{MANY_ROWS:,} rows in {report['seconds']:.1f} s", file=sys.stderr)
    print(f"  predicted {report['assessment']['costs']}", file=sys.stderr)
    print(f"  spent     {report['spent']}", file=sys.stderr)
    for role, seconds in sorted(usage.core_seconds.items(), key=lambda each: -each[1]):
        print(f"  {role:14} {seconds:7.2f} core-seconds, peak {usage.peak_mib[role]:7.1f} MiB", file=sys.stderr)
