"""Contracts while they run (R4): kept by both hubs until the renter ends them or their time is over. Pure."""

from __future__ import annotations

from msgspec import structs

from nodes.draft import data_of
from nodes.hub import advertising
from nodes.hub.book import Book
from nodes.hub.draft import Draft
from nodes.hub.records import ContractRecord
from nodes.hub.states import CONTRACT, ContractState
from nodes.machine import CancelTimer, Refused, SetTimer
from nodes.states import advance
from schemas.contracts import Contract
from schemas.events import ContractEnded, ContractSigned, Event

SILENT = "silent"
"""The renter's code for a lessor that answers nothing: its sell order is not matched until it is renewed."""


def begin(draft: Draft, contract: Contract, quote: str = "", before: ContractState = "gone") -> None:
    """Keep a contract with both signatures until its end; `quote` as in `ContractRecord`."""
    key = f"contract/{contract.id}"
    state = advance(CONTRACT, before, "countersigned")
    draft.put(key, ContractRecord(state=state, contract=contract, quote=quote))
    draft.do(SetTimer(name=key, at=contract.ends_at))


def deliver(draft: Draft, contract: Contract, party: str) -> None:
    """Give a party of this subnet its contract."""
    draft.send("contract.signed", party, contract.id, ContractSigned(contract=contract))


def ended(book: Book, event: Event) -> None:
    """`contract.ended`: from the renter at its own hub, then from that hub at the lessor's; or the other way round."""
    draft, data = book.draft, data_of(event, ContractEnded)
    record = draft.contract(data.contract)
    if record is None:
        draft.note("late", f"contract {data.contract} is not here any more", code=data.code)
        return
    contract = record.contract
    if event.source not in (contract.renter, contract.renter_hub, contract.lessor, contract.lessor_hub):
        raise Refused("not-your-contract", f"{event.source} may not end {contract.id}; its parties may")
    if record.state != "signed":
        draft.note("late", f"contract {contract.id} was not signed yet", code=data.code)
        return
    by_lessor = event.source == contract.lessor or (event.source == contract.lessor_hub != contract.renter_hub)
    if by_lessor and data.code == SILENT:
        raise Refused("not-your-contract", f"{event.source} cannot call itself silent")
    end(book, record, data, by_lessor=by_lessor)


def expired(book: Book, contract_id: str) -> None:
    """Timer: the lease is over. The renter reads that from the contract; the lessor's hub tells the lessor."""
    record = book.draft.contract(contract_id)
    if record is None or record.state != "signed" or record.contract.ends_at > book.draft.now:
        return
    data = ContractEnded(contract=contract_id, code="expired", reason="the lease is over")
    end(book, record, data, "expired")


def end(
    book: Book, record: ContractRecord, data: ContractEnded, happened: str = "ended", *, by_lessor: bool = False
) -> None:
    """Keep a contract no longer, and tell the other side of whoever ended it."""
    draft, contract = book.draft, record.contract
    key = f"contract/{contract.id}"
    advance(CONTRACT, record.state, happened)
    draft.delete(key)
    draft.do(CancelTimer(name=key))
    draft.note(happened, f"contract {contract.id} is over: {data.code}", units=contract.units)
    if contract.lessor_hub != draft.config.me:
        if by_lessor:
            draft.send("contract.ended", contract.renter, contract.buy.job, data)
        elif happened == "ended":
            draft.send("contract.ended", contract.lessor_hub, contract.id, data)
            if data.code != SILENT:
                advertising.freed(book, contract)
        return
    if not by_lessor:
        draft.send("contract.ended", contract.lessor, contract.id, data)
    elif contract.renter_hub == draft.config.me:
        draft.send("contract.ended", contract.renter, contract.buy.job, data)
    else:
        draft.send("contract.ended", contract.renter_hub, contract.id, data)
    book.hold(contract.sell.id, key, 0)
    sell = draft.sell(contract.sell.id)
    if sell is not None and data.code == SILENT:
        book.write(structs.replace(sell, silent=True))
        draft.note("silent", f"{contract.lessor} is not matched until it renews {contract.sell.id}")
    book.announce(lambda buy: buy.protection in contract.sell.protections)
