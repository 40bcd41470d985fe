"""How long an ended job is kept (`[renter] keep_days`), and how one goes when its user wants that. Pure.

A job goes as a whole: records, journal, files and secrets, by the activity `erase`. Before that, its contracts end at
the hubs and everybody has been told what the job had to say.
"""

from __future__ import annotations

from typing import Final

from nodes.machine import Perform, SetTimer
from nodes.renter.protocol import ending, market
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.states import LIVE
from schemas.events import Event

RECEIPT_SECONDS_MAX: Final = 30.0
"""An ended job that is to go waits so long for its lessors' halves of receipts."""
AGAIN_SECONDS: Final = 1.0
"""Between two looks whether an ended job can go."""


def deleted(draft: Draft, _: Event) -> None:
    """`job.deleted`: the user wants nothing of it any more; one that runs is taken back first."""
    if draft.phase in LIVE:
        ending.fail(draft, "cancelled", "the user deleted the job")
    draft.do(SetTimer(name=ending.KEEP, at=draft.now))


def kept(draft: Draft, _: Event) -> None:
    """`job.kept`: it could not go yet."""
    draft.do(SetTimer(name=ending.KEEP, at=draft.now + AGAIN_SECONDS))


def due(draft: Draft) -> None:
    """Timer: it was kept as long as it should be."""
    running = [record.contract for record in draft.contracts() if not record.ended]
    if running and draft.now < draft.job.ended_at + RECEIPT_SECONDS_MAX:
        draft.do(SetTimer(name=ending.KEEP, at=draft.now + AGAIN_SECONDS))
        return
    for contract in running:
        market.end_contract(draft, contract, draft.phase, reason="its lessor gave no receipt")
    draft.do(Perform(activity="erase", params={}))
