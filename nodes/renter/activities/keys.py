"""A job's secrets: made once however many workers want them, kept sealed in the store, erased with the job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nodes.enclave.agreement import key_agreement
from nodes.homomorphic import schemes
from nodes.homomorphic.port import SecretKey
from nodes.identity import Identity
from nodes.renter.errors import JobGone, SecretLost
from nodes.renter.protocol.records import Progress
from nodes.renter.protocol.states import ENDED
from nodes.store.port import Store
from schemas.jobs import Scheme


@dataclass(frozen=True, slots=True)
class Keys:
    """Secrets by name in the store, sealed under the node's key.

    Every method that gives one raises JobGone when the job ended, and SecretLost when the store has it no more.
    """

    store: Store
    identity: Identity

    async def homomorphic(self, job: str, scheme: Scheme) -> SecretKey:
        """The job's secret key, which was made before."""
        return await self._read(job, scheme, None)

    async def make_homomorphic(self, job: str, scheme: Scheme, input_bits: int) -> SecretKey:
        """The job's secret key for values of so many bits, made on first use."""
        return await self._read(job, scheme, lambda: schemes.generate(scheme, input_bits).to_bytes())

    async def subtask(self, job: str, subtask: str) -> bytes:
        """The secret that only this subtask's lessor gets (E1); made on first use."""
        return await self._secret(job, _subtask_name(subtask), key_agreement.new_secret)

    async def erase(self, job: str, subtasks: Sequence[str]) -> None:
        """Erase an ended job's secrets."""
        for name in (_homomorphic_name(job), *map(_subtask_name, subtasks)):
            await self.store.delete_secret(name)

    async def _read(self, job: str, scheme: Scheme, make: Callable[[], bytes] | None) -> SecretKey:
        raw = await self._secret(job, _homomorphic_name(job), make)
        return await asyncio.to_thread(schemes.read_secret, scheme, raw)

    async def _secret(self, job: str, name: str, make: Callable[[], bytes] | None) -> bytes:
        sealed = await self.store.get_secret(name)
        if sealed is None:
            if make is not None:
                sealed = await self.store.put_secret(name, self.identity.seal(await asyncio.to_thread(make), name))
            if await self._ended(job):  # perhaps while it was made: what erases the job's secrets has come and gone
                await self.store.delete_secret(name)
                raise JobGone(f"job {job} ended, and its secrets with it")
            if sealed is None:
                raise SecretLost(name)
        return self.identity.unseal(sealed, name)

    async def _ended(self, job: str) -> bool:
        progress = (await self.store.get(job, ["progress"])).get("progress")
        return isinstance(progress, Progress) and progress.phase in ENDED


def _homomorphic_name(job: str) -> str:
    return f"homomorphic/{job}"


def _subtask_name(subtask: str) -> str:
    return f"subtask/{subtask}"
