"""How a worker computes one subtask's batches: the port, and its adapter for the enclave process."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Final, Protocol

from nodes.enclave.agreement import key_agreement
from nodes.enclave.agreement.chunks import DATA, BatchContext
from nodes.enclave.agreement.key_agreement import SealSpec
from nodes.enclave.errors import EnclaveEnded, EndReason, Rejected
from nodes.enclave.host.process import EnclaveProcess
from nodes.lessor.protocol.errors import BatchRefused
from schemas.errors import BadInput
from schemas.jobs import Batch

POISON: Final = frozenset({EndReason.CPU, EndReason.MEMORY, EndReason.SYSCALL})
"""An enclave that ends so would end so everywhere: the program or the batch is at fault."""


@dataclass(frozen=True, slots=True)
class Computed:
    """A result's body, and the processor seconds it took, summed over all cores."""

    body: bytes
    core_seconds: float


class Computer(Protocol):
    """Computes batches of one subtask."""

    async def compute(self, batch: Batch, body: bytes) -> Computed:
        """The result and what it cost. Raises BatchRefused."""
        ...

    async def close(self) -> None:
        """Forget keys and end processes."""
        ...


@dataclass(slots=True)
class EnclaveComputer:
    """`enclave` and `sealed-result` (E3, E4, T2): only ciphertext passes through this process."""

    process: EnclaveProcess
    schema: bytes

    @classmethod
    def wrap(cls, process: EnclaveProcess, program: bytes, seal: SealSpec | None) -> EnclaveComputer:
        """An enclave that holds the subtask secret and the program."""
        return cls(process, key_agreement.schema_digest(program, seal))

    async def compute(self, batch: Batch, body: bytes) -> Computed:
        """Let the enclave decrypt, compute and encrypt."""
        context = BatchContext(
            job=batch.job,
            subtask=batch.subtask,
            batch=batch.batch,
            attempt=batch.attempt,
            direction=DATA,
            epoch=0,
            schema=self.schema,
            first_row=batch.first_row,
            rows=batch.rows,
        )
        try:
            executed = await self.process.execute(context, body)
            return Computed(executed.body, executed.core_seconds)
        except Rejected as error:
            raise BatchRefused(error.code, str(error), final=False) from error
        except EnclaveEnded as error:
            raise BatchRefused(f"enclave-{error.reason}", str(error), final=error.reason in POISON) from error
        except BadInput as error:
            raise BatchRefused("bad-input", str(error), final=True) from error

    async def close(self) -> None:
        """End the enclave process, and its keys with it."""
        with contextlib.suppress(EnclaveEnded):
            await self.process.close()
