"""How a worker computes on ciphertexts without any key (H2)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from nodes.homomorphic.audit import program_digest
from nodes.homomorphic.paillier_public import PaillierPublic
from nodes.homomorphic.quantise import integer_program
from nodes.homomorphic.scheme import IntegerProgram
from nodes.lessor.errors import BatchRefused, SessionRefused
from nodes.programs.check import check
from nodes.programs.compile import affine
from schemas.errors import BadInput, VerificationFailed
from schemas.jobs import Batch, SubtaskTerms


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
