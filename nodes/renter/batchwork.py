"""A batch that lessors compute on ciphertext, at the renter: tasks for its crew.

Encrypting notes what an honest result looks like, and decrypting holds the lessor's result against that before it is
accepted: every row of every batch (`nodes.homomorphic.audit`). A worker that did not encrypt the batch reads its rows
again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nodes.data.table import Table
from nodes.homomorphic import audit
from nodes.homomorphic.audit import Expected
from nodes.homomorphic.quantise import decode, encode
from nodes.homomorphic.scheme import IntegerProgram, SecretKey
from schemas.errors import BadInput, VerificationFailed
from schemas.jobs import Batch, FixedPoint, Noise


@dataclass(frozen=True)
class Plan:
    """What all batches of a job share."""

    table: Table
    key: SecretKey = field(repr=False)
    program: IntegerProgram
    fixed_point: FixedPoint
    noise: Noise

    def values(self, batch: Batch) -> NDArray[np.int64]:
        """The batch's rows as integers; raises BadData."""
        return encode(self.table.read(batch.first_row, batch.rows), self.fixed_point)

    def expect(self, batch: Batch, values: NDArray[np.int64]) -> Expected:
        """What an honest result of the batch looks like."""
        if self._approximate:
            return audit.expect_canaries(values, self.program, self._canaries(batch))
        return audit.expect(values, self.program, self._challenge(batch))

    def honest(self, batch: Batch, result: NDArray[np.int64], expected: Expected) -> bool:
        """Whether a decrypted result is as expected."""
        if not self._approximate:
            return audit.passes(result, expected, self._challenge(batch))
        tolerance = self.key.public.relative_error * self.program.largest(batch.rows)
        return audit.canaries_live(result, expected, self._canaries(batch), tolerance)

    @property
    def _approximate(self) -> bool:
        return self.key.public.relative_error > 0

    @cached_property
    def _secret(self) -> bytes:
        return self.key.to_bytes()

    def _challenge(self, batch: Batch) -> audit.Challenge:
        return audit.challenge(self._secret, _name(batch), self._results(batch))

    def _canaries(self, batch: Batch) -> NDArray[np.int64]:
        return audit.canaries(self._secret, _name(batch), self._results(batch))

    def _results(self, batch: Batch) -> int:
        return 1 if self.program.sum_rows else batch.rows


class Encrypted(Struct, frozen=True):
    """A batch's ciphertexts, and what its honest result looks like; or why there are none."""

    body: bytes = b""
    expected: Expected = Expected()
    refused: str = ""


class Opened(Struct, frozen=True):
    """An audited result, float64 [rows, K] little-endian; or the code and reason for which it is refused."""

    result: bytes = b""
    code: str = ""
    reason: str = ""


def encrypt(plan: Plan, batch: Batch) -> Encrypted:
    """Read, encode and encrypt a batch's rows (H1)."""
    try:
        values = plan.values(batch)
        return Encrypted(plan.key.encrypt(values, noise=plan.noise), plan.expect(batch, values))
    except BadInput as error:
        return Encrypted(refused=str(error))


def decrypt(plan: Plan, batch: Batch, body: bytes, expected: Expected | None) -> Opened:
    """Decrypt and audit a lessor's result (H3)."""
    program = plan.program
    try:
        result = plan.key.decrypt(body, batch.rows, program.width_out, sum_rows=program.sum_rows)
        known = expected or plan.expect(batch, plan.values(batch))
    except VerificationFailed as error:
        return Opened(code=error.code, reason=str(error))
    if not plan.honest(batch, result, known):
        reason = f"batch {batch.batch} is not what the program gives for its rows: the lessor computed otherwise"
        return Opened(code="wrong-result", reason=reason)
    return Opened(np.ascontiguousarray(decode(result, plan.fixed_point), "<f8").tobytes())


def open_sealed(key: SecretKey, body: bytes, rows: int, width: int, bits: int) -> Opened:
    """Decrypt a result that an enclave sealed (T3) as fixed-point numbers of `bits` bits after the point."""
    try:
        values = key.decrypt(body, rows, width)
    except VerificationFailed as error:
        return Opened(code=error.code, reason=str(error))
    return Opened((values.astype("<f8") * 2.0**-bits).tobytes())


def _name(batch: Batch) -> str:
    return f"{batch.subtask}/{batch.batch}/{batch.attempt}"
