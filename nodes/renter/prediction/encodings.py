"""How each scheme would compute a job on ciphertext: its fixed point, the integers in it, and the proved error."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nodes.data.table import Table
from nodes.homomorphic import schemes
from nodes.homomorphic.audit import program_digest
from nodes.homomorphic.encoding import integer_program, quantise, result_bits
from nodes.homomorphic.packing import blocks_of
from nodes.homomorphic.port import IntegerProgram, Shape
from nodes.programs.affine import AffineMap
from nodes.programs.program import Program
from nodes.protections import CIPHERTEXT, asked
from nodes.renter.protocol.records import SchemeFacts
from nodes.renter.protocol.split import rows_per_batch
from schemas import limits
from schemas.errors import BadInput, BadProgram
from schemas.jobs import FixedPoint, JobSpec, Scheme

SEALED_RESULT_BITS_MAX: Final = 40
SEALED_RESULT_BITS_DEFAULT: Final = 32
"""Where no bound of the result is known: values up to 2^29 with an error of 2^-33."""
SLOT_BITS: Final = 61
GAPS_NEED_ENCLAVE: Final = "ciphertext has no missing values: fill them in, or use an enclave"
ENCODING_SHARE: Final = 0.5
"""Of the allowed error, what encoding may use under a scheme that has an error of its own."""


@dataclass(frozen=True)
class Encoding:
    """How one scheme would compute the job; `refused` says why it cannot."""

    scheme: Scheme
    refused: str = ""
    rows_each: int = 1
    """Rows per batch."""
    rows_most: int = 1
    """The same, if there are fewer lessors than were asked for."""
    fixed_point: FixedPoint | None = None
    program: IntegerProgram | None = field(default=None, repr=False)
    error_bound: float | None = None
    at: int = 0
    """Which of the scheme's shapes ciphertexts have."""

    @cached_property
    def shape(self) -> Shape:
        """What ciphertexts under the job's key are like."""
        return schemes.shape(self.scheme, self.at)

    @property
    def kind(self) -> str:
        """Of key: what is measured together."""
        return schemes.kind_of(self.scheme, self.at)

    def facts(self) -> SchemeFacts:
        """What the job's record keeps of it."""
        return SchemeFacts(
            scheme=self.scheme,
            refused=self.refused,
            key_bits=self.shape.key_bits,
            slots=self.shape.slots,
            ciphertext_bytes=self.shape.ciphertext_bytes,
            at=self.at,
            fixed_point=self.fixed_point,
            computation="" if self.program is None else program_digest(self.program),
            error_bound=self.error_bound,
        )


def wanted_schemes(spec: JobSpec, degree: int) -> tuple[Scheme, ...]:
    """Those worth looking at for polynomials of `degree`: what was asked for, or what needs no assumption that the user
    did not allow."""
    if asked(spec.protection) not in (None, CIPHERTEXT):
        return ()
    if degree > 1:
        return (schemes.for_degree(degree),)
    if spec.scheme != "auto":
        return (spec.scheme,)
    if spec.noise != "fixed-base":
        return ("paillier",)
    return ("bfv", "paillier", "ckks") if spec.results_stay else ("bfv", "paillier")


def mapped(spec: JobSpec, program: Program, gaps: str = "") -> tuple[AffineMap | None, str]:
    """What ciphertexts can compute of the program on data with these `gaps`; or why they can not."""
    if gaps:
        return None, f"{gaps}; {GAPS_NEED_ENCLAVE}"
    wanted = asked(spec.protection) in (None, CIPHERTEXT)
    try:
        products = wanted and schemes.may_multiply(spec.scheme, spec.results_stay)
        return schemes.runnable(program, products=products), ""
    except BadProgram as error:
        return None, f"{error}; a cut before that gives nothing" if wanted else str(error)


def encoding(spec: JobSpec, program: Program, table: Table, affine: AffineMap, scheme: Scheme) -> Encoding:
    """The cheapest fixed point whose error, with the scheme's own, is proved to be allowed, under the cheapest key.

    Rows are cut by what a ciphertext holds, and what a key must be like may depend on how they are cut: it grows until
    it fits.
    """
    shape = schemes.shape(scheme)
    if missing := schemes.unavailable(scheme):
        return Encoding(scheme, missing)
    if shape.relative_error and not spec.results_stay:
        return Encoding(scheme, schemes.MUST_STAY)
    at = 0
    while True:
        found = _encoding(spec, program, table, affine, scheme, at)
        if found.program is None:
            return found
        try:
            needed = schemes.fitting(scheme, found.program, found.rows_most)
        except BadInput as error:
            return Encoding(scheme, str(error))
        if needed <= at:
            return found
        at = needed


def _encoding(  # noqa: PLR0917
    spec: JobSpec, program: Program, table: Table, affine: AffineMap, scheme: Scheme, at: int
) -> Encoding:
    """The same under a key of the shape that stands at this place."""
    shape = schemes.shape(scheme, at)
    width = max(program.width_in, program.width_out)
    try:
        each = rows_per_batch(spec, table.rows, width, spec.lessors, shape)
        sent = blocks_of(each, shape.slots) * width * shape.ciphertext_bytes
        if sent > limits.BODY_BYTES_MAX:
            return Encoding(
                scheme, f"{width} columns of {each} rows take {sent:,} bytes, over {limits.BODY_BYTES_MAX:,}"
            )
        most = rows_per_batch(spec, table.rows, width, 1, shape)  # however few lessors there will be
        rows, parts = (most, -(-table.rows // each) + spec.lessors + 1) if affine.sum_rows else (1, 1)
        allowed = spec.max_error / parts * (ENCODING_SHARE if shape.relative_error else 1.0)
        if affine.products:  # finer than the scheme's own error costs nothing here, and helps nobody
            allowed = min(allowed, shape.relative_error * _reach(affine, table.bounds))
        whole = None if shape.relative_error else table.whole  # whose results would be rounded to units too coarse
        fixed, encoded = quantise(affine, table.bounds, rows, slots=shape.slots, max_error=allowed, whole=whole)
        integers = integer_program(affine, fixed)
        schemes.require_accuracy(scheme, integers, rows)
    except BadInput as error:
        return Encoding(scheme, str(error))
    own = shape.relative_error * integers.largest(rows) * 2.0 ** -result_bits(fixed)
    bound = (encoded + own) * parts
    text = f"its own error may reach {own * parts:.1e}, at most {spec.max_error:g} is allowed (--max-error)"
    return Encoding(scheme, text if bound > spec.max_error else "", each, most, fixed, integers, bound, at)


def sealed_result_bits(affine: AffineMap | None, bounds: NDArray[np.float64]) -> int:
    """Bits after the point of results that enclaves seal: as many as surely fit."""
    if affine is None or affine.sum_rows:
        return SEALED_RESULT_BITS_DEFAULT
    return max(0, min(SEALED_RESULT_BITS_MAX, SLOT_BITS - max(0, math.frexp(_reach(affine, bounds))[1])))


def _reach(affine: AffineMap, bounds: NDArray[np.float64]) -> float:
    """No result of one row can be larger."""
    terms = np.concatenate([bounds, [bounds[list(each)].prod() for each in affine.products]])
    return float((np.abs(affine.weights) * terms[:, None]).sum(axis=0).max() + np.abs(affine.bias).max())
