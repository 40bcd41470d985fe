"""A batch that lessors compute on ciphertext, at the renter: tasks for its crew.

Encrypting notes what an honest result looks like, and decrypting holds the lessor's result against that before it is
accepted: every row of every batch (`nodes.homomorphic.audit`). A worker that did not encrypt the batch reads its rows
again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nodes.data.table import Table
from nodes.homomorphic.audit import Auditor, Expected
from nodes.homomorphic.encoding import decode, encode
from nodes.homomorphic.port import IntegerProgram, SecretKey
from schemas.errors import BadInput, VerificationFailed
from schemas.jobs import Batch, FixedPoint, Noise
from schemas.signing import length_prefixed

OWN_DATA: Final = "bad-data"
"""Code of what is the renter's own fault: its rows are not what they were."""


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

    def auditor(self, batch: Batch) -> Auditor:
        """Of the batch's result."""
        rows = 1 if self.program.sum_rows else batch.rows
        name = f"{batch.subtask}/{batch.batch}/{batch.attempt}"
        tolerance = self.key.public.relative_error * self.program.largest(batch.rows)
        return Auditor(self.program, self._secret, name, rows, tolerance)

    @cached_property
    def _secret(self) -> bytes:
        """What audits are drawn from: a digest, because keys of some schemes are megabytes."""
        return hashlib.sha256(length_prefixed(b"sublet/v1/audit-seed", self.key.to_bytes())).digest()


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
        return Encrypted(plan.key.encrypt(values, noise=plan.noise), plan.auditor(batch).expect(values))
    except BadInput as error:
        return Encrypted(refused=str(error))


def decrypt(plan: Plan, batch: Batch, body: bytes, expected: Expected | None) -> Opened:
    """Decrypt and audit a lessor's result (H3)."""
    program, auditor = plan.program, plan.auditor(batch)
    try:
        result = plan.key.decrypt(body, batch.rows, program.width_out, sum_rows=program.sum_rows)
        known = expected or auditor.expect(plan.values(batch))
    except VerificationFailed as error:
        return Opened(code=error.code, reason=str(error))
    except BadInput as error:
        return Opened(code=OWN_DATA, reason=str(error))
    if not auditor.honest(result, known):
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
