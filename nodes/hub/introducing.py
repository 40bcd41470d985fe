"""How a hub introduces a renter of its subnet to a partner of another's (N4). Pure, and keeps none of them.

    renter ──introduction.requested──► hub A     puts in the renter's key
    hub A ──introduction.proposed──► hub C       puts in the partner's key, and signs
    hub C ──introduction.countersigned──► hub A  signs too
    hub A ──introduction.made──► renter

Where both belong to one hub, it signs twice and asks nobody. A leaf that does not know hub C looks it up first.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec import structs

from nodes.draft import data_of
from nodes.hub import announcing, known, links, telling
from nodes.hub.book import Book
from nodes.hub.draft import Draft
from nodes.hub.members import attached_key
from nodes.hub.records import Stranger
from nodes.machine import CancelTimer, Refused, SetTimer
from schemas.events import Event
from schemas.ids import Address, hub_address, hub_of
from schemas.joint import Introduction, IntroductionProposed, IntroductionRefused, IntroductionRequested
from schemas.signing import struct_bytes

LOOK_UP_SECONDS: Final = 10.0
"""A neighbour that has not answered by then is taken to know no such hub."""
STRANGERS_MAX: Final = 256
"""Introductions that wait for that at a time; others are refused."""


def requested(book: Book, event: Event) -> None:
    """`introduction.requested`: by a renter of this subnet. A leaf looks up a hub that it does not know."""
    draft, data = book.draft, data_of(event, IntroductionRequested)
    _key(draft, event.source)
    wanted = Stranger(renter=event.source, partner=Address(data.partner))
    if _looks_up(draft, hub_of(wanted.partner)):
        draft.put(f"stranger/{data.job}", wanted)
        draft.do(SetTimer(name=f"stranger/{data.job}", at=draft.now + LOOK_UP_SECONDS))
        telling.seek(draft, (hub_of(wanted.partner),))
    else:
        _introduce(draft, data.job, wanted)


def _looks_up(draft: Draft, hub: str) -> bool:
    """Whether it is worth while to ask the neighbour for a hub; only so many are waited for."""
    address, config = hub_address(hub), draft.config
    unknown = config.leaf and address != config.me and known.keys(draft).get(address) is None
    return unknown and links.reaches(draft, address) and draft.count("stranger") < STRANGERS_MAX


def looked_up(book: Book, hubs: Collection[str]) -> None:
    """The neighbour has told of these hubs, or that it knows no such: introductions go on that waited for that."""
    waiting = sorted(book.draft.each(Stranger, "stranger"), key=lambda each: each[0])
    for key, wanted in waiting:
        if hub_of(wanted.partner) in hubs:
            book.draft.do(CancelTimer(name=key))
            overdue(book, key.partition("/")[2])


def overdue(book: Book, job: str) -> None:
    """Timer: a hub was looked up for long enough; what is known now counts."""
    draft, key = book.draft, f"stranger/{job}"
    wanted = draft.find(Stranger, key)
    if wanted is None:
        return
    draft.delete(key)
    if attached_key(draft, wanted.renter) is None:
        draft.note("late", f"{wanted.renter} has left, and is introduced to nobody", job=job)
    else:
        _introduce(draft, job, wanted)


def _introduce(draft: Draft, job: str, wanted: Stranger) -> None:
    partner_hub = hub_address(hub_of(wanted.partner))
    introduction = Introduction(
        job=job,
        renter=wanted.renter,
        partner=wanted.partner,
        renter_hub=draft.config.me,
        partner_hub=partner_hub,
        renter_key=_key(draft, wanted.renter),
        made_at=draft.now,
        hub_certificates=known.certificates(draft, draft.config.me, partner_hub),
    )
    if known.keys(draft).get(partner_hub) is None:
        reason = f"{draft.config.me} knows no hub {partner_hub}{links.lost(draft)}"
        _refuse(draft, introduction, code="unknown-hub", reason=reason)
    elif announcing.way_of(draft, partner_hub) == () and partner_hub != draft.config.me:
        reason = f"no link that carries leads from {draft.config.me} to {partner_hub} now"
        _refuse(draft, introduction, code=announcing.NO_WAY, reason=reason)
    elif partner_hub == draft.config.me:
        _vouch(draft, introduction)
    else:
        draft.send("introduction.proposed", partner_hub, job, IntroductionProposed(introduction=introduction))


def proposed(book: Book, event: Event) -> None:
    """`introduction.proposed`: a participant of this subnet is asked for."""
    draft, introduction = book.draft, data_of(event, IntroductionProposed).introduction
    if event.source != introduction.renter_hub or hub_address(hub_of(Address(introduction.renter))) != event.source:
        raise Refused("wrong-hub", f"{event.source} cannot vouch for {introduction.renter}")
    if introduction.partner_hub != draft.config.me:
        raise Refused("wrong-hub", f"{introduction.partner} does not belong to {draft.config.me}")
    _vouch(draft, introduction)


def countersigned(book: Book, event: Event) -> None:
    """`introduction.countersigned`: the partner's hub has signed; this one signs what names its renter's own key."""
    draft, introduction = book.draft, data_of(event, IntroductionProposed).introduction
    if event.source != introduction.partner_hub or introduction.renter_hub != draft.config.me:
        raise Refused("wrong-hub", f"{event.source} cannot vouch for {introduction.partner}")
    if introduction.renter_key != _key(draft, introduction.renter):
        raise Refused("wrong-key", f"{event.source} changed the key of {introduction.renter}")
    key, signed = known.keys(draft).get(event.source), struct_bytes(introduction)
    if key is None or not draft.context.verify(key, signed, introduction.partner_hub_signature):
        raise Refused("partner-hub-signature", f"{event.source} has not signed this introduction")
    made = structs.replace(introduction, renter_hub_signature=draft.context.sign(signed))
    draft.send("introduction.made", made.renter, made.job, IntroductionProposed(introduction=made))


def refused(book: Book, event: Event) -> None:
    """`introduction.refused`: the partner's hub knows no such participant; the renter is told."""
    draft, data = book.draft, data_of(event, IntroductionRefused)
    if event.source != hub_address(hub_of(Address(data.partner))):
        raise Refused("wrong-hub", f"{event.source} is not the hub of {data.partner}")
    _key(draft, data.renter)
    draft.send("introduction.refused", data.renter, data.job, data)


def _vouch(draft: Draft, introduction: Introduction) -> None:
    """As the partner's hub: its key, and this hub's signature."""
    key = attached_key(draft, introduction.partner)
    if key is None:
        _refuse(
            draft,
            introduction,
            code="unknown-partner",
            reason=f"{draft.config.me} has no participant {introduction.partner}",
        )
        return
    whole = structs.replace(introduction, partner_key=key)
    signature = draft.context.sign(struct_bytes(whole))
    signed = structs.replace(whole, partner_hub_signature=signature)
    if introduction.renter_hub == draft.config.me:
        both = structs.replace(signed, renter_hub_signature=signature)
        draft.send("introduction.made", both.renter, both.job, IntroductionProposed(introduction=both))
    else:
        data = IntroductionProposed(introduction=signed)
        draft.send("introduction.countersigned", introduction.renter_hub, introduction.job, data)


def _refuse(draft: Draft, introduction: Introduction, *, code: str, reason: str) -> None:
    data = IntroductionRefused(
        job=introduction.job, renter=introduction.renter, partner=introduction.partner, code=code, reason=reason
    )
    to = introduction.renter if introduction.renter_hub == draft.config.me else introduction.renter_hub
    draft.send("introduction.refused", to, introduction.job, data)


def _key(draft: Draft, participant: str) -> bytes:
    key = attached_key(draft, participant)
    if key is None:
        raise Refused("unknown-renter", f"{participant} does not belong to {draft.config.me}")
    return key
