"""The lessor's sell order (R1): one per lessor, renewed by every worker, so that workers need no store. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import structs

from nodes.lessor.protocol.config import LessorConfig
from nodes.lessor.protocol.draft import Draft
from nodes.lessor.protocol.records import OFFERED, Offered
from nodes.machine import CancelTimer, SetTimer
from schemas.events import Event, OrderCancelled, SellOrderPlaced
from schemas.ids import derive_id, hub_address, hub_of
from schemas.orders import SellOrder
from schemas.signing import struct_bytes

RENEWALS_PER_ORDER: Final = 3
"""A sell order is renewed this often before it would end."""


def sell_order(config: LessorConfig, since: float, now: float, sign: Callable[[bytes], bytes]) -> SellOrder:
    """The signed order as of `now`, on terms offered `since` (both seconds since 1970).

    A lessor has one order: placing it again renews it, or puts other terms in the place of its own.
    """
    unsigned = SellOrder(
        id=derive_id("sell", config.me),
        lessor=config.me,
        units=config.units,
        price_micros=config.price_micros,
        charged_seconds_min=config.charged_seconds_min,
        protections=config.protections,
        memory_mib=config.memory_mib,
        since=since,
        expires_at=now + config.order_seconds,
    )
    return structs.replace(unsigned, signature=sign(struct_bytes(unsigned)))


def begin(draft: Draft) -> None:
    """These terms are offered from now on."""
    draft.put(OFFERED, Offered(since=draft.now))
    offer(draft)


def offer(draft: Draft, _: str = "") -> None:
    """Place the sell order, and again before it ends."""
    config = draft.config
    order = sell_order(config, draft.offered_since, draft.now, draft.context.sign)
    draft.do(SetTimer(name="offer", at=draft.now + config.order_seconds / RENEWALS_PER_ORDER))
    placed = SellOrderPlaced(order=order, worker=draft.worker.name)
    draft.send("order.sell.placed", hub_address(hub_of(config.me)), order.id, placed)


def withdraw(draft: Draft, event: Event) -> None:
    """`worker.ending`: this worker no longer stands behind the order."""
    order = derive_id("sell", draft.config.me)
    draft.do(CancelTimer(name="offer"))
    cancelled = OrderCancelled(order=order, worker=draft.worker.name, reason="the worker ends")
    draft.send("order.sell.cancelled", hub_address(hub_of(draft.config.me)), order, cancelled)
