"""The partner's activities by the name that its machine gives them."""

from __future__ import annotations

from functools import partial
from typing import Any

from msgspec import Struct

from nodes.partner.activities.answer import answer
from nodes.partner.activities.desk import Desk
from nodes.partner.activities.examine import erase, examine
from nodes.partner.activities.moments import make_weights, sum_unit
from nodes.partner.activities.services import Services
from nodes.runtime.outbox import Activity


def activities(services: Services, desk: Desk) -> dict[str, Activity]:
    """All of them."""

    async def erased(params: dict[str, Any], job: str) -> list[tuple[str, Struct]]:
        await desk.forget(job)
        return await erase(services, params, job)

    return {
        "examine": partial(examine, services, desk),
        "sum-unit": partial(sum_unit, services, desk),
        "answer": partial(answer, services, desk),
        "make-weights": partial(make_weights, services, desk),
        "erase": erased,
    }
