"""The partner's side of aligning rows by masked ids; what is done is in `nodes/joint/aligner.py`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from nodes.data.table import open_table
from nodes.joint.aligner import Aligner
from nodes.joint.masks import Masks
from nodes.joint.records import Alignment
from nodes.joint.sides import Known, Side, masking
from nodes.machine import Refused
from nodes.partner.activities.services import Services
from nodes.partner.errors import PartGone
from nodes.partner.protocol.records import Part
from nodes.partner.protocol.states import ENDED
from nodes.runtime.post import Post


def partners_aligner(services: Services, post: Post) -> Aligner:
    """Of one process."""
    side = PartnersSide(services)
    return Aligner(services.store, services.crew, post, services.clock, side.load, side.known)


@dataclass(frozen=True, slots=True)
class PartnersSide:
    """What an `Aligner` is told of a job."""

    services: Services

    async def load(self, job: str, state: Alignment) -> Side:
        """The table laid out for it, its secret and its folder; raises PartGone."""
        part, folder = await self._part(job), self.services.folder(job)
        if part is None or part.phase in ENDED:
            raise PartGone(f"the part in {job} is over")
        secret = await self.services.keys.joint(job)
        return Side(
            other=part.renter,
            table=await asyncio.to_thread(lambda: open_table(folder.table, folder.digest.read_text())),
            kit=masking(secret, state),
            masks=Masks(folder.alignment),
            places=folder.matched,
            is_renter=False,
        )

    async def known(self, job: str) -> Known:
        """Its renter; raises Refused."""
        part = await self._part(job)
        if part is None:
            raise Refused("unknown-job", f"no part in {job} here")
        return Known(part.renter, part.renter_key, over=part.phase in ENDED)

    async def _part(self, job: str) -> Part | None:
        part = (await self.services.store.get(job, ["part"])).get("part")
        return part if isinstance(part, Part) else None
