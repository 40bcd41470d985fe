"""Activity `prepare`: examine data and program, choose encodings, predict costs, make the job's key (A1)."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import msgspec
from msgspec import Struct, structs

from nodes.enclave.agreement.rounds import KEPT_BYTES_MAX
from nodes.homomorphic import schemes
from nodes.homomorphic.encoding import integer_program
from nodes.homomorphic.port import IntegerProgram
from nodes.programs.program import Program
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import JobAtHand, Workbench
from nodes.renter.files.pieces import keep
from nodes.renter.prediction.encodings import encoding, mapped, sealed_result_bits, wanted_schemes
from nodes.renter.prediction.memory import MIB, memory_mib
from nodes.renter.prediction.pricing import Pricing
from nodes.renter.protocol.assess import NoProtection, assess, rented_rows
from nodes.renter.protocol.outcomes import JobPrepared, JobSpoiled
from nodes.renter.protocol.records import Facts
from nodes.renter.protocol.split import rows_per_batch
from schemas.errors import BadInput
from schemas.jobs import JobSpec, Scheme


async def prepare(
    services: Services, workbench: Workbench, params: dict[str, Any], job_id: str
) -> list[tuple[str, Struct]]:
    """Facts of the job, or why it is rejected."""
    spec = msgspec.convert(params["spec"], JobSpec)
    try:
        job = await workbench.inputs(spec)
        facts = await _with_key(services, workbench, job, await facts_of(services, job))
    except BadInput as error:
        return [("job.spoiled", JobSpoiled(code=getattr(error, "code", "bad-input"), reason=str(error)))]
    return [("job.prepared", JobPrepared(facts=facts))]


def free_cores(cores: int, load: float) -> float:
    """Cores that the one-minute load average leaves; at least half a core, for the renter may always use its share."""
    return max(0.5, cores - load)


async def facts_of(services: Services, job: JobAtHand, *, sealing: bool = False) -> Facts:
    """What is known of a job before it is assessed; with `sealing`, what sealed results cost even where nobody asked.

    Raises:
        BadInput: nothing can be computed.
    """
    spec, program, table = job.spec, job.program, job.table
    if spec.joint is not None:
        return await _joint_facts(services, job)
    beginning, rest = job.cut or (program, None)
    affine, reason = mapped(spec, beginning, table.gaps)
    wanted = () if affine is None else wanted_schemes(spec, affine.degree)
    encodings = [encoding(spec, beginning, table, affine, scheme) for scheme in wanted if affine is not None]
    facts = Facts(
        rows=table.rows,
        width_in=program.width_in,
        width_out=program.width_out,
        width_cut=beginning.width_out if job.cut else 0,
        sum_rows=program.sum_rows,
        program=await asyncio.to_thread(keep, services.blobs, program.canonical),
        beginning=await asyncio.to_thread(keep, services.blobs, beginning.canonical) if job.cut else None,
        row_elements=program.live_row_elements,
        memory_mib=memory_mib(program, _rows_each(spec, table.rows, program)),
        needs_enclave=reason,
        no_enclave=_no_enclave(services, spec),
        schemes=tuple(each.facts() for each in encodings),
        cores=services.crew.hands,
        free_cores=free_cores(services.crew.hands, os.getloadavg()[0]),
        result_bits=sealed_result_bits(None if job.cut else affine, table.bounds),
    )
    if not rented_rows(spec, facts.rows):
        return facts
    pricing = Pricing(spec, table, program, rest, services.crew, services.calibration, sealing)
    return await pricing.priced(facts, encodings)


async def _joint_facts(services: Services, job: JobAtHand) -> Facts:
    """Of a job whose enclaves seal for a partner: there is nothing to choose, so nothing is priced."""
    program, rows = job.program, job.table.rows
    fitting = job.spec.joint.fitting if job.spec.joint else None
    return Facts(
        rows=rows,
        width_in=program.width_in,
        width_out=program.width_out,
        sum_rows=False,
        program=await asyncio.to_thread(keep, services.blobs, program.canonical),
        row_elements=program.live_row_elements,
        memory_mib=memory_mib(program, _rows_each(job.spec, rows, program)) + KEPT_BYTES_MAX // MIB,
        needs_enclave="a partner computes on results that enclaves seal",
        no_enclave=_no_enclave(services, job.spec),
        cores=services.crew.hands,
        free_cores=free_cores(services.crew.hands, os.getloadavg()[0]),
        by_row=fitting is not None,
        ciphertext_bytes=fitting.key_bits // 4 if fitting else 0,
    )


def _rows_each(spec: JobSpec, rows: int, program: Program) -> int:
    width, elements = max(program.width_in, program.width_out), program.live_row_elements
    return rows_per_batch(spec, rows, width, spec.lessors, row_elements=elements)


def _no_enclave(services: Services, spec: JobSpec) -> str:
    policy = services.policy(spec.accept_software_enclave)
    if policy.kinds or policy.accept_software:
        return ""
    return "no kind of enclave is accepted: list hardware kinds, or accept software enclaves (not confidential) by name"


async def _with_key(services: Services, workbench: Workbench, job: JobAtHand, facts: Facts) -> Facts:
    """Make the key that the assessment will ask for; where it will refuse the job, none."""
    spec = job.spec
    try:
        scheme = assess(spec, facts).scheme
    except NoProtection:
        return facts
    if scheme is None:
        return facts
    if spec.joint is not None and spec.joint.fitting is not None:
        key = await workbench.keys.make_paillier(spec.id, spec.joint.fitting.key_bits)
    else:
        key = await workbench.keys.make_homomorphic(spec.id, scheme, *_computed(job, facts, scheme))
    public_key = await asyncio.to_thread(keep, services.blobs, key.public.to_bytes())
    return structs.replace(facts, public_key=public_key)


def _computed(job: JobAtHand, facts: Facts, scheme: Scheme) -> tuple[IntegerProgram, int, int]:
    """What is computed on ciphertext under the key, of how many rows at a time, and in ciphertexts of which shape;
    nothing where results are sealed."""
    found = next((each for each in facts.schemes if each.scheme == scheme and each.fixed_point), None)
    if found is None or found.fixed_point is None:
        return schemes.SMALLEST, 1, 0
    program, _ = job.cut or (job.program, None)
    rows = rows_per_batch(job.spec, facts.rows, max(program.width_in, program.width_out), 1, found)
    return integer_program(schemes.compiled(scheme, program), found.fixed_point), rows, found.at
