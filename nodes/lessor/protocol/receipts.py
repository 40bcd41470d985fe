"""Whether a renter's receipt fits the contract, and what this worker computed itself. Pure.

Times are compared as durations: the clocks of renter and lessor need not agree. A worker knows its own part only, so
what it counted is the least that a receipt must say.
"""

from __future__ import annotations

from typing import Final

from nodes.contracts import TIMING_SECONDS, charge_micros
from nodes.lessor.protocol.records import Work
from nodes.machine import Refused
from schemas.contracts import Contract, Receipt
from schemas.ids import derive_id
from schemas.limits import BATCH_WINDOW, LEASE_SECONDS_MAX

TIMING_SHARE: Final = 0.01
"""And `TIMING_SECONDS`: by which two clocks may tell the same duration apart."""


def check_receipt(receipt: Receipt, contract: Contract, work: Work | None, now: float) -> None:
    """Hold a receipt against its contract and this worker's own count.

    Args:
        receipt: as the renter signed it.
        contract: verified.
        work: what this worker computed under it; None when nothing.
        now: seconds since 1970.

    Raises:
        Refused: bad-receipt (it is of something else), late-receipt, receipt-too-large (more than the lease allows, or
            than the time costs) or receipt-too-small (less than was computed, or than the time costs).
    """
    if (receipt.contract, receipt.job, receipt.subtask) != (
        contract.id,
        contract.buy.job,
        derive_id("subtask", contract.id),
    ):
        raise Refused("bad-receipt", f"the receipt is not of {contract.id}")
    if now > contract.ends_at + LEASE_SECONDS_MAX:
        raise Refused("late-receipt", f"the receipt of {contract.id} comes too late to be known from another")
    seconds, lease = receipt.ended_at - receipt.started_at, contract.ends_at - contract.starts_at
    if seconds > lease + TIMING_SECONDS:
        raise Refused("receipt-too-large", f"{seconds:.1f} s under {contract.id}, whose lease is {lease:.1f} s")
    cost = charge_micros(contract, seconds)
    if receipt.cost_micros > cost:
        raise Refused("receipt-too-large", f"{seconds:.1f} s cost {cost} millionths, not {receipt.cost_micros}")
    if receipt.cost_micros < cost:
        raise Refused("receipt-too-small", f"{seconds:.1f} s cost {cost} millionths, not {receipt.cost_micros}")
    if work is not None:
        _check_work(receipt, contract, work, seconds)


def _check_work(receipt: Receipt, contract: Contract, work: Work, seconds: float) -> None:
    """A few batches may have been done elsewhere too, and counted there: as many as are under way at a time."""
    worked = work.ended_at - work.began_at
    if seconds < worked * (1 - TIMING_SHARE) - TIMING_SECONDS:
        raise Refused("receipt-too-small", f"{seconds:.1f} s, and one worker alone computed over {worked:.1f} s")
    if receipt.batches < work.batches - BATCH_WINDOW * contract.units:
        raise Refused("receipt-too-small", f"{receipt.batches} batches, and one worker alone did {work.batches}")
