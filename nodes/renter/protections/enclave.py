"""A batch that lessors compute in an enclave, at the renter: encrypted for the way there, decrypted on the way back.

The key is of the subtask and the ciphertext is bound to the batch (`BatchContext`), so any worker of the renter makes
and opens it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from nodes.enclave.agreement import chunks, key_agreement
from nodes.enclave.agreement.chunks import DATA, RESULT, BatchContext
from nodes.enclave.agreement.key_agreement import SealSpec
from schemas.jobs import Batch

EPOCH: Final = 0
"""Jobs of one round have one epoch."""


def batch_context(batch: Batch, program: bytes, seal: SealSpec | None) -> BatchContext:
    """What binds a batch's ciphertext to its place: it opens nowhere else."""
    return BatchContext(
        job=batch.job,
        subtask=batch.subtask,
        batch=batch.batch,
        attempt=batch.attempt,
        direction=DATA,
        epoch=EPOCH,
        schema=key_agreement.schema_digest(program, seal),
        first_row=batch.first_row,
        rows=batch.rows,
    )


def encrypt(secret: bytes, batch: Batch, context: BatchContext, values: NDArray[np.float64]) -> bytes:
    """The batch's rows, float64 [rows, F], as they travel (E3)."""
    key = key_agreement.data_key(secret, batch.contract, batch.job, DATA, EPOCH)
    return chunks.encrypt(key, context.digest(), np.ascontiguousarray(values, "<f8").tobytes())


def decrypt(secret: bytes, batch: Batch, context: BatchContext, body: bytes) -> bytes:
    """The batch's result as the enclave encrypted it (E4); raises Rejected."""
    key = key_agreement.data_key(secret, batch.contract, batch.job, RESULT, EPOCH)
    return chunks.decrypt(key, context.result.digest(), body)
