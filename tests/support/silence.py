"""A job one of whose two lessors answers nothing, and what became of its batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nodes.local import LocalNetwork
from nodes.renter.protocol.records import BatchRecord
from nodes.renter.submission import JobOptions
from nodes.views.report import JobReport
from tests.support.models import DATA

SILENT: Final = "B11.B13"
BATCH_ROWS: Final = 47
"""One block of a 3072-bit key: a job of a dozen batches."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Of the job once it had ended."""

    report: JobReport
    states: dict[str, str]
    """Of the subtasks, by lessor."""
    attempts: int
    """Of the batch that was tried most often."""


async def with_a_silent_lessor(network: LocalNetwork, program: bytes) -> Seen:
    """Run the job; its batches must end at the other lessor once the batch deadline is over."""
    spec = network.stage(DATA, program, None, JobOptions(protection="homomorphic", batch_rows=BATCH_ROWS))
    await network.silence(SILENT)
    await network.submit(spec)
    report = [each async for each in network.watch(spec.id)][-1]
    batches = [each for each in (await network.store.read(spec.id)).values() if isinstance(each, BatchRecord)]
    states = {contract.lessor: contract.subtask for contract in report.contracts}
    return Seen(report, states, max((each.attempt for each in batches), default=0))
