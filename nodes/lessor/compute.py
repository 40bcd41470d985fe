"""How a worker computes one subtask's batches: on ciphertexts without any key, or inside its enclave process."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final, Protocol

from nodes.enclave import session as key_agreement
from nodes.enclave.chunks import DATA, BatchContext
from nodes.enclave.errors import EnclaveEnded, EndReason, Rejected
from nodes.enclave.session import SealSpec
from nodes.enclave.worker.host import EnclaveProcess
from nodes.homomorphic.audit import program_digest
from nodes.homomorphic.paillier_public import PaillierPublic
from nodes.homomorphic.quantise import integer_program
from nodes.homomorphic.scheme import IntegerProgram
from nodes.lessor.errors import BatchRefused, SessionRefused
from nodes.programs.check import check
from nodes.programs.compile import affine
from schemas.errors import BadInput, VerificationFailed
from schemas.jobs import Batch, SubtaskTerms

POISON: Final = frozenset({EndReason.CPU, EndReason.MEMORY, EndReason.SYSCALL})
"""An enclave that ends so would end so everywhere: the program or the batch is at fault."""


class Computer(Protocol):
    """Computes batches of one subtask."""

    async def compute(self, batch: Batch, body: bytes) -> bytes:
        """The result's body. Raises BatchRefused."""
        ...

    async def close(self) -> None:
        """Forget keys and end processes."""
        ...


@dataclass(frozen=True, slots=True)
class CiphertextComputer:
    """`homomorphic` (H2): executes the program on ciphertexts with the public key alone."""

    public: PaillierPublic
    program: IntegerProgram
    threads: int

    @classmethod
    def build(cls, terms: SubtaskTerms, program: bytes, public_key: bytes, threads: int) -> CiphertextComputer:
        """Check and compile the program under the terms' fixed point.

        Raises:
            SessionRefused: program, scales or key cannot be used.
        """
        try:
            if terms.fixed_point is None:
                raise SessionRefused("bad-terms", "a homomorphic subtask needs its fixed point")
            mapped = affine(check(program))
            public = PaillierPublic.from_bytes(public_key)
            compiled = integer_program(mapped, terms.fixed_point)
            if program_digest(compiled) != terms.computation:
                raise SessionRefused(
                    "other-computation", "program and scales compile to other integers here than at the renter"
                )
            return cls(public, compiled, threads)
        except (BadInput, VerificationFailed) as error:
            raise SessionRefused("bad-program", str(error)) from error

    async def compute(self, batch: Batch, body: bytes) -> bytes:
        """Evaluate on ciphertexts, off the event loop."""
        try:
            return await asyncio.to_thread(self.public.evaluate, body, batch.rows, self.program, threads=self.threads)
        except VerificationFailed as error:
            raise BatchRefused(error.code, str(error), final=False) from error
        except BadInput as error:
            raise BatchRefused("bad-program", str(error), final=True) from error

    async def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True)
class EnclaveComputer:
    """`enclave` and `sealed-result` (E3, E4, T2): only ciphertext passes through this process."""

    process: EnclaveProcess
    schema: bytes

    @classmethod
    def wrap(cls, process: EnclaveProcess, program: bytes, seal: SealSpec | None) -> EnclaveComputer:
        """An enclave that holds the subtask secret and the program."""
        return cls(process, key_agreement.schema_digest(program, seal))

    async def compute(self, batch: Batch, body: bytes) -> bytes:
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
            return await self.process.execute(context, body)
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
