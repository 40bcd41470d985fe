"""Batches of joint jobs, on their way to enclaves which send their sealed results to a partner (J2, J5): the adapter.

Nothing comes back to be opened batch by batch; what comes is the partner's output, one total per number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nodes.crew.crew import Crew, Kit
from nodes.data.table import Table
from nodes.enclave.agreement import chunks, key_agreement
from nodes.enclave.agreement.chunks import DATA, batch_context
from nodes.enclave.agreement.key_agreement import SealSpec
from nodes.enclave.agreement.rounds import Opening, packed
from nodes.homomorphic.paillier import totals
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.port import SecretKey
from nodes.joint.renter import opened
from nodes.renter.protections.port import Closed, Ingredients, Opened, read_result, timed
from nodes.renter.protocol.records import Round
from schemas.errors import VerificationFailed
from schemas.jobs import Batch

F = TypeVar("F", "Totals", "Moments")


class Totals(Struct, frozen=True):
    """A round's decrypted output as integers; or code and reason of its refusal."""

    numbers: tuple[int, ...] = ()
    code: str = ""
    reason: str = ""


def open_totals(key: SecretKey, body: bytes, width: int) -> Totals:
    """Decrypt a partner's output (J4)."""
    assert isinstance(key, PaillierSecret)
    try:
        return Totals(tuple(totals.opened(key, body, width)))
    except VerificationFailed as error:
        return Totals(code=error.code, reason=str(error))


class Moments(Struct, frozen=True):
    """A model's rotated moments; or code and reason of their refusal."""

    numbers: list[list[float]] = []
    code: str = ""
    reason: str = ""


def open_moments(key: SecretKey, body: bytes, width: int, count: int, size_bits: int) -> Moments:
    """Decrypt a partner's answer of a model (J4)."""
    assert isinstance(key, PaillierSecret)
    try:
        return Moments(opened(key, body, width, count, size_bits))
    except VerificationFailed as error:
        return Moments(code=error.code, reason=str(error))


def open_scores(key: SecretKey, body: bytes, sizes: list[int]) -> Totals:
    """Decrypt the scores of batches of so many rows each, which follow each other (J4)."""
    found, start = [], 0
    try:
        for rows in sizes:
            size = key.public.body_bytes(rows, 1)
            found += key.decrypt(body[start : start + size], rows, 1)[:, 0].tolist()
            start += size
    except VerificationFailed as error:
        return Totals(code=error.code, reason=str(error))
    return Totals(tuple(found)) if start == len(body) else Totals(code="wrong-shape", reason="it has another length")


@dataclass(frozen=True, slots=True)
class OpenedMoments:
    """A list for each of the partner's columns, and the core-seconds that it took."""

    numbers: list[list[float]]
    core_seconds: float


@dataclass(frozen=True, slots=True)
class JointProtection:
    """Rows and parameters go as into any enclave, results come from the partner. A `Protection`."""

    table: Table
    schema: bytes
    secret: Callable[[str], Awaitable[bytes]]
    core_clock: Callable[[], float]
    crew: Crew
    kit: Kit[SecretKey]

    @classmethod
    def build(cls, given: Ingredients) -> JointProtection:
        """With the key in which enclaves and partner encrypt."""
        assert given.key is not None
        seal = SealSpec(given.key.public.to_bytes(), given.facts.result_bits, "row" if given.facts.by_row else "round")
        schema = key_agreement.schema_digest(given.program.canonical, seal)
        return cls(given.table, schema, given.secret, given.core_clock, given.crew, Kit.of(given.key))

    async def close_round(self, batch: Batch, current: Round, parameters: NDArray[np.float64], *, rows: bool) -> Closed:
        """A batch of a round, with its rows where the enclave lacks them."""
        secret, context = await self.secret(batch.subtask), batch_context(batch, self.schema)

        def read_and_encrypt() -> bytes:
            read = self.table.read(batch.first_row, batch.rows) if rows else None
            opening = Opening(current.result_bits, current.value_bits, parameters, read)
            key = key_agreement.data_key(secret, batch.contract, batch.job, DATA, context.epoch)
            return chunks.encrypt(key, context.digest(), packed(opening))

        return Closed(*await asyncio.to_thread(timed, self.core_clock, read_and_encrypt))

    async def open_output(self, body: bytes, outputs: int, bits: int) -> Opened:
        """A round's output [1, outputs], which comes as round(y·2^bits). Raises VerificationFailed."""
        found, seconds = await self._ahead(open_totals, body, outputs)
        return Opened(np.ldexp(np.array([found.numbers], dtype=np.float64), -bits), seconds)

    async def open_scores(self, body: bytes, sizes: list[int], bits: int) -> Opened:
        """Scores [1, rows], which come as round(y·2^bits) in batches of so many rows. Raises VerificationFailed."""
        found, seconds = await self._ahead(open_scores, body, sizes)
        return Opened(np.ldexp(np.array([found.numbers], dtype=np.float64), -bits), seconds)

    async def open_moments(self, body: bytes, width: int, count: int, size_bits: int) -> OpenedMoments:
        """A model's rotated moments, `count` times `width`. Raises VerificationFailed."""
        found, seconds = await self._ahead(open_moments, body, width, count, size_bits)
        return OpenedMoments(found.numbers, seconds)

    async def _ahead(self, task: Callable[..., F], body: bytes, *of: Any) -> tuple[F, float]:
        """What the partner sent, opened before anything is encrypted, and the core-seconds that it took."""
        worked = await read_result(lambda: self.crew.ahead.call(task, self.kit, body, *of))
        found = worked.result
        if found.code:
            raise VerificationFailed(found.reason, code=found.code)
        return found, worked.core_seconds

    async def open(self, batch: Batch, body: bytes) -> Opened:
        """Refuse what no lessor of a joint job sends here. Raises VerificationFailed: `not-for-renter`."""
        raise VerificationFailed("the result of a joint batch goes to the partner", code="not-for-renter")

    async def forget(self) -> None:
        await self.crew.forget(self.kit)
