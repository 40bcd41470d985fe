"""Identities of two hubs, a renter and two lessors, and contracts and terms among them."""

from __future__ import annotations

import time
from typing import Any

from msgspec import structs

from nodes.identity import Identity
from nodes.lessor.protocol.config import LessorConfig
from nodes.lessor.protocol.market import sell_order
from schemas.contracts import Contract
from schemas.ids import Address, address, derive_id, hub_address
from schemas.jobs import SubtaskTerms
from schemas.manifest import cut
from schemas.orders import BuyOrder
from schemas.signing import struct_bytes

RENTER, LESSOR, OTHER = address("A11", "A12"), address("B11", "B12"), address("B11", "B13")
HUB_A, HUB_B = hub_address("A11"), hub_address("B11")
IDENTITIES = {name: Identity.generate(name) for name in (RENTER, LESSOR, OTHER, HUB_A, HUB_B)}
HUB_KEYS: dict[str, bytes] = {hub: IDENTITIES[hub].public for hub in (HUB_A, HUB_B)}


def contract(*, lessor: Address = LESSOR, now: float | None = None, ends_in: float = 60.0, **changes: Any) -> Contract:
    """A contract that both hubs and both parties have signed."""
    now = time.time() if now is None else now
    sell = sell_order(LessorConfig(me=lessor, key=IDENTITIES[lessor].public), now, now, IDENTITIES[lessor].sign)
    buy = BuyOrder(
        id=derive_id("order", 1),
        renter=RENTER,
        job=derive_id("job", 1),
        units=1,
        price_micros_max=10**9,
        protection="homomorphic",
        lease_seconds=1000.0,
        match_by=now + 60,
    )
    buy = structs.replace(buy, signature=IDENTITIES[RENTER].sign(struct_bytes(buy)))
    fields: dict[str, Any] = {
        "id": derive_id("contract", 1),
        "buy": buy,
        "sell": sell,
        "renter_key": IDENTITIES[RENTER].public,
        "lessor_key": IDENTITIES[lessor].public,
        "renter_hub": HUB_A,
        "lessor_hub": HUB_B,
        "protection": "homomorphic",
        "units": 1,
        "price_micros": sell.price_micros,
        "starts_at": now + ends_in - 60.0,
        "ends_at": now + ends_in,
    }
    unsigned = Contract(**(fields | changes))
    return structs.replace(
        unsigned,
        renter_hub_signature=IDENTITIES[HUB_A].sign(struct_bytes(unsigned)),
        lessor_hub_signature=IDENTITIES[HUB_B].sign(struct_bytes(unsigned)),
    )


def terms(of: Contract) -> SubtaskTerms:
    return SubtaskTerms(
        job=of.buy.job,
        subtask=derive_id("subtask", of.id),
        contract=of,
        protection=of.protection,
        program=cut(b"a program")[0],
        width_in=1,
        width_out=1,
    )
