"""The renter's activities by the name that its machine gives them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from nodes.renter.activities.assemble import assemble
from nodes.renter.activities.dispatch import Dispatcher
from nodes.renter.activities.join import join
from nodes.renter.activities.prepare import prepare
from nodes.renter.activities.rounds import Rounds
from nodes.renter.activities.services import Services
from nodes.renter.activities.verify_evidence import verify_evidence
from nodes.renter.activities.workbench import Workbench
from nodes.renter.errors import JobGone
from nodes.runtime.outbox import Activity


def activities(services: Services, workbench: Workbench, dispatcher: Dispatcher, rounds: Rounds) -> dict[str, Activity]:
    """All of them. One whose job ended meanwhile has no outcome."""
    by_name: dict[str, Activity] = {
        "prepare": partial(prepare, services, workbench),
        "join": partial(join, services, workbench),
        "verify-evidence": partial(verify_evidence, services, workbench),
        "dispatch": dispatcher.dispatch,
        "compute-local": dispatcher.compute_local,
        "ask-partner": rounds.ask,
        "plan-round": rounds.plan,
        "dispatch-round": rounds.dispatch,
        "assemble": partial(assemble, services, workbench),
        "forget": workbench.forget,
    }
    return {name: partial(_unless_gone, each) for name, each in by_name.items()}


async def _unless_gone(activity: Activity, params: dict[str, Any], job: str) -> Sequence[tuple[str, Struct]]:
    try:
        return await activity(params, job)
    except JobGone:
        return ()
