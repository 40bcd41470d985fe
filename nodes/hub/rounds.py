"""One buy order through its rounds (R2, R3): offers are collected, then it is proposed on, waits or ends. Pure.

Decisions only: which event leads here is said in `nodes/hub/buying.py`, and what may follow what in
`nodes/hub/states.py`. Making and signing the contracts is in `nodes/hub/proposing.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import structs

from nodes.hub import links, proposing
from nodes.hub.advertising import words
from nodes.hub.asking import drawn
from nodes.hub.book import Book
from nodes.hub.draft import Draft
from nodes.hub.matching import Candidate, Part, pick
from nodes.hub.records import BuyRecord
from nodes.hub.states import BUY
from nodes.hub.terms import Objection, acceptable
from nodes.machine import CancelTimer, SetTimer
from nodes.protections import CIPHERTEXT
from nodes.states import advance
from schemas import limits
from schemas.contracts import Contract
from schemas.events import BuyOrderRefused, QuoteRequested
from schemas.ids import Address
from schemas.money import shown
from schemas.orders import BuyOrder, Capacity, Need

RETRY_SECONDS_MIN: Final = 1.0
RETRY_SECONDS_MAX: Final = 16.0
"""Pauses between tries double from the first to the second; news of compute ends a pause at once."""
RETRIES_PER_SECOND_MAX: Final = 20.0
"""Of all orders that wait."""
PROPOSALS_PER_ORDER_MAX: Final = 8
"""Rounds of proposals with refusals among them before the order is given up."""
LEASE_MARGIN_SECONDS: Final = 2.0
"""An offer whose lease ends sooner is not proposed on: the proposal has to travel."""


def begin(book: Book, order: BuyOrder, renter_key: bytes) -> None:
    """The first round of a new order."""
    now = book.draft.now
    book.changed()  # a hub that nobody has heard of tells of itself, and is told
    book.draft.do(SetTimer(name=f"match/{order.id}", at=order.match_by))
    state = advance(BUY, "gone", "placed")
    book.draft.placed(order.renter, open_more=1, kept_more=1)
    _collect(book, BuyRecord(order=order, renter_key=renter_key, placed_at=now, state=state))


def retry(book: Book, record: BuyRecord) -> None:
    """Another round of an order that waits."""
    _collect(book, _after("retried", record))


def decide(book: Book, record: BuyRecord) -> None:
    """Once no hub's offers are awaited any more: propose, or wait for more compute."""
    if record.asked:
        book.draft.put(f"buy/{record.order.id}", record)
        return
    if record.order.match_by <= book.draft.now:
        conclude(book, record)
        return
    need = _need(book.draft, record)
    picked = pick(need, sorted(_candidates(book, record, need), key=lambda each: each.priority))
    if not picked.complete and (more := _ask(book.draft, record, _rest(need, picked.parts))).asked:
        book.draft.put(f"buy/{record.order.id}", _wake(book.draft, more, limits.QUOTE_WAIT_SECONDS))
        return
    if picked.complete or (_suffices(book.draft, record, picked.parts) and _all_is_known(book.draft, record)):
        record = proposing.propose(book, _after("enough", record), picked.parts)
        answered(book, _wake(book.draft, record, proposing.PROPOSAL_SECONDS if record.proposed else 0.0))
        return
    lacking = _too_little_memory(book, record)
    if lacking and _all_is_known(book.draft, record):
        tell_refused(book.draft, record.order, Objection("no-memory", lacking))
        close(book, record, "too-large")
    else:
        short = f"{picked.lacking(need)}{_memory(record.order)}{_too_dear(book, record)}"
        _wait(book, record, lacking or f"{short}{links.lost(book.draft)}")


def answered(book: Book, record: BuyRecord) -> None:
    """A proposal was answered: after the last one the order is matched or refused, or its rest looked for again."""
    draft, order = book.draft, record.order
    if record.proposed:
        draft.put(f"buy/{order.id}", record)
        return
    proposing.release_quotes(draft, record.rests, order.id)
    record = structs.replace(record, rests={})
    signed = _signed(draft, record)
    if sum(contract.units for contract in signed) >= record.aimed_units:
        _deliver(book, record)
    elif record.proposals >= PROPOSALS_PER_ORDER_MAX or order.match_by <= draft.now:
        conclude(book, record)
    elif len(signed) < len(record.signed):  # one has expired meanwhile: what is left would end long before the rest
        proposing.abandon(book, record.signed, "not-matched")
        _collect(book, _after("some-refused", record, signed=()))
    else:
        _collect(book, _after("some-refused", record))


def conclude(book: Book, record: BuyRecord) -> None:
    """The order's time is up: what is signed is delivered if it suffices; else the renter is told what was lacking."""
    if _suffices(book.draft, record, ()):
        _deliver(book, record)
        return
    reason = record.lacking or f"{record.proposals} rounds of proposals were refused or stayed unanswered"
    tell_refused(book.draft, record.order, Objection("no-match", reason))
    close(book, record, "overdue")


def tell_refused(draft: Draft, order: BuyOrder, objection: Objection) -> None:
    """Tell the renter that nothing will come of its order."""
    draft.note("refused", f"{order.id}: {objection.reason}", code=objection.code)
    refusal = BuyOrderRefused(order=order.id, job=order.job, code=objection.code, reason=objection.reason)
    draft.send("order.buy.refused", order.renter, order.id, refusal)


def close(book: Book, record: BuyRecord, happened: str) -> None:
    """End the order: free what it reserved, end what was signed for nothing, and remember it until `match_by`."""
    draft, order = book.draft, record.order
    ended = BuyRecord(
        order=order,
        renter_key=record.renter_key,
        placed_at=record.placed_at,
        state=advance(BUY, record.state, happened),
    )
    draft.placed(order.renter, open_more=-1)
    if ended.state != "matched":
        _release(book, record)
        proposing.release_quotes(draft, record.rests, order.id)
        proposing.abandon(book, (*record.proposed, *record.signed), "not-matched")
    if record.wake_at:
        draft.do(CancelTimer(name=f"wake/{order.id}"))
    if order.match_by <= draft.now:
        forget(draft, ended)
    else:
        draft.put(f"buy/{order.id}", ended)


def forget(draft: Draft, record: BuyRecord) -> None:
    """Its `match_by` is over: were it placed again, it would be too late."""
    advance(BUY, record.state, "forgotten")
    draft.placed(record.order.renter, kept_more=-1)
    draft.delete(f"buy/{record.order.id}")


def _deliver(book: Book, record: BuyRecord) -> None:
    """The order is matched with what is signed."""
    _release(book, record)
    proposing.deliver_all(book, record, _signed(book.draft, record))
    close(book, record, "all-signed")


def _suffices(draft: Draft, record: BuyRecord, parts: Sequence[Part]) -> bool:
    """Whether what is signed is, with these parts, as little as the order takes."""
    order, signed = record.order, _signed(draft, record)
    units = sum(contract.units for contract in signed) + sum(part.units for part in parts)
    return units >= (order.units_min or order.units) and len(signed) + len(parts) >= order.lessors_min


def _collect(book: Book, record: BuyRecord) -> None:
    """Begin a round: reserve own units, ask hubs that may serve, decide at once when there are none."""
    draft, order = book.draft, record.order
    need = _need(draft, record)
    parts = pick(need, book.candidates(order, frozenset(need.avoid))).parts
    for part in parts:
        book.hold(part.candidate.offer.sell.id, f"buy/{order.id}", part.units)
    renewed = (found.contract.lessor_hub for each in order.renews if (found := draft.contract(each)))
    begun = structs.replace(
        record,
        rounds=record.rounds + 1,
        asked={},
        asked_at=draft.now,
        tried=(),
        offers=(),
        reserved=tuple(part.candidate.offer.sell.id for part in parts),
    )
    others = sorted({*renewed} - {draft.config.me})
    collecting = _ask(draft, begun, need, [hub for hub in others if links.reaches(draft, hub)])
    decide(book, _wake(draft, collecting, limits.QUOTE_WAIT_SECONDS if collecting.asked else 0.0))


def _ask(draft: Draft, record: BuyRecord, need: Need, first: Sequence[str] = ()) -> BuyRecord:
    """Ask these hubs, and some that were not tried in this round, as long as its first offers will stand by then."""
    order = record.order
    if draft.now + limits.QUOTE_WAIT_SECONDS > record.asked_at + limits.QUOTE_LEASE_SECONDS - LEASE_MARGIN_SECONDS:
        return record
    seed = draft.context.nonce(f"ask/{order.id}/{record.rounds}/{len(record.tried)}")
    hubs = [*first, *drawn(draft, order, {*record.tried, *first}, seed=seed)]
    asked = {draft.context.new_id("quote", hub, order.id, record.rounds): hub for hub in hubs}
    for quote, hub in asked.items():
        asking = QuoteRequested(quote=quote, buy=order, need=need, certificate=draft.config.certificate)
        draft.send("quote.requested", hub, order.id, asking)
    return structs.replace(record, asked=asked, tried=(*record.tried, *hubs))


def _rest(need: Need, parts: Sequence[Part]) -> Need:
    """What is still lacking beside these parts; all of it, where they are too small and others have to replace them."""
    units = need.units - sum(part.units for part in parts)
    lessors_max = need.lessors_max - len(parts)
    if units < 1 or lessors_max < 1:
        return need
    return structs.replace(
        need,
        units=units,
        lessors_min=min(units, max(1, need.lessors_min - len(parts))),
        lessors_max=lessors_max,
    )


def _need(draft: Draft, record: BuyRecord) -> Need:
    """What the order lacks besides its signed contracts; lessors that serve it already are avoided."""
    order, signed = record.order, _signed(draft, record)
    return Need(
        units=order.units - sum(contract.units for contract in signed),
        lessors_min=max(1, order.lessors_min - len(signed)),
        lessors_max=order.lessors_max - len(signed),
        avoid=tuple(sorted({*order.avoid, *(contract.lessor for contract in signed)})),
    )


def _signed(draft: Draft, record: BuyRecord) -> list[Contract]:
    """The order's contracts with both signatures that are still running."""
    return [found.contract for contract_id in record.signed if (found := draft.contract(contract_id))]


def _candidates(book: Book, record: BuyRecord, need: Need) -> Iterable[Candidate]:
    order, avoid = record.order, frozenset(need.avoid)
    for sell_id in record.reserved:
        own = book.candidate(sell_id, order, avoid, holder=f"buy/{order.id}")
        if own is not None:
            yield own
    if book.draft.now > record.asked_at + limits.QUOTE_LEASE_SECONDS - LEASE_MARGIN_SECONDS:
        return
    for each in record.offers:
        if acceptable(each.offer.sell, order, avoid):
            yield Candidate(each.offer, quote=each.quote, hub=each.hub)


def _too_little_memory(book: Book, record: BuyRecord) -> str:
    """What is lacking, when no living lessor that is known of has units as large as the order needs; else nothing."""
    order = record.order
    most = max(each.memory_mib for each in _known(book, order))
    if not 0 < most < order.memory_mib:
        return ""
    return f"the program needs {order.memory_mib:,} MiB per unit; the most offered is {most:,}"


def _all_is_known(draft: Draft, record: BuyRecord) -> bool:
    """Whether every neighbour has told of lessors; one that told of none, or nothing, may do so in a moment."""
    if draft.now >= record.placed_at + limits.ADVERTISE_SECONDS:
        return True
    told = words(draft, record.order.protection)
    return all(hub in told and told[hub].capacity.memory_mib for hub in draft.config.neighbours)


def _known(book: Book, order: BuyOrder) -> list[Capacity]:
    """What is known of all subnets under the order's protection; this one's first."""
    own = next(each for each in book.capacities() if each.protection == order.protection)
    return [own, *(word.capacity for word in words(book.draft, order.protection).values())]


def _memory(order: BuyOrder) -> str:
    return f", with {order.memory_mib:,} MiB each" if order.protection != CIPHERTEXT.name else ""


def _too_dear(book: Book, record: BuyRecord) -> str:
    """What the cheapest free unit that is known of costs, where that is more than the order pays."""
    order = record.order
    best = min((each.price_micros for each in _known(book, order) if each.units), default=0)
    if best <= order.price_micros_max:
        return ""
    return f"; the lowest price is {shown(best)} per unit and hour, the order pays {shown(order.price_micros_max)}"


def _wait(book: Book, record: BuyRecord, lacking: str) -> None:
    draft, order = book.draft, record.order
    if lacking != record.lacking:
        draft.note("short", f"{order.id}: {lacking}", order=order.id)
    links.tell_waiting(draft, Address(order.renter), order.job)
    _release(book, record)
    waiting = _after("short", record, offers=(), reserved=(), lacking=lacking)
    draft.put(f"buy/{order.id}", _wake(draft, waiting, _pause_seconds(record, draft.count("buy"))))


def _pause_seconds(record: BuyRecord, orders: int) -> float:
    """Doubles each round; spread by the order's id, so that orders that got in each other's way part.

    Of many orders each comes more rarely, so that all together come no faster than they are served.
    """
    spread = int(record.order.id[-4:], 16) / 0x10000
    seconds = RETRY_SECONDS_MIN * 2.0 ** min(record.rounds - 1, 10)
    return min(seconds, max(RETRY_SECONDS_MAX, orders / RETRIES_PER_SECOND_MAX)) * (0.75 + 0.5 * spread)


def _wake(draft: Draft, record: BuyRecord, seconds: float) -> BuyRecord:
    """The record with its timer set; with 0 seconds, no timer counts."""
    name, wake_at = f"wake/{record.order.id}", draft.now + seconds if seconds else 0.0
    if seconds:
        draft.do(SetTimer(name=name, at=wake_at))
    elif record.wake_at:
        draft.do(CancelTimer(name=name))
    return structs.replace(record, wake_at=wake_at)


def _release(book: Book, record: BuyRecord) -> None:
    """Free what the round reserved, here and at other hubs."""
    for sell_id in record.reserved:
        book.hold(sell_id, f"buy/{record.order.id}", 0)
    proposing.release_quotes(book.draft, {each.quote: each.hub for each in record.offers}, record.order.id)


def _after(happened: str, record: BuyRecord, **changes: Any) -> BuyRecord:
    return structs.replace(record, state=advance(BUY, record.state, happened), **changes)
