"""Activity `prepare`: examine data and program, choose encodings, predict costs, make the job's key (A1)."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from nodes.crew.crew import Kit
from nodes.homomorphic import costs, schemes
from nodes.homomorphic.audit import program_digest
from nodes.homomorphic.costs import Units
from nodes.homomorphic.encoding import integer_program, quantise, result_bits
from nodes.homomorphic.packing import blocks_of
from nodes.homomorphic.port import IntegerProgram, Shape
from nodes.programs.affine import AffineMap
from nodes.renter.activities.workbench import JobAtHand, Services, Workbench
from nodes.renter.prediction import calibration, predict
from nodes.renter.prediction.predict import Size
from nodes.renter.prediction.rehearsal import CiphertextScore, EnclaveScore, rehearse_ciphertext, rehearse_enclave
from nodes.renter.protocol.assess import NoProtection, assess, rented_rows
from nodes.renter.protocol.records import Facts, JobPrepared, JobRejected, SchemeFacts
from nodes.renter.protocol.split import batch_rows
from schemas import limits
from schemas.errors import BadInput, BadProgram
from schemas.jobs import Costs, FixedPoint, JobSpec, Scheme

SEALED_RESULT_BITS_MAX: Final = 40
SEALED_RESULT_BITS_DEFAULT: Final = 32
"""Where no bound of the result is known: values up to 2^29 with an error of 2^-33."""
SLOT_BITS: Final = 61
ENCODING_SHARE: Final = 0.5
"""Of the allowed error, what encoding may use under a scheme that has an error of its own."""


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


@dataclass(frozen=True)
class Encoding:
    """How one scheme would compute the job; `refused` says why it cannot."""

    scheme: Scheme
    refused: str = ""
    rows_each: int = 1
    """Rows per batch."""
    fixed_point: FixedPoint | None = None
    program: IntegerProgram | None = field(default=None, repr=False)
    error_bound: float | None = None

    @cached_property
    def shape(self) -> Shape:
        """What the scheme's ciphertexts are like."""
        return schemes.shape(self.scheme)


async def _facts(services: Services, workbench: Workbench, job: JobAtHand) -> Facts:
    spec, program = job.spec, job.program
    mapped, reason = _mapped(job)
    wanted = () if mapped is None else wanted_schemes(spec, mapped.degree)
    encodings = [_encoding(job, mapped, scheme) for scheme in wanted if mapped is not None]
    facts = Facts(
        rows=job.table.rows,
        columns=job.table.columns,
        width_in=program.width_in,
        width_out=program.width_out,
        sum_rows=program.sum_rows,
        needs_enclave=reason,
        no_enclave=_no_enclave(services, spec),
        schemes=tuple(_scheme_facts(each) for each in encodings),
        cores=services.crew.hands,
        free_cores=free_cores(services.crew.hands, os.getloadavg()[0]),
        result_bits=_result_bits(mapped, job.table.bounds),
    )
    if rented_rows(spec, facts.rows):
        facts = await _with_costs(services, job, facts, encodings)
    return await _with_key(services, workbench, job, facts)


def wanted_schemes(spec: JobSpec, degree: int) -> tuple[Scheme, ...]:
    """Those worth looking at for polynomials of `degree`: what was asked for, or what needs no assumption that the user
    did not allow."""
    if spec.protection not in ("auto", "homomorphic"):
        return ()
    if degree > 1:
        return (schemes.for_degree(degree),)
    if spec.scheme != "auto":
        return (spec.scheme,)
    return ("paillier", "ckks") if spec.results_stay and spec.noise == "fixed-base" else ("paillier",)


def free_cores(cores: int, load: float) -> float:
    """Cores that the one-minute load average leaves; at least half a core, for the renter may always use its share."""
    return max(0.5, cores - load)


# ---------------------------------------------------------------- encodings


def _mapped(job: JobAtHand) -> tuple[AffineMap | None, str]:
    """What ciphertexts can compute of the program; or why they can not."""
    spec = job.spec
    products = spec.protection in ("auto", "homomorphic") and schemes.may_multiply(spec.scheme, spec.results_stay)
    try:
        return schemes.runnable(job.program, products=products), ""
    except BadProgram as error:
        return None, str(error)


def _encoding(job: JobAtHand, mapped: AffineMap, scheme: Scheme) -> Encoding:
    """The cheapest fixed point whose error, with the scheme's own, is proved to be allowed."""
    shape, spec = schemes.shape(scheme), job.spec
    if missing := schemes.unavailable(scheme):
        return Encoding(scheme, missing)
    if shape.relative_error and not spec.results_stay:
        return Encoding(scheme, schemes.MUST_STAY)
    width = max(job.program.width_in, job.program.width_out)
    try:
        each = spec.batch_rows or _batch_rows(job, slots=shape.slots, ciphertext_bytes=shape.ciphertext_bytes)
        sent = blocks_of(each, shape.slots) * width * shape.ciphertext_bytes
        if sent > limits.BODY_BYTES_MAX:
            return Encoding(
                scheme, f"{width} columns of {each} rows take {sent:,} bytes, over {limits.BODY_BYTES_MAX:,}"
            )
        rows, parts = (each, -(-job.table.rows // each) + spec.lessors + 1) if mapped.sum_rows else (1, 1)
        allowed = spec.max_error / parts * (ENCODING_SHARE if shape.relative_error else 1.0)
        if mapped.products:  # finer than the scheme's own error costs nothing here, and helps nobody
            allowed = min(allowed, shape.relative_error * _reach(mapped, job.table.bounds))
        fixed, encoded = quantise(mapped, job.table.bounds, rows, slots=shape.slots, max_error=allowed)
        program = integer_program(mapped, fixed)
        schemes.require_accuracy(scheme, program, rows)
    except BadInput as error:
        return Encoding(scheme, str(error))
    own = shape.relative_error * program.largest(rows) * 2.0 ** -result_bits(fixed)
    bound = (encoded + own) * parts
    text = f"its own error may reach {own * parts:.1e}, at most {spec.max_error:g} is allowed (--max-error)"
    return Encoding(scheme, text if bound > spec.max_error else "", each, fixed, program, bound)


def _batch_rows(job: JobAtHand, **packed: int) -> int:
    parts = job.spec.lessors + (1 if job.spec.local_share else 0)
    return batch_rows(job.table.rows, parts, max(job.program.width_in, job.program.width_out), **packed)


def _scheme_facts(encoding: Encoding) -> SchemeFacts:
    return SchemeFacts(
        scheme=encoding.scheme,
        refused=encoding.refused,
        key_bits=encoding.shape.key_bits,
        slots=encoding.shape.slots,
        ciphertext_bytes=encoding.shape.ciphertext_bytes,
        fixed_point=encoding.fixed_point,
        computation="" if encoding.program is None else program_digest(encoding.program),
        error_bound=encoding.error_bound,
    )


def _result_bits(mapped: AffineMap | None, bounds: NDArray[np.float64]) -> int:
    if mapped is None or mapped.sum_rows:
        return SEALED_RESULT_BITS_DEFAULT
    return max(0, min(SEALED_RESULT_BITS_MAX, SLOT_BITS - max(0, math.frexp(_reach(mapped, bounds))[1])))


def _reach(mapped: AffineMap, bounds: NDArray[np.float64]) -> float:
    """No result of one row can be larger."""
    terms = np.concatenate([bounds, [bounds[list(each)].prod() for each in mapped.products]])
    return float((np.abs(mapped.weights) * terms[:, None]).sum(axis=0).max() + np.abs(mapped.bias).max())


def _no_enclave(services: Services, spec: JobSpec) -> str:
    policy = services.policy(spec.accept_software_enclave)
    if policy.kinds or policy.accept_software:
        return ""
    return "no kind of enclave is accepted: list hardware kinds, or accept software enclaves (not confidential) by name"


# ---------------------------------------------------------------- costs


async def _with_costs(services: Services, job: JobAtHand, facts: Facts, encodings: list[Encoding]) -> Facts:
    """Predictions for everything that may be chosen."""
    spec = job.spec
    usable = [each for each in encodings if not each.refused]
    sealing = not facts.no_enclave and (spec.protection == "sealed-result" or spec.decrypt_seconds_max is not None)
    sealed_scheme: Scheme = "paillier-subgroup" if spec.scheme == "paillier-subgroup" else "paillier"
    names = [each.scheme for each in usable] + ([sealed_scheme] if sealing else [])
    units = await calibration.units(services.crew, services.calibration, names) if names else {}
    size = Size(
        rows=rented_rows(spec, facts.rows),
        width_in=facts.width_in,
        width_out=facts.width_out,
        hands=services.crew.hands,
        lessors=spec.lessors,
    )
    predicted = {each.scheme: await _homomorphic_costs(services, job, size, each, units) for each in usable}
    known = tuple(structs.replace(each, costs=predicted.get(each.scheme)) for each in facts.schemes)
    facts = structs.replace(facts, schemes=known)
    if facts.no_enclave:
        return facts
    each = spec.batch_rows or _batch_rows(job)
    score = EnclaveScore(job.table, job.program.canonical)
    rows = await services.crew.call(rehearse_enclave, Kit.of(score), _middle(job, each), each)
    plain = predict.enclave(size, rows.result)
    if not sealing:
        return structs.replace(facts, enclave=plain)
    shape = schemes.shape(sealed_scheme)
    cut = predict.batches(size, each)
    sealed = costs.count_sealed(facts.width_out, cut, shape.slots, sum_rows=facts.sum_rows)
    priced = predict.sealed_result(size, plain, sealed, units[sealed_scheme], ciphertext_bytes=shape.ciphertext_bytes)
    return structs.replace(facts, enclave=plain, sealed_result=priced)


async def _homomorphic_costs(
    services: Services, job: JobAtHand, size: Size, encoding: Encoding, units: Mapping[str, Units]
) -> Costs:
    each, fixed, program = encoding.rows_each, encoding.fixed_point, encoding.program
    assert fixed is not None
    assert program is not None
    cut = predict.batches(size, each)
    work = await asyncio.to_thread(costs.count, encoding.scheme, program, cut, encoding.shape.slots)
    score = CiphertextScore(job.table, fixed, program, approximate=encoding.shape.relative_error > 0)
    rows = await services.crew.call(rehearse_ciphertext, Kit.of(score), _middle(job, each), each)
    exact = job.spec.noise == "exact"
    return predict.homomorphic(size, work, units[encoding.scheme], rows.result, encoding.shape, exact=exact)


def _middle(job: JobAtHand, rows_each: int) -> int:
    """First row of a batch from the middle of the input."""
    return job.table.rows // 2 // rows_each * rows_each


# ---------------------------------------------------------------- the key


async def _with_key(services: Services, workbench: Workbench, job: JobAtHand, facts: Facts) -> Facts:
    """Make the key that the assessment will ask for; where it will refuse the job, none."""
    try:
        scheme = assess(job.spec, facts).scheme
    except NoProtection:
        return facts
    if scheme is None:
        return facts
    bits = next(
        (each.fixed_point.input_bits for each in facts.schemes if each.scheme == scheme and each.fixed_point), 1
    )
    key = await workbench.homomorphic_key(job, scheme, lambda: schemes.generate(scheme, bits))
    public_key = await asyncio.to_thread(services.blobs.put, key.public.to_bytes())
    return structs.replace(facts, public_key=public_key)
