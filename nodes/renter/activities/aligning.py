"""The renter's side of aligning rows by masked ids; what is done is in `nodes/joint/aligner.py`."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass

from nodes.joint.masks import Masks
from nodes.joint.records import Alignment
from nodes.joint.sides import Known, Side, masking
from nodes.machine import Refused
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import Workbench
from nodes.renter.errors import JobGone
from nodes.renter.protocol.records import Agreement, Job, Progress


@dataclass(frozen=True, slots=True)
class RentersSide:
    """What an `Aligner` is told of a job."""

    services: Services
    workbench: Workbench

    async def load(self, job: str, state: Alignment) -> Side:
        """Its table, its secret and its folder; raises JobGone."""
        record = (await self.services.store.get(job, ["job"])).get("job")
        if not isinstance(record, Job) or record.spec.joint is None:
            raise JobGone(f"no joint job {job} here")
        inputs, secret = await self.workbench.inputs(record.spec), await self.workbench.keys.joint(job)
        return Side(
            other=record.spec.joint.partner,
            table=inputs.table,
            kit=masking(secret, state),
            masks=Masks(inputs.folder.alignment),
            places=inputs.folder.places,
            is_renter=True,
        )

    async def known(self, job: str) -> Known:
        """Its partner; raises Refused."""
        records = await self.services.store.get(job, ["progress", "agreement"])
        progress, agreement = records.get("progress"), records.get("agreement")
        if not isinstance(progress, Progress) or not isinstance(agreement, Agreement):
            raise Refused("unknown-job", f"no joint job {job} here")
        made = agreement.introduction
        return Known(made.partner, made.partner_key, over=progress.phase not in ("agreeing", "joining"))

    async def erase(self, job: str) -> None:
        """Remove what was masked for an ended job."""
        await asyncio.to_thread(shutil.rmtree, self.services.folder(job).alignment, ignore_errors=True)
