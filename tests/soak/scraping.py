"""Debian's Prometheus scrapes a network on RabbitMQ while a job runs: `python -m tests.soak.scraping`.

Prints the series that it then has. Needs the package `prometheus`, which is started privately.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from tests.support.deployment import deployment
from tests.support.operating import free_ports, give_ports, page
from tests.support.rabbitmq import running

NODES: Final = ("A11.hub", "B11.hub", "A11.A12", "B11.B12", "B11.B13")
ROWS: Final = 2000
SCRAPE_SECONDS: Final = 1
SECONDS_MAX: Final = 60.0
POLL_SECONDS: Final = 0.2
EXPECTED: Final[Mapping[str, float]] = {
    "count(up == 1)": 5.0,
    "count(sublet_ready == 1)": 5.0,
    'sum(sublet_jobs{state="completed"})': 1.0,
    'sum(sublet_outcomes_total{what="order",outcome="matched"})': 1.0,
    'sum(sublet_batches_total{direction="sent",event="dispatched"})': 10.0,
    'sum(sublet_batches_total{direction="received",event="completed"})': 10.0,
    "sum(sublet_refusals_total) or vector(0)": 0.0,
    "sum(sublet_outbox_rows)": 0.0,
}
"""What queries give once the job is done."""


@contextmanager
def prometheus(folder: Path, ports: Mapping[str, int]) -> Iterator[int]:
    """A server of our own on loopback that scrapes these; its port."""
    targets = [{"targets": [f"127.0.0.1:{port}"], "labels": {"node": name}} for name, port in ports.items()]
    jobs = [{"job_name": "sublet", "scrape_interval": f"{SCRAPE_SECONDS}s", "static_configs": targets}]
    (folder / "prometheus.yml").write_text(json.dumps({"scrape_configs": jobs}))  # JSON is YAML
    (port,) = free_ports(1)
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


def ask(port: int, query: str) -> list[dict[str, Any]]:
    """What a query gives."""
    answer = json.loads(page(port, f"/api/v1/query?{urlencode({'query': query})}"))
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def value(port: int, query: str) -> float | None:
    """Of a query that gives one."""
    try:
        return next((float(each["value"][1]) for each in ask(port, query)), None)
    except OSError:  # it is starting
        return None


def until(port: int, query: str, wanted: float) -> float | None:
    """The query's value, once it is as wanted, or when its time is over."""
    deadline = time.monotonic() + SECONDS_MAX
    while (seen := value(port, query)) != wanted and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)  # it scrapes every second, and tells nobody
    return seen


def well_formed(ports: Mapping[str, int]) -> bool:
    """Whether Prometheus' own linter has nothing to say."""
    faults = 0
    for name, port in ports.items():
        found = subprocess.run(
            ["promtool", "check", "metrics"], input=page(port), capture_output=True, text=True, check=False
        )
        if found.returncode:
            faults += 1
            print(name, found.stderr, flush=True)
    return not faults


def main() -> int:
    """Exit 1 unless every query gives what it should."""
    if shutil.which("prometheus") is None:
        print("install Debian's package prometheus")
        return 1
    with tempfile.TemporaryDirectory() as name, running() as server, deployment(Path(name) / "n", server) as network:
        folder = Path(name)
        ports = give_ports(network, NODES, ())
        network.start_all()
        with prometheus(folder, ports) as port:
            good = until(port, "count(sublet_ready == 1)", len(NODES)) == len(NODES)
            rows = "".join(f"r{number},{number % 7},{number % 5}\n" for number in range(ROWS))
            (folder / "data.csv").write_text(f"key,a,b\n{rows}")
            (folder / "weights.csv").write_text("name,weight\na,1\nb,2\nbias,3\n")
            wishes = ("--linear", str(folder / "weights.csv"), "--id-column", "key", "--protection", "enclave")
            more = ("--accept-software-enclave", "--batch-rows", str(ROWS // 10), "--local-share", "0")
            job = network.job("submit", str(folder / "data.csv"), *wishes, *more)["job"]
            good &= network.ended(job)["state"] == "completed"
            for query, wanted in EXPECTED.items():
                seen = until(port, query, wanted)
                good &= seen == wanted
                print(f"{'ok ' if seen == wanted else 'BAD'} {query} = {seen}", flush=True)
            for each in sorted(ask(port, '{__name__=~"sublet_.*",__name__!~".*_bucket|.*_created"}'), key=str):
                labels = {k: v for k, v in each["metric"].items() if k not in ("__name__", "instance", "job")}
                print(f"{each['metric']['__name__']} {labels} {each['value'][1]}", flush=True)
            good &= well_formed(ports)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
