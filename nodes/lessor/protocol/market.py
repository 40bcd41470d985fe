"""The lessor's sell order (R1): one per lessor, renewed by every worker, so that workers need no store. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import structs

from nodes.draft import data_of
from nodes.lessor.protocol.config import LessorConfig
from nodes.lessor.protocol.draft import Draft
from nodes.machine import SetTimer
from schemas.events import ContractSigned, Event
from schemas.ids import derive_id, hub_address, hub_of
from schemas.orders import SellOrder
from schemas.signing import struct_bytes

RENEWALS_PER_ORDER: Final = 3
"""A sell order is renewed this often before it would end."""


def sell_order(config: LessorConfig, now: float, sign: Callable[[bytes], bytes]) -> SellOrder:
    """The signed order as of `now` (seconds since 1970). Its id depends on the terms: placing it again renews it."""
    terms = (config.units, config.price_micros, ",".join(config.protections), config.memory_mib)
    unsigned = SellOrder(
        id=derive_id("sell", config.me, *terms),
        lessor=config.me,
        units=config.units,
        price_micros=config.price_micros,
        protections=config.protections,
        memory_mib=config.memory_mib,
        expires_at=now + config.order_seconds,
    )
    return structs.replace(unsigned, signature=sign(struct_bytes(unsigned)))


def offer(draft: Draft, _: str = "") -> None:
    """Place the sell order, and again before it ends."""
    config = draft.config
    order = sell_order(config, draft.now, draft.context.sign)
    draft.do(SetTimer(name="offer", at=draft.now + config.order_seconds / RENEWALS_PER_ORDER))
    draft.send("order.sell.placed", hub_address(hub_of(config.me)), order.id, order)


def contract_signed(draft: Draft, event: Event) -> None:
    """`contract.signed`: the renter will announce its subtask."""
    contract = data_of(event, ContractSigned).contract
    draft.note("contract-signed", f"{contract.renter} rents {contract.units} units", contract=contract.id)
