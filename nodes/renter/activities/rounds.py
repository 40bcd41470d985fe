"""The activities of a joint job's rounds: ask the partner, plan a round, send its batches, take its output (J1-J6).

A round's parameters and output are files in the job's folder, named by round and digest, so any worker has them.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.inputs import DONE, OUTPUT, PARAMETERS, columns_of, widened, width_of
from nodes.joint import modulus
from nodes.joint.files import IntegerFiles
from nodes.machine import Refused
from nodes.programs import runtime
from nodes.programs.check import check
from nodes.programs.program import Program
from nodes.renter.activities.services import Services
from nodes.renter.activities.solve import solved
from nodes.renter.activities.workbench import Running, Workbench
from nodes.renter.errors import OWN_FAULTS, JobGone
from nodes.renter.files.parts import read_output, read_parameters, write_output, write_parameters
from nodes.renter.files.solutions import write_solved
from nodes.renter.protections.joint import JointProtection
from nodes.renter.protocol.outcomes import (
    BatchSent,
    OutputAccepted,
    OutputRefused,
    RoundPlanned,
    RoundsDone,
    own_fault,
)
from nodes.renter.protocol.records import Agreement, Job, Progress, Round
from nodes.renter.protocol.split import ranges
from nodes.renter.protocol.states import ENDED
from nodes.runtime.post import Post
from schemas.errors import BadInput, VerificationFailed
from schemas.events import Event, batch_attributes
from schemas.ids import derive_id
from schemas.jobs import Assessment, Batch
from schemas.joint import Fitting, Introduction, Joint, JointRequested

Row = NDArray[np.float64]

CHUNK_ROWS: Final = 65_536
"""Rows looked at at a time when a round is planned."""
VALUE_BITS_MAX: Final = 40
SCALE_BITS_MAX: Final = 1100
SIZE_BITS_MAX: Final = 4096
ROOM_BITS: Final = 62
"""Of a total over all rows, for values and weights together."""
_SLACK: Final = 1 + 2.0**-20
"""An enclave's engine may add up in another order than this one."""


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
class Rounds:
    """What a worker does for joint jobs."""

    services: Services
    workbench: Workbench
    post: Post

    async def ask(self, params: dict[str, Any], job_id: str) -> list[tuple[str, Struct]]:
        """Activity `ask-partner`: the request, with the partner's program and the public key (J1)."""
        records, blobs = await self.services.store.get(job_id, ["job", "agreement"]), self.services.blobs
        job, agreement = records.get("job"), records.get("agreement")
        if not isinstance(job, Job) or job.spec.joint is None or not isinstance(agreement, Agreement):
            raise JobGone(f"no joint job {job_id} here")
        (facts, assessment), joint = job.decided, job.spec.joint
        assert facts.public_key is not None
        asked = JointRequested(
            introduction=msgspec.convert(params["introduction"], Introduction),
            job=job_id,
            dataset=joint.dataset,
            columns=joint.columns,
            program=await asyncio.to_thread(blobs.get, joint.program) if joint.program else b"",
            score=joint.score,
            algorithm=None if joint.fitting is None else joint.fitting.algorithm,
            modulus_proof=await self._proof(job_id, assessment),
            public_key=await asyncio.to_thread(blobs.get, facts.public_key.digest),
            rows=facts.rows,
            received=facts.width_out,
            rounds=joint.rounds,
            ids=joint.ids,
            salt=None if joint.ids else agreement.salt,
            release=joint.release,
        )
        event_id = derive_id("event", job_id, "joint.requested")
        await self.post.send("joint.requested", joint.partner, job_id, asked, event_id=event_id)
        return []

    async def _proof(self, job: str, assessment: Assessment) -> bytes:
        """That noise under the job's key hides everything."""
        assert assessment.scheme is not None
        key = await self.workbench.keys.homomorphic(job, assessment.scheme)
        assert isinstance(key, PaillierSecret)
        context = modulus.context(job, self.services.identity.address)
        return await asyncio.to_thread(modulus.proof, key.p, key.q, context)

    async def plan(self, params: dict[str, Any], job_id: str) -> list[tuple[str, Struct]]:
        """Activity `plan-round`: the round's parameters, and how large its results can be: the renter has the rows."""
        number = int(params["round"])
        try:
            running = await self.workbench.running(job_id)
            records = await self.services.store.get(job_id, [f"round/{number - 1}"])
            before = records.get(f"round/{number - 1}")
            return [await asyncio.to_thread(self._plan, running, number, before)]
        except OWN_FAULTS as error:
            return [("job.spoiled", own_fault(error))]

    async def dispatch(self, params: dict[str, Any], job_id: str) -> list[tuple[str, Struct]]:
        """Activity `dispatch-round`: encrypt and publish one batch of a round; the broker's confirm ends it."""
        batch, current = msgspec.convert(params["batch"], Batch), msgspec.convert(params["round"], Round)
        try:
            running = await self.workbench.running(job_id)
            parameters = await asyncio.to_thread(_parameters, running, current)
            closed = await _protection(running).close_round(batch, current, parameters, rows=bool(params["rows"]))
        except OWN_FAULTS as error:
            return [("job.spoiled", own_fault(error))]
        parts = (batch.job, batch.subtask, batch.batch, batch.round, batch.attempt)
        await self.post.send(
            "batch.dispatched",
            str(params["lessor"]),
            batch.job,
            event_id=derive_id("batch", *parts),
            body=closed.body,
            attributes=batch_attributes(batch),
        )
        size, seconds = len(closed.body), closed.core_seconds
        sent = BatchSent(batch=batch.batch, attempt=batch.attempt, bytes_sent=size, encrypt_seconds=seconds)
        return [("batch.sent", sent)]

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
        joint = _joint(running)
        if joint.fitting is not None:
            return await self._solved(running, event, answered, joint.fitting)
        if joint.score is not None:
            return await self._scored(running, event, answered)
        outputs = joint.outputs
        opened = await _protection(running).open_output(bytes(event.body), outputs, answered.bits)
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
        sizes = [rows for _, _, rows in ranges(job.parts, job.batch_rows)]
        opened = await _protection(running).open_scores(bytes(event.body), sizes, answered.bits)
        return OutputAccepted(
            round=answered.round,
            digest=await asyncio.to_thread(write_output, running.job.folder, answered.round, opened.rows),
            outputs=sum(sizes),
            decrypt_seconds=opened.core_seconds,
            bytes_back=len(event.body),
        )

    async def _solved(self, running: Running, event: Event, answered: Answered, fitting: Fitting) -> OutputAccepted:
        """The renter's part of a model, of the partner's rotated moments."""
        width, folder = running.job.program.width_in, running.job.folder
        opened = await _protection(running).open_moments(bytes(event.body), width, answered.columns, answered.size_bits)
        columns = await asyncio.to_thread(IntegerFiles(folder.path).read)
        found = await asyncio.to_thread(solved, columns, opened.numbers, answered.bits, fitting.algorithm)
        return OutputAccepted(
            round=answered.round,
            digest=await asyncio.to_thread(write_solved, folder, found),
            outputs=answered.columns,
            decrypt_seconds=opened.core_seconds,
            bytes_back=len(event.body),
            reply=found.reply if fitting.algorithm.partner_coefficients else (),
        )

    def _plan(self, running: Running, number: int, before: Struct | None) -> tuple[str, Struct]:
        joint, program, folder = _joint(running), running.job.program, running.job.folder
        width = width_of(program, PARAMETERS)
        if joint.fitting is not None:
            bits, digest = joint.fitting.algorithm.renter_bits - 1, write_parameters(folder, number, np.zeros(0))
            return "round.planned", RoundPlanned(round=number, parameters=digest, value_bits=bits, result_bits=0)
        if number == 1:
            parameters = np.array(joint.parameters or (0.0,) * width, dtype=np.float64)
        else:
            assert isinstance(before, Round)
            parameters, done = self._updated(running, before)
            if done:
                return "rounds.done", RoundsDone(round=number)
        value_bits, result_bits = scales(running, parameters)
        digest = write_parameters(folder, number, parameters)
        return "round.planned", RoundPlanned(
            round=number, parameters=digest, value_bits=value_bits, result_bits=result_bits
        )

    def _updated(self, running: Running, before: Round) -> tuple[Row, bool]:
        """The update program on the last output (J5), and whether it wants no further round."""
        joint, folder = _joint(running), running.job.folder
        assert joint.update is not None
        program = check(self.services.blobs.get(joint.update))
        output = read_output(folder, before.number, before.output, joint.outputs)
        return update(program, output, _parameters(running, before))


def update(program: Program, output: Row, parameters: Row) -> tuple[Row, bool]:
    """One run of an update program: `output` [1, O] and the `parameters` [P] it came from; the next, and whether done.

    Raises BadInput.
    """
    row = np.zeros((1, program.width_in))
    row[:, columns_of(program, OUTPUT)] = output
    if width_of(program, PARAMETERS):
        row[:, columns_of(program, PARAMETERS)] = parameters
    (result,) = runtime.evaluate(program, row)
    is_done = np.array([name == DONE for name in program.output_names])
    return result[~is_done], bool((result[is_done] > 0).any())


def scales(running: Running, parameters: Row) -> tuple[int, int]:
    """(value bits, result bits): every result of every row is at most 2^value_bits as round(y·2^result_bits).

    Half of what a total over all rows leaves is the values', the other half the partner's weights'.
    """
    table, program = running.job.table, running.job.program
    largest = 0.0
    for first in range(0, table.rows, CHUNK_ROWS):
        rows = table.read(first, min(CHUNK_ROWS, table.rows - first))
        found = runtime.evaluate(program, widened(program, rows, parameters))
        largest = max(largest, float(np.abs(found).max()))
    value_bits = min(VALUE_BITS_MAX, max(1, (ROOM_BITS - table.rows.bit_length()) // 2))
    exponent = math.frexp(largest * _SLACK)[1] if largest else 0
    return value_bits, value_bits - exponent


def _parameters(running: Running, current: Round) -> Row:
    width = width_of(running.job.program, PARAMETERS)
    return read_parameters(running.job.folder, current.number, current.parameters, width)


def _protection(running: Running) -> JointProtection:
    if not isinstance(running.protection, JointProtection):
        raise BadInput("this job has no joint part")
    return running.protection


def _joint(running: Running) -> Joint:
    joint = running.job.spec.joint
    if joint is None:
        raise BadInput("this job has no joint part")
    return joint
