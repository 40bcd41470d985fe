"""A leaf: a hub with one link, which of other hubs knows those only that it deals with (N4). Pure.

Theory of operation. Whatever is for others goes over its one link (`broker.topology`), so a leaf needs no ways. Keys it
needs, and whether a hub is reached at all: it tells its neighbour which hubs it deals with, and is told of these alone,
at once and whenever that changes (`telling.py`). It deals with

    its neighbour
    hubs of whose lessors the neighbour told     so that they are known before an order asks them
    a hub whose participant a renter asks for    the introduction waits for the answer (`introducing.py`)
    hubs that write to it                        believed for the certificate that they bring (`known.key_of`)

These are `HUBS_SOUGHT_MAX` at most: those that were not dealt with for longest give way, but none that a contract of
this subnet names. Of nobody else is anything kept, whatever is told. A hub that becomes a leaf forgets the others; a
leaf that becomes none asks for all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import structs

from nodes.hub import known
from nodes.hub.draft import Draft
from nodes.hub.records import ContractRecord, KnownHub, Sought, Stranger
from nodes.hub_keys import believed
from schemas.events import Event
from schemas.hubs import HUBS_SOUGHT_MAX
from schemas.ids import Address, hub_address, hub_of

USED_SECONDS: Final = 60.0
"""That a hub is still dealt with is written down no more often."""


def begin(draft: Draft) -> None:
    """This hub is a leaf, and was none perhaps: what it knows of hubs that it has nothing to do with goes."""
    mark(draft, _needed(draft))
    names = {hub_of(draft.config.me), *sought(draft)}
    for key, _ in list(draft.each(KnownHub, "known")):
        if key.partition("/")[2] not in names:
            draft.delete(key)


def end(draft: Draft) -> bool:
    """This hub is none: whether it was one, and so knows hardly any hub."""
    keys = [key for key, _ in draft.each(Sought, "sought")]
    for key in keys:
        draft.delete(key)
    return bool(keys)


def mark(draft: Draft, hubs: Iterable[str]) -> bool:
    """This leaf deals with these hubs (names) now: whether there are new ones among them."""
    is_new = False
    for hub in sorted({*hubs} - {hub_of(draft.config.me)}):
        before = draft.find(Sought, _key(hub))
        if before is None or draft.now >= before.used_at + USED_SECONDS:
            draft.put(_key(hub), Sought(used_at=draft.now))
        is_new = is_new or before is None
    if is_new:
        _make_room(draft)
    return is_new


def sought(draft: Draft) -> tuple[str, ...]:
    """All of them, as the neighbour is told: where contracts name more than that takes, those dealt with last."""
    last = sorted(draft.each(Sought, "sought"), key=lambda each: (-each[1].used_at, each[0]))
    return tuple(sorted(key.partition("/")[2] for key, _ in last[:HUBS_SOUGHT_MAX]))


def is_sought(draft: Draft, hub: str) -> bool:
    """Whether this leaf deals with a hub (a name)."""
    return draft.find(Sought, _key(hub)) is not None


def forget(draft: Draft, hub: str) -> None:
    """It does no more, or the neighbour knows no such hub."""
    draft.delete(_key(hub))
    draft.delete(known.record_key(hub))


def met(draft: Draft, event: Event) -> bool:
    """Another hub wrote to this leaf, and is believed: keep the certificate that it brought. As `mark`."""
    hub, neighbours = hub_of(event.source), draft.config.neighbours
    if event.source in {draft.config.me, *neighbours} or event.source != hub_address(hub):
        return False
    is_new = mark(draft, (hub,))
    key, verify = known.record_key(hub), draft.context.verify
    before = draft.find(KnownHub, key) or KnownHub(0, b"", (hub, *map(_name, neighbours)))
    for certificate in known.brought(event):
        kept = before.certificate
        younger = certificate.hub == hub and (kept is None or certificate.version > kept.version)
        if younger and believed(draft.config.hub_keys, certificate, event.time, verify):
            before = structs.replace(before, certificate=certificate)
            draft.put(key, before)
    return is_new


def _make_room(draft: Draft) -> None:
    more = sum(1 for _ in draft.each(Sought, "sought")) - HUBS_SOUGHT_MAX
    if more > 0:
        needed = _needed(draft)
        by_use = sorted((each.used_at, key.partition("/")[2]) for key, each in draft.each(Sought, "sought"))
        for hub in [hub for _, hub in by_use if hub not in needed][:more]:
            forget(draft, hub)


def _needed(draft: Draft) -> set[str]:
    """The neighbour, and hubs that contracts or waiting introductions name."""
    found = {*map(_name, draft.config.neighbours)}
    for _, record in draft.each(ContractRecord, "contract"):
        found |= {_name(record.contract.renter_hub), _name(record.contract.lessor_hub)}
    return found | {_name(each.partner) for _, each in draft.each(Stranger, "stranger")}


def _name(address: str) -> str:
    return hub_of(Address(address))


def _key(hub: str) -> str:
    return f"sought/{hub}"
