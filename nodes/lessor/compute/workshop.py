"""What computes for a worker's sessions: one computer each, built by the activities that the protocol asks for."""

from __future__ import annotations

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
from schemas.jobs import Batch

Outcome = tuple[str, Struct]
"""An internal event: its type and data."""


@dataclass(slots=True)
class Workshop:
    """The computers of one worker, by subtask."""

    crew: Crew
    """Computes on ciphertexts, one process per core."""
    start_enclave: Callable[[], Awaitable[EnclaveProcess]]
    _computers: dict[str, Computer] = field(default_factory=dict)

    async def build(self, params: dict[str, Any]) -> Outcome:
        """Activity `build`: compile the program for ciphertexts."""
        subtask = params["subtask"]
        try:
            computer = await CiphertextComputer.build(
                params["terms"], params["program"], params["public_key"], self.crew
            )
        except CannotCompute as error:
            return _failed(subtask, error)
        await self._keep(subtask, computer)
        return "computer.ready", ComputerReady(subtask=subtask)

    async def offer(self, params: dict[str, Any]) -> Outcome:
        """Activity `offer`: start an enclave and get its evidence (E1)."""
        subtask = params["subtask"]
        try:
            computer = await EnclaveComputer.start(self.start_enclave)
            await self._keep(subtask, computer)
            evidence = await computer.offer(params["nonce"], params["contract"], params["job"])
        except CannotCompute as error:
            return _failed(subtask, error)
        return "evidence.made", EvidenceMade(subtask=subtask, evidence=evidence)

    async def accept(self, params: dict[str, Any]) -> Outcome:
        """Activity `accept`: let the enclave open the renter's seal."""
        subtask = params["subtask"]
        computer = self._computers.get(subtask)
        try:
            if not isinstance(computer, EnclaveComputer):
                raise CannotCompute("enclave-closed", "the enclave that made the offer is gone")
            mac = await computer.accept(params["seal"], params["terms"], params["program"], params["public_key"])
        except CannotCompute as error:
            return _failed(subtask, error)
        return "seal.accepted", SealAccepted(subtask=subtask, mac=mac, protections=computer.process.protections)

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

    async def _keep(self, subtask: str, computer: Computer) -> None:
        await self.close(subtask)
        self._computers[subtask] = computer


def _failed(subtask: str, error: CannotCompute) -> Outcome:
    return "computer.failed", ComputerFailed(subtask=subtask, code=error.code, reason=str(error))
