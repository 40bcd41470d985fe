"""What computes for a worker's sessions: one computer each, built by the activities that the protocol asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from nodes.crew.crew import Crew
from nodes.enclave.host.process import EnclaveProcess
from nodes.lessor.compute.ciphertexts import CiphertextComputer
from nodes.lessor.compute.enclaves import EnclaveComputer
from nodes.lessor.compute.port import CannotCompute, Computed, Computer
from nodes.lessor.protocol.records import ComputerFailed, ComputerReady, EvidenceMade, SealAccepted
from schemas.events import KeySealed
from schemas.jobs import Batch, SubtaskTerms
from schemas.manifest import joined

Pieces = tuple[bytes, ...]
"""Of a file, in order."""
Outcome = tuple[str, Struct]
"""An internal event: its type and data."""


@dataclass(slots=True)
class Workshop:
    """The computers of one worker, by subtask."""

    crew: Crew
    """Computes on ciphertexts, one process per core."""
    start_enclave: Callable[[], Awaitable[EnclaveProcess]]
    _computers: dict[str, Computer] = field(default_factory=dict)

    async def perform(self, activity: str, subtask: str, **params: Any) -> Outcome:
        """Activity `build`, `offer` or `accept`; what came of it, or why this worker cannot compute the subtask."""
        activities: dict[str, Callable[..., Awaitable[Outcome]]] = {
            "build": self._build,
            "offer": self._offer,
            "accept": self._accept,
        }
        try:
            return await activities[activity](subtask, **params)
        except CannotCompute as error:
            return "computer.failed", ComputerFailed(subtask=subtask, code=error.code, reason=str(error))

    async def compute(self, batch: Batch, body: bytes) -> Computed:
        """A batch's result; raises BatchRefused, and LookupError when the session was closed meanwhile."""
        return await self._computers[batch.subtask].compute(batch, body)

    async def close(self, subtask: str) -> None:
        """Activity `close`: end what computes for a subtask, if anything does."""
        computer = self._computers.pop(subtask, None)
        if computer is not None:
            await computer.close()

    async def close_all(self) -> None:
        """End everything."""
        for subtask in list(self._computers):
            await self.close(subtask)

    async def _build(self, subtask: str, terms: SubtaskTerms, program: Pieces, public_key: Pieces) -> Outcome:
        """Compile the program for ciphertexts."""
        files = await asyncio.to_thread(_files, terms, program, public_key)
        await self._keep(subtask, await CiphertextComputer.build(terms, *files, self.crew))
        return "computer.ready", ComputerReady(subtask=subtask)

    async def _offer(self, subtask: str, nonce: bytes, contract: str, job: str) -> Outcome:
        """Start an enclave and get its evidence (E1)."""
        computer = await EnclaveComputer.start(self.start_enclave)
        await self._keep(subtask, computer)
        return "evidence.made", EvidenceMade(subtask=subtask, evidence=await computer.offer(nonce, contract, job))

    async def _accept(
        self, subtask: str, seal: KeySealed, terms: SubtaskTerms, program: Pieces, public_key: Pieces
    ) -> Outcome:
        """Let the enclave open the renter's seal."""
        computer = self._computers.get(subtask)
        if not isinstance(computer, EnclaveComputer):
            raise CannotCompute("enclave-closed", "the enclave that made the offer is gone")
        files = await asyncio.to_thread(_files, terms, program, public_key)
        mac = await computer.accept(seal, terms, *files)
        return "seal.accepted", SealAccepted(subtask=subtask, mac=mac, protections=computer.process.protections)

    async def _keep(self, subtask: str, computer: Computer) -> None:
        await self.close(subtask)
        self._computers[subtask] = computer


def _files(terms: SubtaskTerms, program: Pieces, public_key: Pieces) -> tuple[bytes, bytes]:
    """Program and public key; raises CannotCompute."""
    try:
        return joined(terms.program, program), joined(terms.public_key, public_key) if terms.public_key else b""
    except ValueError as error:
        raise CannotCompute("bad-pieces", str(error)) from error
