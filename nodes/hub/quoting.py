"""The lessor's hub towards other hubs (R2, R4): quotes with reservations, countersigning, refusing. Pure."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from nodes.contracts import verify_proposal
from nodes.draft import data_of
from nodes.hub import advertising, known, renting, signing
from nodes.hub.book import Book
from nodes.hub.draft import Draft
from nodes.hub.matching import pick
from nodes.hub.records import QuoteRecord, SellRecord
from nodes.hub.states import QUOTE
from nodes.hub.terms import Objection
from nodes.machine import CancelTimer, Refused, SetTimer
from nodes.states import advance
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
        raise Refused("wrong-hub", f"{event.source} is not the hub of {data.buy.renter}; ask only for your own renters")
    key = f"quote/{data.quote}"
    if draft.quote(data.quote) is not None:
        raise Refused("quote-exists", f"{data.quote} was asked for before; give every quote an id of its own")
    offers = () if _is_busy(draft, event.source) else _offers(book, data)
    for offer in offers:
        book.hold(offer.sell.id, key, offer.units)
    if offers:
        draft.put(
            key, QuoteRecord(state=advance(QUOTE, "gone", "quoted"), hub=event.source, buy=data.buy, offers=offers)
        )
        draft.do(SetTimer(name=key, at=draft.now + limits.QUOTE_LEASE_SECONDS))
    answer = QuoteOffered(
        quote=data.quote,
        order=data.buy.id,
        offers=offers,
        capacities=() if offers else advertising.last_told(book),
        certificate=draft.config.certificate,
    )
    draft.send("quote.offered", event.source, data.buy.id, answer)


def released(book: Book, event: Event) -> None:
    """`quote.released`: the rest of a reservation is free again."""
    data = data_of(event, QuoteReleased)
    record = book.draft.quote(data.quote)
    if record is None:
        book.draft.note("late", f"nothing is reserved for {data.quote} any more")
        return
    if record.hub != event.source:
        raise Refused("not-your-quote", f"{data.quote} was not quoted to {event.source}; release only your own")
    _free(book, data.quote, record, "released")


def lapsed(book: Book, quote_id: str) -> None:
    """Timer: a reservation's lease is over."""
    record = book.draft.quote(quote_id)
    if record is not None:
        book.draft.note("lapsed", f"{record.hub} took too long over {quote_id}")
        _free(book, quote_id, record, "lapsed")


def proposed(book: Book, event: Event) -> None:
    """`contract.proposed`: countersign what was quoted; refuse everything else, with its code."""
    draft, data = book.draft, data_of(event, ContractProposed)
    contract = data.contract
    if contract.renter_hub != event.source or contract.lessor_hub != draft.config.me:
        raise Refused("wrong-hub", f"{event.source} proposed a contract that is not between it and this hub")
    if draft.contract(contract.id) is not None:
        raise Refused("contract-exists", f"{contract.id} was proposed before; give every contract an id of its own")
    objection = _objection(draft, data)
    if objection is not None:
        code, reason = objection
        draft.note("refused", f"{contract.id}: {reason}", code=code)
        refusal = ContractRefused(contract=contract.id, order=contract.buy.id, code=code, reason=reason)
        draft.send("contract.refused", contract.renter_hub, contract.id, refusal)
        _take(book, data.quote, contract, 0)
        return
    _take(book, data.quote, contract, contract.units)
    signed = signing.sign_as_lessor_hub(contract, draft.context.sign)
    renting.begin(draft, signed, data.quote)
    draft.send("contract.countersigned", contract.renter_hub, contract.id, ContractCountersigned(contract=signed))
    renting.deliver(draft, signed, contract.lessor)


def _is_busy(draft: Draft, hub: str) -> bool:
    return sum(1 for _, quote in draft.each(QuoteRecord, "quote") if quote.hub == hub) >= QUOTES_PER_HUB_MAX


def _offers(book: Book, data: QuoteRequested) -> tuple[Offer, ...]:
    need = data.need
    if not need.lessors_min <= min(need.lessors_max, need.units) or data.buy.match_by <= book.draft.now:
        return ()
    avoid = frozenset(need.avoid).union(data.buy.avoid)
    parts = pick(need, book.candidates(data.buy, avoid)).parts
    return tuple(structs.replace(part.candidate.offer, units=part.units) for part in parts)


def _objection(draft: Draft, data: ContractProposed) -> Objection | None:
    """Why this contract is not countersigned."""
    contract = data.contract
    quote, sell = draft.quote(data.quote), draft.sell(contract.sell.id)
    if quote is None or quote.hub != contract.renter_hub:
        return Objection("reservation-ended", f"nothing is reserved for {data.quote} any more; ask for another quote")
    if sell is None or sell.cancelled:
        return Objection(
            "order-cancelled", f"the lessor took {contract.sell.id} back, or let it expire; ask for another quote"
        )
    if not _as_quoted(quote, contract):
        units = f"{contract.units} units of {contract.sell.id}"
        return Objection("not-as-quoted", f"{units} were not quoted so for this buy order; propose what was quoted")
    return _objection_now(draft, contract, sell)


def _objection_now(draft: Draft, contract: Contract, sell: SellRecord) -> Objection | None:
    """Why this contract, which was quoted so, is not countersigned any more."""
    if not contract.sell.has_terms_of(sell.order):
        return Objection("order-replaced", f"{contract.sell.id} has other terms now; ask for another quote")
    if abs(contract.starts_at - draft.now) > limits.CLOCK_SKEW_SECONDS_MAX or contract.ends_at <= draft.now:
        return Objection("lease", "the contract does not start now; set the clocks of both hubs")
    try:
        verify_proposal(contract, known.keys(draft), draft.context.verify)
    except VerificationFailed as error:
        return Objection(error.code, str(error))
    return None


def _as_quoted(quote: QuoteRecord, contract: Contract) -> bool:
    asked = (contract.sell, contract.lessor_key, contract.buy)
    return any(
        (offer.sell, offer.lessor_key, quote.buy) == asked and contract.units <= offer.units for offer in quote.offers
    )


def _take(book: Book, quote_id: str, contract: Contract, units: int) -> None:
    """The contract holds so many units from now on; what else the quote had of this sell order is free."""
    draft, key = book.draft, f"quote/{quote_id}"
    quote = draft.quote(quote_id)
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
