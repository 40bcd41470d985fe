"""Batches that lessors compute in an enclave which encrypts the results homomorphically (T1-T3): the adapter."""

from __future__ import annotations

from dataclasses import dataclass

from nodes.crew.crew import Crew, Kit
from nodes.enclave.agreement.key_agreement import SealSpec
from nodes.homomorphic.port import SecretKey
from nodes.renter.protections.ciphertext import Decrypted, trusted
from nodes.renter.protections.enclave import EnclaveProtection
from nodes.renter.protections.port import Closed, Ingredients, Opened, matrix, read_result
from schemas.errors import VerificationFailed
from schemas.jobs import Batch


def open_sealed(key: SecretKey, body: bytes, rows: int, width: int, bits: int) -> Decrypted:
    """Decrypt a result that an enclave sealed (T3) as fixed-point numbers of `bits` bits after the point."""
    try:
        values = key.decrypt(body, rows, width)
    except VerificationFailed as error:
        return Decrypted(code=error.code, reason=str(error))
    return Decrypted((values.astype("<f8") * 2.0**-bits).tobytes())


@dataclass(frozen=True, slots=True)
class SealedProtection:
    """Data goes as into any enclave; results are decrypted twice, the second time in the crew. A `Protection`."""

    enclave: EnclaveProtection
    crew: Crew
    kit: Kit[SecretKey]

    @classmethod
    def build(cls, given: Ingredients) -> SealedProtection:
        """With the key in which results are sealed."""
        assert given.key is not None
        seal = SealSpec(given.key.public.to_bytes(), given.facts.result_bits)
        return cls(EnclaveProtection.build(given, seal), given.crew, Kit.of(given.key))

    async def close(self, batch: Batch) -> Closed:
        return await self.enclave.close(batch)

    async def open(self, batch: Batch, body: bytes) -> Opened:
        facts = self.enclave.facts
        rows = 1 if facts.sum_rows else batch.rows
        sealed, seconds = await self.enclave.unwrap(batch, body)
        worked = await read_result(
            lambda: self.crew.ahead.call(open_sealed, self.kit, sealed, rows, facts.width_out, facts.result_bits)
        )
        return Opened(matrix(trusted(worked.result), batch, facts), seconds + worked.core_seconds)

    async def forget(self) -> None:
        await self.crew.forget(self.kit)
