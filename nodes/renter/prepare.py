"""Activity `prepare`: examine data and program, choose encodings, make the key, measure the encryption rate (A1)."""

from __future__ import annotations

import asyncio
import math
import os
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nodes.homomorphic import paillier
from nodes.homomorphic.audit import program_digest
from nodes.homomorphic.paillier import PaillierSecret
from nodes.homomorphic.quantise import integer_program, quantise
from nodes.programs.affine import AffineMap
from nodes.programs.compile import affine
from nodes.renter.records import Facts, JobPrepared, JobRejected
from nodes.renter.split import batch_rows
from nodes.renter.workbench import JobAtHand, Services, Workbench
from schemas.errors import BadInput, BadProgram
from schemas.jobs import FixedPoint, JobSpec

KEY_BITS: Final = 3072
CALIBRATION_BLOCKS: Final = 128
"""Ciphertexts encrypted to measure the rate: tens of milliseconds."""
SEALED_RESULT_BITS_MAX: Final = 40
SEALED_RESULT_BITS_DEFAULT: Final = 32
"""Where no bound of the result is known: values up to 2^29 with an error of 2^-33."""
SLOT_BITS: Final = 61
BITS_PER_SLOT: Final = 65


async def prepare(services: Services, workbench: Workbench, params: dict[str, Any]) -> list[tuple[str, Struct]]:
    """Facts of the job, or why it is rejected."""
    spec = msgspec.convert(params["spec"], JobSpec)
    try:
        job = await workbench.job(spec)
        facts = await _facts(services, workbench, job)
    except BadInput as error:
        return [("job.rejected", JobRejected(code="bad-input", reason=str(error)))]
    except FileNotFoundError as error:
        return [("job.rejected", JobRejected(code="no-file", reason=f"the job's files are not here: {error}"))]
    return [("job.prepared", JobPrepared(facts=facts))]


async def _facts(services: Services, workbench: Workbench, job: JobAtHand) -> Facts:
    spec, program = job.spec, job.program
    bounds = job.table.bounds
    fixed, error, reason, mapped = encoding(job, bounds)
    wants_key = spec.protection == "sealed-result" or (fixed is not None and spec.protection in ("auto", "homomorphic"))
    rate, public_key, slots, ciphertext_bytes = 0.0, "", 1, 8
    if wants_key:
        key = await workbench.homomorphic_key(job, lambda: paillier.generate(KEY_BITS))
        public_key = await asyncio.to_thread(services.blobs.put, key.public.to_bytes())
        rate = await asyncio.to_thread(_encryption_rate, services, key, program.width_in)
        slots, ciphertext_bytes = key.public.slots, key.public.ciphertext_bytes
    return Facts(
        rows=job.table.rows,
        columns=job.table.columns,
        width_in=program.width_in,
        width_out=program.width_out,
        sum_rows=program.sum_rows,
        needs_enclave=reason,
        no_enclave=_no_enclave(services, spec),
        fixed_point=fixed,
        computation=computation_of(mapped, fixed),
        error_bound=error,
        key_bits=KEY_BITS,
        slots=slots,
        ciphertext_bytes=ciphertext_bytes,
        public_key=public_key,
        encrypt_values_per_second=rate,
        cores=services.cores,
        free_cores=free_cores(services.cores, os.getloadavg()[0]),
        result_bits=_result_bits(mapped, bounds),
    )


def encoding(
    job: JobAtHand, bounds: NDArray[np.float64]
) -> tuple[FixedPoint | None, float | None, str, AffineMap | None]:
    """(fixed point, proven error, why not homomorphic or empty, affine map or None)."""
    slots = KEY_BITS // BITS_PER_SLOT
    try:
        mapped = affine(job.program)
    except BadProgram as error:
        return None, None, str(error), None
    try:
        rows, batches = _sum_shape(job, slots) if mapped.sum_rows else (1, 1)
        fixed, bound = quantise(mapped, bounds, rows, slots=slots, max_error=job.spec.max_error / batches)
    except BadInput as error:
        return None, None, str(error), mapped
    return fixed, bound * batches, "", mapped


def computation_of(mapped: AffineMap | None, fixed: FixedPoint | None) -> str:
    """Digest of the integer program that lessors must compile too; empty when nothing runs on ciphertext."""
    return "" if mapped is None or fixed is None else program_digest(integer_program(mapped, fixed))


def _sum_shape(job: JobAtHand, slots: int) -> tuple[int, int]:
    """(rows per batch, batches) of a sum over rows: each batch's rounding adds to the error of the whole."""
    parts = job.spec.lessors + 1
    width = max(job.program.width_in, job.program.width_out)
    chosen = batch_rows(job.table.rows, parts, width, slots=slots, ciphertext_bytes=KEY_BITS // 4)
    rows = job.spec.batch_rows or chosen
    return rows, -(-job.table.rows // rows) + parts


def _no_enclave(services: Services, spec: JobSpec) -> str:
    policy = services.policy(spec.accept_software_enclave)
    if policy.kinds or policy.accept_software:
        return ""
    return "no kind of enclave is accepted: list hardware kinds, or accept software enclaves (not confidential) by name"


def free_cores(cores: int, load: float) -> float:
    """Cores that the one-minute load average leaves; at least half a core, for the renter may always use its share."""
    return max(0.5, cores - load)


def _encryption_rate(services: Services, key: PaillierSecret, width: int) -> float:
    """Values per second on one core. The first round builds the noise table: once per key, not per batch."""
    rows = key.public.slots * max(1, CALIBRATION_BLOCKS // width)
    values = np.arange(rows * width, dtype=np.int64).reshape(rows, width)
    key.public.encrypt(values)
    start = services.stopwatch()
    key.public.encrypt(values)
    return values.size / max(1e-9, services.stopwatch() - start)


def _result_bits(mapped: AffineMap | None, bounds: NDArray[np.float64]) -> int:
    if mapped is None or mapped.sum_rows:
        return SEALED_RESULT_BITS_DEFAULT
    largest = float((np.abs(mapped.weights) * bounds[:, None]).sum(axis=0).max() + np.abs(mapped.bias).max())
    return max(0, min(SEALED_RESULT_BITS_MAX, SLOT_BITS - max(0, math.frexp(largest)[1])))
