"""Joint jobs on RabbitMQ of which one process is killed at each of their steps: `python -m tests.soak.jointkills`.

For every process of every party one job of three rounds over masked ids, and one model: at each step the process is
killed with SIGKILL, and started again as a supervisor does; its children are left to their parents. The output must be
that of plaintext. Each step says how long it took until the next; so does a job in which nobody is killed. Then jobs
whose partner, or renter, is killed and stays away: the other says so in time.
`--only partner hub` runs victims whose name begins so, `--kind rounds` only one kind of job.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil  # type: ignore[import-untyped]
from sklearn.linear_model import Ridge

from tests.support import together as joint
from tests.support.deployment import Deployment, deployment
from tests.support.rabbitmq import Server, private
from tests.support.together import Case

PARTNER, RENTER = "C11.C12", "A11.A12"
LESSORS = ("B11.B12", "B11.B13")
INIT: Final = ("--hubs", "A11,B11,C11", "--links", "A11-B11,A11-C11", "--partner", PARTNER)
IDS, SHARED, BATCH_ROWS = 17_000, 300, 5
MODEL_ROWS, MODEL_COLUMNS, PENALTY_PER_ROW = 4000, 130, 0.01
START: Final = (0.5, -0.25, 1.0)
JOB_SECONDS_MAX: Final = 900.0
STEP_SECONDS_MAX: Final = 300.0
SILENT_SECONDS_MAX: Final = 30.0
DATASET: Final = """
[partner.datasets.claims]
file = "insurer.csv"
id_column = "id"
outliers = "move"
"""
CREW, ENCLAVE = "nodes.crew", "nodes.enclave"
Victim = Callable[["Run"], None]


@dataclass(frozen=True, slots=True)
class Step:
    """When so many files of this name are in the job's folder of a node."""

    name: str
    at: str
    pattern: str
    count: int = 1
    rented: bool = True
    """Whether there are enclaves by then."""


STEPS: Final = {
    "rounds": (
        Step("ids masked", PARTNER, "alignment/masked/*.bin", rented=False),
        Step("ids taken", RENTER, "alignment/taken/*.bin", rented=False),
        Step("ids matched", PARTNER, "places.i8", rented=False),
        Step("round 1 planned", RENTER, "rounds/0001-parameters-*.f64", rented=False),
        Step("round 1 sealed", PARTNER, "partials/0001-*.bin"),
        Step("round 1 answered", RENTER, "rounds/0001-output-*.f64"),
        Step("round 2 half sealed", PARTNER, "partials/0002-*.bin", SHARED // BATCH_ROWS // 2),
        Step("round 3 planned", RENTER, "rounds/0003-parameters-*.f64"),
    ),
    "model": (
        Step("asked", PARTNER, "table.sha256", rented=False),
        Step("rows sealed", PARTNER, "partials/0001-*.bin"),
        Step("units summed", PARTNER, "units/*.bin"),
        Step("solved", RENTER, "rounds/0001-solved-*.f64"),
    ),
}


@dataclass
class Run:
    """A network with its processes, and the server below."""

    network: Deployment
    server: Server
    processes: dict[str, list[subprocess.Popen[bytes]]]

    @classmethod
    def of(cls, network: Deployment, server: Server, case: Case, partners: int = 1) -> Run:
        """All roles started; the partner has the case's table, and so many processes."""
        config = network.config(PARTNER)
        config.write_text(config.read_text() + DATASET)
        joint.policy(config.parent)
        (config.parent / "insurer.csv").write_bytes(case.partner.read_bytes())
        started = network.start_all() | {"C11.hub": [network.start("hub", "C11.hub")]}
        started[PARTNER] = [network.start("partner", PARTNER) for _ in range(partners)]
        return cls(network, server, started)

    def kill(self, address: str) -> None:
        """The node's process that was started first is no more."""
        process = self.processes[address].pop(0)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def begin(self, role: str, address: str) -> None:
        """One more process of a node."""
        self.processes[address].append(self.network.start(role, address))

    def reached(self, job: str, step: Step) -> bool:
        """Return at the step; whether the job got there before it ended."""
        jobs = self.network.folder / "nodes"
        deadline = time.monotonic() + STEP_SECONDS_MAX
        while time.monotonic() < deadline:
            if len(list((jobs / step.at / "data" / "jobs" / job).glob(step.pattern))) >= step.count:
                return True
            if len(list((jobs / RENTER / "data" / "jobs" / job / "table").iterdir())) == 1:  # the job has ended
                return False
            time.sleep(0.02)
        return False


class NobodyThere(Exception):  # noqa: N818
    """There is no such process to kill."""


def nobody(run: Run) -> None:
    """For comparison."""


def role(name: str, address: str) -> Victim:
    """A process of a node."""

    def kill(run: Run) -> None:
        run.kill(address)
        run.begin(name, address)

    return kill


def child(module: str, *addresses: str) -> Victim:
    """One of the processes that a process of these nodes started: its parent sees to it."""

    def kill(run: Run) -> None:
        parents = [psutil.Process(run.processes[address][0].pid) for address in addresses]
        started = [each for parent in parents for each in parent.children(recursive=True) if _runs(each, module)]
        if not started:  # those of a crew come with the next task
            raise NobodyThere(module)
        started[0].kill()

    return kill


def _runs(process: psutil.Process, module: str) -> bool:
    try:
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and any(module in word for word in process.cmdline())
    except psutil.Error:  # it ended meanwhile
        return False


def broker(run: Run) -> None:
    """As by a power cut."""
    assert run.server.power is not None
    run.server.power.restart()


ONE_OF_TWO: Final = "partner, one of two"
VICTIMS: Final[dict[str, Victim]] = {
    "nobody": nobody,
    "renter": role("renter", RENTER),
    "renter's crew": child(CREW, RENTER),
    "lessor": role("lessor", LESSORS[0]),
    "lessor's enclave": child(ENCLAVE, *LESSORS),
    "hub A11": role("hub", "A11.hub"),
    "hub B11": role("hub", "B11.hub"),
    "hub C11": role("hub", "C11.hub"),
    "partner": role("partner", PARTNER),
    ONE_OF_TWO: role("partner", PARTNER),
    "partner's crew": child(CREW, PARTNER),
    "broker": broker,
}
GONE: Final = (
    ("rounds", STEPS["rounds"][1]),
    ("rounds", Step("round 2 sealed", PARTNER, "partials/0002-*.bin")),
    ("model", STEPS["model"][1]),
)
"""When somebody goes for good."""


def submit(network: Deployment, kind: str, case: Case, folder: Path, *, rounds: int = 3) -> str:
    """A job of this kind."""
    mine = ("--id-column", "id", "--accept-software-enclave", "--partner", PARTNER, "--dataset", joint.DATASET)
    if kind == "model":
        model = ("--algorithm", "ridge", "--label", joint.LABEL, "--penalty", str(PENALTY_PER_ROW))
        asked: tuple[str, ...] = (*model, "--key-bits", "2048", "--aligned", "--partner-bits", "16")
    else:
        programs = {"l": joint.lessors_program(), "p": joint.partner_program(), "u": joint.update_program()}
        for name, raw in programs.items():
            (folder / f"{name}.onnx").write_bytes(raw)
        ours = ("--program", str(folder / "l.onnx"), "--partner-program", str(folder / "p.onnx"))
        steps = ("--rounds", str(rounds), "--update", str(folder / "u.onnx"), "--parameters", ",".join(map(str, START)))
        asked = (*ours, *steps, "--batch-rows", str(BATCH_ROWS))
    job: str = network.job("submit", str(case.renter), *mine, *asked)["job"]
    return job


def wrong(run: Run, kind: str, case: Case, folder: Path, job: str, report: dict[str, Any]) -> str:
    """What is wrong with the output; empty when it is that of plaintext."""
    if report["state"] != "completed":
        return f"{report['state']}: {report.get('code')} {report.get('reason')}"
    out = folder / "out.csv"
    run.network.sublet("job", "result", job, "--config", str(run.network.config(RENTER)), "--out", str(out))
    with out.open(newline="") as file:
        _, *rows = csv.reader(file)
    found = np.array([[float(value) for value in row[1:]] for row in rows])
    if kind == "rounds":
        expected, tolerance = case.expected(3, START), 1e-6
    else:
        show = ("joint", "show", job, "--config", str(run.network.config(PARTNER)), "--json")
        theirs = json.loads(run.network.sublet(*show).stdout)["weights"]
        pooled = np.hstack([case.mine[:, :3], case.theirs])
        spread, tolerance = pooled.std(axis=0), 1e-3
        model = Ridge(alpha=PENALTY_PER_ROW * MODEL_ROWS).fit((pooled - pooled.mean(axis=0)) / spread, case.mine[:, 3])
        found, expected = np.array([*found[:3, 0], *theirs.values()]) * spread, model.coef_
    if found.shape != expected.shape:
        return f"an output of {found.shape}, not {expected.shape}"
    apart = np.abs(found - expected).max() / np.abs(expected).max()
    return "" if apart <= tolerance else f"{apart:.1e} from plaintext"


def one(server: Server, kind: str, name: str, folder: Path) -> bool:
    """One job whose victim is killed at each step; whether all was well."""
    with deployment(folder / "network", server, *INIT) as network:
        case = made(kind, folder)
        run = Run.of(network, server, case, 2 if name == ONE_OF_TWO else 1)
        steps = [each for each in STEPS[kind] if each.rented or "enclave" not in name]
        begin, met, missed, idle = time.monotonic(), dict[str, float](), list[str](), list[str]()
        job = submit(network, kind, case, folder)
        for step in steps:
            if not run.reached(job, step):
                missed.append(f"{step.name}: not reached")
                continue
            try:
                VICTIMS[name](run)
                met[step.name] = time.monotonic()
            except NobodyThere:
                idle.append(f"{step.name}: no such process then")
        report = network.ended(job, seconds_max=JOB_SECONDS_MAX)
        after = [*list(met.values())[1:], time.monotonic()]
        said = [f"{step} +{later - at:.0f} s" for (step, at), later in zip(met.items(), after, strict=True)]
        fault = wrong(run, kind, case, folder, job, report)
        good = bool(met) and not missed and not fault
        tell("ok" if good else "BAD", kind, name, begin, [*said, *idle, *missed, fault])
        if fault:
            print(network.logs(), file=sys.stderr, flush=True)
        return good


def made(kind: str, folder: Path) -> Case:
    """Both sides' tables."""
    if kind == "model":
        return joint.make_wide(folder, MODEL_ROWS, MODEL_COLUMNS)
    return joint.make_overlapping(folder, IDS, SHARED)


def gone(server: Server, kind: str, step: Step, folder: Path) -> bool:
    """The partner is killed at a step and stays away; then the renter, of another job; whether the other said so."""
    case, good = made(kind, folder), True
    with deployment(folder / "network", server, *INIT) as network:
        for address, table, key in (
            (RENTER, "renter", "partner_seconds_max"),
            (PARTNER, "partner", "renter_seconds_max"),
        ):
            config = network.config(address)
            text, header, setting = config.read_text(), f"[{table}]", f"{key} = {SILENT_SECONDS_MAX}"
            text = text.replace(header, f"{header}\n{setting}") if header in text else f"{text}\n{header}\n{setting}\n"
            config.write_text(text)
        run = Run.of(network, server, case)
        for name, address, by in (("partner", PARTNER, RENTER), ("renter", RENTER, PARTNER)):
            begin, job = time.monotonic(), submit(network, kind, case, folder, rounds=5)
            reached = run.reached(job, step)
            run.kill(address)
            killed = time.monotonic()
            report = ended_at(network, by, job)
            seconds = time.monotonic() - killed
            fine = reached and report.get("code") == f"{name}-silent" and address in str(report.get("reason"))
            good &= fine
            said = f"{step.name}; {by} says {report.get('code')} after {seconds:.0f} s: {report.get('reason')}"
            tell("ok" if fine else "BAD", f"{kind}, gone", name, begin, [said])
            run.begin(name, address)
            ended_at(network, address, job)
    return good


def ended_at(network: Deployment, by: str, job: str) -> dict[str, Any]:
    """What that side says of the job once it is over for it."""
    command = ("job", "show") if by == RENTER else ("joint", "show")
    deadline = time.monotonic() + STEP_SECONDS_MAX
    while True:
        done = network.sublet(*command, job, "--config", str(network.config(by)), "--json")
        report: dict[str, Any] = json.loads(done.stdout)
        if report.get("code") or time.monotonic() > deadline:
            return report
        time.sleep(1)


def tell(mark: str, kind: str, name: str, begin: float, said: list[str]) -> None:
    """A line of the table."""
    seconds, load = time.monotonic() - begin, os.getloadavg()[0]
    print(
        f"{mark:3} {kind:13} {name:19} {seconds:4.0f} s, load {load:.0f}: {', '.join(filter(None, said))}", flush=True
    )


def main() -> int:
    """Exit 1 when an output was not that of plaintext, or a step not met."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", default=[""], metavar="PREFIX")
    parser.add_argument("--kind", nargs="+", default=[*STEPS, "gone"], choices=[*STEPS, "gone"])
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends too
    names = [each for each in VICTIMS if each.startswith(tuple(asked.only))]
    cells = [(kind, name) for kind in asked.kind if kind in STEPS for name in names]
    good = []
    with private() as server:
        for kind, name in cells:
            with tempfile.TemporaryDirectory(prefix="sublet-soak-") as folder:
                good.append(one(server, kind, name, Path(folder)))
        for kind, step in GONE if "gone" in asked.kind else ():
            with tempfile.TemporaryDirectory(prefix="sublet-soak-") as folder:
                good.append(gone(server, kind, step, Path(folder)))
    print(f"{sum(good)} of {len(good)} were as if nobody had been killed, or said who was gone")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
