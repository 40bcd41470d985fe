"""Batches that lessors compute in an enclave (E3, E4): the adapter, and how rows are encrypted there and back.

The key is of the subtask and the ciphertext is bound to the batch (`BatchContext`), so any worker of the renter makes
and opens it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nodes.data.table import Table
from nodes.enclave.agreement import chunks, key_agreement
from nodes.enclave.agreement.chunks import RESULT, BatchContext, batch_context
from nodes.enclave.agreement.key_agreement import SealSpec
from nodes.renter.protections.port import Closed, Ingredients, Opened, matrix, timed
from nodes.renter.protocol.records import Facts
from schemas.jobs import Batch


def encrypt(secret: bytes, contract: str, context: BatchContext, values: NDArray[Any]) -> bytes:
    """A batch's rows [rows, F], in the type in which the program's rows travel, encrypted (E3)."""
    key = key_agreement.data_key(secret, contract, context.job, context.direction, context.epoch)
    return chunks.encrypt(key, context.digest(), values.tobytes())


def decrypt(secret: bytes, contract: str, context: BatchContext, body: bytes) -> bytes:
    """A batch's result as the enclave encrypted it (E4); raises Rejected."""
    key = key_agreement.data_key(secret, contract, context.job, RESULT, context.epoch)
    return chunks.decrypt(key, context.result.digest(), body)


@dataclass(frozen=True, slots=True)
class EnclaveProtection:
    """Encrypts and decrypts in threads; a `Protection`."""

    table: Table
    facts: Facts
    travels: np.dtype[Any]
    schema: bytes
    secret: Callable[[str], Awaitable[bytes]]
    core_clock: Callable[[], float]

    @classmethod
    def build(cls, given: Ingredients, seal: SealSpec | None = None) -> EnclaveProtection:
        """For enclaves that give their results back as `seal` says."""
        schema = key_agreement.schema_digest(given.program.canonical, seal)
        return cls(given.table, given.facts, given.program.travels, schema, given.secret, given.core_clock)

    async def close(self, batch: Batch) -> Closed:
        secret, context = await self.secret(batch.subtask), batch_context(batch, self.schema)

        def read_and_encrypt() -> bytes:
            values = self.table.read(batch.first_row, batch.rows).astype(self.travels)
            return encrypt(secret, batch.contract, context, values)

        return Closed(*await asyncio.to_thread(timed, self.core_clock, read_and_encrypt))

    async def unwrap(self, batch: Batch, body: bytes) -> tuple[bytes, float]:
        """What the enclave encrypted, and the core-seconds it took; raises Rejected."""
        secret, context = await self.secret(batch.subtask), batch_context(batch, self.schema)
        return await asyncio.to_thread(timed, self.core_clock, decrypt, secret, batch.contract, context, body)

    async def open(self, batch: Batch, body: bytes) -> Opened:
        plain, seconds = await self.unwrap(batch, body)
        return Opened(matrix(plain, batch, self.facts), seconds)

    async def forget(self) -> None:
        """Nothing: secrets are kept where `secret` gets them."""
