"""Who is attached to a hub (N4): joins, changes of key or password, leaving. Pure.

The hub's files say who was there when the network was made, its records who came, changed or left since: a record wins.
All of its workers read it with every event, so nothing is started again. The operator decides and is named; what a
participant asked for is signed by its key, and a new key by the one before:

    attached ──request with former key──► attached, both keys count ──time, or operator──► attached, the newest counts
        └──removed──► left: orders are withdrawn and none taken; the key goes on counting for receipts

While both keys count, the hub names the former one, in contracts and introductions: whoever knows that believes the
other too (`schemas.succession`), so processes of the participant may change over one after the other.
"""

from __future__ import annotations

from msgspec import structs

from broker.network import is_reserved
from nodes.draft import data_of
from nodes.hub import renting, rounds
from nodes.hub.book import Book
from nodes.hub.directory import HubConfig
from nodes.hub.draft import Draft
from nodes.hub.records import BuyRecord, ContractRecord, Member, SellRecord
from nodes.hub.states import BUY_OPEN
from nodes.machine import CancelTimer, Refused, SetTimer, Verify
from schemas import limits
from schemas.events import ContractEnded, Event
from schemas.ids import Address, hub_of, name_of
from schemas.membership import JoinRequest, ParticipantAdmitted, ParticipantRemoved, ParticipantSettled
from schemas.signing import struct_bytes

LEFT = "participant-left"
"""Why a contract ends with one of its parties' leaving."""


def check_request(request: JoinRequest, hub: str, verify: Verify) -> None:
    """What a request has to be, whoever is attached.

    Raises:
        Refused: wrong-hub, reserved-name, request-signature or former-signature.
    """
    address = Address(request.address)
    if hub_of(address) != hub:
        raise Refused("wrong-hub", f"{address} belongs to hub {hub_of(address)}, and this is {hub}")
    if is_reserved(name_of(address)):
        raise Refused("reserved-name", f"{name_of(address)} cannot be a participant's name: hubs use it")
    signed = struct_bytes(request)
    if not verify(request.public_key, signed, request.signature):
        raise Refused("request-signature", f"the request of {address} is not signed by its key: let it be made again")
    if request.former_key and not verify(request.former_key, signed, request.former_signature):
        raise Refused("former-signature", f"the request of {address} is not signed by its former key")


def changed(before: Member | None, data: ParticipantAdmitted) -> Member:
    """The participant as it is from now on; `before` as it is until then, None for a new one.

    Raises:
        Refused: not-attached, name-taken, stale-request, change-under-way or no-password.
    """
    request = data.request
    if before is None or before.left:
        return _joined(before, request)
    if request.made_at <= before.asked_at:
        raise Refused("stale-request", f"another request of {request.address} that is as young was admitted before")
    same = request.public_key == before.key
    if not same and not data.lost and request.former_key != before.key:
        raise Refused(
            "name-taken",
            f"{request.address} is known by another key, which has not signed this: ask for another name, or if that "
            "key is lost, say so",
        )
    if not data.lost and (before.newest or before.retiring) and data.until:
        raise Refused("change-under-way", f"the last change of {request.address} is not settled yet: settle it first")
    both, renewed = not same and not data.lost and data.until > 0, bool(request.password_hash)
    return structs.replace(
        before,
        key=before.key if both else request.public_key,
        newest=request.public_key if both else b"",
        until=data.until if both or renewed else 0.0,
        account=1 - before.account if renewed else before.account,
        retiring=renewed and data.until > 0,
        version=before.version + 1,
        asked_at=request.made_at,
    )


def _joined(before: Member | None, request: JoinRequest) -> Member:
    if request.former_key:
        raise Refused("not-attached", f"{request.address} is not attached here: let it ask to join")
    if not request.password_hash:
        raise Refused("no-password", f"the request of {request.address} brings no password for its account")
    if before is not None and request.made_at <= before.asked_at:
        raise Refused("stale-request", f"{request.address} left after it had made this request: let it make a new one")
    return Member(
        role=request.role,
        lanes=request.lanes,
        key=request.public_key,
        version=1 if before is None else before.version + 1,
        asked_at=request.made_at,
    )


def is_repeated(before: Member | None, request: JoinRequest) -> bool:
    """Whether this very request was the last one admitted."""
    if before is None or before.left or before.asked_at != request.made_at:
        return False
    return request.public_key in (before.key, before.newest)


def settled_member(before: Member) -> Member:
    """The participant when only its newest key and password count."""
    return structs.replace(before, key=before.newest or before.key, newest=b"", until=0.0, retiring=False)


# ---------------------------------------------------------------- events


def admitted(book: Book, event: Event) -> None:
    """`participant.admitted`: by the operator, as the participant asked."""
    draft, data = book.draft, data_of(event, ParticipantAdmitted)
    request, before = data.request, draft.member(data.request.address)
    if is_repeated(before, request):
        draft.note("late", f"{request.address} was admitted so before")
        return
    check_request(request, hub_of(draft.config.me), draft.context.verify)
    after = changed(before or founder(draft.config, request), data)
    draft.put(f"member/{request.address}", after)
    timer = f"member/{request.address}"
    draft.do(SetTimer(name=timer, at=after.until) if after.newest else CancelTimer(name=timer))
    what = "admitted" if before is None or before.left else "changed"
    draft.note(what, f"{request.address}, by {data.by}", version=after.version, lost=data.lost, until=after.until)


def founder(config: HubConfig, request: JoinRequest) -> Member | None:
    """Whom a request comes from as the hub's files name it; None where they do not."""
    key = config.participants.get(request.address)
    return None if key is None else structs.replace(founded(request), key=key)


def founded(request: JoinRequest) -> Member:
    """A participant that was there when the network was made."""
    return Member(role=request.role, lanes=request.lanes, key=request.public_key, version=1)


def settled(book: Book, event: Event) -> None:
    """`participant.settled`: the former key and password count no more."""
    data = data_of(event, ParticipantSettled)
    _settle(book.draft, data.address, f"by {data.by}")


def overlapped(book: Book, participant: str) -> None:
    """Timer: the former key's time is over. The account on the broker is the operator's to remove."""
    record = book.draft.member(participant)
    if record is not None and record.newest and record.until <= book.draft.now:
        key = structs.replace(record, key=record.newest, newest=b"")
        book.draft.put(f"member/{participant}", key)
        book.draft.note("settled", f"{participant} is known by its new key only")


def _settle(draft: Draft, participant: str, why: str) -> None:
    record = draft.member(participant)
    if record is None or settled_member(record) == record:
        draft.note("late", f"nothing of {participant} is to be settled")
        return
    draft.put(f"member/{participant}", settled_member(record))
    draft.do(CancelTimer(name=f"member/{participant}"))
    draft.note("settled", f"{participant} is known by its new key and account only, {why}")


def removed(book: Book, event: Event) -> None:
    """`participant.removed`: nothing new is agreed with it; with `ends` what is agreed ends."""
    draft, data = book.draft, data_of(event, ParticipantRemoved)
    record, key = draft.member(data.address), draft.config.participants.get(data.address)
    if record is None and key is None:
        raise Refused("not-attached", f"{data.address} is not attached to {draft.config.me}")
    before = record or Member(key=key or b"", version=1)
    draft.put(f"member/{data.address}", structs.replace(settled_member(before), left=True, asked_at=draft.now))
    _withdraw(book, data.address)
    if data.ends:
        _end(book, data)
    draft.note("removed", f"{data.address}, by {data.by}: {data.reason}", ends=data.ends)


def _withdraw(book: Book, participant: str) -> None:
    draft = book.draft
    sells = sorted(key for key, each in draft.each(SellRecord, "sell") if each.order.lessor == participant)
    for key in sells:
        record = draft.find(SellRecord, key)
        if record is not None:
            book.write(structs.replace(record, workers={}, cancelled=True, said_at=draft.now))
    buys = sorted(key for key, each in draft.each(BuyRecord, "buy") if each.order.renter == participant)
    for key in buys:
        buy = draft.find(BuyRecord, key)
        if buy is not None and buy.state in BUY_OPEN:
            rounds.close(book, buy, "cancelled")


def _end(book: Book, data: ParticipantRemoved) -> None:
    found = sorted(book.draft.each(ContractRecord, "contract"), key=lambda pair: pair[0])
    for _, record in found:
        contract = record.contract
        if record.state != "signed" or data.address not in (contract.renter, contract.lessor):
            continue
        reason = f"{data.address} leaves {hub_of(Address(data.address))}"[: limits.REASON_CHARS_MAX]
        ended = ContractEnded(contract=contract.id, code=LEFT, reason=reason)
        renting.end(book, record, ended, by_lessor=contract.lessor == data.address)
        subject = contract.id if contract.lessor == data.address else contract.buy.job
        book.draft.send("contract.ended", data.address, subject, ended)
