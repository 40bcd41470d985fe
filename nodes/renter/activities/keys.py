"""What of a renter's job is secret, by name."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence

from nodes.enclave.agreement import key_agreement
from nodes.homomorphic import schemes
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.port import IntegerProgram, SecretKey
from nodes.identity import Identity
from nodes.renter.errors import JobGone
from nodes.renter.protocol.records import Progress
from nodes.renter.protocol.states import ENDED
from nodes.secrets import SECRET_BYTES, Secrets
from nodes.store.port import Store
from schemas.jobs import Scheme


class Keys:
    """Every method that gives one raises JobGone when the job ended, and SecretLost when the store has it no more."""

    def __init__(self, store: Store, identity: Identity) -> None:
        self._store = store
        self._secrets = Secrets(store, identity, self._require_live)

    async def homomorphic(self, job: str, scheme: Scheme) -> SecretKey:
        """The job's secret key, which was made before."""
        return await self._read(job, scheme, None)

    async def make_homomorphic(
        self, job: str, scheme: Scheme, program: IntegerProgram, rows: int, at: int
    ) -> SecretKey:
        """The job's secret key for a program on so many rows at a time, of a shape (`schemes.shape`); made on first
        use."""
        return await self._read(job, scheme, lambda: schemes.generate(scheme, program, rows, at).to_bytes())

    async def make_paillier(self, job: str, bits: int) -> SecretKey:
        """The job's secret Paillier key with a modulus of so many bits, made on first use."""
        return await self._read(job, "paillier", lambda: paillier.generate(bits).to_bytes())

    async def subtask(self, job: str, subtask: str) -> bytes:
        """The secret that only this subtask's lessor gets (E1); made on first use."""
        return await self._secrets.get(job, _subtask_name(subtask), key_agreement.new_secret)

    async def joint(self, job: str) -> bytes:
        """The secret of which a joint job's own randomness is derived (`nodes.secrets.derived`); made on first use."""
        return await self._secrets.get(job, _joint_name(job), lambda: secrets.token_bytes(SECRET_BYTES))

    async def erase(self, job: str, subtasks: Sequence[str]) -> None:
        """Erase an ended job's secrets."""
        await self._secrets.erase(_homomorphic_name(job), _joint_name(job), *map(_subtask_name, subtasks))

    async def _read(self, job: str, scheme: Scheme, make: Callable[[], bytes] | None) -> SecretKey:
        raw = await self._secrets.get(job, _homomorphic_name(job), make)
        return await asyncio.to_thread(schemes.read_secret, scheme, raw)

    async def _require_live(self, job: str) -> None:
        progress = (await self._store.get(job, ["progress"])).get("progress")
        if isinstance(progress, Progress) and progress.phase in ENDED:
            raise JobGone(f"job {job} ended, and its secrets with it")


def _homomorphic_name(job: str) -> str:
    return f"homomorphic/{job}"


def _joint_name(job: str) -> str:
    return f"joint/{job}"


def _subtask_name(subtask: str) -> str:
    return f"subtask/{subtask}"
