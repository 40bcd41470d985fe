"""The renter's audit of results computed on ciphertext: every row of every batch, before it is accepted.

The checksums of an honest result are computed while the rows are encrypted and kept in memory; a worker that did not
encrypt the batch reads its rows again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nodes.homomorphic import audit
from nodes.homomorphic.paillier import PaillierSecret
from nodes.homomorphic.quantise import decode, encode
from nodes.homomorphic.scheme import IntegerProgram
from nodes.renter.records import Facts
from nodes.renter.workbench import JobAtHand, Workbench
from schemas.errors import VerificationFailed
from schemas.jobs import Batch, FixedPoint


@dataclass(frozen=True, slots=True)
class CiphertextBatch:
    """One batch that a lessor computes on ciphertext, with what the renter alone knows of it."""

    job: JobAtHand
    batch: Batch
    key: PaillierSecret
    program: IntegerProgram
    fixed_point: FixedPoint

    def encrypt(self, threads: int) -> bytes:
        """The batch's rows as ciphertexts; notes what their honest result adds up to."""
        values = self._values()
        self.job.expected[self.batch.batch, self.batch.attempt] = self._expected(values)
        return self.key.encrypt(values, threads=threads)

    def decrypt(self, body: bytes, threads: int) -> NDArray[np.float64]:
        """The audited result, [rows, K], or [1, K] for a sum over rows.

        Raises:
            VerificationFailed: the ciphertexts are not valid, or `wrong-result`.
        """
        program = self.program
        result = self.key.decrypt(body, self.batch.rows, program.width_out, sum_rows=program.sum_rows, threads=threads)
        expected = self.job.expected.pop((self.batch.batch, self.batch.attempt), None)
        if not audit.passes(result, expected or self._expected(self._values()), self._challenge()):
            text = f"batch {self.batch.batch} is not what the program gives for its rows: the lessor computed otherwise"
            raise VerificationFailed(text, code="wrong-result")
        return decode(result, self.fixed_point)

    def _values(self) -> NDArray[np.int64]:
        return encode(self.job.table.read(self.batch.first_row, self.batch.rows), self.fixed_point)

    def _expected(self, values: NDArray[np.int64]) -> audit.Expected:
        return audit.expect(values, self.program, self._challenge())

    def _challenge(self) -> audit.Challenge:
        name = f"{self.batch.subtask}/{self.batch.batch}/{self.batch.attempt}"
        return audit.challenge(self.key.to_bytes(), name, 1 if self.program.sum_rows else self.batch.rows)


async def ciphertext_batch(workbench: Workbench, job: JobAtHand, facts: Facts, batch: Batch) -> CiphertextBatch:
    """The batch with the job's key and compiled program."""
    assert facts.fixed_point is not None
    key, program = await workbench.homomorphic_key(job), await workbench.computation(job, facts)
    return CiphertextBatch(job, batch, key, program, facts.fixed_point)
