"""What happens, and what each party reads, when the clock of one role is wrong: `python -m tests.soak.clocks`.

A table of every role and every skew. Two of its rows stand in tests/e2e/test_clocks.py.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Any, Final

import structlog
from structlog.testing import capture_logs

import nodes.demo
from nodes.renter.submission import JobOptions
from nodes.views.report import JobReport
from tests.support.clocks import ROLES, SkewedNetwork
from tests.support.models import DATA

LINEAR: Final = (Path(nodes.demo.__file__).parent / "breast_cancer_linear.onnx").read_bytes()
MINUTES: Final = (-10, -2, 2, 10)
MATCH_SECONDS: Final = 5.0
JOB_SECONDS_MAX: Final = 180.0
READ: Final = ("not believed", "set aside", "refused")


async def seen(skews: dict[str, float]) -> tuple[JobReport, float, list[str]]:
    """The job's end, its seconds, and what nodes logged of the clock."""
    with tempfile.TemporaryDirectory(prefix="sublet-soak-") as folder, capture_logs() as lines:
        async with SkewedNetwork(Path(folder), skews) as network, asyncio.timeout(JOB_SECONDS_MAX):
            begin = monotonic()
            wishes = JobOptions(protection="homomorphic", batch_rows=100, match_seconds=MATCH_SECONDS)
            spec = network.stage(DATA, LINEAR, None, wishes)
            await network.submit(spec)
            report = [each async for each in network.watch(spec.id)][-1]
            return report, monotonic() - begin, list(dict.fromkeys(filter(None, map(_read, lines))))


def _read(line: Any) -> str:
    """What an operator sees, shortened."""
    if line["event"] not in READ or line.get("code") == "late":
        return ""
    why = line.get("reason", "")
    return f"{line.get('node', '')} reads: {line['event']} ({line.get('code', '')}): {why}"


async def table() -> int:
    """How many jobs neither completed nor failed with a reason that names the clock."""
    silent = 0
    for role, addresses in ROLES.items():
        for minutes in MINUTES:
            report, seconds, lines = await seen(dict.fromkeys(addresses, 60.0 * minutes))
            said = f"{report.code}: {report.reason}" if report.code else ""
            print(f"{role} {minutes:+d} min: {report.phase} in {seconds:.0f} s {said}")
            print("".join(f"    {line}\n" for line in lines[:6]), end="", flush=True)
            silent += report.phase != "completed" and not lines and "clock" not in report.reason
    return silent


def main() -> int:
    """Exit 1 when somebody got silence."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("info"))
    return 1 if asyncio.run(table()) else 0


if __name__ == "__main__":
    sys.exit(main())
