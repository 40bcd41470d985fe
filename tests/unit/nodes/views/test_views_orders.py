"""A hub's book as data: every order with its state, what is free of it, and until when it stands."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from nodes.hub.machine import AGGREGATE
from nodes.hub.records import RECORD_TYPES, BuyRecord, SellRecord
from nodes.store.port import Decision, Input
from nodes.store.sqlite import SqliteStore
from nodes.views import orders
from nodes.views.orders import Order
from tests.unit.nodes.hub.world import START, buy_order, public_key, sell_order

LESSOR, RENTER = "B11.B12", "B11.A12"


async def in_book(**records: Struct) -> list[Order]:
    """What is said of a hub that has these records."""
    put = {key.replace("_", "/"): record for key, record in records.items()}
    store = await SqliteStore.open(None, RECORD_TYPES)
    try:
        asked = [Input("event-1", AGGREGATE)]
        await store.apply(asked, lambda *_: Decision(START, put=put), owner="me", lease_until=START, performs_max=0)
        return await orders.in_book(store)
    finally:
        await store.close()


def selling(**fields: Any) -> SellRecord:
    """A sell order of three units in the book."""
    order, key = sell_order(LESSOR, units=3), public_key(LESSOR)
    return SellRecord(order=order, lessor_key=key, placed_at=START, said_at=START, **fields)


async def test_sell_orders_say_what_is_free_and_why_nothing_is() -> None:
    shown = await in_book(
        sell_1=selling(held={"contract/1": 2}), sell_2=selling(silent=True), sell_3=selling(cancelled=True)
    )
    assert [(each.kind, each.by, each.units, each.free, each.state) for each in shown] == [
        ("sell", LESSOR, 3, 1, "open"),
        ("sell", LESSOR, 3, 0, "silent"),
        ("sell", LESSOR, 3, 0, "cancelled"),
    ]
    assert {each.until for each in shown} == {sell_order(LESSOR).expires_at}


async def test_buy_orders_say_what_they_pay_at_most_and_by_when() -> None:
    order = buy_order(RENTER)
    record = BuyRecord(order=order, renter_key=public_key(RENTER), placed_at=START, state="waiting")
    (shown,) = await in_book(buy_1=record)
    assert (shown.order, shown.kind, shown.by, shown.free, shown.state) == (order.id, "buy", RENTER, None, "waiting")
    assert (shown.price_micros, shown.until) == (order.price_micros_max, order.match_by)
    assert shown.protections == (order.protection,)


async def test_an_empty_book_has_no_orders() -> None:
    assert await in_book() == []
