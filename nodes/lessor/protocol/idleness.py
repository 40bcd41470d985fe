"""Contracts under which nothing is asked: a lessor ends them (R4), so that its units are not held for nothing. Pure.

Any worker may serve a contract, so workers tell each other on their lanes which are used, a few times per deadline;
each of them ends what it has heard nothing of for too long. The renter reads that from its hub.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from nodes.draft import data_of
from nodes.lessor.protocol import closing
from nodes.lessor.protocol.draft import Draft
from nodes.lessor.protocol.records import Rented
from schemas.contracts import Contract
from schemas.events import ContractEnded, ContractSigned, ContractUsed, Event
from schemas.ids import hub_address, hub_of

TELLINGS_PER_DEADLINE: Final = 4
IDLE: Final = "idle"


def signed(draft: Draft, event: Event) -> None:
    """`contract.signed`: the renter will announce its subtask."""
    contract = data_of(event, ContractSigned).contract
    draft.note("contract-signed", f"{contract.renter} rents {contract.units} units", contract=contract.id)
    used(draft, contract)


def used(draft: Draft, contract: Contract) -> None:
    """Something was asked under it."""
    if draft.closed(contract.id) is not None:
        return
    rented = draft.find(Rented, f"rented/{contract.id}") or Rented(until=contract.ends_at, used_at=draft.now)
    told_at = rented.told_at
    if draft.now - told_at >= draft.config.idle_seconds_max / TELLINGS_PER_DEADLINE:
        told_at = draft.now
        draft.tell_others("contract.used", contract.id, ContractUsed(contract=contract.id, until=contract.ends_at))
    draft.put(f"rented/{contract.id}", structs.replace(rented, used_at=draft.now, told_at=told_at))


def told(draft: Draft, event: Event) -> None:
    """`contract.used`: by another worker."""
    data = data_of(event, ContractUsed)
    if draft.closed(data.contract) is None:
        draft.put(f"rented/{data.contract}", Rented(until=data.until, used_at=draft.now, told_at=draft.now))


def end_idle(draft: Draft) -> None:
    """Tell the hub of contracts under which nothing was asked for too long; drop those that are over."""
    for key, rented in sorted(draft.each(Rented, "rented")):
        contract = key.partition("/")[2]
        if draft.closed(contract) is not None or rented.until <= draft.now:
            draft.delete(key)
        elif draft.now - rented.used_at > draft.config.idle_seconds_max:
            draft.delete(key)
            reason = f"nothing was asked of {draft.config.me} for {draft.now - rented.used_at:.0f} s"
            draft.note("contract-idle", reason, contract=contract)
            closing.close(draft, contract)
            ended = ContractEnded(contract=contract, code=IDLE, reason=reason)
            draft.send("contract.ended", hub_address(hub_of(draft.config.me)), contract, ended)
