"""Batches that lessors compute on ciphertext (H1, H3): the adapter, and the tasks of its crew.

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

from nodes.crew.crew import Crew, Kit
from nodes.data.table import Table
from nodes.homomorphic import schemes
from nodes.homomorphic.audit import Auditor, Expected
from nodes.homomorphic.encoding import decode, encode, integer_program
from nodes.homomorphic.port import IntegerProgram, SecretKey
from nodes.renter.protections.port import Closed, Ingredients, Opened, matrix, read_result
from nodes.renter.protocol.records import Facts
from schemas.errors import BadData, BadInput, VerificationFailed
from schemas.jobs import Batch, FixedPoint, Noise
from schemas.signing import length_prefixed

_OWN_DATA: Final = "bad-data"
"""Code of what is the renter's own fault: its rows are not what they were."""
EXPECTED_MAX: Final = 4096
"""Results whose checksums are kept: those of batches that never come back go first."""


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


class Decrypted(Struct, frozen=True):
    """A result, audited where that can be, float64 [rows, K] little-endian; or code and reason of its refusal."""

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


def decrypt(plan: Plan, batch: Batch, body: bytes, expected: Expected | None) -> Decrypted:
    """Decrypt and audit a lessor's result (H3)."""
    program, auditor = plan.program, plan.auditor(batch)
    try:
        result = plan.key.decrypt(body, batch.rows, program.width_out, sum_rows=program.sum_rows)
        known = expected or auditor.expect(plan.values(batch))
    except VerificationFailed as error:
        return Decrypted(code=error.code, reason=str(error))
    except BadInput as error:
        return Decrypted(code=_OWN_DATA, reason=str(error))
    if not auditor.honest(result, known):
        reason = f"batch {batch.batch} is not what the program gives for its rows: the lessor computed otherwise"
        return Decrypted(code="wrong-result", reason=reason)
    return Decrypted(np.ascontiguousarray(decode(result, plan.fixed_point), "<f8").tobytes())


@dataclass(frozen=True, slots=True)
class CiphertextProtection:
    """Encrypts, decrypts and audits in the crew; a `Protection`."""

    crew: Crew
    kit: Kit[Plan]
    facts: Facts
    _expected: dict[tuple[int, int], Expected] = field(default_factory=dict, repr=False)
    """Of results that are under way, by batch and attempt; made again where they are missing."""

    @classmethod
    def build(cls, given: Ingredients) -> CiphertextProtection:
        """Compile the program under the fixed point that was chosen, and pack it with the key."""
        scheme = given.facts.of(given.assessment.scheme)
        assert scheme.fixed_point is not None
        assert given.key is not None
        program = integer_program(schemes.compiled(scheme.scheme, given.program), scheme.fixed_point)
        plan = Plan(given.table, given.key.laid_out(program), program, scheme.fixed_point, given.noise)
        return cls(given.crew, Kit.of(plan), given.facts)

    async def close(self, batch: Batch) -> Closed:
        worked = await self.crew.call(encrypt, self.kit, batch)
        if worked.result.refused:
            raise BadData(worked.result.refused)
        while len(self._expected) >= EXPECTED_MAX:
            del self._expected[next(iter(self._expected))]
        self._expected[batch.batch, batch.attempt] = worked.result.expected
        return Closed(worked.result.body, worked.core_seconds)

    async def open(self, batch: Batch, body: bytes) -> Opened:
        expected = self._expected.pop((batch.batch, batch.attempt), None)
        worked = await read_result(lambda: self.crew.ahead.call(decrypt, self.kit, batch, body, expected))
        return Opened(matrix(trusted(worked.result), batch, self.facts), worked.core_seconds)

    async def forget(self) -> None:
        await self.crew.forget(self.kit)


def trusted(decrypted: Decrypted) -> bytes:
    """The result; raises what was wrong with it, or with the renter's own rows."""
    if decrypted.code == _OWN_DATA:
        raise BadData(decrypted.reason)
    if decrypted.code:
        raise VerificationFailed(decrypted.reason, code=decrypted.code)
    return decrypted.result
