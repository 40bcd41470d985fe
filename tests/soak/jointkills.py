"""Joint jobs on RabbitMQ of which one process is killed at each of their steps: `python -m tests.soak.jointkills`.

For every process of every party one job of three rounds over masked ids, and one model: at each step the process is
killed with SIGKILL, and started again as a supervisor does; its children are left to their parents. The output must be
that of plaintext. Then a job whose partner is killed in its second round and stays away: the renter says so in time.
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

PARTNER, RENTER, LESSOR = "C11.C12", "A11.A12", "B11.B12"
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
    """When a file of this name is in the job's folder of a node."""

    name: str
    at: str
    pattern: str


STEPS: Final = {
    "rounds": (
        Step("ids masked", PARTNER, "alignment/masked/*.bin"),
        Step("ids taken", RENTER, "alignment/taken/*.bin"),
        Step("round 1 planned", RENTER, "rounds/0001-parameters-*.f64"),
        Step("round 2 sealed", PARTNER, "partials/0002-*.bin"),
        Step("round 3 planned", RENTER, "rounds/0003-parameters-*.f64"),
    ),
    "model": (
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
    processes: dict[str, subprocess.Popen[bytes]]

    @classmethod
    def of(cls, network: Deployment, server: Server, case: Case) -> Run:
        """All roles started; the partner has the case's table, and waits half a minute for a silent renter."""
        config = network.config(PARTNER)
        config.write_text(config.read_text() + DATASET)
        joint.policy(config.parent)
        (config.parent / "insurer.csv").write_bytes(case.partner.read_bytes())
        started = {address: processes[0] for address, processes in network.start_all().items()}
        started |= {"C11.hub": network.start("hub", "C11.hub"), PARTNER: network.start("partner", PARTNER)}
        return cls(network, server, started)

    def reached(self, job: str, step: Step) -> bool:
        """Return at the step; whether the job got there before it ended."""
        jobs = self.network.folder / "nodes"
        deadline = time.monotonic() + STEP_SECONDS_MAX
        while time.monotonic() < deadline:
            if any((jobs / step.at / "data" / "jobs" / job).glob(step.pattern)):
                return True
            if (jobs / RENTER / "data" / "jobs" / job / "output").exists():
                return False
            time.sleep(0.02)
        return False


def role(name: str, address: str) -> Victim:
    """The process of a node."""

    def kill(run: Run) -> None:
        run.processes[address].send_signal(signal.SIGKILL)
        run.processes[address].wait()
        run.processes[address] = run.network.start(name, address)

    return kill


def child(address: str, module: str) -> Victim:
    """One of the processes that a node's process started: its parent sees to it."""

    def kill(run: Run) -> None:
        started = psutil.Process(run.processes[address].pid).children(recursive=True)
        alive = [each for each in started if each.status() != psutil.STATUS_ZOMBIE]
        mine = [each for each in alive if any(module in word for word in each.cmdline())]
        mine[0].kill()

    return kill


def broker(run: Run) -> None:
    """As by a power cut."""
    assert run.server.power is not None
    run.server.power.restart()


VICTIMS: Final[dict[str, Victim]] = {
    "renter": role("renter", RENTER),
    "renter's crew": child(RENTER, CREW),
    "lessor": role("lessor", LESSOR),
    "lessor's enclave": child(LESSOR, ENCLAVE),
    "hub A11": role("hub", "A11.hub"),
    "hub B11": role("hub", "B11.hub"),
    "hub C11": role("hub", "C11.hub"),
    "partner": role("partner", PARTNER),
    "partner's crew": child(PARTNER, CREW),
    "broker": broker,
}


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
    wide = kind == "model"
    case = joint.make_wide(folder, MODEL_ROWS, MODEL_COLUMNS) if wide else joint.make_overlapping(folder, IDS, SHARED)
    with deployment(folder / "network", server, *INIT) as network:
        run = Run.of(network, server, case)
        begin, met, missed = time.monotonic(), list[str](), list[str]()
        job = submit(network, kind, case, folder)
        for step in STEPS[kind]:
            try:
                if not run.reached(job, step):
                    raise LookupError
                VICTIMS[name](run)
            except (LookupError, psutil.Error):  # the step is over, or there is no such process then
                missed.append(step.name)
            else:
                met.append(f"{step.name} {time.monotonic() - begin:.0f} s")
        report = network.ended(job, seconds_max=JOB_SECONDS_MAX)
        fault = wrong(run, kind, case, folder, job, report)
        tell(
            "BAD" if fault or missed else "ok", kind, name, begin, [*met, *(f"missed {each}" for each in missed), fault]
        )
        if fault:
            print(network.logs(), file=sys.stderr, flush=True)
        return not fault and not missed


def gone(server: Server, folder: Path) -> bool:
    """The partner is killed in its second round and stays away; then the renter, of another job."""
    case, good = joint.make_case(folder), True
    with deployment(folder / "network", server, *INIT) as network:
        for address, key in ((RENTER, "partner_seconds_max"), (PARTNER, "renter_seconds_max")):
            table = "renter" if address == RENTER else "partner"
            config = network.config(address)
            text, setting = config.read_text(), f"{key} = {SILENT_SECONDS_MAX}"
            header = f"[{table}]"
            text = text.replace(header, f"{header}\n{setting}") if header in text else f"{text}\n{header}\n{setting}\n"
            config.write_text(text)
        run = Run.of(network, server, case)
        for name, address, by in (("partner", PARTNER, RENTER), ("renter", RENTER, PARTNER)):
            begin, job = time.monotonic(), submit(network, "rounds", case, folder, rounds=5)
            reached = run.reached(job, Step("round 2", PARTNER, "partials/0002-*.bin"))
            run.processes[address].send_signal(signal.SIGKILL)
            run.processes[address].wait()
            killed = time.monotonic()
            report = ended_at(network, by, job)
            seconds, code = time.monotonic() - killed, f"{name}-silent"
            fine = reached and report.get("code") == code and name_in(report, address)
            good &= fine
            said = f"{by} says {report.get('code')} after {seconds:.0f} s: {report.get('reason')}"
            tell("ok" if fine else "BAD", "gone for good", name, begin, [said])
            run.processes[address] = network.start(name, address)
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


def name_in(report: dict[str, Any], address: str) -> bool:
    """Whether the reason says who."""
    return address in str(report.get("reason"))


def tell(mark: str, kind: str, name: str, begin: float, said: list[str]) -> None:
    """A line of the table."""
    seconds, load = time.monotonic() - begin, os.getloadavg()[0]
    print(
        f"{mark:3} {kind:13} {name:17} {seconds:4.0f} s, load {load:.0f}: {', '.join(filter(None, said))}", flush=True
    )


def main() -> int:
    """Exit 1 when an output was not that of plaintext, or a step not met."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", default=[""], metavar="PREFIX")
    parser.add_argument("--kind", nargs="+", default=["rounds", "model", "gone"], choices=["rounds", "model", "gone"])
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends too
    good = []
    with private() as server:
        for kind in asked.kind:
            names = [""] if kind == "gone" else [each for each in VICTIMS if each.startswith(tuple(asked.only))]
            for name in names:
                with tempfile.TemporaryDirectory(prefix="sublet-soak-") as folder:
                    good.append(one(server, kind, name, Path(folder)) if name else gone(server, Path(folder)))
    print(f"{sum(good)} of {len(good)} were as if nobody had been killed, or said who was gone")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
