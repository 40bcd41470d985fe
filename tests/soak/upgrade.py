"""Three organisations change to the next release one after the other, while jobs run: `python -m tests.soak.upgrade`.

The next release is this tree with what a next release may change (`tests/support/releases.py`). On RabbitMQ, with two
processes of each node on one store, the renter's on PostgreSQL: each node's are replaced one by one in the middle of a
job, in three orders, so that each role is once the newer and once the older one. `--jobs N` small jobs run meanwhile.
Every row is right, nobody is blamed, and nothing is refused but what a later release says to an older one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import sublet
from tests.support import postgres, rabbitmq, together
from tests.support.deployment import Deployment, deployment
from tests.support.releases import THIS, Release, next_release
from tests.support.upgrading import RENTER, TOLD, Fits, Fleet, Jobs, accept, require_documented

JOBS: Final = 240
WORKERS: Final = 2
LONG_ROWS: Final = 4_000
"""Of the jobs during which a process ends: some hundred batches."""
PARTNER: Final = "B11.C12"
ROLES: Final = {
    "A11.hub": "hub",
    "B11.hub": "hub",
    RENTER: "renter",
    "B11.B12": "lessor",
    "B11.B13": "lessor",
    PARTNER: "partner",
}
DATASET: Final = f"""
[partner.datasets.{together.DATASET}]
file = "insurer.csv"
id_column = "id"
outliers = "move"
"""
ORDERS: Final = {
    "lessors first": (("B11.B12", "B11.B13"), ("B11.hub",), (PARTNER,), ("A11.hub",), (RENTER,)),
    "renter first": ((RENTER,), ("A11.hub",), ("B11.B12",), ("B11.hub", "B11.B13"), (PARTNER,)),
    "hubs first": ((PARTNER,), ("A11.hub",), ("B11.hub",), (RENTER,), ("B11.B13", "B11.B12")),
}
PROTECTIONS: Final = ("enclave", "homomorphic", "sealed-result")


@contextmanager
def stored(network: Deployment, server: postgres.Server) -> Iterator[str]:
    """The renter's store in a schema of its own; its URL."""
    schema = f"upgrade_{secrets.token_hex(6)}"
    asyncio.run(server.run(f"CREATE SCHEMA {schema}"))
    url = urlunsplit(urlsplit(server.url)._replace(query=f"search_path={schema}"))
    config = network.config(RENTER)
    (config.parent / "store-url").write_text(url)
    config.write_text(f'store_file = "store-url"\n{config.read_text()}')
    yield url


def partner(network: Deployment, folder: Path) -> together.Case:
    """Its table and its policy; what both sides have."""
    case, there = together.make_breast(folder), network.config(PARTNER).parent
    (there / "insurer.csv").write_bytes(case.partner.read_bytes())
    together.policy(there)
    (there / "node.toml").write_text((there / "node.toml").read_text() + DATASET)
    return case


def step(fleet: Fleet, jobs: Jobs, fits: Fits, addresses: tuple[str, ...], following: Release, protection: str) -> None:
    """One organisation's nodes, each process while a job runs, a partner's while it takes part in one."""
    begun, done = time.monotonic(), jobs.done.total()
    running = jobs.running(protection, LONG_ROWS)
    for address in addresses:
        fits.begin()
        fleet.upgrade(address, following, fits.begin if address == PARTNER else lambda: next(running))
    fits.require_all()
    took = time.monotonic() - begun
    running.close()
    more = jobs.done.total() - done
    print(f"  {', '.join(addresses)} upgraded in {took:.0f} s, during {more} jobs under {protection}", flush=True)


def one(
    servers: tuple[rabbitmq.Server, postgres.Server], folder: Path, following: Release, name: str, many: int
) -> None:
    """All organisations in this order; raises AssertionError for the first thing that is not as it should be."""
    begun, steps, (broker, database) = time.monotonic(), ORDERS[name], servers
    with deployment(folder, broker, "--partner", PARTNER) as network, stored(network, database) as store:
        case = partner(network, folder.parent)
        accept(network, THIS, following)
        fleet = Fleet(network, ROLES)
        fleet.begin(WORKERS)
        with sublet.connect(network.config(RENTER)) as renter:
            jobs, fits = Jobs(network, renter, lessors=2), Fits(renter, PARTNER, case)
            for number, addresses in enumerate(steps):
                jobs.run(many // (len(steps) + 1))
                step(fleet, jobs, fits, addresses, following, PROTECTIONS[number % len(PROTECTIONS)])
            jobs.run(many // (len(steps) + 1))
        fleet.require_alive()
        letters, logged = fleet.dead_letters(), fleet.logged()
        require_documented(letters)
        kept = asyncio.run(postgres.rows(store, "SELECT count(*) FROM records WHERE key LIKE 'estimate/%'"))[0][0]
        assert kept > 0, "nothing of the next release was kept"
        told = Counter((each["source"], each["type"]) for each in logged if each["event"] == TOLD)
        fleet.network.stop()
    took, load = time.monotonic() - begun, os.getloadavg()[0]
    told_jobs = f"{dict(jobs.done)} jobs and {fits.done} joint ones"
    print(f"{name}: {told_jobs} in {took:.0f} s, load {load:.0f}; every row right, nobody blamed")
    print(f"  set aside: {dict(letters)}; told: {dict(told)}; {kept} new records kept", flush=True)


def main() -> int:
    """Exit 1 when anything was lost, doubled, blamed, or refused without being documented."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=JOBS, help="in all three orders together")
    parser.add_argument("--only", nargs="+", default=[""], metavar="PREFIX")
    asked = parser.parse_args()
    names = [name for name in ORDERS if name.startswith(tuple(asked.only))]
    with tempfile.TemporaryDirectory(prefix="sublet-soak-") as folder:
        following = next_release(Path(folder) / "next")
        with rabbitmq.private() as broker, postgres.private() as database:
            for number, name in enumerate(names):
                where = Path(folder) / f"network-{number}"
                one((broker, database), where, following, name, asked.jobs // len(ORDERS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
