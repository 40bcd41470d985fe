"""What of a partner's part in a job is secret."""

from __future__ import annotations

import secrets

from nodes.identity import Identity
from nodes.partner.errors import PartGone
from nodes.partner.protocol.records import Part
from nodes.partner.protocol.states import ENDED
from nodes.secrets import SECRET_BYTES, Secrets
from nodes.store.port import Store


class Keys:
    """One secret per job, of which all randomness is derived that has to come out the same twice."""

    def __init__(self, store: Store, identity: Identity) -> None:
        self._store = store
        self._secrets = Secrets(store, identity, self._require_live)

    async def joint(self, job: str) -> bytes:
        """Made on first use; see `nodes.secrets.derived`.

        Raises:
            PartGone: the part is over, and its secret erased.
            SecretLost: the store has it no more.
        """
        return await self._secrets.get(job, _name(job), lambda: secrets.token_bytes(SECRET_BYTES))

    async def erase(self, job: str) -> None:
        """Erase the secret of a part that is over."""
        await self._secrets.erase(_name(job))

    async def _require_live(self, job: str) -> None:
        part = (await self._store.get(job, ["part"])).get("part")
        if not isinstance(part, Part) or part.phase in ENDED:
            raise PartGone(f"the part in {job} is over, and its secret with it")


def _name(job: str) -> str:
    return f"joint/{job}"
