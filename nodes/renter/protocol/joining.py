"""From an agreement to the table that lessors compute on: rows that both sides have, made ready (J1). Pure.

accepted ──► by digest: nothing to align
         ──► by masked ids: the exchange (`nodes/joint/exchange.py`) ──► ids.matched
aligned  ──► nothing to join: compute is ordered
         ──► activity `join` ──► job.joined ──► compute is ordered
"""

from __future__ import annotations

from msgspec import structs

from nodes.draft import data_of
from nodes.joint import exchange
from nodes.joint.chunks import chunks
from nodes.joint.records import Alignment, ChunkRefused, ChunkReturned, ChunkTaken, IdsMatched, MaskMade
from nodes.ledger import Intersection, Moments, SameRows
from nodes.machine import Perform
from nodes.renter.protocol import ending, market, partnership
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.outcomes import JobJoined
from schemas.events import Event
from schemas.joint import JointAccepted, Learned, RowsOmitted
from schemas.limits import ROWS_PER_COLUMN_MIN


def begin(draft: Draft, accepted: JointAccepted) -> None:
    """The partner takes part."""
    draft.advance("agreed")
    if partnership.joint_of(draft).fitting is not None and not accepted.columns:
        reason = f"{_partner(draft)} accepted without saying how many columns it has"
        ending.fail(draft, "columns-unannounced", reason)
        return
    rows = draft.job.decided[0].rows
    if partnership.joint_of(draft).ids is not None:
        partnership.learn(draft, (*SameRows(rows).compared(), *_of_model(draft)))
        _aligned(draft)
        return
    if not accepted.rows or accepted.salt is None:
        ending.fail(draft, "ids-unannounced", f"{_partner(draft)} accepted without saying how many ids it has")
        return
    salt = exchange.salt(draft.job.spec.id, draft.agreement.salt, accepted.salt)
    exchange.begin(draft, Alignment(mine=rows, others=accepted.rows, salt=salt))
    partnership.learn(draft, (*Intersection(rows, accepted.rows).announced(), *_of_model(draft)))
    draft.note("aligning", f"{rows} ids here, {accepted.rows} at {_partner(draft)}")
    _await(draft)


def masked(draft: Draft, event: Event) -> None:
    """`mask.made`: a chunk of this side's ids is on its way."""
    if exchange.masked(draft, data_of(event, MaskMade).chunk):
        _await(draft)


def taken(draft: Draft, event: Event) -> None:
    """`chunk.taken`: it goes back to the partner at once."""
    data = data_of(event, ChunkTaken)
    state = exchange.taken(draft, data, by=_partner(draft))
    if state is not None:
        exchange.give_back(draft, data.chunk)
        _await(draft)


def returned(draft: Draft, event: Event) -> None:
    """`chunk.returned`: the partner masked a chunk of this side's."""
    data = data_of(event, ChunkReturned)
    state = exchange.returned(draft, data, by=_partner(draft))
    if state is not None:
        _await(draft)


def refused(draft: Draft, event: Event) -> None:
    """`chunk.refused`: the partner broke the protocol."""
    data = data_of(event, ChunkRefused)
    _fail(draft, data.code, data.reason)


def matched(draft: Draft, event: Event) -> None:
    """`ids.matched`: which rows are in common."""
    data, state = data_of(event, IdsMatched), draft.find(Alignment, "alignment")
    assert state is not None
    if data.code:
        _fail(draft, data.code, data.reason)
        return
    partnership.learn(draft, Intersection(state.mine, state.others).found(data.rows))
    exchange.close(draft)
    if not data.rows:
        ending.fail(draft, "too-few-rows", f"no row is in common with {_partner(draft)}")
        return
    draft.note("aligned", f"{data.rows} rows in common", unmatched=state.mine - data.rows)
    _aligned(draft)


def omitted(draft: Draft, event: Event) -> None:
    """`rows.omitted`: rows in common that the partner leaves out; to this side they did not match."""
    partnership.require_partner(draft, event)
    rows, state = data_of(event, RowsOmitted).rows, draft.find(Alignment, "alignment")
    if state is not None:
        partnership.learn(draft, Intersection(state.mine, state.others).omitted(rows))
        earlier = "sums would show them beside those of earlier jobs; they count again when there are more of them"
        draft.note("rows-omitted", f"{rows} more rows are in common, which {event.source} leaves out: {earlier}")


def join(draft: Draft) -> None:
    """Make the table of the rows in common."""
    draft.do(Perform(activity="join", params={}))


def joined(draft: Draft, event: Event) -> None:
    """`job.joined`: from here on the job is about this table."""
    found, job = data_of(event, JobJoined).joined, draft.job
    facts, _ = job.decided
    draft.change_job(joined=found, facts=structs.replace(facts, rows=found.rows))
    draft.note("joined", f"{found.rows} of {facts.rows} rows", digest=found.data)
    if found.rows < ROWS_PER_COLUMN_MIN * draft.agreement.columns:  # its weights would show labels
        reason = f"{found.rows} rows are too few for the {draft.agreement.columns} columns of {_partner(draft)}"
        ending.fail(draft, "too-few-rows", reason)
        return
    _order(draft)


def _aligned(draft: Draft) -> None:
    """Which rows are in common is known."""
    if _as_it_is(draft):
        _order(draft)
    else:
        join(draft)


def _as_it_is(draft: Draft) -> bool:
    """Whether lessors compute on the job's own table."""
    joint = partnership.joint_of(draft)
    return joint.ids is not None and joint.fitting is None


def _of_model(draft: Draft) -> tuple[Learned, ...]:
    """What both learn by agreeing on a model."""
    taught = partnership.taught_by_rounds(draft)
    return taught.agreed() if isinstance(taught, Moments) else ()


def _await(draft: Draft) -> None:
    """The partner owes masks, or what it has of this side's, once that is all there."""
    state = draft.find(Alignment, "alignment")
    assert state is not None
    waiting = not state.complete and (state.all_masked or state.taken < chunks(state.others))
    partnership.owes(draft, waiting, patience_seconds=state.patience_seconds)


def _fail(draft: Draft, code: str, reason: str) -> None:
    ending.fail(draft, code, f"the ids of {_partner(draft)}: {reason}")


def _partner(draft: Draft) -> str:
    return partnership.joint_of(draft).partner


def _order(draft: Draft) -> None:
    draft.advance("joined")
    market.place_first_order(draft)
