"""What the renter says to its hub: buy orders placed and taken back, contracts ended (R1, R4). Pure."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from nodes.machine import SetTimer
from nodes.renter.protocol.draft import Draft
from schemas.contracts import Contract, Receipt
from schemas.events import ContractEnded, OrderCancelled
from schemas.ids import derive_id, hub_address, hub_of
from schemas.money import cost_micros, shown
from schemas.orders import BuyOrder
from schemas.signing import struct_bytes

MATCH_GRACE_SECONDS: Final = 5.0
"""The hub is given this much longer than the order's own time limit to answer."""
MEMORY_MIB_MIN: Final = 64
"""No order asks for less."""
HUB_SKEW_SECONDS_MAX: Final = 30.0
"""By which a hub's clock may be behind the renter's."""
ORDERS_PER_JOB_MAX: Final = 4
"""Replacement orders after lessors were lost are bounded."""


def place_first_order(draft: Draft) -> None:
    """As the job wishes; before that, what the rented compute may cost."""
    spec, seconds = draft.job.spec, draft.job.decided[1].costs.lessor_seconds
    about, price = cost_micros(spec.price_micros_max, 1, seconds), shown(spec.price_micros_max)
    draft.note("estimate", f"about {shown(about)} at most: {seconds:.3g} lessors' core-seconds at {price} an hour")
    units = max(spec.units or spec.lessors, spec.lessors)
    place_order(draft, lessors=spec.lessors, lessors_min=spec.lessors_min, units=units)


def place_order(draft: Draft, *, lessors: int, lessors_min: int = 1, units: int) -> None:
    """Publish a signed buy order for this many lessors at most, and wait a bounded time for the answer."""
    job = draft.job
    spec, (_, assessment) = job.spec, job.decided
    number = job.orders_placed + 1
    unsigned = BuyOrder(
        id=derive_id("order", spec.id, number),
        renter=draft.config.me,
        job=spec.id,
        units=units,
        units_min=lessors_min,
        lessors_min=lessors_min,
        lessors_max=lessors,
        price_micros_max=spec.price_micros_max,
        protection=assessment.chosen,
        memory_mib=max(MEMORY_MIB_MIN, assessment.memory_mib),
        lease_seconds=spec.lease_seconds,
        match_by=draft.now + spec.match_seconds,
        avoid=job.avoid,
    )
    order = structs.replace(unsigned, signature=draft.context.sign(struct_bytes(unsigned)))
    draft.change_job(order=order.id, ordered_at=draft.now, orders_placed=number, expected_contracts=())
    draft.send("order.buy.placed", _hub(draft), order.id, order)
    draft.do(SetTimer(name="match", at=order.match_by + MATCH_GRACE_SECONDS))


def cancel_order(draft: Draft) -> None:
    """Take the open buy order back."""
    order = draft.job.order
    draft.send("order.buy.cancelled", _hub(draft), order, OrderCancelled(order=order))


def end_contract(
    draft: Draft,
    contract: Contract,
    code: str,
    *,
    reason: str = "",
    receipt: Receipt | None = None,
) -> None:
    """Tell the hub that the rental relationship is over."""
    ended = ContractEnded(contract=contract.id, code=code, reason=reason[:2000], receipt=receipt)
    draft.send("contract.ended", _hub(draft), contract.id, ended)
    known = draft.find_contract(contract.id)
    if known is not None:
        draft.put(f"contract/{contract.id}", structs.replace(known, ended=True))


def _hub(draft: Draft) -> str:
    return hub_address(hub_of(draft.config.me))
