"""How a worker computes on ciphertexts without any key (H2): in its crew, which may die of what a renter sends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cached_property

from msgspec import Struct

from nodes.crew.crew import Crew, Kit, survived
from nodes.crew.errors import HandLost
from nodes.homomorphic import schemes
from nodes.homomorphic.audit import program_digest
from nodes.homomorphic.encoding import integer_program
from nodes.homomorphic.port import IntegerProgram, PublicKey
from nodes.lessor.compute.port import BatchRefused, CannotCompute, Computed
from nodes.programs.check import check
from schemas.errors import BadInput, VerificationFailed
from schemas.jobs import Batch, Scheme, SubtaskTerms


@dataclass(frozen=True)
class Subtask:
    """What all batches of a subtask share."""

    scheme: Scheme
    key: bytes = field(repr=False)
    program: IntegerProgram = field(repr=False)

    @cached_property
    def public(self) -> PublicKey:
        """The renter's key, laid out as the program allows; raises BadKey."""
        return schemes.read_public(self.scheme, self.key).laid_out(self.program)


class Evaluated(Struct, frozen=True):
    """A result's body; or the code and reason for which there is none, and whether it would fail everywhere."""

    body: bytes = b""
    code: str = ""
    reason: str = ""
    final: bool = False


def evaluate(subtask: Subtask, body: bytes, rows: int) -> Evaluated:
    """Run the program on one batch's ciphertexts."""
    try:
        return Evaluated(subtask.public.evaluate(body, rows, subtask.program))
    except VerificationFailed as error:
        return Evaluated(code=error.code, reason=str(error))
    except BadInput as error:
        return Evaluated(code="bad-program", reason=str(error), final=True)


def refusal(subtask: Subtask) -> str:
    """Why the renter's key cannot be used; empty when it can."""
    try:
        _ = subtask.public
    except (BadInput, VerificationFailed) as error:
        return str(error)
    return ""


@dataclass(frozen=True, slots=True)
class CiphertextComputer:
    """`homomorphic` (H2): executes the program on ciphertexts with the public key alone."""

    crew: Crew
    kit: Kit[Subtask]

    @classmethod
    async def build(cls, terms: SubtaskTerms, program: bytes, public_key: bytes, crew: Crew) -> CiphertextComputer:
        """Check and compile the program under the terms' fixed point.

        Raises:
            CannotCompute: program, scales or key cannot be used.
        """
        kit = await asyncio.to_thread(_compiled, terms, program, public_key)
        try:
            refused = (await survived(lambda: crew.call(refusal, kit))).result
        except HandLost as error:
            raise CannotCompute("bad-key", f"the key cannot be read: {error}") from error
        if refused:
            raise CannotCompute("bad-key", refused)
        return cls(crew, kit)

    async def compute(self, batch: Batch, body: bytes) -> Computed:
        """Evaluate on ciphertexts."""
        try:
            worked = await survived(lambda: self.crew.call(evaluate, self.kit, body, batch.rows))
        except HandLost as error:
            raise BatchRefused("ciphertext-invalid", str(error), final=False) from error
        done = worked.result
        if done.code:
            raise BatchRefused(done.code, done.reason, final=done.final)
        return Computed(done.body, worked.core_seconds)

    async def close(self) -> None:
        """Drop key and program."""
        await self.crew.forget(self.kit)


def _compiled(terms: SubtaskTerms, program: bytes, public_key: bytes) -> Kit[Subtask]:
    assert terms.fixed_point is not None  # the protocol refuses terms without
    assert terms.scheme is not None
    if missing := schemes.unavailable(terms.scheme):
        raise CannotCompute("no-scheme", missing)
    try:
        compiled = integer_program(schemes.compiled(terms.scheme, check(program, engine=False)), terms.fixed_point)
    except BadInput as error:
        raise CannotCompute("bad-program", str(error)) from error
    if program_digest(compiled) != terms.computation:
        reason = "program and scales compile to other integers here than at the renter"
        raise CannotCompute("other-computation", reason)
    return Kit.of(Subtask(terms.scheme, public_key, compiled))
