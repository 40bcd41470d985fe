"""The activities of a joint job's rounds: ask the partner, plan a round, send its batches (J1-J6).

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

from broker.errors import QueueFull
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.inputs import PARAMETERS, widened, width_of
from nodes.joint import modulus
from nodes.joint.precision import renter_bits
from nodes.joint.updates import update
from nodes.programs import runtime
from nodes.programs.check import check
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import Running, Workbench
from nodes.renter.errors import OWN_FAULTS, JobGone
from nodes.renter.files.parts import read_output, read_parameters, write_parameters
from nodes.renter.protocol.outcomes import (
    BatchSent,
    BatchUnsent,
    RoundPlanned,
    RoundsDone,
    own_fault,
)
from nodes.renter.protocol.records import Agreement, Job, Round
from nodes.runtime.post import Post
from schemas.errors import BadInput
from schemas.events import batch_attributes
from schemas.ids import derive_id
from schemas.jobs import Assessment, Batch
from schemas.joint import Introduction, Joint, JointRequested

Row = NDArray[np.float64]

VALUE_BITS_MAX: Final = 40
ROOM_BITS: Final = 62
"""Of a total over all rows, for values and weights together."""
_SLACK: Final = 1 + 2.0**-20
"""An enclave's engine may add up in another order than this one."""


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
            version=joint.version,
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
        """Activity `dispatch-round`: encrypt and publish one batch of a round; the broker's answer ends it."""
        batch, current = msgspec.convert(params["batch"], Batch), msgspec.convert(params["round"], Round)
        try:
            running = await self.workbench.running(job_id)
            parameters = await asyncio.to_thread(_parameters, running, current)
            closed = await running.by_round.close_round(batch, current, parameters, rows=bool(params["rows"]))
        except OWN_FAULTS as error:
            return [("job.spoiled", own_fault(error))]
        parts = (batch.job, batch.subtask, batch.batch, batch.round, batch.attempt)
        try:
            await self.post.send(
                "batch.dispatched",
                str(params["lessor"]),
                batch.job,
                event_id=derive_id("batch", *parts),
                body=closed.body,
                attributes=batch_attributes(batch),
            )
        except QueueFull:
            return [("batch.unsent", BatchUnsent(batch=batch.batch, attempt=batch.attempt))]
        size, seconds = len(closed.body), closed.core_seconds
        sent = BatchSent(batch=batch.batch, attempt=batch.attempt, bytes_sent=size, encrypt_seconds=seconds)
        return [("batch.sent", sent)]

    def _plan(self, running: Running, number: int, before: Struct | None) -> tuple[str, Struct]:
        joint, program, folder = joint_of(running), running.job.program, running.job.folder
        width = width_of(program, PARAMETERS)
        if joint.fitting is not None:
            bits = renter_bits(joint.fitting.algorithm, joint.fitting.key_bits, program.width_in)
            digest = write_parameters(folder, number, np.zeros(0))
            return "round.planned", RoundPlanned(round=number, parameters=digest, value_bits=bits - 1, result_bits=0)
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
        joint, folder = joint_of(running), running.job.folder
        assert joint.update is not None
        program = check(self.services.blobs.get(joint.update))
        output = read_output(folder, before.number, before.output, joint.outputs)
        return update(program, output, _parameters(running, before))


def scales(running: Running, parameters: Row) -> tuple[int, int]:
    """(value bits, result bits): every result of every row is at most 2^value_bits as round(y·2^result_bits).

    Half of what a total over all rows leaves is the values', the other half the partner's weights'.
    """
    table, program = running.job.table, running.job.program
    largest = 0.0
    for _, rows in table.numbers():
        found = runtime.evaluate(program, widened(program, rows, parameters))
        largest = max(largest, float(np.abs(found).max()))
    value_bits = min(VALUE_BITS_MAX, max(1, (ROOM_BITS - table.rows.bit_length()) // 2))
    exponent = math.frexp(largest * _SLACK)[1] if largest else 0
    return value_bits, value_bits - exponent


def _parameters(running: Running, current: Round) -> Row:
    width = width_of(running.job.program, PARAMETERS)
    return read_parameters(running.job.folder, current.number, current.parameters, width)


def joint_of(running: Running) -> Joint:
    """Its joint part; raises BadInput: there is none."""
    joint = running.job.spec.joint
    if joint is None:
        raise BadInput("this job has no joint part")
    return joint
