"""Leases that end while a job runs (R4): renewed for as long as there is work and money, without a gap. Pure.

A while before a contract ends the renter orders again, naming it: its own units count as free for that order, so the
same lessor may go on. The new contract's subtask opens beside the old one's; then it takes its queue over, and begins
when what was under way there is done: what receipts say adds up to the time that was rented. A lease that is not
renewed ends by itself, without anybody's fault: what is left goes to the other subtasks, or to a new order.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from nodes.draft import data_of
from nodes.machine import CancelTimer, Refused, SetTimer
from nodes.renter.protocol import faults, market, runs, windows
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.market import OverBudget
from nodes.renter.protocol.records import Subtask, subtask_of
from nodes.renter.protocol.states import OPEN, SERVING
from schemas.contracts import Contract
from schemas.events import BatchFailed, ContractEnded, Event
from schemas.ids import hub_address, hub_of
from schemas.limits import RENEWAL_SECONDS_MAX

CONTRACT_ENDED: Final = "contract-ended"
"""The code of lessors that were sent a batch too late."""
RENEWAL_SHARE: Final = 1 / 3
"""Of a lease, so long before its end it is renewed; a minute at most."""
TOGETHER_SECONDS: Final = 1.0
"""Contracts that end so soon after each other are renewed by one order."""
LOOK_AGAIN_SECONDS: Final = 1.0
"""While an order is open no other can be placed."""


def watch(draft: Draft, subtask: Subtask, contract: Contract) -> None:
    """Look at the lease when it is time to renew it."""
    draft.do(SetTimer(name=f"lease/{subtask.id}", at=_renewal_at(contract)))


def timer_fired(draft: Draft, subtask_id: str) -> None:
    """Timer `lease/…`: the lease of a subtask ends soon, or is over."""
    subtask = draft.subtask(subtask_id)
    if subtask.phase not in OPEN or draft.phase != "running":
        return
    contract = draft.contract(subtask.contract).contract
    if draft.now >= contract.ends_at:
        over(draft, subtask)
        return
    again = contract.ends_at
    if not _is_cared_for(draft, subtask):
        if market.is_pending(draft):
            again = min(again, draft.now + LOOK_AGAIN_SECONDS)
        else:
            _renew(draft)
    draft.do(SetTimer(name=f"lease/{subtask_id}", at=again))


def batch_failed(draft: Draft, event: Event) -> None:
    """`batch.failed`: whose contract has ended is not at fault, unless that is long before its time."""
    data = data_of(event, BatchFailed)
    subtask = draft.subtask_from(event, data.batch.subtask)
    if data.code != CONTRACT_ENDED or data.batch.batch not in subtask.under_way:
        faults.batch_failed(draft, event)
        return
    early = draft.contract(subtask.contract).contract.ends_at - draft.now
    if early < market.HUB_SKEW_SECONDS_MAX:
        over(draft, subtask)
    else:
        faults.lose(draft, subtask.id, data.code, f"it ended its contract {early:.0f} s early")


def contract_ended(draft: Draft, event: Event) -> None:
    """`contract.ended`: the lessor ended it, and is paid for its time; unless it left work that was under way."""
    data = data_of(event, ContractEnded)
    if event.source != hub_address(hub_of(draft.config.me)):
        raise Refused("not-the-hub", f"{event.source} does not end contracts; {draft.config.me}'s own hub does")
    record = draft.contract(data.contract)
    subtask = draft.find(Subtask, f"subtask/{subtask_of(data.contract)}")
    draft.note("contract-ended", data.reason, code=data.code, contract=data.contract)
    draft.put(f"contract/{data.contract}", structs.replace(record, ended=True))
    if subtask is None or subtask.phase not in OPEN:
        return
    if subtask.under_way:
        faults.lose(draft, subtask.id, data.code, data.reason)
    else:
        over(draft, subtask, faulty=True)


def order_refused(draft: Draft, reason: str) -> None:
    """Nobody renews now: the contracts run on, and what waits for compute is ordered for anew."""
    draft.note("not-renewed", reason, contracts=draft.job.renewing)
    for subtask in draft.subtasks():
        if subtask.contract in draft.job.renewing and subtask.phase in OPEN:
            again = min(draft.now + LOOK_AGAIN_SECONDS, draft.contract(subtask.contract).contract.ends_at)
            draft.do(SetTimer(name=f"lease/{subtask.id}", at=again))
    draft.change_job(order="", renewing=())
    draft.do(CancelTimer(name="match"))
    waiting = draft.progress.waiting
    if waiting and not any(each.phase in SERVING for each in draft.subtasks()):
        draft.change_progress(waiting=())
        faults.hand_over(draft, waiting, last="", faulty=False)


def succeed(draft: Draft, new: list[Subtask]) -> None:
    """The renewing contracts are here: each subtask follows one of the old, that of its own lessor if it can."""
    old = [each for each in draft.subtasks() if each.contract in draft.job.renewing and each.phase in SERVING]
    for subtask in sorted(new, key=lambda each: all(each.lessor != other.lessor for other in old)):
        before = next((each for each in old if each.lessor == subtask.lessor), old[0] if old else None)
        if before is None:
            break
        old.remove(before)
        draft.change_subtask(subtask.id, renews=before.id)
    draft.change_job(renewing=())


def go_on(draft: Draft, subtask_id: str) -> None:
    """A subtask that can take batches takes over from the one whose contract its own renewed, if there is one."""
    subtask = draft.subtask(subtask_id)
    before = draft.find(Subtask, f"subtask/{subtask.renews}") if subtask.renews else None
    if before is not None and (before.phase, subtask.phase) == ("running", "running"):
        draft.advance_subtask(before.id, "renewed", queue=())
        draft.change_subtask(subtask_id, queue=(*subtask.queue, *before.queue))
        draft.note("renewed", f"{subtask.contract} goes on where {before.contract} ends", lessor=subtask.lessor)
        windows.fill(draft, before.id)
    windows.fill(draft, subtask_id)


def over(draft: Draft, subtask: Subtask, *, faulty: bool = False) -> None:
    """A lease is over: the lessor gets its receipt, what is left goes elsewhere; `faulty` as in `faults.hand_over`."""
    rest = (*runs.single(subtask.under_way), *subtask.queue)
    for number in subtask.under_way:
        record = draft.batch(number)
        if record is not None:
            draft.put(f"batch/{number}", structs.replace(record, excused=record.excused + 1, rows_at=""))
    draft.change_subtask(subtask.id, queue=(), under_way=())
    draft.note("lease-over", f"the lease of {subtask.contract} is over", batches=runs.count(rest))
    windows.end(draft, subtask.id)
    faults.hand_over(draft, rest, last="", faulty=faulty)


def _renew(draft: Draft) -> None:
    """Order for all contracts that end about now and are needed further."""
    contracts = []
    for subtask in draft.subtasks():
        contract = draft.contract(subtask.contract).contract
        near = _renewal_at(contract) <= draft.now + TOGETHER_SECONDS
        if near and subtask.phase == "running" and not _is_cared_for(draft, subtask) and _is_needed(draft, subtask):
            contracts.append(contract)
    if not contracts:
        return
    units, price = sum(each.units for each in contracts), max(each.price_micros for each in contracts)
    try:
        market.place_order(draft, lessors=len(contracts), units=units, price_micros_max=price, renews=tuple(contracts))
    except OverBudget as error:
        draft.note("not-renewed", error.reason, contracts=[each.id for each in contracts])


def _is_cared_for(draft: Draft, subtask: Subtask) -> bool:
    """Whether an order or a new contract would go on for it."""
    followed = any(each.renews == subtask.id and each.phase in OPEN for each in draft.subtasks())
    return followed or subtask.contract in draft.job.renewing or subtask.phase == "closing"


def _is_needed(draft: Draft, subtask: Subtask) -> bool:
    return bool(subtask.queue or subtask.under_way or draft.job.spec.joint)


def _renewal_at(contract: Contract) -> float:
    lease = contract.ends_at - contract.starts_at
    return contract.ends_at - min(RENEWAL_SECONDS_MAX, lease * RENEWAL_SHARE)
