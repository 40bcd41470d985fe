"""Which hubs cannot be reached now, and why: links to hubs on other brokers that do not carry (N2, N3). Pure.

How that is found is `nodes/runtime/links.py`; here it is kept and acted on. Over a lost link nobody is asked for a
quote, and none is awaited; whoever is refused for it reads which link it was. Where another way is found
(`announcing.py`), what follows goes there; what is on its way waits at the bridge and arrives once the link carries
again; then orders that wait are tried at once. Renters of this subnet whose jobs wait for it are told, and told again
when it carries: those with contracts over it at once, others when an order finds too little.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from nodes.draft import data_of
from nodes.hub import announcing
from nodes.hub.book import Book
from nodes.hub.draft import Draft
from nodes.hub.records import ContractRecord, LinkRecord, ToldRecord
from nodes.runtime.links import LinkChanged
from schemas.events import Event, LinkReported
from schemas.ids import Address, hub_address
from schemas.limits import LESSORS_PER_JOB_MAX

TOLD_MAX: Final = 4096
"""Jobs, of all lost links together: whoever has more waits without being told why."""


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
        gone = tuple(sorted({*alone, *announcing.link_lost(book, data.neighbour)}))
        _tell_rented(draft, data.neighbour, data.why, gone)
        return gone
    if not data.why and known is not None:
        draft.delete(key)
        seconds = round(draft.now - known.lost_at, 1)
        draft.note("link-restored", f"{link}: lost for {seconds} s", neighbour=data.neighbour, seconds=seconds)
        _tell_carries(draft, data.neighbour)
        announcing.link_restored(book, data.neighbour)
        book.announce(lambda _: True)
    return ()


def reaches(draft: Draft, hub: str) -> bool:
    """Whether the first link on the way to this hub carries, as far as is known."""
    way = announcing.way_of(draft, hub)
    if way is not None and not way:
        return False
    if draft.config.leaf:
        via: str | None = draft.config.neighbours[0]
    else:
        via = draft.config.bridged.get(hub) if way is None else hub_address(way[-1])
    return via is None or draft.find(LinkRecord, f"link/{via}") is None


def lost(draft: Draft) -> str:
    """For people: which links do not carry now, or nothing."""
    names = sorted(key.partition("/")[2] for key, _ in draft.each(LinkRecord, "link"))
    return "".join(f"; the link from {draft.config.me} to {name} is down" for name in names)


def tell_waiting(draft: Draft, renter: Address, job: str) -> None:
    """A job finds too little while links are lost: its renter is told which, once."""
    for key, record in sorted(draft.each(LinkRecord, "link"), key=lambda each: each[0]):
        _tell_lost(draft, renter, LinkReported(job=job, neighbour=Address(key.partition("/")[2]), why=record.why))


def _tell_rented(draft: Draft, neighbour: str, why: str, gone: Collection[str]) -> None:
    rented: dict[tuple[str, str], list[str]] = {}
    for _, record in draft.each(ContractRecord, "contract"):
        contract = record.contract
        mine = record.state == "signed" and contract.renter_hub == draft.config.me
        if mine and contract.lessor_hub in gone:
            rented.setdefault((contract.renter, contract.buy.job), []).append(contract.id)
    for (renter, job), contracts in sorted(rented.items()):
        over = tuple(sorted(contracts)[:LESSORS_PER_JOB_MAX])
        lost = LinkReported(job=job, neighbour=Address(neighbour), why=why, contracts=over)
        _tell_lost(draft, Address(renter), lost)


def _tell_lost(draft: Draft, renter: Address, data: LinkReported) -> None:
    key = f"told/{data.neighbour}/{data.job}"
    if draft.find(ToldRecord, key) is None and draft.count("told") < TOLD_MAX:
        draft.put(key, ToldRecord(renter=renter))
        draft.send("link.reported", renter, data.job, data)


def _tell_carries(draft: Draft, neighbour: str) -> None:
    for key, told in sorted(draft.each(ToldRecord, f"told/{neighbour}"), key=lambda each: each[0]):
        job = key.rpartition("/")[2]
        draft.delete(key)
        draft.send("link.reported", told.renter, job, LinkReported(job=job, neighbour=Address(neighbour)))
