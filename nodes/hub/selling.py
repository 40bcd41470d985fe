"""The lessors' side of the book (R1): sell orders placed, renewed and cancelled. Pure."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from nodes.draft import data_of
from nodes.hub.book import Book
from nodes.hub.draft import Draft
from nodes.hub.members import require_key
from nodes.hub.records import SellRecord
from nodes.hub.terms import acceptable, asks_more
from nodes.machine import Refused, SetTimer
from schemas import limits
from schemas.events import Event, OrderCancelled, SellOrderPlaced
from schemas.orders import SellOrder
from schemas.signing import struct_bytes


def placed(book: Book, event: Event) -> None:
    """`order.sell.placed`: a new order, a renewal or other terms: the lessor lives, what is held stays held."""
    draft, data = book.draft, data_of(event, SellOrderPlaced)
    order = data.order
    _check_order(draft, event, order)
    before = draft.sell(order.id)
    workers = {} if before is None else _living(before, draft.now)
    known: dict[str, Any] = {
        "order": order,
        "lessor_key": require_key(draft, order.lessor),
        "said_at": event.time,
        "workers": workers | {data.worker: order.expires_at},
    }
    if before is None:
        if draft.count("sell") >= limits.SELL_ORDERS_PER_HUB_MAX:
            raise Refused(
                "book-full", f"the book has {limits.SELL_ORDERS_PER_HUB_MAX} sell orders, no more fit; try later"
            )
        record = SellRecord(placed_at=draft.now, since=order.since, **known)
    else:
        if before.order.lessor != order.lessor:
            raise Refused("order-exists", f"{order.id} is another lessor's; give every order an id of its own")
        same = order.has_terms_of(before.order)
        if event.time < before.said_at or (not same and order.since < before.since):
            draft.note("late", f"a placing of {order.id} that is older than what is known of it")
            return
        record = structs.replace(
            before,
            placed_at=draft.now if asks_more(order, before.order) else before.placed_at,
            since=max(order.since, before.since) if same else order.since,
            silent=False,
            cancelled=False,
            **known,
        )
    book.write(record)
    draft.do(SetTimer(name=f"sell/{order.id}", at=order.expires_at))
    book.announce(lambda buy: acceptable(order, buy, frozenset(buy.avoid)))


def cancelled(book: Book, event: Event) -> None:
    """`order.sell.cancelled`: not matched again, unless other workers stand behind it; contracts go on."""
    draft, data = book.draft, data_of(event, OrderCancelled)
    record = draft.sell(data.order)
    if record is None:
        raise Refused("unknown-order", f"no sell order {data.order} here: it is over, or was never placed")
    if record.order.lessor != event.source:
        raise Refused("not-your-order", f"{data.order} is not a sell order of {event.source}; cancel only your own")
    workers = {name: until for name, until in _living(record, draft.now).items() if name != data.worker}
    if data.worker and workers:
        draft.note("worker-left", f"{len(workers)} workers of {event.source} still stand behind {data.order}")
        book.write(structs.replace(record, workers=workers))
        return
    said_at = max(record.said_at, event.time)
    book.write(structs.replace(record, workers={}, cancelled=True, said_at=said_at))


def _living(record: SellRecord, now: float) -> dict[str, float]:
    return {name: until for name, until in record.workers.items() if until > now}


def expired(book: Book, sell_id: str) -> None:
    """Timer: an order that was not renewed leaves the book (when nothing holds of it)."""
    record = book.draft.sell(sell_id)
    if record is not None and record.order.expires_at <= book.draft.now:
        book.write(structs.replace(record, cancelled=True))


def _check_order(draft: Draft, event: Event, order: SellOrder) -> None:
    if order.lessor != event.source:
        raise Refused("not-your-order", f"{event.source} placed a sell order of {order.lessor}; place only your own")
    if not draft.context.verify(require_key(draft, order.lessor), struct_bytes(order), order.signature):
        raise Refused("sell-order-signature", f"{order.lessor} has not signed {order.id} so; sign it again")
    if order.expires_at <= draft.now:
        age = f"{order.id} expired before it came, {draft.now - event.time:.0f} s after its date by this clock"
        raise Refused("expired", f"{age}; set both clocks, and place it again with a later time")
    if order.expires_at > draft.now + limits.SELL_ORDER_SECONDS_MAX + limits.CLOCK_SKEW_SECONDS_MAX:
        most = f"{limits.SELL_ORDER_SECONDS_MAX:.0f} seconds"
        raise Refused("expires-too-late", f"{order.id} lasts longer than {most}; place it for less, and renew it")
