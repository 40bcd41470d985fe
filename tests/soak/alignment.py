"""Rows in common found by masked ids, in a real job: `python -m tests.soak.alignment --ids 1000000 [--rabbitmq]`.

Two tables of so many ids each. Prints how long the alignment took (from the partner's word to the last match), the
processor time of renter and partner from submission on, and the largest memory of any of their processes. By default in
one process on the embedded broker; with `--rabbitmq` on a real one, a process per role. `--peer` measures openmined-psi
on as many ids before.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]
import structlog

from nodes.local import LocalNetwork
from tests.e2e import test_joint_rabbitmq as rabbitmq
from tests.soak.watch import SAMPLE_SECONDS, Watch
from tests.support import together as joint
from tests.support.deployment import deployment
from tests.support.rabbitmq import running

SHARED: Final = 1000
"""Rows in common: what is computed on them is not measured here."""
JOB_SECONDS_MAX: Final = 3600.0
LOOKS_PER_COMMAND: Final = 150
PEER: Final = Path(__file__).with_name("psi_peer.py")
MIB: Final = 1024**2


def main(arguments: list[str]) -> int:
    """Exit 1 where the job did not complete."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--ids", type=int, default=100_000)
    options.add_argument("--rabbitmq", action="store_true")
    options.add_argument("--peer", metavar="PYTHON", help="that of an environment with openmined-psi")
    given = options.parse_args(arguments)
    if given.peer:
        subprocess.run([given.peer, str(PEER), str(given.ids)], check=True)
    with tempfile.TemporaryDirectory(prefix="sublet-soak-") as name:
        folder = Path(name)
        case = joint.make_overlapping(folder, given.ids, SHARED)
        if given.rabbitmq:
            with running() as server, deployment(folder / "network", server, *rabbitmq.INIT) as network:
                return _over_rabbitmq(network, case, folder, given.ids)
        return asyncio.run(_embedded(case, folder, given.ids))


def _over_rabbitmq(network: Any, case: joint.Case, folder: Path, ids: int) -> int:
    partner = network.config(rabbitmq.PARTNER).parent
    (partner / "insurer.csv").write_bytes(case.partner.read_bytes())
    partner.joinpath("node.toml").write_text(partner.joinpath("node.toml").read_text() + rabbitmq.DATASET)
    joint.policy(partner)
    started = rabbitmq.start(network, case)
    roots = [psutil.Process(each.pid) for name in ("A11.A12", rabbitmq.PARTNER) for each in started[name]]
    with Watch(roots) as watch:
        job = rabbitmq.submit(network, case, folder)
        _until_joined(network, job)
    report = network.ended(job)
    _say(ids, watch, network.job("explain", job))
    return 0 if report["state"] == "completed" else _failed(report)


def _until_joined(network: Any, job: str) -> None:
    """Looks at the files: a command now and then takes less of the machine than one after the other."""
    joined = network.config("A11.A12").parent / "data" / "jobs" / job / "joined"
    looks = 0
    while not joined.exists():
        time.sleep(SAMPLE_SECONDS)
        looks += 1
        if looks % LOOKS_PER_COMMAND == 0 and network.job("show", job)["state"] == "failed":
            return


async def _embedded(case: joint.Case, folder: Path, ids: int) -> int:
    partner = joint.local_partner(case, joint.policy(folder))
    async with LocalNetwork(folder / "network", partner=partner) as network, asyncio.timeout(JOB_SECONDS_MAX):
        spec = network.stage(case.renter, joint.lessors_program(), None, joint.wishes(aligned=False))
        with Watch([psutil.Process()]) as watch:
            await network.submit(spec)
            async for report in network.watch(spec.id):
                if report.phase not in ("preparing", "agreeing", "joining"):
                    break
        async for report in network.watch(spec.id):
            last = report
        entries = await network.explain(spec.id)
    _say(ids, watch, entries)
    return 0 if last.phase == "completed" else _failed(last)


def _failed(report: Any) -> int:
    print(f"the job did not complete: {report}", file=sys.stderr)
    return 1


def _say(ids: int, watch: Watch, entries: Iterable[dict[str, Any]]) -> None:
    times = {each["type"]: float(each["time"]) for each in entries}
    seconds = times["ids.matched"] - times["joint.accepted"]
    largest = sorted(watch.memory.values(), reverse=True)[:4]
    joined = times["job.joined"] - times["ids.matched"]
    print(f"{ids:,} ids each side: aligned in {seconds:.1f} s, joined {joined:.1f} s later")
    print(f"  {watch.core_seconds:.0f} core-seconds from submission on, {2 * ids / watch.core_seconds:,.0f} ids/s/core")
    print(f"  largest processes: {', '.join(f'{each / MIB:.0f} MiB' for each in largest)}")
    print(f"  load average {psutil.getloadavg()[0]:.1f} on {psutil.cpu_count()} cores")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
