"""Contracts (R4) as hubs make them: signed by the renter's hub, countersigned by the lessor's. Pure."""

from __future__ import annotations

from msgspec import structs

from nodes.machine import Sign
from schemas.contracts import Contract
from schemas.ids import Address, hub_address, hub_of
from schemas.orders import BuyOrder, Offer
from schemas.signing import struct_bytes


def make_contract(  # noqa: PLR0917 - one value per column of the contract
    contract_id: str, buy: BuyOrder, renter_key: bytes, offer: Offer, units: int, now: float
) -> Contract:
    """The unsigned contract of one offer and one buy order, at the seller's price, from now for the lease asked."""
    return Contract(
        id=contract_id,
        buy=buy,
        sell=offer.sell,
        renter_key=renter_key,
        lessor_key=offer.lessor_key,
        renter_hub=hub_address(hub_of(Address(buy.renter))),
        lessor_hub=hub_address(hub_of(Address(offer.sell.lessor))),
        protection=buy.protection,
        units=units,
        price_micros=offer.sell.price_micros,
        starts_at=now,
        ends_at=now + buy.lease_seconds,
    )


def sign_as_renter_hub(contract: Contract, sign: Sign) -> Contract:
    """The contract with the renter's hub's signature."""
    return structs.replace(contract, renter_hub_signature=sign(struct_bytes(contract)))


def sign_as_lessor_hub(contract: Contract, sign: Sign) -> Contract:
    """The contract with the lessor's hub's signature."""
    return structs.replace(contract, lessor_hub_signature=sign(struct_bytes(contract)))
