"""What a hub tells its neighbours of hubs: what changed, at once or after a pause; leaves, what they seek (N4). Pure.

A neighbour is told at once where it was told nothing for `ANNOUNCE_SECONDS`, else then. One that is a leaf
(`nodes/hub/leaf.py`) is told of this hub and of those that it seeks. A leaf itself tells of nobody but itself, and with
that whom it seeks, always all of them: so word that is lost or late does no harm.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import structs

from nodes.hub import known, leaf
from nodes.hub.book import Book
from nodes.hub.draft import Draft
from nodes.hub.records import KnownHub, LinkRecord, Seeking, Telling
from nodes.machine import SetTimer
from schemas import limits
from schemas.events import Event
from schemas.hubs import HUBS_TOLD_MAX, PATH_HUBS_MAX, HubAnnouncement, HubsAnnounced
from schemas.ids import hub_of


def plan(draft: Draft, neighbour: str, hubs: Iterable[str]) -> None:
    """See that a neighbour is told of these, as far as they are for it, at most every `ANNOUNCE_SECONDS`."""
    before = draft.find(Telling, f"telling/{neighbour}")
    if before is None or draft.find(LinkRecord, f"link/{neighbour}") is not None:
        return
    after = structs.replace(before, hubs=tuple(sorted(_for(draft, neighbour, {*before.hubs, *hubs}))))
    if after.hubs and not after.tells_at:
        at = max(draft.now, after.told_at + limits.ANNOUNCE_SECONDS)
        after = structs.replace(after, tells_at=at)
        draft.do(SetTimer(name=f"announce/{neighbour}", at=at))
    draft.put(f"telling/{neighbour}", after)


def tell(book: Book, neighbour: str) -> None:
    """Timer: tell a neighbour of what changed since."""
    draft, record = book.draft, book.draft.find(Telling, f"telling/{neighbour}")
    if record is None or not record.hubs:
        return
    now, later = record.hubs[:HUBS_TOLD_MAX], record.hubs[HUBS_TOLD_MAX:]
    announced, lost = list[HubAnnouncement](), list[str]()
    for hub in now:
        told = _told(draft, hub)
        if told is None:
            lost.append(hub)
        else:
            announced.append(told)
    seeks = leaf.sought(draft) if draft.config.leaf else None
    number = record.number + 1
    data = HubsAnnounced(number=number, announced=tuple(announced), lost=tuple(lost), asks=record.asks, seeks=seeks)
    draft.send("hubs.announced", neighbour, neighbour, data)
    draft.put(f"telling/{neighbour}", Telling(number=number, heard=record.heard, told_at=draft.now))
    if later:
        plan(draft, neighbour, later)


def seek(draft: Draft, hubs: Iterable[str]) -> None:
    """As a leaf: deal with these hubs (names), and see that the neighbour hears of new ones. Ordinary hubs: nothing."""
    if draft.config.leaf and leaf.mark(draft, hubs):
        tell_sought(draft)


def tell_sought(draft: Draft) -> None:
    """As a leaf: whom it seeks is another than before."""
    for neighbour in draft.config.neighbours:
        plan(draft, neighbour, (hub_of(draft.config.me),))


def asked(draft: Draft, event: Event, data: HubsAnnounced, known_hubs: Iterable[str]) -> Collection[str]:
    """Of which hubs a neighbour is to be told for what it said of itself: that it is new, or a leaf that seeks some."""
    key = f"seeking/{event.source}"
    before = draft.find(Seeking, key)
    if before is not None and data.number < before.number:
        return ()
    if data.seeks is None:
        draft.delete(key)
        return {*known_hubs} if data.asks or before is not None else ()
    draft.put(key, Seeking(hubs=data.seeks, number=data.number))
    return {*data.seeks} - (set() if data.asks or before is None else {*before.hubs})


def _for(draft: Draft, neighbour: str, hubs: set[str]) -> set[str]:
    """Those of which this neighbour is to hear: also of earlier plans, so that no leaf fills its neighbour."""
    me = hub_of(draft.config.me)
    if draft.config.leaf:
        return hubs & {me}
    seeking = draft.find(Seeking, f"seeking/{neighbour}")
    return hubs if seeking is None else hubs & {me, *seeking.hubs}


def _told(draft: Draft, hub: str) -> HubAnnouncement | None:
    """What this hub tells on of a hub; None where it has no way there."""
    record, me = draft.find(KnownHub, known.record_key(hub)), hub_of(draft.config.me)
    if record is None or not (record.path or hub == me) or len(record.path) >= PATH_HUBS_MAX:
        return None
    return HubAnnouncement(hub, record.sequence, (*record.path, me), record.certificate, record.signature)
