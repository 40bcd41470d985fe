"""rows.*: a homomorphic job of 200,000 rows of 30 columns on RabbitMQ, one process per role, on all cores.

    rows.rate    rows per second from the command that submits the job to its result, beside what the cores could do if
                 they did nothing but encrypt, compute and decrypt
    rows.busy    how busy all cores are from the first batch to the last result
    rows.memory  the sum of all processes' largest resident sizes, beside that of 20,000 rows; RabbitMQ's apart
    rows.millions.rate, rows.millions.memory    the same of 2,000,000 rows, beside those of 200,000 and of 20,000:
                 only when asked for by that name, for it takes some minutes

A small job before the one that counts measures the machine. Where the core-seconds went is printed by role. Ends early,
with the job's reason, when a job fails.
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

MILLIONS, MANY_ROWS, FEW_ROWS, FIRST_ROWS, COLUMNS = 2_000_000, 200_000, 20_000, 2_000, 30
SAMPLE_SECONDS: Final = 0.1
JOB_SECONDS_MAX: Final = 1800.0
OPTIONS: Final = ("--protection", "homomorphic", "--id-column", "id")
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
MIB: Final = 1024.0
"""Kibibytes in one."""
NAMES: Final = ("rows.rate", "rows.busy", "rows.memory")
MILLIONS_NAMES: Final = ("rows.millions.rate", "rows.millions.memory")


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
    before: dict[int, int] = field(default_factory=dict)
    """Ticks that do not count."""
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

    def begin(self) -> None:
        """What was used so far does not count."""
        self.look()
        self.before = dict(self.ticks)

    def usage(self) -> Usage:
        """Sums by role."""
        usage = Usage({}, {})
        for process, role in self.roles.items():
            ticks = self.ticks[process] - self.before.get(process, 0)
            usage.core_seconds[role] = usage.core_seconds.get(role, 0.0) + ticks / TICKS_PER_SECOND
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
    submit_seconds: float
    """Of the command that takes the job in: it reads the user's file."""
    usage: Usage
    busy_seconds: float
    busy_core_seconds: float

    @property
    def seconds(self) -> float:
        """From the command to the result."""
        return float(self.submit_seconds + self.report["seconds"])


def run(only: str) -> Iterator[Result]:
    """Measures the names that start with `only`, on one server."""
    asked = MILLIONS_NAMES if only.startswith("rows.millions") else NAMES
    names = [name for name in asked if name.startswith(only)]
    if not names:
        return
    with running() as server, TemporaryDirectory(prefix="sublet-bench-") as folder:
        runs = {}
        for rows in _sizes(names):
            site = Path(folder) / str(rows)
            with deployment(site, server) as here:
                runs[rows] = _job(here, site, rows)
            _explain(rows, runs[rows])
        yield from (result for result in _results(runs) if result.name in names)


def _sizes(names: list[str]) -> list[int]:
    more = {"rows.memory": (FEW_ROWS,), "rows.millions.memory": (FEW_ROWS, MILLIONS), "rows.millions.rate": (MILLIONS,)}
    return sorted({MANY_ROWS, *(rows for name in names for rows in more.get(name, ()))})


def _results(runs: Mapping[int, Run]) -> Iterator[Result]:
    measured, cores = runs[MANY_ROWS], len(os.sched_getaffinity(0))
    spent = measured.report["spent"]
    arithmetic = sum(spent[name] for name in ("encrypt_seconds", "lessor_seconds", "decrypt_seconds"))
    rate, possible = MANY_ROWS / measured.seconds, MANY_ROWS / (arithmetic / cores)
    yield Result("rows.rate", rate, possible, "the arithmetic alone", "rows/s", rate / possible)
    busy = measured.busy_core_seconds / measured.busy_seconds
    yield Result("rows.busy", busy, cores, "all cores", "cores", busy / cores)
    if MILLIONS in runs:
        faster = MILLIONS / runs[MILLIONS].seconds
        yield Result("rows.millions.rate", faster, rate, f"{MANY_ROWS:,} rows", "rows/s", faster / rate)
    if FEW_ROWS in runs:
        few = _ours(runs[FEW_ROWS].usage.peak_mib)
        for name, rows in (("rows.memory", MANY_ROWS), ("rows.millions.memory", MILLIONS)):
            if rows in runs:
                most = _ours(runs[rows].usage.peak_mib)
                yield Result(name, most, few, f"{FEW_ROWS:,} rows", "MiB", most / few)


def _ours(by_role: Mapping[str, float]) -> float:
    return sum(figure for role, figure in by_role.items() if role != "rabbitmq")


def _job(here: Deployment, folder: Path, rows: int) -> Run:
    first, data = (write_table(folder / f"{size}.csv", size, COLUMNS) for size in (FIRST_ROWS, rows))
    options = ("--program", str(write_program(folder / "program.onnx", COLUMNS)), *OPTIONS)
    here.start_all()
    sampler = Sampler()
    here.ended(here.job("submit", str(first), *options)["job"])
    sampler.begin()
    thread = threading.Thread(target=sampler.run, daemon=True)
    thread.start()
    try:
        commanded = time.monotonic()
        job = here.job("submit", str(data), *options)["job"]
        submitted = time.monotonic() - commanded
        here.until_parts(job, 1)
        sampler.look()
        begin, used = time.monotonic(), sum(sampler.usage().core_seconds.values())
        here.until_file("A11.A12", job, "output", seconds_max=JOB_SECONDS_MAX)
        sampler.look()
        busy = time.monotonic() - begin, sum(sampler.usage().core_seconds.values()) - used
        report = here.ended(job)
    finally:
        sampler.done.set()
        thread.join()
    if report["state"] != "completed":
        raise RuntimeError(f"the job failed: {report['reason']}")
    return Run(report, submitted, sampler.usage(), *busy)


def _explain(rows: int, measured: Run) -> None:
    """Where the time went, to standard error."""
    report, usage = measured.report, measured.usage
    parts = f"{measured.submit_seconds:.1f} s to submit them, {measured.busy_seconds:.1f} s for the batches"
    print(f"{rows:,} rows in {measured.seconds:.1f} s, of these {parts}", file=sys.stderr)
    print(f"  predicted {report['assessment']['costs']}", file=sys.stderr)
    print(f"  spent     {report['spent']}", file=sys.stderr)
    for role, seconds in sorted(usage.core_seconds.items(), key=lambda each: -each[1]):
        print(f"  {role:14} {seconds:7.2f} core-seconds, peak {usage.peak_mib[role]:7.1f} MiB", file=sys.stderr)
    print(f"  {'all':14} {sum(usage.core_seconds.values()):7.2f} core-seconds", file=sys.stderr)
