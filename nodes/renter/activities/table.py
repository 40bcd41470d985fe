"""The renter's activities by the name that its machine gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from msgspec import Struct

from nodes.joint.aligner import Aligner, NotAligning
from nodes.renter.activities.aligning import RentersSide
from nodes.renter.activities.assemble import assemble
from nodes.renter.activities.dispatch import Dispatcher
from nodes.renter.activities.join import join
from nodes.renter.activities.prepare import prepare
from nodes.renter.activities.retention import Retention
from nodes.renter.activities.rounds import Rounds
from nodes.renter.activities.services import Services
from nodes.renter.activities.verify_evidence import verify_evidence
from nodes.renter.activities.workbench import Workbench
from nodes.renter.errors import JobGone
from nodes.runtime.outbox import Activity
from nodes.runtime.post import Post


@dataclass(frozen=True, slots=True)
class Hands:
    """What does a renter's activities, and opens what comes back."""

    services: Services
    workbench: Workbench
    dispatcher: Dispatcher
    rounds: Rounds
    aligner: Aligner

    @classmethod
    def of(cls, services: Services, post: Post) -> Hands:
        """Of one process."""
        workbench = Workbench(services)
        side = RentersSide(services, workbench)
        aligner = Aligner(services.store, services.crew, post, services.clock, side.load, side.known)
        dispatcher, rounds = Dispatcher(services, workbench, post), Rounds(services, workbench, post)
        return cls(services, workbench, dispatcher, rounds, aligner)


def activities(hands: Hands) -> dict[str, Activity]:
    """All of them."""
    services, workbench, dispatcher, rounds = hands.services, hands.workbench, hands.dispatcher, hands.rounds
    retention = Retention(services, workbench, hands.aligner)
    by_name: dict[str, Activity] = {
        "prepare": partial(prepare, services, workbench),
        "join": partial(join, services, workbench),
        "verify-evidence": partial(verify_evidence, services, workbench),
        "dispatch": dispatcher.dispatch,
        "compute-local": dispatcher.compute_local,
        "ask-partner": rounds.ask,
        "mask-ids": hands.aligner.mask,
        "return-ids": hands.aligner.give_back,
        "match-ids": hands.aligner.match,
        "plan-round": rounds.plan,
        "dispatch-round": rounds.dispatch,
        "assemble": partial(assemble, services, workbench),
        "forget": retention.forget,
        "erase": retention.erase,
    }

    async def unless_gone(activity: Activity, params: dict[str, Any], job: str) -> Sequence[tuple[str, Struct]]:
        """One whose job ended meanwhile has no outcome, and leaves no file."""
        try:
            return await activity(params, job)
        except Exception as error:  # whatever it missed
            try:
                await workbench.require_live(job)
            except JobGone:
                return ()
            if isinstance(error, JobGone | NotAligning):
                return ()
            raise

    return {name: partial(unless_gone, each) for name, each in by_name.items()}
