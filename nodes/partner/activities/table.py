"""The partner's activities by the name that its machine gives them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from nodes.joint.aligner import Aligner, NotAligning
from nodes.partner.activities.answer import answer
from nodes.partner.activities.desk import Desk
from nodes.partner.activities.examine import erase, examine
from nodes.partner.activities.fitting import make_matched
from nodes.partner.activities.moments import make_weights, sum_unit
from nodes.partner.activities.services import Services
from nodes.partner.errors import PartGone
from nodes.partner.protocol.records import Part
from nodes.partner.protocol.states import ENDED
from nodes.runtime.outbox import Activity


def activities(services: Services, desk: Desk, aligner: Aligner) -> dict[str, Activity]:
    """All of them."""

    async def erased(params: dict[str, Any], job: str) -> list[tuple[str, Struct]]:
        await desk.forget(job)
        await aligner.forget(job)
        return await erase(services, params, job)

    by_name: dict[str, Activity] = {
        "examine": partial(examine, services, desk),
        "mask-ids": aligner.mask,
        "sort-ids": aligner.sort,
        "send-ids": aligner.send,
        "return-ids": aligner.give_back,
        "match-ids": aligner.match,
        "make-columns": partial(make_matched, services, desk),
        "sum-unit": partial(sum_unit, services, desk),
        "answer": partial(answer, services, desk),
        "make-weights": partial(make_weights, services, desk),
        "erase": erased,
    }

    async def unless_gone(activity: Activity, params: dict[str, Any], job: str) -> Sequence[tuple[str, Struct]]:
        """One whose part ended meanwhile has no outcome, and leaves no file."""
        try:
            return await activity(params, job)
        except Exception as error:  # whatever it missed
            part = (await services.store.get(job, ["part"])).get("part")
            if isinstance(part, Part) and part.phase in ENDED:
                return await erased({"outputs": ()}, job)
            if isinstance(error, PartGone | NotAligning):
                return ()
            raise

    return {name: partial(unless_gone, each) for name, each in by_name.items()}
