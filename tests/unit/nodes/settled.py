"""Contracts with receipts that both parties signed."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from nodes.contracts import charge_micros
from schemas.contracts import Contract, Receipt, Settlement
from schemas.ids import derive_id
from schemas.signing import struct_bytes
from tests.unit.nodes.lessor.rentals import IDENTITIES, LESSOR, RENTER, contract


def receipt_of(of: Contract, seconds: float = 20.0, **changes: Any) -> Receipt:
    """Of so many seconds, signed by both."""
    fields: dict[str, Any] = {
        "contract": of.id,
        "job": of.buy.job,
        "subtask": derive_id("subtask", of.id),
        "rows": 9,
        "batches": 1,
        "started_at": of.starts_at,
        "ended_at": of.starts_at + seconds,
    }
    ended = fields | changes
    cost = charge_micros(of, ended["ended_at"] - ended["started_at"])
    unsigned = Receipt(**({"cost_micros": cost} | ended))
    signed = struct_bytes(unsigned)
    return structs.replace(
        unsigned, renter_signature=IDENTITIES[RENTER].sign(signed), lessor_signature=IDENTITIES[LESSOR].sign(signed)
    )


def settlement(now: float = 1_800_000_000.0, **changes: Any) -> Settlement:
    """Of a contract that began a minute before `now` and ends a minute after."""
    of = contract(now=now)
    return Settlement(contract=of, receipt=receipt_of(of, **changes))
