"""What the renter says to its hub: buy orders placed and taken back, contracts ended (R1, R4). Pure.

And what the hub says of its links.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from nodes.draft import data_of
from nodes.machine import Refused, SetTimer
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.records import LostLink, Subtask
from nodes.renter.protocol.states import OPEN
from schemas.contracts import Contract, Receipt, Settlement
from schemas.events import ContractEnded, Event, LinkReported, OrderCancelled
from schemas.ids import derive_id, hub_address, hub_of
from schemas.money import SECONDS_PER_HOUR, cost_micros, shown
from schemas.orders import BuyOrder
from schemas.signing import struct_bytes

MATCH_GRACE_SECONDS: Final = 5.0
"""The hub is given this much longer than the order's own time limit to answer."""
MEMORY_MIB_MIN: Final = 64
"""No order asks for less."""
HUB_SKEW_SECONDS_MAX: Final = 30.0
"""By which a hub's clock may be behind the renter's."""
REPLACEMENTS_PER_JOB_MAX: Final = 3
"""Orders for lessors that were lost are bounded."""
LEASE_SECONDS_MIN: Final = 5.0
"""Less is not worth an order: the subtask has to be opened first."""


class OverBudget(Exception):  # noqa: N818 - reads as the sentence it is
    """What is left of the job's budget pays for no lease."""

    code = "over-budget"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def place_first_order(draft: Draft) -> None:
    """As the job wishes; before that, what the rented compute may cost. Raises OverBudget."""
    spec, seconds = draft.job.spec, draft.job.decided[1].costs.lessor_seconds
    about, price = cost_micros(spec.price_micros_max, 1, seconds), shown(spec.price_micros_max)
    draft.note("estimate", f"about {shown(about)} at most: {seconds:.3g} lessors' core-seconds at {price} an hour")
    units = max(spec.units or spec.lessors, spec.lessors)
    place_order(draft, lessors=spec.lessors, lessors_min=spec.lessors_min, units=units)


def place_order(
    draft: Draft,
    *,
    lessors: int,
    lessors_min: int = 1,
    units: int,
    price_micros_max: int | None = None,
    renews: tuple[Contract, ...] = (),
) -> None:
    """Publish a signed buy order for this many lessors at most, and wait a bounded time for the answer.

    Args:
        draft: the job.
        lessors: at most.
        lessors_min: at least.
        units: of all of them together, at most.
        price_micros_max: if not the job's.
        renews: contracts that would be renewed; the order is open until the first of them ends.

    Raises:
        OverBudget: nothing is ordered.
    """
    job = draft.job
    spec, (_, assessment) = job.spec, job.decided
    number = job.orders_placed + 1
    price = spec.price_micros_max if price_micros_max is None else price_micros_max
    unsigned = BuyOrder(
        id=derive_id("order", spec.id, number),
        renter=draft.config.me,
        job=spec.id,
        units=units,
        units_min=lessors_min,
        lessors_min=lessors_min,
        lessors_max=lessors,
        price_micros_max=price,
        protection=assessment.chosen,
        memory_mib=max(MEMORY_MIB_MIN, assessment.memory_mib),
        lease_seconds=_lease(draft, price, units),
        match_by=min([draft.now + spec.match_seconds, *(each.ends_at for each in renews)]),
        avoid=job.avoid,
        renews=tuple(each.id for each in renews),
    )
    order = structs.replace(unsigned, signature=draft.context.sign(struct_bytes(unsigned)))
    draft.change_job(
        order=order.id, ordered_at=draft.now, orders_placed=number, expected_contracts=(), renewing=order.renews
    )
    draft.send("order.buy.placed", _hub(draft), spec.id, order)
    draft.do(SetTimer(name="match", at=order.match_by + MATCH_GRACE_SECONDS))


def is_pending(draft: Draft) -> bool:
    """Whether contracts of an order may still come."""
    job = draft.job
    started = {each.contract for each in draft.subtasks()}
    return bool(job.order) and not (job.expected_contracts and started.issuperset(job.expected_contracts))


def committed_micros(draft: Draft) -> int:
    """What the job's contracts cost at most: as their receipts say, or their whole lease while they run."""
    known = {each.contract: each for each in draft.subtasks()}
    total = 0
    for record in draft.contracts():
        subtask, contract = known.get(record.contract.id), record.contract
        if subtask is None or subtask.phase in OPEN:
            total += cost_micros(contract.price_micros, contract.units, contract.ends_at - contract.starts_at)
        else:
            total += subtask.cost_micros
    return total


def _lease(draft: Draft, price_micros: int, units: int) -> float:
    """Seconds: what the job asks for, or what its budget pays at this price."""
    spec = draft.job.spec
    if spec.budget_micros is None or not price_micros:
        return spec.lease_seconds
    left = spec.budget_micros - committed_micros(draft)
    seconds = min(spec.lease_seconds, left * SECONDS_PER_HOUR / (price_micros * units))
    if seconds < LEASE_SECONDS_MIN:
        raise OverBudget(
            f"of the budget of {shown(spec.budget_micros)}, {shown(max(0, left))} is left, which does not pay for "
            f"{LEASE_SECONDS_MIN:.0f} s of {units} units at {shown(price_micros)} an hour"
        )
    return seconds


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
) -> None:
    """Tell the hub that the rental relationship is over."""
    ended = ContractEnded(contract=contract.id, code=code, reason=reason[:2000])
    draft.send("contract.ended", _hub(draft), contract.id, ended)
    known = draft.find_contract(contract.id)
    if known is not None:
        draft.put(f"contract/{contract.id}", structs.replace(known, ended=True))


def link_reported(draft: Draft, event: Event) -> None:
    """`link.reported`: a link of the own hub's is lost, or carries again. Who is behind it is heard from then on."""
    data = data_of(event, LinkReported)
    if event.source != _hub(draft):
        raise Refused("not-the-hub", f"{event.source} does not speak for the links of {_hub(draft)}")
    others = [each for each in draft.progress.lost_links if each.neighbour != data.neighbour]
    if data.why:
        draft.note("link-lost", f"{event.source} to {data.neighbour}: {data.why}", contracts=data.contracts)
        others.append(LostLink(neighbour=data.neighbour, why=data.why, lost_at=draft.now, contracts=data.contracts))
    else:
        draft.note("link-restored", f"{event.source} to {data.neighbour} carries again", neighbour=data.neighbour)
        for subtask in draft.subtasks():
            if cut_off(draft, subtask, data.neighbour) and subtask.phase in OPEN:
                draft.change_subtask(subtask.id, heard_at=draft.now)
    draft.change_progress(lost_links=tuple(sorted(others, key=lambda each: each.neighbour)))


def cut_off(draft: Draft, subtask: Subtask, neighbour: str = "") -> bool:
    """Whether a subtask's contract goes over a link that is lost: this one, or any."""
    lost = (each for each in draft.progress.lost_links if neighbour in ("", each.neighbour))
    return any(subtask.contract in each.contracts for each in lost)


def settle(draft: Draft, contract: Contract, receipt: Receipt) -> None:
    """Let this renter and its hub keep a receipt that has both signatures."""
    for keeper in (draft.config.me, _hub(draft)):
        draft.send("contract.settled", keeper, contract.id, Settlement(contract=contract, receipt=receipt))


def _hub(draft: Draft) -> str:
    return hub_address(hub_of(draft.config.me))
