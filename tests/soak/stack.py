"""The network of docker-compose.yml as its users start it: `python -m tests.soak.stack`.

Every service is healthy without a manual step. A job of 20,000 rows runs under each protection and equals plaintext; a
joint job crosses three brokers; a lessor is scaled to three workers. In the middle of jobs each bridge, broker, hub,
the renter and PostgreSQL are killed, and the engine starts them again; a link is cut, and both hubs name it. Every row
must come back exactly once, and nobody be blamed. In the end nothing is left.
`SUBLET_TEST_COMPOSE` and `SUBLET_TEST_ENGINE` name others than `docker compose` and `docker`; `--keep` leaves the
network running, `--only` takes parts whose name begins so. Needs root, to kill what runs in containers.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.soak.outages import BATCH_ROWS, TOLERANCE, write_inputs

COMPOSE: Final = shlex.split(os.environ.get("SUBLET_TEST_COMPOSE", "docker compose"))
ENGINE: Final = os.environ.get("SUBLET_TEST_ENGINE", "docker")
PROJECT: Final = "sublet"
ROWS: Final = 20_000
LONG_ROWS: Final = 48_000
HUBS: Final = ("a11", "b11", "c11")
RENTER: Final = "renter-a12"
PARTNER: Final = "partner-c12"
KILLED: Final = (
    *(f"bridge-{hub}" for hub in HUBS),
    *(f"rabbitmq-{hub}" for hub in HUBS),
    *(f"hub-{hub}" for hub in HUBS),
    "postgres",
    RENTER,
)
KILLS_PER_JOB: Final = 3
LINK_ENDS: Final = ("bridge-a11", "bridge-b11")
PROTECTIONS: Final = ("homomorphic", "enclave", "sealed-result")
WORKERS: Final = 3
HEALTHY_SECONDS_MAX: Final = 120.0
NAMED_SECONDS_MAX: Final = 15.0
JOB_SECONDS_MAX: Final = 900.0
RESTART_SECONDS_MAX: Final = 5.0
POLL_SECONDS: Final = 0.3
ENDED: Final = ("completed", "failed")
METRICS: Final = "http://127.0.0.1:9464/metrics"
"""Of a node, inside of its container."""
DONE: Final = 'sublet_batches_total{direction="sent",event="completed"}'
ALLOW_ALL: Final = '[[allow]]\nrenters = ["A11.A12"]\ndatasets = ["claims"]\nalgorithms = ["*"]\nids_max = 1000\n'
CLAIMS: Final = '\n[partner.datasets.claims]\nfile = "claims.csv"\nid_column = "patient"\noutliers = "move"\n'


@dataclass
class Stack:
    """The running services, seen as their operator sees them."""

    folder: Path
    """Of inputs; services see it as /here."""
    wrong: list[str] = field(default_factory=list)

    def compose(self, *arguments: str, given: str | None = None, check: bool = True) -> str:
        """One command of the operator; its output."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:  # what is started keeps a pipe
            done = subprocess.run(
                [*COMPOSE, *arguments], input=given, stdout=out, stderr=error, text=True, check=False, timeout=1800
            )
            for each in (out, error):
                each.seek(0)
            if check and done.returncode:
                raise AssertionError(f"compose {' '.join(arguments)} ended {done.returncode}: {error.read()[-2000:]}")
            return out.read()

    def containers(self, service: str = "", *, all_: bool = False) -> list[str]:
        """Ids of a service's containers, or of the project's."""
        label = f"com.docker.compose.service={service}" if service else f"com.docker.compose.project={PROJECT}"
        mine = ("--filter", f"label=com.docker.compose.project={PROJECT}", "--filter", f"label={label}")
        return engine("ps", "-q", *(["-a"] if all_ else []), *mine).split()

    def tell(self, service: str, command: str, given: str | None = None) -> str:
        """A shell's command inside of a service, repeated while that is not there."""
        deadline = time.monotonic() + HEALTHY_SECONDS_MAX
        while True:
            try:
                return self.compose("exec", "-T", service, "sh", "-c", command, given=given)
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)

    def kill(self, service: str) -> None:
        """Kill -9. The engine starts it again; where that cannot (podman without systemd), its operator does."""
        (container,) = self.containers(service)
        killed, deadline = _pid(container), time.monotonic() + RESTART_SECONDS_MAX
        os.kill(killed, signal.SIGKILL)
        while _pid(container) in (killed, 0):
            if time.monotonic() > deadline:
                self.compose("up", "-d", service)
            time.sleep(POLL_SECONDS)

    def submit(self, *arguments: str) -> str:
        """A job of the renter's by the command line of its own service; its id."""
        run = ("run", "--rm", "-T", "-v", f"{self.folder}:/here:ro", "-w", "/here", "cli")
        said = self.compose(*run, "sublet", "job", "submit", *arguments, "--json")
        return str(json.loads(said[said.index("{") :])["job"])

    def report(self, job: str) -> dict[str, Any]:
        """A job as the renter shows it; empty while that is not there."""
        said = self.compose("exec", "-T", RENTER, "sublet", "job", "show", job, "--json", check=False)
        found: dict[str, Any] = json.loads(said) if said.startswith("{") else {}
        return found

    def has_ended(self, job: str) -> bool:
        """Whether nothing more will happen."""
        return self.report(job).get("state") in ENDED

    def ended(self, job: str) -> dict[str, Any]:
        """The job's report, once it has ended."""
        deadline = time.monotonic() + JOB_SECONDS_MAX
        while True:
            report = self.report(job)
            if report.get("state") in ENDED:
                return report
            if time.monotonic() > deadline:
                raise AssertionError(f"{job} has not ended: {report}")
            time.sleep(POLL_SECONDS)

    def parts(self, job: str) -> int:
        """Results that are in."""
        return int(self.tell(RENTER, f"ls data/jobs/{job}/parts 2>/dev/null | wc -l"))

    def said(self, service: str, since: float) -> Iterator[dict[str, Any]]:
        """Lines of a service's log from then on."""
        (container,) = self.containers(service)
        log = subprocess.run(
            [ENGINE, "logs", "--since", str(int(since)), container],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        for line in log.stdout.splitlines():
            if line.startswith("{"):
                yield json.loads(line)


def engine(*arguments: str) -> str:
    """A command of the container engine; its output."""
    done = subprocess.run([ENGINE, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{ENGINE} {' '.join(arguments)} ended {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def healthy(stack: Stack) -> str:
    """Every service's own check says so, nobody having done anything; who had not in time is wrong."""
    begin = time.monotonic()
    waiting = set(stack.containers())
    while waiting and time.monotonic() < begin + HEALTHY_SECONDS_MAX:
        waiting = {each for each in waiting if not _checked(each)}
        time.sleep(POLL_SECONDS)
    for each in waiting:
        stack.wrong.append(f"not healthy: {engine('inspect', '-f', '{{.Name}}', each).strip()}")
    return f"{len(stack.containers())} services healthy after {time.monotonic() - begin:.0f} s"


def _checked(container: str) -> bool:
    """By what the engine last found; podman looks when it is asked to."""
    if ENGINE.endswith("podman"):
        return (
            subprocess.run([ENGINE, "healthcheck", "run", container], capture_output=True, check=False).returncode == 0
        )
    return "healthy" in engine("inspect", "-f", "{{.State.Health.Status}}", container).split()


def equal(stack: Stack, job: str, rows: int, *, lessors: int) -> str:
    """What a job came to; what is not as in plaintext, or not once, or whom it blames is wrong."""
    report = stack.ended(job)
    if report["state"] != "completed":
        stack.wrong.append(f"{report['state']}: {report.get('code')} {report.get('reason')}")
        return ""
    done = [each["lessor"] for each in report["contracts"] if each["subtask"] == "completed"]
    if len(done) != len(report["contracts"]) or len(set(done)) < lessors:
        stack.wrong.append(f"{job}: {len(report['contracts'])} contracts, done by {', '.join(done)}")
    _, _, expected = write_inputs(stack.folder, rows)
    table = list(csv.reader(stack.compose("exec", "-T", RENTER, "sublet", "job", "result", job).splitlines()))[1:]
    if [row[0] for row in table] != [f"row-{number}" for number in range(rows)]:
        stack.wrong.append(f"{job}: {len(table)} rows, not those of the input")
        return ""
    off = float(np.abs(np.array([float(row[1]) for row in table]) - expected).max())
    if off > TOLERANCE:
        stack.wrong.append(f"{job}: results differ by {off}")
    by = ", ".join(f"{each['lessor']}" for each in report["contracts"])
    return f"{rows:,} rows in {report['seconds']:.0f} s by {by}, off by {off:.1e}"


def linear(stack: Stack, rows: int, *more: str) -> str:
    """A job on this many rows is on its way; its id."""
    write_inputs(stack.folder, rows)
    return stack.submit("data.csv", "--linear", "weights.csv", "--id-column", "key", "--lessors", "2", *more)


def protections(stack: Stack) -> str:
    """A job under each, by lessors of two other subnets."""
    told = []
    for protection in PROTECTIONS:
        job = linear(
            stack,
            ROWS,
            "--protection",
            protection,
            "--lessors-min",
            "2",
            "--accept-software-enclave",
            "--local-share",
            "0.02",
        )
        told.append(f"{protection}: {equal(stack, job, ROWS, lessors=2)}")
    return "; ".join(told)


def joint(stack: Stack) -> str:
    """A joint job; what goes from B12 to the partner has no link of its own."""
    subprocess.run(
        [sys.executable, "-m", "nodes.cli", "demo", "--joint", "--files", str(stack.folder / "joint")],
        capture_output=True,
        check=True,
    )
    stack.tell(PARTNER, "cat > /node/claims.csv", (stack.folder / "joint" / "insurer.csv").read_text())
    stack.tell(PARTNER, "cat > /node/policy.toml", ALLOW_ALL)
    if "claims.csv" not in stack.tell(PARTNER, "grep -v '^#' /node/node.toml"):
        stack.tell(PARTNER, "cat >> /node/node.toml", CLAIMS)
        stack.compose("up", "-d", "--force-recreate", "--no-deps", PARTNER)
    stack.tell(PARTNER, "sublet node status --config /node/node.toml")
    model = ("--algorithm", "logistic", "--label", "malignant", "--outliers", "move")
    job = stack.submit(
        *("joint/hospital.csv", "--id-column", "patient", *model),
        *("--partner", "C11.C12", "--dataset", "claims", "--accept-software-enclave"),
    )
    report = stack.ended(job)
    if report["state"] != "completed":
        stack.wrong.append(f"{report['state']}: {report.get('code')} {report.get('reason')}")
    routes = stack.compose("exec", "-T", RENTER, "sublet", "job", "show", job)
    sealed = [" ".join(line.split()[2:]) for line in routes.splitlines() if line.startswith("sealed to")]
    if "B11.B12 → B11 → A11 → C11 → C11.C12" not in sealed:
        stack.wrong.append(f"nothing went over A11: {sealed}")
    return f"{report['rows']} rows in {report['seconds']:.0f} s; {'; '.join(sealed)}"


def scaled(stack: Stack) -> str:
    """Three workers of one lessor, all of which take part."""
    stack.compose("up", "-d", "--scale", f"lessor-b12={WORKERS}")
    workers = stack.containers("lessor-b12")
    if len(workers) != WORKERS:
        stack.wrong.append(f"{len(workers)} workers")
    healthy(stack)
    before = [_batches(each) for each in workers]
    job = linear(stack, ROWS, "--protection", "homomorphic", "--batch-rows", str(BATCH_ROWS))
    told = equal(stack, job, ROWS, lessors=1)
    done = [_batches(each) - was for each, was in zip(workers, before, strict=True)]
    if min(done) == 0:
        stack.wrong.append("not every worker took part")
    return f"{told}; batches of the {len(workers)} workers: {', '.join(str(each) for each in done)}"


def _batches(container: str) -> int:
    """That a lessor's worker has done, by its own metrics."""
    ask = f"import urllib.request; print(urllib.request.urlopen('{METRICS}').read().decode())"
    lines = engine("exec", container, "python", "-c", ask).splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith(DONE))


def _pid(container: str) -> int:
    return int(engine("inspect", "-f", "{{.State.Pid}}", container))


def under_way(stack: Stack) -> str:
    """A long job on ciphertext; its id."""
    wishes = ("--protection", "homomorphic", "--noise", "exact", "--lessors-min", "2")
    return linear(stack, LONG_ROWS, *wishes, "--batch-rows", str(BATCH_ROWS), "--local-share", "0.02")


def reached(stack: Stack, job: str, share: float) -> None:
    """Return when this share of its results is in."""
    deadline = time.monotonic() + JOB_SECONDS_MAX
    while (there := stack.parts(job)) < share * LONG_ROWS / BATCH_ROWS:
        if time.monotonic() > deadline or stack.has_ended(job):
            raise AssertionError(f"{there} results of {job}")
        time.sleep(POLL_SECONDS)


def recovered(stack: Stack, job: str) -> float:
    """Seconds until another result is in."""
    begin, before = time.monotonic(), stack.parts(job)
    while stack.parts(job) <= before and time.monotonic() < begin + JOB_SECONDS_MAX and not stack.has_ended(job):
        time.sleep(POLL_SECONDS)
    return time.monotonic() - begin


def killed(stack: Stack) -> str:
    """Each is killed in the middle of a job, and nobody but the engine starts it again."""
    told = []
    for first in range(0, len(KILLED), KILLS_PER_JOB):
        victims, job = KILLED[first : first + KILLS_PER_JOB], under_way(stack)
        for number, service in enumerate(victims, start=1):
            reached(stack, job, 0.7 * number / (len(victims) + 1))
            stack.kill(service)
            told.append(f"{service}: next result after {recovered(stack, job):.0f} s")
            print(f"    {told[-1]}", flush=True)
        told.append(equal(stack, job, LONG_ROWS, lessors=2))
        print(f"    {told[-1]}", flush=True)
    return f"{len(KILLED)} killed"


def cut(stack: Stack) -> str:
    """Both bridges of a link stand still until both hubs have named it."""
    job = under_way(stack)
    reached(stack, job, 0.2)
    ends = [stack.containers(service)[0] for service in LINK_ENDS]
    at = time.time()
    engine("pause", *ends)
    named = [_named(stack, *way, at, lost=True) - at for way in (("a11", "b11"), ("b11", "a11"))]
    told = stack.compose("exec", "-T", "hub-a11", "sublet", "network", "show", "--config", "/node/node.toml")
    back = time.time()
    engine("unpause", *ends)
    returned = _named(stack, "a11", "b11", back, lost=False) - back
    if max(named) > NAMED_SECONDS_MAX:
        stack.wrong.append(f"a cut link was named after {max(named):.1f} s")
    if "lost" not in told:
        stack.wrong.append(f"network show does not name it: {told}")
    after = recovered(stack, job)
    return (
        f"named after {named[0]:.1f} and {named[1]:.1f} s, its return after {returned:.1f} s, "
        f"next result {after:.0f} s later; {equal(stack, job, LONG_ROWS, lessors=2)}"
    )


def _named(stack: Stack, hub: str, neighbour: str, since: float, *, lost: bool) -> float:
    """When a hub said of a link that it is lost, or that it carries again."""
    link, event = f"{hub.upper()}.hub to {neighbour.upper()}.hub", "link lost" if lost else "link carries again"
    deadline = time.monotonic() + HEALTHY_SECONDS_MAX
    while time.monotonic() < deadline:
        for line in stack.said(f"hub-{hub}", since):
            if line["event"] == event and line.get("link") == link:
                return datetime.fromisoformat(line["timestamp"]).timestamp()
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"{link}: {event} was never said")


PARTS: Final[dict[str, Callable[[Stack], str]]] = {
    "healthy": healthy,
    "protections": protections,
    "joint": joint,
    "scaled": scaled,
    "killed": killed,
    "cut": cut,
}


def main() -> int:
    """Exit 1 when a row was lost or doubled, somebody blamed, a link named too late, or something left."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", default=[""], metavar="PREFIX")
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="sublet-stack-") as folder:
        Path(folder).chmod(0o755)
        stack, good = Stack(Path(folder)), True
        stack.compose("up", "-d", "--build")
        try:
            for name, part in PARTS.items():
                if name.startswith(tuple(asked.only)):
                    stack.wrong.clear()
                    told = part(stack)
                    mark, load = "BAD" if stack.wrong else "ok ", os.getloadavg()[0]
                    good = good and not stack.wrong
                    print(f"{mark} {name}, load {load:.0f}: {'; '.join([told, *stack.wrong])}", flush=True)
        finally:
            if not asked.keep:
                for _ in range(2):  # podman-compose keeps volumes at first, where a service was scaled
                    stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "30")
    if not asked.keep:
        left = [*stack.containers(all_=True), *engine("volume", "ls", "-q", "--filter", f"name={PROJECT}_").split()]
        print(f"{'BAD' if left else 'ok '} down: {len(left)} containers and volumes left")
        good = good and not left
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
