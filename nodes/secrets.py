"""Jobs' secrets: made once however many workers want them, kept sealed in the store, erased with their job."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from nodes.identity import Identity
from nodes.store.port import Store
from schemas.errors import SubletError

SECRET_BYTES = 32


class SecretLost(SubletError):  # noqa: N818 - reads as the sentence it is
    """The store lacks a secret that it had."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the store lost the secret {name}: restore it from a backup, or submit the job again")


@dataclass(frozen=True, slots=True)
class Secrets:
    """By name in the store, sealed under the node's key."""

    store: Store
    identity: Identity
    require_live: Callable[[str], Awaitable[None]]
    """Raises an error of its own where a job ended, and its secrets with it."""

    async def get(self, job: str, name: str, make: Callable[[], bytes] | None) -> bytes:
        """A job's secret, made on first use where it is said how.

        Raises:
            SecretLost: the store has it no more.
            SubletError: as `require_live`.
        """
        sealed = await self.store.get_secret(name)
        if sealed is None:
            if make is not None:
                sealed = await self.store.put_secret(name, self.identity.seal(await asyncio.to_thread(make), name))
            try:
                await self.require_live(job)
            except SubletError:  # perhaps while it was made: what erases the job's secrets has come and gone
                await self.store.delete_secret(name)
                raise
            if sealed is None:
                raise SecretLost(name)
        return self.identity.unseal(sealed, name)

    async def erase(self, *names: str) -> None:
        """Forget secrets of an ended job."""
        for name in names:
            await self.store.delete_secret(name)


def derived(secret: bytes, label: str, size: int = SECRET_BYTES) -> bytes:
    """A secret for one purpose, the same whenever it is asked for (HKDF-Expand with SHA-256, RFC 5869).

    So whatever is drawn at random in a job, and has to come out the same when a worker does it again, is drawn of one
    secret of the job.
    """
    return HKDFExpand(SHA256(), size, f"sublet/v1/{label}".encode()).derive(secret)
