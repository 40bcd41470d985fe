"""`sublet run --joint`: one joint job on two tables, and rows scored with its model."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from nodes.cli.alone import SOFTWARE_WARNING
from nodes.cli.console import Output
from nodes.cli.together import JointRequest, compared, network_for, run_both, scoring_of
from nodes.cli.together_results import Outcome


async def run_joint(request: JointRequest, output: Output) -> int:
    """Run the job, and score rows with its model if that is asked; the exit code.

    Raises:
        SubletError: before the job began, or what came out is not what plaintext gives.
    """
    request.require()
    output.note(SOFTWARE_WARNING)
    with tempfile.TemporaryDirectory(prefix="sublet-") as folder:
        async with network_for(request, Path(folder)) as network:
            ended, scored = await run_both(network, request, output), None
            if request.scoring is not None and ended.report.output is not None:
                scored = await run_both(network, scoring_of(request, request.scoring, ended.report.id), output)
        against = await asyncio.to_thread(compared, ended, request) if request.check else None
        return Outcome(request, ended, scored, against).deliver(output)
