"""The lessor's hub towards other hubs (R2, R4): quotes with reservations, countersigning, refusing. Pure."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from nodes.contracts import verify_proposal
from nodes.draft import data_of
from nodes.hub import renting, signing
from nodes.hub.book import Book
from nodes.hub.matching import pick
from nodes.hub.records import ContractRecord, QuoteRecord
from nodes.hub.states import QUOTE, advance
from nodes.machine import CancelTimer, Refused, SetTimer
from schemas import limits
from schemas.contracts import Contract
from schemas.errors import VerificationFailed
from schemas.events import (
    ContractCountersigned,
    ContractProposed,
    ContractRefused,
    Event,
    QuoteOffered,
    QuoteReleased,
    QuoteRequested,
)
from schemas.ids import Address, hub_address, hub_of
from schemas.orders import Offer

QUOTES_PER_HUB_MAX: Final = 1024
"""Reservations that one other hub may have at a time; more are answered with no offers."""


def requested(book: Book, event: Event) -> None:
    """`quote.requested`: reserve what this subnet would offer, and answer at once; nothing is an answer too."""
    draft, data = book.draft, data_of(event, QuoteRequested)
    if hub_address(hub_of(Address(data.buy.renter))) != event.source:
        raise Refused("wrong-hub", f"{event.source} cannot ask for {data.buy.renter}")
    key = f"quote/{data.quote}"
    if draft.find(QuoteRecord, key) is not None:
        raise Refused("quote-exists", f"{data.quote} was asked for before")
    offers = () if _busy(book, event.source) else _offers(book, data)
    for offer in offers:
        book.hold(offer.sell.id, key, offer.units)
    if offers:
        draft.put(key, QuoteRecord(state="held", hub=event.source, buy=data.buy, offers=offers))
        draft.do(SetTimer(name=key, at=draft.now + limits.QUOTE_LEASE_SECONDS))
    answer = QuoteOffered(quote=data.quote, order=data.buy.id, offers=offers)
    draft.send("quote.offered", event.source, data.buy.id, answer)


def released(book: Book, event: Event) -> None:
    """`quote.released`: the rest of a reservation is free again."""
    data = data_of(event, QuoteReleased)
    record = book.draft.find(QuoteRecord, f"quote/{data.quote}")
    if record is None:
        book.draft.note("late", f"nothing is reserved for {data.quote} any more")
        return
    if record.hub != event.source:
        raise Refused("not-your-quote", f"{data.quote} was not quoted to {event.source}")
    _free(book, data.quote, record, "released")


def lapsed(book: Book, quote_id: str) -> None:
    """Timer: a reservation's lease is over."""
    record = book.draft.find(QuoteRecord, f"quote/{quote_id}")
    if record is not None:
        book.draft.note("lapsed", f"{record.hub} took too long over {quote_id}")
        _free(book, quote_id, record, "lapsed")


def proposed(book: Book, event: Event) -> None:
    """`contract.proposed`: countersign what was quoted; refuse everything else, with its code."""
    draft, data = book.draft, data_of(event, ContractProposed)
    contract = data.contract
    if contract.renter_hub != event.source or contract.lessor_hub != draft.config.me:
        raise Refused("wrong-hub", f"{event.source} proposed a contract of {contract.renter_hub}")
    if draft.find(ContractRecord, f"contract/{contract.id}") is not None:
        raise Refused("contract-exists", f"{contract.id} was proposed before")
    code, reason = _objection(book, data)
    if code:
        draft.note("refused", f"{contract.id}: {reason}", code=code)
        refusal = ContractRefused(contract=contract.id, order=contract.buy.id, code=code, reason=reason)
        draft.send("contract.refused", contract.renter_hub, contract.id, refusal)
        _take(book, data.quote, contract, 0)
        return
    _take(book, data.quote, contract, contract.units)
    signed = signing.sign_as_lessor_hub(contract, draft.context.sign)
    renting.begin(book, ContractRecord(state="signed", contract=signed, quote=data.quote))
    draft.send("contract.countersigned", contract.renter_hub, contract.id, ContractCountersigned(contract=signed))
    renting.deliver(book, signed, contract.lessor)


def _busy(book: Book, hub: str) -> bool:
    return sum(1 for _, quote in book.draft.each(QuoteRecord, "quote") if quote.hub == hub) >= QUOTES_PER_HUB_MAX


def _offers(book: Book, data: QuoteRequested) -> tuple[Offer, ...]:
    need = data.need
    if not need.lessors_min <= min(need.lessors_max, need.units) or data.buy.match_by <= book.draft.now:
        return ()
    avoid = frozenset(need.avoid).union(data.buy.avoid)
    parts = pick(need, book.candidates(data.buy, avoid)).parts
    return tuple(structs.replace(part.candidate.offer, units=part.units) for part in parts)


def _objection(book: Book, data: ContractProposed) -> tuple[str, str]:
    """Why this contract is not countersigned: code and reason, both empty when it is."""
    draft, contract = book.draft, data.contract
    quote = draft.find(QuoteRecord, f"quote/{data.quote}")
    if quote is None or quote.hub != contract.renter_hub:
        return "reservation-ended", f"nothing is reserved for {data.quote} any more"
    sell = book.find(contract.sell.id)
    if sell is None or sell.cancelled:
        return "order-cancelled", f"the lessor took {contract.sell.id} back"
    if not _as_quoted(quote, contract):
        return "not-as-quoted", f"{contract.units} units of {contract.sell.id} were not quoted so for this buy order"
    if abs(contract.starts_at - draft.now) > limits.CLOCK_SKEW_SECONDS_MAX or contract.ends_at <= draft.now:
        return "lease", "the contract does not start now"
    try:
        verify_proposal(contract, draft.config.hub_keys, draft.context.verify)
    except VerificationFailed as error:
        return error.code, str(error)
    return "", ""


def _as_quoted(quote: QuoteRecord, contract: Contract) -> bool:
    asked = (contract.sell, contract.lessor_key, contract.buy)
    return any(
        (offer.sell, offer.lessor_key, quote.buy) == asked and contract.units <= offer.units for offer in quote.offers
    )


def _take(book: Book, quote_id: str, contract: Contract, units: int) -> None:
    """The contract holds so many units from now on; what else the quote had of this sell order is free."""
    draft, key = book.draft, f"quote/{quote_id}"
    quote = draft.find(QuoteRecord, key)
    if quote is None or quote.hub != contract.renter_hub:
        return
    left = tuple(offer for offer in quote.offers if offer.sell.id != contract.sell.id)
    if len(left) < len(quote.offers):
        book.hold(contract.sell.id, key, 0)
    if units:
        book.hold(contract.sell.id, f"contract/{contract.id}", units)
    state = advance(QUOTE, quote.state, "part-proposed" if left else "all-proposed")
    if state == "gone":
        draft.delete(key)
        draft.do(CancelTimer(name=key))
    else:
        draft.put(key, structs.replace(quote, state=state, offers=left))


def _free(book: Book, quote_id: str, quote: QuoteRecord, how: str) -> None:
    key = f"quote/{quote_id}"
    advance(QUOTE, quote.state, how)
    for offer in quote.offers:
        book.hold(offer.sell.id, key, 0)
    book.draft.delete(key)
    book.draft.do(CancelTimer(name=key))
