"""Which rows both sides have, at the partner (`nodes/joint/exchange.py`). Pure.

accepted ──► by digest: compared already
         ──► mask-ids ──► sort-ids ──► send-ids; the renter's are taken meanwhile
all taken, all returned ──► match-ids ──► enough in common: when sums over those rows show none of them
                                          (make-columns), the renter gets its own back
                                      ──► too few: the part ends, and the renter learns no more than that
"""

from __future__ import annotations

from msgspec import structs

from nodes.draft import data_of
from nodes.joint import exchange
from nodes.joint.chunks import chunks
from nodes.joint.exchange import SEND_WINDOW
from nodes.joint.records import Alignment, ChunkRefused, ChunkReturned, ChunkTaken, IdsMatched, MaskMade
from nodes.ledger import Intersection, SameRows
from nodes.machine import Perform
from nodes.partner.protocol.draft import Draft
from nodes.partner.protocol.records import ColumnsMade
from schemas.events import Event
from schemas.joint import JointAccepted, JointRequested, Learned, RowsOmitted


def begin(draft: Draft, rows: int) -> JointAccepted:
    """The request is covered; the partner has so many rows."""
    part, request = draft.part, draft.find(JointRequested, "request")
    assert request is not None
    if request.salt is None:
        draft.learn(*SameRows(part.rows).compared())
        return JointAccepted(job=part.job)
    half = draft.context.nonce("alignment")
    salt = exchange.salt(part.job, request.salt, half)
    exchange.begin(draft, Alignment(mine=rows, others=part.rows, salt=salt))
    draft.learn(*Intersection(part.rows, rows).announced())
    draft.note("aligning", f"{rows} ids here, {part.rows} at {part.renter}")
    return JointAccepted(job=part.job, rows=rows, salt=half)


def masked(draft: Draft, event: Event) -> None:
    """`mask.made`: with the last, they are sorted."""
    state = exchange.masked(draft, data_of(event, MaskMade).chunk)
    if state is not None and state.all_masked:
        draft.do(Perform(activity="sort-ids", params={}))


def in_order(draft: Draft, event: Event) -> None:
    """`masks.sorted`: they go to the renter, the first ones at once."""
    for number in range(SEND_WINDOW):
        _send(draft, number)


def taken(draft: Draft, event: Event) -> None:
    """`chunk.taken`: a chunk of the renter's is masked again, and waits."""
    draft.heard()
    exchange.taken(draft, data_of(event, ChunkTaken), by=draft.part.renter)


def returned(draft: Draft, event: Event) -> None:
    """`chunk.returned`: the renter masked a chunk of this side's; the next goes out."""
    data = data_of(event, ChunkReturned)
    draft.heard()
    if exchange.returned(draft, data, by=draft.part.renter):
        _send(draft, data.chunk + SEND_WINDOW)


def refused(draft: Draft, event: Event) -> None:
    """`chunk.refused`: the renter broke the protocol."""
    data = data_of(event, ChunkRefused)
    draft.end("failed", code=data.code, reason=f"the ids of {draft.part.renter}: {data.reason}")


def matched(draft: Draft, event: Event) -> None:
    """`ids.matched`: which rows are in common."""
    data, state, part = data_of(event, IdsMatched), draft.find(Alignment, "alignment"), draft.part
    assert state is not None
    if data.code:
        draft.end("failed", code=data.code, reason=f"the ids of {part.renter}: {data.reason}")
        return
    if data.rows < part.rows_min:
        draft.note("unfit", f"{data.rows} rows in common of at least {part.rows_min}", code="too-few-rows")
        reason = f"{draft.config.me} refuses: its policy asks for more rows in common"
        draft.end("refused", code="too-few-rows", reason=reason)
        return
    draft.put("part", structs.replace(draft.part, rows=data.rows))
    draft.note("aligned", f"{data.rows} rows in common", unmatched=state.mine - data.rows)
    draft.begin_work(Perform(activity="make-columns", params={}))


def columns_made(draft: Draft, event: Event) -> None:
    """`columns.made`: what sums over the rows in common would show is known before the renter knows which they are."""
    data, state = data_of(event, ColumnsMade), draft.find(Alignment, "alignment")
    assert state is not None
    both = Intersection(state.others, state.mine)
    if data.code:
        draft.learn(*both.found(draft.part.rows))
        draft.note("unfit", data.detail, code=data.code)
        draft.end("refused", code=data.code, reason=data.reason)
    else:
        draft.learn(*both.found(data.rows))
        if omitted := draft.part.rows - data.rows:
            _omit(draft, both.omitted(omitted), omitted)
        draft.put("part", structs.replace(draft.part, rows=data.rows))
        draft.end_work()
        draft.heard()
        _give_back(draft, state)


def _omit(draft: Draft, lines: tuple[Learned, ...], rows: int) -> None:
    part = draft.part
    draft.learn(*lines)
    draft.note("omitted", f"{rows} rows in common: sums would show them beside those of the renter's earlier jobs")
    draft.send("rows.omitted", part.renter, part.job, RowsOmitted(job=part.job, rows=rows))


def _give_back(draft: Draft, state: Alignment) -> None:
    for number in range(chunks(state.others)):
        exchange.give_back(draft, number)
    exchange.close(draft)


def _send(draft: Draft, number: int) -> None:
    state = draft.find(Alignment, "alignment")
    assert state is not None
    if number < chunks(state.mine):
        draft.do(Perform(activity="send-ids", params={"chunk": number}))
