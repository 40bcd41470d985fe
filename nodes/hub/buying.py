"""The renter's hub (R2, R3): what happens to buy orders, event by event and timer by timer. Pure.

Handlers only: they say who may do what, and what came too late. What then becomes of an order is decided in
`nodes/hub/rounds.py`.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from nodes.draft import data_of
from nodes.hub import advertising, proposing, rounds
from nodes.hub.book import Book
from nodes.hub.draft import Draft
from nodes.hub.members import require_key
from nodes.hub.records import BuyRecord, Quoted
from nodes.hub.states import BUY_OPEN
from nodes.hub.terms import Objection, objection_to_buy, objection_to_offer
from nodes.machine import Refused
from schemas.events import ContractCountersigned, ContractRefused, Event, OrderCancelled, QuoteOffered
from schemas.orders import BuyOrder, Offer
from schemas.signing import struct_bytes

BUY_ORDERS_PER_HUB_MAX: Final = 10_000
OPEN_PER_RENTER_MAX: Final = 256
"""Buy orders of one renter that are not matched or refused yet."""
KEPT_PER_RENTER_MAX: Final = 2048
"""With those that are remembered until their `match_by`."""
RETRIES_PER_NEWS_MAX: Final = 16
"""Waiting orders that one event may start again; the others follow after their pause."""


def placed(book: Book, event: Event) -> None:
    """`order.buy.placed`: authentic orders are matched or refused to their renter; an order placed again is not."""
    draft, order = book.draft, data_of(event, BuyOrder)
    if order.renter != event.source:
        raise Refused("not-your-order", f"{event.source} placed a buy order of {order.renter}; place only your own")
    renter_key = require_key(draft, order.renter)
    if not draft.context.verify(renter_key, struct_bytes(order), order.signature):
        raise Refused("buy-order-signature", f"{order.renter} has not signed {order.id} so; sign it again")
    before = draft.buy(order.id)
    if before is not None:
        if before.order != order:
            raise Refused("order-exists", f"{order.id} is another order; give every order an id of its own")
        draft.note("late", f"{order.id} was placed before and is {before.state}")
        return
    objection = objection_to_buy(order, draft.now) or _not_renewable(draft, order) or _no_room(draft, order)
    if objection is not None:
        rounds.tell_refused(draft, order, objection)
        return
    rounds.begin(book, order, renter_key)


def cancelled(book: Book, event: Event) -> None:
    """`order.buy.cancelled`: nothing is matched any more; contracts already delivered go on."""
    data = data_of(event, OrderCancelled)
    record = book.draft.buy(data.order)
    if record is None:
        raise Refused("unknown-order", f"no buy order {data.order} at this hub: it is over, or was never placed here")
    if record.order.renter != event.source:
        raise Refused("not-your-order", f"{data.order} is not a buy order of {event.source}; cancel only your own")
    if record.state not in BUY_OPEN:
        book.draft.note("late", f"{data.order} is {record.state} already")
        return
    rounds.close(book, record, "cancelled")


def offered(book: Book, event: Event) -> None:
    """`quote.offered`: another hub's answer; when it was the last one awaited, the order is decided."""
    draft, data = book.draft, data_of(event, QuoteOffered)
    advertising.corrected(book, event, data.capacities)
    record = draft.buy(data.order)
    if record is None or data.quote not in record.asked:
        draft.note("late", f"the quote {data.quote} of {event.source} is not awaited any more")
        if data.offers:
            proposing.release_quotes(draft, {data.quote: event.source}, data.order)
        return
    if record.asked[data.quote] != event.source:
        raise Refused("not-your-quote", f"{event.source} was not asked for {data.quote}, another hub was")
    asked = {quote: hub for quote, hub in record.asked.items() if quote != data.quote}
    offers = tuple(
        Quoted(quote=data.quote, hub=event.source, offer=offer)
        for offer in data.offers
        if _usable(draft, record.order, offer, event.source)
    )
    if data.offers and not offers:
        proposing.release_quotes(draft, {data.quote: event.source}, data.order)
    rounds.decide(book, structs.replace(record, asked=asked, offers=record.offers + offers))


def countersigned(book: Book, event: Event) -> None:
    """`contract.countersigned`: both hubs have signed; what came too late is ended again."""
    draft, contract = book.draft, data_of(event, ContractCountersigned).contract
    if contract.lessor_hub != event.source or contract.renter_hub != draft.config.me:
        raise Refused("wrong-hub", f"{event.source} countersigned a contract that is not between it and this hub")
    record = draft.contract(contract.id)
    if record is None:
        draft.note("late", f"contract {contract.id} is not wanted any more")
        proposing.tell_unwanted(draft, contract, "not-wanted")
    elif record.state == "signed":
        draft.note("late", f"contract {contract.id} is signed already")
    else:
        proposing.countersigned(book, record, contract)
        _answered(book, contract.buy.id, contract.id, signed=True)


def refused(book: Book, event: Event) -> None:
    """`contract.refused`: the lessor's hub does not sign; the units are looked for elsewhere."""
    draft, data = book.draft, data_of(event, ContractRefused)
    record = draft.contract(data.contract)
    if record is None or record.state != "proposed":
        draft.note("late", f"contract {data.contract} is not proposed any more", code=data.code)
        return
    if record.contract.lessor_hub != event.source:
        raise Refused("not-your-contract", f"{event.source} was not asked to sign {data.contract}")
    draft.note("contract-refused", f"{data.contract}: {data.reason}", code=data.code)
    proposing.refused(draft, record)
    _answered(book, record.contract.buy.id, data.contract, signed=False)


def woken(book: Book, order_id: str, at: float) -> None:
    """Timer: what the order waited for did not come in time; what that means depends on its state."""
    record = book.draft.buy(order_id)
    if record is None or not record.wake_at or at < record.wake_at:
        return
    if record.state == "collecting":
        silent = sorted(record.asked.values())
        book.draft.note("unanswered", f"{', '.join(silent)} did not quote in time", order=order_id)
        rounds.decide(book, structs.replace(record, asked={}))
    elif record.state == "waiting":
        rounds.retry(book, record)
    elif record.state == "proposing":
        _given_up(book, record, record.proposed, "late")


def overdue(book: Book, order_id: str) -> None:
    """Timer: `match_by` has come."""
    record = book.draft.buy(order_id)
    if record is None or record.order.match_by > book.draft.now:
        return
    if record.state in ("collecting", "waiting"):
        rounds.conclude(book, record)
    elif record.state != "proposing":  # proposals end by themselves, soon
        rounds.forget(book.draft, record)


def unreachable(book: Book, event_type: str, to: str) -> None:
    """Nobody receives at this hub: what was asked or proposed there will not be answered."""
    for _, record in sorted(book.draft.each(BuyRecord, "buy")):
        if event_type == "quote.requested" and to in record.asked.values():
            asked = {quote: hub for quote, hub in record.asked.items() if hub != to}
            rounds.decide(book, structs.replace(record, asked=asked))
        elif event_type == "contract.proposed" and record.state == "proposing":
            lost = tuple(each for each in record.proposed if proposing.hub_asked(book.draft, each) == to)
            if lost:
                _given_up(book, record, lost, "unreachable")


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
        record = book.draft.buy(order_id)
        if record is not None and record.state == "waiting":
            rounds.retry(book, record)


def _answered(book: Book, order_id: str, contract_id: str, *, signed: bool) -> None:
    record = book.draft.buy(order_id)
    assert record is not None  # a contract is abandoned before its order is forgotten
    proposed = tuple(each for each in record.proposed if each != contract_id)
    kept = (*record.signed, contract_id) if signed else record.signed
    rounds.answered(book, structs.replace(record, proposed=proposed, signed=kept))


def _given_up(book: Book, record: BuyRecord, contract_ids: tuple[str, ...], code: str) -> None:
    """These proposals will not be answered."""
    proposing.abandon(book, contract_ids, code)
    proposed = tuple(each for each in record.proposed if each not in contract_ids)
    rounds.answered(book, structs.replace(record, proposed=proposed))


def _not_renewable(draft: Draft, order: BuyOrder) -> Objection | None:
    """Only what the renter rents can be renewed: such contracts have no least charge."""
    known = {contract_id: draft.contract(contract_id) for contract_id in order.renews}
    for contract_id, found in known.items():
        if found is None or found.contract.renter != order.renter:
            return Objection("not-rented", f"{contract_id} is no contract of {order.renter}, or over; order anew")
    return None


def _no_room(draft: Draft, order: BuyOrder) -> Objection | None:
    own = draft.placed(order.renter)
    if own.open >= OPEN_PER_RENTER_MAX or own.kept >= KEPT_PER_RENTER_MAX:
        reason = f"{order.renter} has {own.open} open buy orders and {own.kept} in all; wait until some have ended"
        return Objection("too-many-orders", reason)
    if draft.count("buy") < BUY_ORDERS_PER_HUB_MAX:
        return None
    return Objection("hub-full", f"the hub has {BUY_ORDERS_PER_HUB_MAX} buy orders, no more fit; try again later")


def _usable(draft: Draft, order: BuyOrder, offer: Offer, hub: str) -> bool:
    problem = objection_to_offer(offer, hub, order, draft.now, draft.context.verify)
    if problem:
        draft.note("offer-dropped", f"{hub} offered {offer.sell.id}, but {problem}", order=order.id)
    return not problem
