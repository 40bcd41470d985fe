"""A network of real processes on a real RabbitMQ, run as its users would: `sublet network init`, a process per role."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from tests.support.rabbitmq import Server

COMMAND_SECONDS_MAX: Final = 120
STOP_SECONDS_MAX: Final = 20
POLL_SECONDS: Final = 0.02
SUBLET: Final = (sys.executable, "-m", "nodes.cli")


@dataclass(slots=True)
class Deployment:
    """One network's folder and processes."""

    folder: Path
    server: Server
    vhost: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def config(self, address: str) -> Path:
        """A node's file."""
        return self.folder / "nodes" / address / "node.toml"

    def start(
        self, role: str, address: str, *, command: Sequence[str] = SUBLET, **settings: str
    ) -> subprocess.Popen[bytes]:
        """One more process of a node, by this command. Its log goes to a file in the node's folder."""
        log = (self.config(address).parent / f"{role}-{len(self.processes)}.log").open("wb")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SUBLET_")} | settings
        with log:
            process = subprocess.Popen(
                [*command, role, "--config", str(self.config(address)), "--log-level", "info"],
                stdout=log,
                stderr=log,
                env=environment,
            )
        self.processes.append(process)
        return process

    def start_all(self, *, workers: int = 1, **settings: str) -> dict[str, list[subprocess.Popen[bytes]]]:
        """Hubs A11 and B11, renter A12, lessors B12 and B13 with so many workers each."""
        started: dict[str, list[subprocess.Popen[bytes]]] = {}
        for role, address, count in (
            ("hub", "A11.hub", 1),
            ("hub", "B11.hub", 1),
            ("renter", "A11.A12", 1),
            ("lessor", "B11.B12", workers),
            ("lessor", "B11.B13", workers),
        ):
            started[address] = [self.start(role, address, **settings) for _ in range(count)]
        return started

    def sublet(
        self, *arguments: str, check: bool = True, seconds_max: float = COMMAND_SECONDS_MAX
    ) -> subprocess.CompletedProcess[str]:
        """One command as a user gives it."""
        done = subprocess.run([*SUBLET, *arguments], capture_output=True, text=True, timeout=seconds_max, check=False)
        if check and done.returncode:
            raise AssertionError(f"sublet {' '.join(arguments)} ended {done.returncode}: {done.stderr}\n{self.logs()}")
        return done

    def job(self, command: str, *arguments: str) -> Any:
        """`sublet job COMMAND … --json` as the renter."""
        done = self.sublet("job", command, *arguments, "--config", str(self.config("A11.A12")), "--json")
        return json.loads(done.stdout)

    def until(self, job: str, seen: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The job's report, once `seen` says so."""
        deadline = time.monotonic() + COMMAND_SECONDS_MAX
        while True:
            report: dict[str, Any] = self.job("show", job)
            if seen(report):
                return report
            if time.monotonic() > deadline:
                raise AssertionError(f"not seen in time: {report}\n{self.logs()}")

    def ended(self, job: str, *, seconds_max: float = COMMAND_SECONDS_MAX) -> dict[str, Any]:
        """The job's report once it has ended: one process that watches instead of many that ask."""
        watch = ("job", "watch", job, "--config", str(self.config("A11.A12")), "--json")
        done = self.sublet(*watch, check=False, seconds_max=seconds_max)
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def until_parts(self, job: str, count: int) -> int:
        """Return as soon as so many results are in; how many there are."""
        return self.until_file("A11.A12", job, "parts/*.f64", count)

    def until_round(self, job: str, number: int) -> None:
        """Return as soon as a joint job's round has its parameters."""
        self.until_file("A11.A12", job, f"rounds/{number:04d}-parameters-*.f64")

    def until_file(
        self, address: str, job: str, pattern: str, count: int = 1, seconds_max: float = COMMAND_SECONDS_MAX
    ) -> int:
        """Return as soon as a node's folder of a job holds so many such files; how many. Quicker than a command."""
        folder = self.folder / "nodes" / address / "data" / "jobs" / job
        deadline = time.monotonic() + seconds_max
        while (there := len(list(folder.glob(pattern)))) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{there} of {count} {pattern} after {seconds_max} s\n{self.logs()}")
            time.sleep(POLL_SECONDS)  # another process writes them and tells nobody
        return there

    def until_link(self, hub: str, neighbour: str, *, lost: bool) -> dict[str, Any]:
        """What a hub logged last of its link to another, once that is that it is lost, or that it carries."""
        deadline, link = time.monotonic() + COMMAND_SECONDS_MAX, f"{hub} to {neighbour}"
        while True:
            logs = sorted(self.config(hub).parent.glob("hub-*.log"))
            lines = [line for path in logs for line in path.read_bytes().splitlines() if b'"link' in line]
            read: list[dict[str, Any]] = [orjson.loads(line) for line in lines if line.endswith(b"}")]
            said = sorted((each for each in read if each.get("link") == link), key=lambda each: str(each["timestamp"]))
            if said and (said[-1]["event"] == "link lost") == lost:
                return said[-1]
            if time.monotonic() > deadline:
                raise AssertionError(f"{link}: not seen {lost=}\n{self.logs()}")
            time.sleep(POLL_SECONDS)  # as above

    def logs(self) -> str:
        """The ends of all logs, for a failed test."""
        logs = sorted(self.folder.glob("nodes/*/*.log"))
        tails = (f"== {path.parent.name} {path.name}\n{path.read_text()[-1500:]}" for path in logs)
        return "\n".join(tails)

    def stop(self) -> None:
        """End every process that was started here."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def deployment(
    folder: Path, server: Server, *options: str, own: Mapping[str, Server] | None = None
) -> Iterator[Deployment]:
    """A new network on a virtual host of its own; nothing is started yet. Hubs of `own` have another each, on these
    servers, which no other reaches but by bridges."""
    vhost, own = f"e2e-{secrets.token_hex(6)}", own or {}
    here = Deployment(folder, server, vhost)
    for hub, theirs in own.items():
        options = (*options, "--broker", f"{hub}={_address(theirs)}/{vhost}-{hub}")
    host, _, port = _address(server).rpartition(":")
    where = ("--amqp-host", host, "--amqp-port", port, "--amqp-vhost", vhost)
    here.sublet("network", "init", str(folder), *where, *options)
    made = {path.stem.partition("-")[2]: orjson.loads(path.read_bytes()) for path in folder.glob("definitions*.json")}
    for name, each in made.items():
        own.get(name, server).call("POST", "definitions", each)
    try:
        yield here
    finally:
        here.stop()
        for name, each in made.items():
            for row in each["vhosts"]:
                own.get(name, server).call("DELETE", f"vhosts/{row['name']}")


def _address(server: Server) -> str:
    parts = urlsplit(server.amqp_url)
    return f"{parts.hostname}:{parts.port or 5672}"
