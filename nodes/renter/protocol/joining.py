"""From an agreement to the table that lessors compute on: rows that both sides have, made ready (J1). Pure.

accepted ──► nothing to join: compute is ordered
         ──► activity `join` ──► job.joined ──► compute is ordered
"""

from __future__ import annotations

from msgspec import structs

from nodes.draft import data_of
from nodes.ledger import Moments, SameRows
from nodes.machine import Perform
from nodes.renter.protocol import market, partnership
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.outcomes import JobJoined
from schemas.events import Event


def begin(draft: Draft) -> None:
    """The partner takes part."""
    draft.advance("agreed")
    partnership.learn(draft, SameRows(draft.job.decided[0].rows).compared())
    if isinstance(taught := partnership.taught_by_rounds(draft), Moments):
        partnership.learn(draft, taught.agreed())
    if _as_it_is(draft):
        _order(draft)
    else:
        join(draft)


def join(draft: Draft) -> None:
    """Which rows are in common is known: make the table of them."""
    draft.do(Perform(activity="join", params={}))


def joined(draft: Draft, event: Event) -> None:
    """`job.joined`: from here on the job is about this table."""
    found, job = data_of(event, JobJoined).joined, draft.job
    facts, _ = job.decided
    draft.change_job(joined=found, facts=structs.replace(facts, rows=found.rows))
    draft.note("joined", f"{found.rows} of {facts.rows} rows", digest=found.data)
    _order(draft)


def _as_it_is(draft: Draft) -> bool:
    """Whether lessors compute on the job's own table."""
    joint = partnership.joint_of(draft)
    return joint.ids is not None and joint.fitting is None


def _order(draft: Draft) -> None:
    draft.advance("joined")
    market.place_first_order(draft)
