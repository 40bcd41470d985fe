"""A worker's sessions: what it got to know of each subtask it computes for, in memory only.

A worker that meets a subtask it lacks asks the renter on its lane; the answer brings terms with the contract (checked
offline against the hubs' keys), program and public key (found by digest), and for enclaves the key agreement (E1).
Sessions end with their contract or when idle; any worker can make any session again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog
from msgspec import Struct

from nodes.contracts import verify_contract
from nodes.crew.crew import Crew
from nodes.enclave.agreement.key_agreement import SealSpec
from nodes.enclave.errors import EnclaveEnded, EnclaveUnavailable, Rejected
from nodes.enclave.host.process import EnclaveProcess
from nodes.identity import Identity, verify
from nodes.lessor.compute.ciphertexts import CiphertextComputer
from nodes.lessor.compute.port import Computer, EnclaveComputer
from nodes.lessor.protocol.config import LessorConfig
from nodes.lessor.protocol.errors import SessionLate, SessionRefused
from schemas import limits
from schemas.contracts import Contract
from schemas.errors import BadInput, VerificationFailed
from schemas.events import KeyConfirmed, KeyOffered, KeyRefused, KeySealed, SubtaskAssigned, SubtaskRequested
from schemas.ids import Address
from schemas.jobs import SubtaskTerms
from schemas.signing import struct_bytes

BLOBS_MAX: Final = 32
"""Programs and keys kept by digest."""
IDLE_SECONDS_MAX: Final = 60.0
"""A session without batches for this long is closed; its keys go with it."""

log = structlog.get_logger(__name__)

Send = Callable[[str, Address, str, Struct], Awaitable[None]]
"""(event type, to, subject, data): a signed control event."""


@dataclass(slots=True)
class Session:
    """A subtask that this worker can compute."""

    terms: SubtaskTerms
    computer: Computer
    used_at: float


@dataclass(slots=True)
class _Opening:
    """A subtask that this worker asked for."""

    job: str
    subtask: str
    renter: Address
    ready: asyncio.Future[Session]
    assigned: SubtaskAssigned | None = None
    process: EnclaveProcess | None = None
    sealed: asyncio.Future[KeySealed] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Sessions:
    """All sessions of one worker."""

    config: LessorConfig
    identity: Identity
    worker: str
    lane: str
    clock: Callable[[], float]
    send: Send
    start_enclave: Callable[[], Awaitable[EnclaveProcess]]
    crew: Crew
    _open: dict[str, Session] = field(default_factory=dict)
    _opening: dict[str, _Opening] = field(default_factory=dict)
    _blobs: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self, job: str, subtask: str, renter: Address) -> Session:
        """The session of a subtask, opened if needed.

        Raises:
            SessionRefused: it will not be had.
            SessionLate: not in time.
        """
        session = self._open.get(subtask)
        if session is not None:
            session.used_at = self.clock()
            return session
        opening = self._opening.get(subtask)
        if opening is None:
            opening = _Opening(job, subtask, renter, asyncio.get_running_loop().create_future())
            self._opening[subtask] = opening
            request = SubtaskRequested(job=job, subtask=subtask, worker=self.worker, lane=self.lane)
            await self.send("subtask.requested", renter, job, request)
        try:
            async with asyncio.timeout(limits.HANDSHAKE_SECONDS_MAX):
                return await asyncio.shield(opening.ready)
        except TimeoutError as error:
            await self._abandon(opening)
            raise SessionLate(f"{renter} did not open {subtask} within {limits.HANDSHAKE_SECONDS_MAX:.0f} s") from error

    def expects(self, subtask: str, source: Address) -> bool:
        """Whether this worker asked this renter for this subtask."""
        opening = self._opening.get(subtask)
        return opening is not None and opening.renter == source

    def keep_blob(self, digest: str, raw: bytes) -> None:
        """A program or public key that was asked for."""
        self._blobs[digest] = raw
        self._arrived.set()
        while len(self._blobs) > BLOBS_MAX:
            self._blobs.popitem(last=False)

    def contract_of(self, subtask: str) -> Contract | None:
        """The verified contract of an open or opening session."""
        opening = self._opening.get(subtask)
        if subtask in self._open:
            return self._open[subtask].terms.contract
        return opening.assigned.terms.contract if opening is not None and opening.assigned is not None else None

    def check_contract(self, contract: Contract, source: Address) -> None:
        """Whether this contract binds this lessor to this renter, now.

        Raises:
            SessionRefused: with its code.
        """
        try:
            verify_contract(contract, self.config.hub_keys, verify)
        except VerificationFailed as error:
            raise SessionRefused(error.code, f"{source}: {error}") from error
        own = contract.lessor_key == self.identity.public and contract.lessor == self.config.me
        if not own or not verify(self.identity.public, struct_bytes(contract.sell), contract.sell.signature):
            raise SessionRefused("not-my-contract", f"{contract.id} does not bind {self.config.me}")
        if contract.renter != source:
            raise SessionRefused("wrong-sender", f"{contract.id} does not rent to {source}")
        if contract.ends_at <= self.clock():
            raise SessionRefused("contract-ended", f"{contract.id} has run out")

    def assigned(self, data: SubtaskAssigned) -> None:
        """Terms have come (their contract is checked, their signature too): open the session."""
        opening = self._opening.get(data.terms.subtask)
        if opening is None or data.worker != self.worker or opening.assigned is not None:
            return
        opening.assigned = data
        opening.task = asyncio.create_task(self._run_opening(opening, data))

    def sealed(self, data: KeySealed) -> None:
        """The renter's half of the key agreement has come."""
        opening = self._opening.get(data.subtask)
        if opening is not None and data.worker == self.worker and not opening.sealed.done():
            opening.sealed.set_result(data)

    async def refused(self, subtask: str, code: str, reason: str) -> None:
        """The renter gives this worker nothing."""
        opening = self._opening.get(subtask)
        if opening is not None:
            await self._abandon(opening, SessionRefused(code, reason))

    async def close(self, subtask: str) -> None:
        """End a session; its keys go with it."""
        session = self._open.pop(subtask, None)
        if session is not None:
            await session.computer.close()

    async def close_idle(self) -> None:
        """End sessions that nobody used for a while, or whose contract has run out."""
        now = self.clock()
        for subtask, session in list(self._open.items()):
            if now - session.used_at > IDLE_SECONDS_MAX or session.terms.contract.ends_at <= now:
                await self.close(subtask)

    async def close_all(self) -> None:
        """End everything."""
        for opening in list(self._opening.values()):
            await self._abandon(opening)
        for subtask in list(self._open):
            await self.close(subtask)

    async def _run_opening(self, opening: _Opening, data: SubtaskAssigned) -> None:
        try:
            computer = await self._computer(opening, data)
        except SessionRefused as error:
            await self._abandon(opening, error)
        except (BadInput, EnclaveEnded, EnclaveUnavailable, Rejected) as error:
            code = error.code if isinstance(error, Rejected) else "enclave-unavailable"
            refusal = KeyRefused(
                job=opening.job, subtask=opening.subtask, worker=self.worker, code=code, reason=str(error)
            )
            await self.send("key.refused", opening.renter, opening.job, refusal)
            await self._abandon(opening, SessionRefused(code, str(error)))
        else:
            session = Session(data.terms, computer, self.clock())
            self._open[opening.subtask] = session
            self._opening.pop(opening.subtask, None)
            opening.ready.set_result(session)

    async def _computer(self, opening: _Opening, data: SubtaskAssigned) -> Computer:
        terms = data.terms
        program = await self._blob(terms.program)
        public_key = await self._blob(terms.public_key) if terms.public_key else b""
        if terms.protection == "homomorphic":
            return await CiphertextComputer.build(terms, program, public_key, self.crew)
        seal = None
        if terms.protection == "sealed-result":
            seal = SealSpec(public_key, terms.result_bits or 0)
        opening.process = process = await self.start_enclave()
        evidence = await process.offer(data.nonce, terms.contract.id, terms.job)
        offer = KeyOffered(job=terms.job, subtask=terms.subtask, worker=self.worker, lane=self.lane, evidence=evidence)
        await self.send("key.offered", opening.renter, terms.job, offer)
        sealed = await opening.sealed
        mac = await process.accept(
            sealed=sealed.sealed,
            signature=sealed.signature,
            renter_public=terms.contract.renter_key,
            claims=sealed.claims,
            policy_digest=sealed.policy_digest,
            program=program,
            seal=seal,
        )
        confirmed = KeyConfirmed(
            job=terms.job, subtask=terms.subtask, worker=self.worker, mac=mac, protections=process.protections
        )
        await self.send("key.confirmed", opening.renter, terms.job, confirmed)
        return EnclaveComputer.wrap(process, program, seal)

    async def _blob(self, digest: str) -> bytes:
        """A program or key by digest; it may come after the terms that name it, for order is not assumed."""
        while digest not in self._blobs:
            self._arrived.clear()
            await self._arrived.wait()
        return self._blobs[digest]

    async def _abandon(self, opening: _Opening, error: Exception | None = None) -> None:
        self._opening.pop(opening.subtask, None)
        if not opening.ready.done():
            opening.ready.set_exception(error or SessionLate(f"{opening.subtask} was given up"))
            opening.ready.exception()
        if opening.task is not None and opening.task is not asyncio.current_task():
            opening.task.cancel()
        if opening.process is not None:
            await opening.process.close()
