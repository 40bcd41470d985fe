"""Does a job outlive a silent lessor with the deadlines that are shipped? `make soak` waits for them.

The same job with a deadline of seconds stands in tests/e2e/test_local.py.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Final

import structlog

import nodes.demo
from nodes.local import LocalNetwork
from schemas import limits
from tests.support.silence import SILENT, with_a_silent_lessor

PROGRAM: Final = (Path(nodes.demo.__file__).parent / "breast_cancer_linear.onnx").read_bytes()
JOB_SECONDS_MAX: Final = 3 * limits.BATCH_DEADLINE_SECONDS


async def outlived() -> tuple[bool, float]:
    """Whether the job completed at the other lessor, and the seconds that it took."""
    with tempfile.TemporaryDirectory(prefix="sublet-soak-") as folder:
        async with LocalNetwork(Path(folder)) as network, asyncio.timeout(JOB_SECONDS_MAX):
            begin = monotonic()
            seen = await with_a_silent_lessor(network, PROGRAM)
            seconds = monotonic() - begin
    ended = {lessor for lessor, state in seen.states.items() if state == "lost"}
    return seen.report.phase == "completed" and ended == {SILENT}, seconds


def main() -> int:
    """Exit 1 when the job did not complete, or gave the lessor up before its deadline."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    completed, seconds = asyncio.run(outlived())
    print(f"a silent lessor's work was {'' if completed else 'not '}done by the other, in {seconds:.0f} s")
    return 0 if completed and seconds >= limits.BATCH_DEADLINE_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
