"""Do contracts do on RabbitMQ, with a process per role, what their tests say in virtual time? `make soak` sees to it.

One lessor serves a job of default options; a lessor that was told to end is not matched again; a job of three leases
completes, and its receipts add up to its time.
"""

from __future__ import annotations

import math
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from schemas.money import MICROS, SECONDS_PER_HOUR
from tests.support.deployment import Deployment, deployment
from tests.support.rabbitmq import running

COLUMNS: Final = 9
QUICK_ROWS, LONG_ROWS = 200, 20_000
"""Where the long job is over before three leases are, it comes again with as many rows as that takes."""
LEASE_SECONDS: Final = 30.0
LEASES_MIN: Final = 3
LONG_SECONDS: Final = (LEASES_MIN + 0.5) * LEASE_SECONDS
JOB_SECONDS_MAX: Final = 600.0
PREPARING_SECONDS_MAX: Final = 30.0
"""Of a job before it rents anything, and after its last row."""
GONE_SECONDS_MAX: Final = 5.0
"""After a lessor's end, until its order has left the book."""


def write(folder: Path, rows: int) -> Path:
    """So many rows of numbers, and weights for them."""
    draw, names = random.Random(rows), [f"x{column}" for column in range(COLUMNS)]
    lines = [",".join(f"{draw.gauss(0, 1):.4f}" for _ in names) for _ in range(rows)]
    (folder / f"{rows}.csv").write_text("\n".join([",".join(names), *lines]) + "\n")
    (folder / "weights.csv").write_text("\n".join(["name,weight", *(f"{name},0.5" for name in names)]) + "\n")
    return folder / f"{rows}.csv"


def run(network: Deployment, table: Path, *options: str) -> dict[str, Any]:
    """A job to its end, with its report once all receipts are in."""
    weights = str(table.parent / "weights.csv")
    job = network.job("submit", str(table), "--linear", weights, "--protection", "homomorphic", *options)["job"]
    network.ended(job, seconds_max=JOB_SECONDS_MAX)
    return network.until(job, lambda report: all(each["state"] == "ended" for each in report["contracts"]))


def one_lessor(network: Deployment, folder: Path) -> bool:
    """Whether a job that names no number of lessors is served by the only one."""
    report = run(network, write(folder, QUICK_ROWS))
    print(f"one lessor: {report['state']} {report['reason']}", flush=True)
    return bool(report["state"] == "completed")


def a_lessor_that_ends(network: Deployment, folder: Path) -> bool:
    """Whether the next job goes to the other alone, and takes no longer for it."""
    second = network.start("lessor", "B11.B13")
    before = run(network, write(folder, QUICK_ROWS), "--lessors-min", "2")
    second.send_signal(signal.SIGTERM)
    second.wait()
    time.sleep(GONE_SECONDS_MAX)
    after = run(network, write(folder, QUICK_ROWS))
    lessors = {each["lessor"] for each in after["contracts"]}
    print(f"a lessor ended: {before['seconds']:.1f} s with it, {after['seconds']:.1f} s after, by {sorted(lessors)}")
    return (after["state"], lessors) == ("completed", {"B11.B12"})


def three_leases(network: Deployment, folder: Path) -> bool:
    """Whether a job of several leases completes, and what it pays is the time that it took."""
    options = ("--noise", "exact", "--lease-seconds", str(LEASE_SECONDS))
    report = run(network, write(folder, LONG_ROWS), *options)
    if report["seconds"] < LEASES_MIN * LEASE_SECONDS:
        rows = math.ceil(LONG_ROWS * LONG_SECONDS / report["seconds"])
        report = run(network, write(folder, rows), *options)
    paid = sum(each["cost_micros"] / each["units"] for each in report["contracts"]) * SECONDS_PER_HOUR / MICROS
    contracts, took = len(report["contracts"]), report["seconds"]
    print(f"leases: {report['state']} {report['reason']}; {contracts} contracts, {took:.1f} s, {paid:.1f} of them paid")
    added_up = took - PREPARING_SECONDS_MAX < paid <= took
    return bool(report["state"] == "completed" and contracts >= LEASES_MIN and added_up)


def main() -> int:
    """Exit 1 when any of them is not so."""
    with tempfile.TemporaryDirectory(prefix="sublet-soak-") as name, running() as server:
        folder = Path(name)
        with deployment(folder / "network", server) as network:
            for role, address in (("hub", "A11.hub"), ("hub", "B11.hub"), ("renter", "A11.A12"), ("lessor", "B11.B12")):
                network.start(role, address)
            good = [check(network, folder) for check in (one_lessor, a_lessor_that_ends, three_leases)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
