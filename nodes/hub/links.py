"""Which hubs cannot be reached now, and why: links to hubs on other brokers that do not carry (N2, N3). Pure.

How that is found is `nodes/runtime/links.py`; here it is kept and acted on. Over a lost link nobody is asked for a
quote, and none is awaited; whoever is refused for it reads which link it was. Where another way is found
(`announcing.py`), what follows goes there; what is on its way waits at the bridge and arrives once the link carries
again; then orders that wait are tried at once.
"""

from __future__ import annotations

from nodes.draft import data_of
from nodes.hub import announcing
from nodes.hub.book import Book
from nodes.hub.draft import Draft
from nodes.hub.records import LinkRecord
from nodes.runtime.links import LinkChanged
from schemas.events import Event
from schemas.ids import hub_address


def changed(book: Book, event: Event) -> tuple[str, ...]:
    """`link.changed`: keep it, and name it in the journal; the hubs that cannot be reached any more."""
    draft, data = book.draft, data_of(event, LinkChanged)
    key, link = f"link/{data.neighbour}", f"{draft.config.me} to {data.neighbour}"
    known = draft.find(LinkRecord, key)
    if data.why and known is None:
        draft.put(key, LinkRecord(why=data.why, lost_at=draft.now))
        draft.note("link-lost", f"{link}: {data.why}", neighbour=data.neighbour)
        untold = (hub for hub, via in draft.config.bridged.items() if via == data.neighbour)
        alone = [hub for hub in untold if announcing.way_of(draft, hub) is None]
        return tuple(sorted({*alone, *announcing.link_lost(book, data.neighbour)}))
    if not data.why and known is not None:
        draft.delete(key)
        seconds = round(draft.now - known.lost_at, 1)
        draft.note("link-restored", f"{link}: lost for {seconds} s", neighbour=data.neighbour, seconds=seconds)
        announcing.link_restored(book, data.neighbour)
        book.announce(lambda _: True)
    return ()


def reaches(draft: Draft, hub: str) -> bool:
    """Whether the first link on the way to this hub carries, as far as is known."""
    way = announcing.way_of(draft, hub)
    if way is not None and not way:
        return False
    via = draft.config.bridged.get(hub) if way is None else hub_address(way[-1])
    return via is None or draft.find(LinkRecord, f"link/{via}") is None


def lost(draft: Draft) -> str:
    """For people: which links do not carry now, or nothing."""
    names = sorted(key.partition("/")[2] for key, _ in draft.each(LinkRecord, "link"))
    return "".join(f"; the link from {draft.config.me} to {name} is down" for name in names)
