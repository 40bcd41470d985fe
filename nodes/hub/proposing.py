"""The renter's hub towards lessors' hubs (R4): contracts proposed, countersigned or refused, and given up. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import structs

from nodes.contracts import verify_contract
from nodes.hub import known, renting, signing
from nodes.hub.book import Book
from nodes.hub.draft import Draft
from nodes.hub.matching import Part
from nodes.hub.records import BuyRecord, ContractRecord
from nodes.hub.states import CONTRACT
from nodes.machine import CancelTimer, Refused
from nodes.states import advance
from schemas.contracts import Contract
from schemas.errors import VerificationFailed
from schemas.events import ContractEnded, ContractProposed, ContractsCompleted, QuoteReleased

PROPOSAL_SECONDS: Final = 10.0
"""A lessor's hub that has not answered a proposal by then is taken to refuse."""


def propose(book: Book, record: BuyRecord, parts: Sequence[Part]) -> BuyRecord:
    """Make a contract of every part: signed at once with own lessors, proposed to the other lessors' hubs."""
    draft, order = book.draft, record.order
    made = [(_contract(draft, record, part), part) for part in parts]
    for sell_id in record.reserved:
        book.hold(sell_id, f"buy/{order.id}", 0)
    for contract, part in made:
        if part.candidate.quote:
            _propose_to_hub(draft, contract, part.candidate.quote)
        else:
            book.hold(contract.sell.id, f"contract/{contract.id}", contract.units)
            signed = signing.sign_as_lessor_hub(contract, draft.context.sign)
            renting.begin(draft, signed)
    before = sum(found.contract.units for each in record.signed if (found := draft.contract(each)))
    proposed = tuple(contract.id for contract, part in made if part.candidate.quote)
    own = tuple(contract.id for contract, part in made if not part.candidate.quote)
    return structs.replace(
        record,
        offers=(),
        reserved=(),
        proposed=proposed,
        signed=record.signed + own,
        aimed_units=before + sum(part.units for part in parts),
        rests=_release_unused(draft, record, parts),
        proposals=record.proposals + 1,
        lacking="",
    )


def countersigned(book: Book, record: ContractRecord, contract: Contract) -> None:
    """Take the other hub's signature, if it is one, on what was proposed.

    Raises:
        Refused: the contract is not the one proposed, or does not verify.
    """
    draft = book.draft
    if structs.replace(contract, lessor_hub_signature=b"") != record.contract:
        raise Refused("not-as-proposed", f"{contract.lessor_hub} changed {contract.id} before signing it")
    try:
        verify_contract(contract, known.keys(draft), draft.context.verify)
    except VerificationFailed as error:
        raise Refused(error.code, str(error)) from error
    renting.begin(draft, contract, record.quote, record.state)


def refused(draft: Draft, record: ContractRecord) -> None:
    """The other hub does not sign what was proposed."""
    advance(CONTRACT, record.state, "refused")
    draft.delete(f"contract/{record.contract.id}")


def abandon(book: Book, contract_ids: Iterable[str], code: str) -> None:
    """Give up contracts that the renter was never given; the lessors' hubs free their units."""
    draft = book.draft
    for contract_id in contract_ids:
        key, record = f"contract/{contract_id}", draft.contract(contract_id)
        if record is None:
            continue
        advance(CONTRACT, record.state, "abandoned")
        draft.delete(key)
        if record.state == "signed":
            draft.do(CancelTimer(name=key))
        if record.quote:
            tell_unwanted(draft, record.contract, code)
        else:
            book.hold(record.contract.sell.id, key, 0)


def release_quotes(draft: Draft, hubs: Mapping[str, str], order_id: str) -> None:
    """Tell hubs, by quote id, that what they still hold for these quotes is not wanted."""
    for quote, hub in hubs.items():
        draft.send("quote.released", hub, order_id, QuoteReleased(quote=quote, order=order_id))


def tell_unwanted(draft: Draft, contract: Contract, code: str) -> None:
    """Tell the lessor's hub that the renter's hub has no use for a contract."""
    ended = ContractEnded(contract=contract.id, code=code, reason="the buy order was not matched with it")
    draft.send("contract.ended", contract.lessor_hub, contract.id, ended)


def deliver_all(book: Book, record: BuyRecord, signed: Sequence[Contract]) -> None:
    """Give the renter all contracts of its order, and lessors of this subnet theirs."""
    draft, order = book.draft, record.order
    for contract in signed:
        renting.deliver(draft, contract, contract.renter)
        if contract.lessor_hub == draft.config.me:
            renting.deliver(draft, contract, contract.lessor)
    draft.note(
        "matched",
        f"{order.id}: {sum(each.units for each in signed)} of {order.units} units, of {len(signed)} lessors",
        order=order.id,
        contracts={contract.id: _shown(contract) for contract in signed},
    )
    completed = ContractsCompleted(order=order.id, job=order.job, contracts=tuple(each.id for each in signed))
    draft.send("order.buy.matched", order.renter, order.id, completed)


def hub_asked(draft: Draft, contract_id: str) -> str:
    """The lessor's hub of a contract; empty when there is none of this id."""
    record = draft.contract(contract_id)
    return record.contract.lessor_hub if record else ""


def _contract(draft: Draft, record: BuyRecord, part: Part) -> Contract:
    order, offer = record.order, part.candidate.offer
    contract_id = draft.context.new_id("contract", order.id, offer.sell.id)
    made = signing.make_contract(contract_id, order, record.renter_key, offer, part.units, draft.now)
    certificates = known.certificates(draft, made.renter_hub, made.lessor_hub)
    made = structs.replace(made, hub_certificates=certificates)
    return signing.sign_as_renter_hub(made, draft.context.sign)


def _propose_to_hub(draft: Draft, contract: Contract, quote: str) -> None:
    state = advance(CONTRACT, "gone", "proposed")
    draft.put(f"contract/{contract.id}", ContractRecord(state=state, contract=contract, quote=quote))
    proposal = ContractProposed(quote=quote, contract=contract)
    draft.send("contract.proposed", contract.lessor_hub, contract.id, proposal)


def _release_unused(draft: Draft, record: BuyRecord, parts: Sequence[Part]) -> dict[str, str]:
    """Release quotes of which nothing is taken; those taken in part must outlive their proposals: hubs by quote."""
    taken = {(part.candidate.quote, part.candidate.offer.sell.id) for part in parts}
    used = {quote for quote, _ in taken}
    release_quotes(draft, {each.quote: each.hub for each in record.offers if each.quote not in used}, record.order.id)
    left = (each for each in record.offers if (each.quote, each.offer.sell.id) not in taken)
    return {each.quote: each.hub for each in left if each.quote in used}


def _shown(contract: Contract) -> dict[str, object]:
    return {"lessor": contract.lessor, "units": contract.units, "price_micros": contract.price_micros}
