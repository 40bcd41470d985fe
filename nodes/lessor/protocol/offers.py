"""The lessor's sell order (R1): one per lessor, renewed by every worker, so that workers need no store. Pure."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from nodes.lessor.protocol.config import LessorConfig
from schemas.ids import derive_id
from schemas.orders import SellOrder
from schemas.signing import struct_bytes


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
