"""`make soak`: every part as a process of its own with a time budget, then a table of what came of each.

`--only outages` runs those whose name begins so, `--list` shows them. What a part says is in `build/soak/PART.log`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOGS: Final = Path("build/soak")
END_SECONDS_MAX: Final = 60.0
"""For a part that is told to end to end what it started."""


@dataclass(frozen=True, slots=True)
class Part:
    """A module of this package, and what it looks at."""

    name: str
    about: str
    minutes_max: int
    """On two quiet cores it takes about a half of it."""
    arguments: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-u", "-m", f"tests.soak.{self.name.partition('-')[0]}", *self.arguments]


PARTS: Final = (
    Part("checkup", "`sublet check` names what is wrong", 5),
    Part("scraping", "Prometheus scrapes every role while a job runs", 5),
    Part("contracts", "one lessor, a lessor that ends, a job of three leases, on RabbitMQ", 10),
    Part("joining", "a network is founded and joined, keys are changed, lessors leave, on RabbitMQ", 10),
    Part("directory", "a hub joins, a link is gone round, a hub's lost key is replaced, on RabbitMQ", 10),
    Part("deadlines", "a silent lessor's work is done by the other", 5),
    Part("clocks", "clocks that are off at each role", 15),
    Part("hubworkers", "1,000 orders at two hubs of two processes each on PostgreSQL, two of which are killed", 15),
    Part("strangers", "a stranger that does all it can makes no job slower", 15),
    Part("hubs", "1,000 hubs with a million participants: what each keeps and sends, and a rush of orders", 30),
    Part("starting", "a hub among 1,000 starts within 2 s; how long every role and command takes", 10),
    Part("definitions", "RabbitMQ imports the definitions of 1,000 hubs", 30),
    Part("page", "the page over 10,000 jobs, one of 100,000 batches", 10),
    Part("upgrade", "organisations change to the next release one after the other, while jobs run", 60),
    Part("growth", "500 jobs leave nothing that grows with their number", 40),
    Part("honesty", "cheats are caught, honest lessors never", 40),
    Part("backend", "all of ONNX's linear backend cases, each under a key of its own", 15),
    Part("outages", "each outage in the middle of a job, on RabbitMQ", 60),
    Part("brokers", "bridges, brokers, hubs and database of three organisations killed, a link cut", 40),
    Part("jointkills", "each process of a joint job killed at each of its steps, on RabbitMQ", 90),
    Part("outages-random", "three outages at random in each of 20 jobs", 150, ("--random", "20")),
)


def run(part: Part) -> tuple[str, float]:
    """What came of it, and its seconds. Its output goes to its log and to ours."""
    begin = time.monotonic()
    print(f"== {part.name}: {part.about} (at most {part.minutes_max} min)", flush=True)
    with subprocess.Popen(part.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        tee = subprocess.Popen(["tee", str(LOGS / f"{part.name}.log")], stdin=process.stdout)
        result = _ended(process, 60.0 * part.minutes_max)
        tee.wait()
    return result, time.monotonic() - begin


def _ended(process: subprocess.Popen[bytes], seconds_max: float) -> str:
    """Wait for it, and end it when its time is over or we are told to end."""
    try:
        return "ok" if process.wait(seconds_max) == 0 else "FAILED"
    except subprocess.TimeoutExpired:
        return "TOOK TOO LONG"
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()


def main() -> int:
    """Exit 1 unless all went well."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--only", default="", metavar="PREFIX")
    parser.add_argument("--list", action="store_true")
    asked = parser.parse_args()
    chosen = [part for part in PARTS if part.name.startswith(asked.only)]
    if asked.list or not chosen:
        print(*(f"{part.name:<15} {part.minutes_max:>4} min  {part.about}" for part in PARTS), sep="\n")
        return 0 if asked.list else 2
    signal.signal(signal.SIGINT, signal.default_int_handler)  # parts inherit it, also where it was ignored
    LOGS.mkdir(parents=True, exist_ok=True)
    results = [(part, *run(part)) for part in chosen]
    print(f"\n{'part':<15} {'result':<14} {'min':>6} {'at most':>8}   load {os.getloadavg()[0]:.1f}")
    for part, result, seconds in results:
        print(f"{part.name:<15} {result:<14} {seconds / 60:>6.1f} {part.minutes_max:>8}   {part.about}")
    return 0 if all(result == "ok" for _, result, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
