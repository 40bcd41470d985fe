"""Three RabbitMQs and a PostgreSQL, and all at them, killed in the middle of jobs: `python -m tests.soak.brokers`.

Hubs A11, B11 and C11 have a broker and a bridge each; renter A12 keeps its store on PostgreSQL; lessors B12 and C13
have two workers each. In the middle of a job on ciphertext each part is killed and started again, one after the other;
every row must come back exactly once, and nobody be blamed. A link that is cut must be named at both its ends within 15
seconds. Then a participant without a contract does all that it can while a job runs (`tests/support/intruder.py`).
`--only broker link` runs the jobs whose name begins so, `--rows N` makes jobs longer.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from schemas.ids import Address
from tests.soak import outages
from tests.soak.outages import AWAY_SECONDS, BATCH_ROWS, JOB_SECONDS_MAX, reached, submit, verdict, write_inputs
from tests.support import postgres, rabbitmq
from tests.support.deployment import deployment
from tests.support.intruder import Intruder

ROWS: Final = 48_000
HUBS: Final = ("A11", "B11", "C11")
INTRUDER: Final = Address("B11.B13")
LESSORS: Final = ("B11.B12", "C11.C13", INTRUDER)
INIT: Final = (
    *("--hubs", "A11,B11,C11", "--links", "A11-B11,A11-C11", "--partner", "C11.C12"),
    *(option for lessor in LESSORS for option in ("--lessor", lessor)),
)
UNROUTABLE, LARGE = 10_000, 20
NODES: Final = {
    **{f"hub {hub}": ("hub", f"{hub}.hub", 1) for hub in HUBS},
    **{f"bridge {hub}": ("bridge", f"{hub}.hub", 1) for hub in HUBS},
    "renter": ("renter", "A11.A12", 1),
    "lessor B12": ("lessor", "B11.B12", 2),
    "lessor C13": ("lessor", "C11.C13", 2),
}
NAMED_SECONDS_MAX: Final = 15.0
LINK: Final = ("A11.hub", "B11.hub")


@dataclass
class Run(outages.Run):
    """The network of this module. Processes are by the names of `NODES`."""

    brokers: dict[str, rabbitmq.Server] = field(default_factory=dict)
    database: postgres.Server | None = None

    def end(self, name: str) -> None:
        """Kill -9 whatever runs under this name."""
        for process in self.processes.pop(name):
            process.send_signal(signal.SIGKILL)
            process.wait()

    def start(self, name: str) -> None:
        """Start it as a supervisor does."""
        role, address, count = NODES[name]
        self.processes[name] = [outages.start(self.network, role, address) for _ in range(count)]


Fault = Callable[[Run], str]
"""Does it; what else there is to tell."""


def killed(name: str) -> Fault:
    """Kill it; it stays away a moment."""

    def fault(run: Run) -> str:
        run.end(name)
        time.sleep(AWAY_SECONDS)
        run.start(name)
        return ""

    return fault


def broker_killed(hub: str) -> Fault:
    """As by a power cut."""

    def fault(run: Run) -> str:
        restarts = run.brokers[hub].power
        assert restarts is not None
        restarts.restart()
        return ""

    return fault


def database_killed(run: Run) -> str:
    """Likewise."""
    assert run.database is not None
    assert run.database.restart is not None
    run.database.restart()
    return ""


def link_cut(run: Run) -> str:
    """Both bridges between A11 and B11 are gone until both hubs have named the link."""
    cut_at = time.time()
    for hub in ("A11", "B11"):
        run.end(f"bridge {hub}")
    named = []
    for hub, other in (LINK, LINK[::-1]):
        said = run.network.until_link(hub, other, lost=True)
        named.append(datetime.fromisoformat(said["timestamp"]).timestamp() - cut_at)
    back_at = time.time()
    for hub in ("A11", "B11"):
        run.start(f"bridge {hub}")
    said = run.network.until_link(*LINK, lost=False)
    back = datetime.fromisoformat(said["timestamp"]).timestamp() - back_at
    if max(named) > NAMED_SECONDS_MAX:
        run.wrong.append(f"a cut link was named after {max(named):.1f} s")
    return f", named after {named[0]:.1f} and {named[1]:.1f} s, and its return after {back:.1f} s"


def intruded(run: Run) -> str:
    """A participant without a contract does all that it can, at once."""
    intruder, begin = Intruder.of(run.network, INTRUDER), time.monotonic()
    asyncio.run(intruder.attack(unroutable=UNROUTABLE, large=LARGE))
    run.wrong += intruder.blamed_on_others(run.network)
    run.wrong += [
        f"{name} ended" for name, each in run.processes.items() if any(one.poll() is not None for one in each)
    ]
    forged = {"forged source", "forged hub", "another's user-id"} & intruder.taken.keys()
    run.wrong += [f"the broker took a {kind}" for kind in forged]
    sent = sum(intruder.taken.values())
    return f" in {time.monotonic() - begin:.0f} s, {sent:,} messages taken and {sum(intruder.refused.values())} refused"


JOBS: Final[dict[str, dict[str, Fault]]] = {
    "bridges": {f"bridge {hub} killed": killed(f"bridge {hub}") for hub in HUBS},
    "brokers": {f"broker {hub} killed": broker_killed(hub) for hub in HUBS},
    "hubs": {f"hub {hub} killed": killed(f"hub {hub}") for hub in HUBS},
    "stores": {"PostgreSQL killed": database_killed, "renter killed": killed("renter")},
    "links": {"link cut": link_cut},
    "intruder": {"an intruder did its worst": intruded},
}


@contextmanager
def running(folder: Path, brokers: dict[str, rabbitmq.Server], database: postgres.Server) -> Iterator[Run]:
    """The network, with all its processes."""
    with deployment(folder, brokers["A11"], *INIT, own=brokers) as network:
        renter = network.config("A11.A12")
        schema = f"soak_{secrets.token_hex(6)}"
        asyncio.run(database.run(f"CREATE SCHEMA {schema}"))
        store = urlsplit(database.url)._replace(query=f"search_path={schema}")
        (renter.parent / "store-url").write_text(urlunsplit(store))
        renter.write_text(f'store_file = "store-url"\n{renter.read_text()}')
        run = Run(network, brokers["A11"], {}, frozenset(), brokers=brokers, database=database)
        for name in NODES:
            run.start(name)
        yield run
        network.stop()


def one(brokers: dict[str, rabbitmq.Server], database: postgres.Server, rows: int, faults: dict[str, Fault]) -> bool:
    """One job with these faults at even distances; whether all was well."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sublet-soak-")))
        run = stack.enter_context(running(folder / "network", brokers, database))
        data, weights, expected = write_inputs(folder, rows)
        submit(run, data, weights)
        told, wrong = [], run.wrong
        for number, (fault, do) in enumerate(faults.items(), start=1):
            if not reached(run, 0.9 * number / (len(faults) + 1) * rows / BATCH_ROWS):
                wrong.append(f"{fault}: met no running job")
                continue
            more = do(run)
            told.append(f"{fault}{more}: next result after {run.recovered():.0f} s")
        report = run.network.ended(run.job, seconds_max=JOB_SECONDS_MAX)
        wrong += filter(None, [verdict(run, report, expected, 0.0)])
        mark, load = "BAD" if wrong else "ok ", os.getloadavg()[0]
        print(f"{mark} {report['seconds']:4.0f} s, load {load:.0f}: {'; '.join([*told, *wrong])}", flush=True)
        if wrong:
            print(run.network.logs(), file=sys.stderr, flush=True)
        return not wrong


def main() -> int:
    """Exit 1 when anything was lost, doubled, blamed, or named too late."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", default=[""], metavar="PREFIX")
    parser.add_argument("--rows", type=int, default=ROWS)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends too
    with ExitStack() as stack:
        brokers = {hub: stack.enter_context(rabbitmq.private()) for hub in HUBS}
        database = stack.enter_context(postgres.private(durable=True))
        chosen = [faults for name, faults in JOBS.items() if name.startswith(tuple(asked.only))]
        good = [one(brokers, database, asked.rows, faults) for faults in chosen]
    print(f"{sum(good)} of {len(good)} jobs had every row once, and nobody was blamed")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
