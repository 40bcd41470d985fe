"""What the partner answers a round with: a program's sums, a model's moments, or scores of rows (J4).

An output is a file in the job's folder, named by round and digest, so any worker has it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from nodes.machine import Refused
from nodes.renter.activities.rounds import joint_of
from nodes.renter.activities.services import Services
from nodes.renter.activities.solve import solved
from nodes.renter.activities.workbench import Running, Workbench
from nodes.renter.errors import OWN_FAULTS, JobGone
from nodes.renter.files.parts import write_output
from nodes.renter.files.solutions import write_solved
from nodes.renter.protocol.outcomes import OutputAccepted, OutputRefused, own_fault
from nodes.renter.protocol.records import Agreement, Job, Progress, Round
from nodes.renter.protocol.split import ranges
from nodes.renter.protocol.states import ENDED
from schemas.errors import VerificationFailed
from schemas.events import Event
from schemas.joint import Fitting

SCALE_BITS_MAX: Final = 1100
SIZE_BITS_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Answered:
    """Which round an output is of, and its scale."""

    job: str
    round: int
    bits: int
    size_bits: int
    """Of a model: no number reaches 2^size_bits."""
    columns: int
    """Of a model: the partner's."""
    ended: bool


@dataclass(frozen=True, slots=True)
class Answers:
    """What a worker does with them."""

    services: Services
    workbench: Workbench

    async def sender(self, event: Event) -> tuple[bytes, Answered]:
        """The partner's key, once it is sure that it owes this round's output; raises Refused."""
        try:
            number, bits, size_bits = (int(event.attributes.get(each, "0")) for each in ("round", "bits", "sizebits"))
        except ValueError as error:
            raise Refused("bad-data", "an output without its round and scale") from error
        if abs(bits) > SCALE_BITS_MAX or not 0 <= size_bits <= SIZE_BITS_MAX:
            raise Refused("bad-data", f"an output with a scale of {bits} bits, {size_bits} in all")
        records = await self.services.store.get(event.subject, ["progress", "agreement", f"round/{number}"])
        progress, agreement, current = (records.get(key) for key in ("progress", "agreement", f"round/{number}"))
        if not isinstance(progress, Progress) or not isinstance(agreement, Agreement):
            raise Refused("unknown-job", f"no joint job {event.subject} here")
        if event.source != agreement.introduction.partner:
            raise Refused("not-the-partner", f"{event.source} is not the partner of this job")
        if not isinstance(current, Round):
            raise Refused("unknown-round", f"round {number} was never opened")
        ended = progress.phase in ENDED or current.phase != "open"
        answered = Answered(event.subject, number, bits, size_bits, agreement.columns, ended)
        return agreement.introduction.partner_key, answered

    async def accept(self, event: Event, answered: Answered) -> tuple[str, Struct] | None:
        """Decrypt an output and write it down; what became of it."""
        if answered.ended:
            return None
        try:
            running = await self.workbench.running(answered.job)
            made = await self._made(running, event, answered)
        except JobGone:
            return None
        except OWN_FAULTS as error:
            return "job.spoiled", own_fault(error)
        except VerificationFailed as error:
            return "output.refused", OutputRefused(round=answered.round, code=error.code, reason=str(error))
        return "output.accepted", made

    async def _made(self, running: Running, event: Event, answered: Answered) -> OutputAccepted:
        joint = joint_of(running)
        if joint.fitting is not None:
            return await self._solved(running, event, answered, joint.fitting)
        if joint.score is not None:
            return await self._scored(running, event, answered)
        outputs = joint.outputs
        opened = await running.by_round.open_output(bytes(event.body), outputs, answered.bits)
        return OutputAccepted(
            round=answered.round,
            digest=await asyncio.to_thread(write_output, running.job.folder, answered.round, opened.rows),
            outputs=outputs,
            decrypt_seconds=opened.core_seconds,
            bytes_back=len(event.body),
        )

    async def _scored(self, running: Running, event: Event, answered: Answered) -> OutputAccepted:
        """The score of every row, [1, rows]."""
        job = (await self.services.store.get(answered.job, ["job"])).get("job")
        if not isinstance(job, Job):
            raise JobGone(f"no job {answered.job} here")
        sizes = [rows for _, _, rows in ranges(job.parts)]
        opened = await running.by_round.open_scores(bytes(event.body), sizes, answered.bits)
        return OutputAccepted(
            round=answered.round,
            digest=await asyncio.to_thread(write_output, running.job.folder, answered.round, opened.rows),
            outputs=sum(sizes),
            decrypt_seconds=opened.core_seconds,
            bytes_back=len(event.body),
        )

    async def _solved(self, running: Running, event: Event, answered: Answered, fitting: Fitting) -> OutputAccepted:
        """The renter's part of a model, of the partner's rotated moments."""
        width, count, folder = running.job.program.width_in, answered.columns, running.job.folder
        opened = await running.by_round.open_moments(bytes(event.body), width, count, answered.size_bits)
        columns = await asyncio.to_thread(folder.integers.read)
        found = await asyncio.to_thread(solved, columns, opened.numbers, answered.bits, fitting.algorithm)
        return OutputAccepted(
            round=answered.round,
            digest=await asyncio.to_thread(write_solved, folder, found),
            outputs=answered.columns,
            decrypt_seconds=opened.core_seconds,
            bytes_back=len(event.body),
            reply=found.reply if fitting.algorithm.partner_coefficients else (),
        )
