"""The renter's hub (R2, R3): buy orders from their placing to all contracts, or to their refusal. Pure.

The states are those of `nodes/hub/states.py`; making and signing the contracts is in `nodes/hub/proposing.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import structs

from nodes.draft import data_of
from nodes.hub import proposing
from nodes.hub.book import Book, acceptable, may_serve
from nodes.hub.draft import Draft
from nodes.hub.matching import Candidate, pick
from nodes.hub.records import BuyRecord, CapacityRecord, ContractRecord, Quoted
from nodes.hub.states import BUY, BUY_OPEN, CONTRACT, advance
from nodes.machine import CancelTimer, Refused, SetTimer
from schemas import limits
from schemas.events import (
    BuyOrderRefused,
    ContractCountersigned,
    ContractRefused,
    Event,
    OrderCancelled,
    QuoteOffered,
    QuoteReleased,
    QuoteRequested,
)
from schemas.ids import Address, hub_of
from schemas.orders import BuyOrder, Need, Offer
from schemas.signing import struct_bytes

BUY_ORDERS_PER_HUB_MAX: Final = 10_000
MATCH_SECONDS_MAX: Final = 3600.0
"""No buy order is kept open longer."""
RETRY_SECONDS_MIN: Final = 1.0
RETRY_SECONDS_MAX: Final = 16.0
"""Pauses between tries double from the first to the second; news of compute ends a pause at once."""
RETRIES_PER_NEWS_MAX: Final = 16
"""Waiting orders that one event may start again; the others follow after their pause."""
PROPOSALS_PER_ORDER_MAX: Final = 8
"""Rounds of proposals with refusals among them before the order is given up."""
LEASE_MARGIN_SECONDS: Final = 2.0
"""An offer whose lease ends sooner is not proposed on: the proposal has to travel."""


def placed(book: Book, event: Event) -> None:
    """`order.buy.placed`: authentic orders are matched or refused to their renter; an order placed again is not."""
    draft, order = book.draft, data_of(event, BuyOrder)
    if order.renter != event.source:
        raise Refused("not-your-order", f"{event.source} placed a buy order of {order.renter}")
    renter_key = draft.config.participants[order.renter]
    if not draft.context.verify(renter_key, struct_bytes(order), order.signature):
        raise Refused("buy-order-signature", f"{order.renter} has not signed {order.id} so; sign it again")
    before = draft.find(BuyRecord, f"buy/{order.id}")
    if before is not None:
        if before.order != order:
            raise Refused("order-exists", f"{order.id} is another order; give every order an id of its own")
        draft.note("late", f"{order.id} was placed before and is {before.state}")
        return
    code, reason = _objection(draft, order)
    if code:
        _tell_refused(draft, order, code, reason)
        return
    draft.do(SetTimer(name=f"match/{order.id}", at=order.match_by))
    record = BuyRecord(order=order, renter_key=renter_key, placed_at=draft.now, state="collecting")
    collect(book, record)


def cancelled(book: Book, event: Event) -> None:
    """`order.buy.cancelled`: nothing is matched any more; contracts already delivered go on."""
    data = data_of(event, OrderCancelled)
    record = book.draft.find(BuyRecord, f"buy/{data.order}")
    if record is None:
        raise Refused("unknown-order", f"no buy order {data.order} at this hub")
    if record.order.renter != event.source:
        raise Refused("not-your-order", f"{data.order} is not a buy order of {event.source}")
    if record.state not in BUY_OPEN:
        book.draft.note("late", f"{data.order} is {record.state} already")
        return
    _close(book, record, "cancelled")


def offered(book: Book, event: Event) -> None:
    """`quote.offered`: another hub's answer; when it was the last one awaited, the order is decided."""
    draft, data = book.draft, data_of(event, QuoteOffered)
    record = draft.find(BuyRecord, f"buy/{data.order}")
    if record is None or data.quote not in record.asked:
        draft.note("late", f"the quote {data.quote} of {event.source} is not awaited any more")
        if data.offers:
            _release_quote(draft, data.quote, event.source, data.order)
        return
    if record.asked[data.quote] != event.source:
        raise Refused("not-your-quote", f"{event.source} was not asked for {data.quote}")
    asked = {quote: hub for quote, hub in record.asked.items() if quote != data.quote}
    offers = tuple(
        Quoted(quote=data.quote, hub=event.source, offer=offer)
        for offer in data.offers
        if _usable(draft, record.order, offer, event.source)
    )
    if data.offers and not offers:
        _release_quote(draft, data.quote, event.source, data.order)
    _settle(book, structs.replace(record, asked=asked, offers=record.offers + offers))


def countersigned(book: Book, event: Event) -> None:
    """`contract.countersigned`: both hubs have signed; what came too late is ended again."""
    draft, contract = book.draft, data_of(event, ContractCountersigned).contract
    if contract.lessor_hub != event.source or contract.renter_hub != draft.config.me:
        raise Refused("wrong-hub", f"{event.source} countersigned a contract of {contract.lessor_hub}")
    record = draft.find(ContractRecord, f"contract/{contract.id}")
    if record is None:
        draft.note("late", f"contract {contract.id} is not wanted any more")
        proposing.tell_unwanted(draft, contract, "not-wanted")
    elif record.state == "signed":
        draft.note("late", f"contract {contract.id} is signed already")
    else:
        proposing.countersigned(book, record, contract)
        _answer(book, contract.buy.id, contract.id, signed=True)


def refused(book: Book, event: Event) -> None:
    """`contract.refused`: the lessor's hub does not sign; the units are looked for elsewhere."""
    draft, data = book.draft, data_of(event, ContractRefused)
    record = draft.find(ContractRecord, f"contract/{data.contract}")
    if record is None or record.state != "proposed":
        draft.note("late", f"contract {data.contract} is not proposed any more", code=data.code)
        return
    if record.contract.lessor_hub != event.source:
        raise Refused("not-your-contract", f"{event.source} cannot refuse {data.contract}")
    draft.note("contract-refused", f"{data.contract}: {data.reason}", code=data.code)
    advance(CONTRACT, record.state, "refused")
    draft.delete(f"contract/{data.contract}")
    _answer(book, record.contract.buy.id, data.contract, signed=False)


def woken(book: Book, order_id: str, at: float) -> None:
    """Timer: what the order waited for did not come in time; what that means depends on its state."""
    record = book.draft.find(BuyRecord, f"buy/{order_id}")
    if record is None or not record.wake_at or at < record.wake_at:
        return
    if record.state == "collecting":
        silent = sorted(record.asked.values())
        book.draft.note("unanswered", f"{', '.join(silent)} did not quote in time", order=order_id)
        _settle(book, structs.replace(record, asked={}))
    elif record.state == "waiting":
        _retry(book, record)
    elif record.state == "proposing":
        for contract_id in record.proposed:
            proposing.abandon(book, contract_id, "late")
        answered(book, structs.replace(record, proposed=()))


def overdue(book: Book, order_id: str) -> None:
    """Timer: `match_by` has come."""
    record = book.draft.find(BuyRecord, f"buy/{order_id}")
    if record is None or record.order.match_by > book.draft.now:
        return
    if record.state in ("collecting", "waiting"):
        _refuse(book, record)
    elif record.state != "proposing":  # proposals end by themselves, soon
        advance(BUY, record.state, "forgotten")
        book.draft.delete(f"buy/{order_id}")


def unreachable(book: Book, event_type: str, to: str) -> None:
    """Nobody receives at this hub: what was asked or proposed there will not be answered."""
    orders = sorted(book.draft.each(BuyRecord, "buy"))
    for _, record in orders:
        if event_type == "quote.requested" and to in record.asked.values():
            _settle(book, structs.replace(record, asked={q: hub for q, hub in record.asked.items() if hub != to}))
        elif event_type == "contract.proposed" and record.state == "proposing":
            lost = [each for each in record.proposed if proposing.hub_asked(book, each) == to]
            for contract_id in lost:
                proposing.abandon(book, contract_id, "unreachable")
            if lost:
                left = tuple(each for each in record.proposed if each not in lost)
                answered(book, structs.replace(record, proposed=left))


def retry_waiting(book: Book) -> None:
    """Try the waiting orders again that this event's news may help, the oldest first."""
    if not book.news:
        return
    waiting = sorted(
        (record.placed_at, record.order.id)
        for _, record in book.draft.each(BuyRecord, "buy")
        if record.state == "waiting" and any(helps(record.order) for helps in book.news)
    )
    for _, order_id in waiting[:RETRIES_PER_NEWS_MAX]:
        record = book.draft.find(BuyRecord, f"buy/{order_id}")
        if record is not None and record.state == "waiting":
            _retry(book, record)


def collect(book: Book, record: BuyRecord) -> None:
    """Begin a round: reserve own units, ask the hubs that may serve, decide at once when there are none."""
    draft, order = book.draft, record.order
    key = f"buy/{order.id}"
    need = needed(draft, record)
    parts = pick(need, book.candidates(order, frozenset(need.avoid))).parts
    for part in parts:
        book.hold(part.candidate.offer.sell.id, key, part.units)
    asked = {
        draft.context.new_id("quote", hub, order.id, record.rounds): hub for hub in draft.config.others
        if _may_serve(draft, hub, order)
    }  # fmt: skip
    for quote, hub in asked.items():
        draft.send("quote.requested", hub, order.id, QuoteRequested(quote=quote, buy=order, need=need))
    collecting = structs.replace(
        record,
        rounds=record.rounds + 1,
        asked=asked,
        asked_at=draft.now,
        offers=(),
        reserved=tuple(part.candidate.offer.sell.id for part in parts),
    )
    _settle(book, _wake(draft, collecting, limits.QUOTE_WAIT_SECONDS if asked else 0.0))


def needed(draft: Draft, record: BuyRecord) -> Need:
    """What the order lacks besides its signed contracts; lessors that serve it already are avoided."""
    kept = [found for each in record.signed if (found := draft.find(ContractRecord, f"contract/{each}"))]
    order = record.order
    return Need(
        units=order.units - sum(each.contract.units for each in kept),
        lessors_min=max(1, order.lessors_min - len(kept)),
        lessors_max=order.lessors_max - len(kept),
        avoid=tuple(sorted({*order.avoid, *(each.contract.lessor for each in kept)})),
    )


def answered(book: Book, record: BuyRecord) -> None:
    """A proposal was answered: when it was the last one, the order is matched, or the rest is looked for again."""
    draft, order = book.draft, record.order
    if record.proposed:
        draft.put(f"buy/{order.id}", record)
        return
    for quote, hub in record.rests.items():
        _release_quote(draft, quote, hub, order.id)
    record = structs.replace(record, rests={})
    signed = [found for each in record.signed if (found := draft.find(ContractRecord, f"contract/{each}"))]
    if sum(each.contract.units for each in signed) == order.units:
        proposing.deliver_all(book, record, [each.contract for each in signed])
        _close(book, record, "all-signed")
        return
    if record.proposals >= PROPOSALS_PER_ORDER_MAX or order.match_by <= draft.now:
        _refuse(book, record)
        return
    if len(signed) != len(record.signed) or len(signed) >= order.lessors_max:
        for contract_id in record.signed:
            proposing.abandon(book, contract_id, "not-matched")
        record = structs.replace(record, signed=())
    collect(book, structs.replace(record, state=advance(BUY, record.state, "some-refused")))


def _answer(book: Book, order_id: str, contract_id: str, *, signed: bool) -> None:
    record = book.draft.find(BuyRecord, f"buy/{order_id}")
    assert record is not None  # a contract is abandoned before its order is forgotten
    proposed = tuple(each for each in record.proposed if each != contract_id)
    kept = (*record.signed, contract_id) if signed else record.signed
    answered(book, structs.replace(record, proposed=proposed, signed=kept))


def _objection(draft: Draft, order: BuyOrder) -> tuple[str, str]:
    """Why this order cannot be served at all: code and reason, both empty when it can."""
    if not order.lessors_min <= min(order.lessors_max, order.units):
        return "bad-order", f"{order.units} units cannot be spread over {order.lessors_min} to {order.lessors_max}"
    if order.match_by <= draft.now:
        return "no-match", "the order's match_by was over before it came"
    if order.match_by > draft.now + MATCH_SECONDS_MAX + limits.CLOCK_SKEW_SECONDS_MAX:
        return "bad-order", f"match_by is more than {MATCH_SECONDS_MAX:.0f} seconds away"
    if draft.count("buy") >= BUY_ORDERS_PER_HUB_MAX:
        return "hub-full", f"the hub has {BUY_ORDERS_PER_HUB_MAX} buy orders, no more fit"
    return "", ""


def _usable(draft: Draft, order: BuyOrder, offer: Offer, hub: str) -> bool:
    """Another hub's offer is used only if it speaks for its own lessor, who signed it, within the order's terms."""
    sell = offer.sell
    if hub_of(Address(sell.lessor)) != hub_of(Address(hub)):
        problem = "its lessor is of another subnet"
    elif offer.units > sell.units or sell.expires_at <= draft.now:
        problem = "it has more units than its sell order, or has expired"
    elif not acceptable(sell, order, frozenset(order.avoid)):
        problem = "it is not within the buy order's terms"
    elif not draft.context.verify(offer.lessor_key, struct_bytes(sell), sell.signature):
        problem = "its sell order is not signed with the key beside it"
    else:
        return True
    draft.note("offer-dropped", f"{hub} offered {sell.id}, but {problem}", order=order.id)
    return False


def _may_serve(draft: Draft, hub: str, order: BuyOrder) -> bool:
    known = draft.find(CapacityRecord, f"capacity/{hub}")
    return known is None or may_serve(known.capacity, order)


def _settle(book: Book, record: BuyRecord) -> None:
    """Decide once nobody is awaited."""
    if record.asked:
        book.draft.put(f"buy/{record.order.id}", record)
        return
    if record.order.match_by <= book.draft.now:
        _refuse(book, record)
        return
    need = needed(book.draft, record)
    picked = pick(need, sorted(_candidates(book, record, need), key=lambda each: each.priority))
    if picked.complete:
        state = advance(BUY, record.state, "enough")
        answered(book, proposing.propose(book, structs.replace(record, state=state), picked.parts))
        return
    lacking = picked.lacking(need)
    if lacking != record.lacking:
        book.draft.note("short", f"{record.order.id}: {lacking}", order=record.order.id)
    _release_all(book, record)
    state = advance(BUY, record.state, "short")
    waiting = structs.replace(record, state=state, offers=(), reserved=(), lacking=lacking)
    book.draft.put(f"buy/{record.order.id}", _wake(book.draft, waiting, _pause_seconds(record)))


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


def _retry(book: Book, record: BuyRecord) -> None:
    collect(book, structs.replace(record, state=advance(BUY, record.state, "retried")))


def _pause_seconds(record: BuyRecord) -> float:
    """Doubles each round; spread by the order's id, so that orders that got in each other's way part."""
    spread = int(record.order.id[-4:], 16) / 0x10000
    seconds = RETRY_SECONDS_MIN * 2.0 ** min(record.rounds - 1, 10)
    return min(seconds, RETRY_SECONDS_MAX) * (0.75 + 0.5 * spread)


def _wake(draft: Draft, record: BuyRecord, seconds: float) -> BuyRecord:
    """The record with its timer set; with 0 seconds, no timer counts."""
    name = f"wake/{record.order.id}"
    if not seconds:
        if record.wake_at:
            draft.do(CancelTimer(name=name))
        return structs.replace(record, wake_at=0.0)
    at = draft.now + seconds
    draft.do(SetTimer(name=name, at=at))
    return structs.replace(record, wake_at=at)


def _release_all(book: Book, record: BuyRecord) -> None:
    for sell_id in record.reserved:
        book.hold(sell_id, f"buy/{record.order.id}", 0)
    for quote, hub in {each.quote: each.hub for each in record.offers}.items():
        _release_quote(book.draft, quote, hub, record.order.id)


def _release_quote(draft: Draft, quote: str, hub: str, order_id: str) -> None:
    draft.send("quote.released", hub, order_id, QuoteReleased(quote=quote, order=order_id))


def _refuse(book: Book, record: BuyRecord) -> None:
    reason = record.lacking or f"{record.proposals} rounds of proposals were refused or stayed unanswered"
    _tell_refused(book.draft, record.order, "no-match", reason)
    _close(book, record, "overdue")


def _tell_refused(draft: Draft, order: BuyOrder, code: str, reason: str) -> None:
    draft.note("refused", f"{order.id}: {reason}", code=code)
    refusal = BuyOrderRefused(order=order.id, job=order.job, code=code, reason=reason)
    draft.send("order.buy.refused", order.renter, order.id, refusal)


def _close(book: Book, record: BuyRecord, happened: str) -> None:
    """End the order: free what it reserved, end what was signed for nothing, and remember it until `match_by`."""
    draft, order = book.draft, record.order
    key = f"buy/{order.id}"
    state = advance(BUY, record.state, happened)
    if state != "matched":
        _release_all(book, record)
        for quote, hub in record.rests.items():
            _release_quote(draft, quote, hub, order.id)
        for contract_id in (*record.proposed, *record.signed):
            proposing.abandon(book, contract_id, "not-matched")
    if record.wake_at:
        draft.do(CancelTimer(name=f"wake/{order.id}"))
    if order.match_by <= draft.now:
        advance(BUY, state, "forgotten")
        draft.delete(key)
    else:
        draft.put(key, BuyRecord(order=order, renter_key=record.renter_key, placed_at=record.placed_at, state=state))
