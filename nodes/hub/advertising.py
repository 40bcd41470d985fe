"""How word of compute spreads from neighbour to neighbour (N4). Pure.

Every few seconds, when something changed, a hub tells each neighbour of the best hubs that it knows of, itself among
them, but not of those that it knows from that neighbour. Word of a hub is renewed while it has lessors, and dropped
when it is old; so all hubs soon know who is best, and none keeps or sends more than so many words per neighbour,
however many hubs there are. With few hubs everybody is told of everybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple
from zlib import crc32

from msgspec import structs

from nodes.draft import data_of
from nodes.hub import telling
from nodes.hub.book import Book
from nodes.hub.draft import Draft
from nodes.hub.records import HeardRecord, Own
from nodes.hub.terms import may_serve
from nodes.machine import Refused, SetTimer
from schemas import limits
from schemas.contracts import Contract
from schemas.events import CapacityAdvertised, Event, MarketRequested, MarketTold
from schemas.ids import Address, hub_of
from schemas.orders import PROTECTIONS, Capacity, Protection

RENEW_SECONDS: Final = limits.CAPACITY_SECONDS_MAX / 3
"""Word of a subnet with lessors goes out again after so long, also where nothing changed."""


class Word(NamedTuple):
    """The newest word on a hub, how old it is now, and the neighbour from whom it came: nobody, for the own hub."""

    capacity: Capacity
    age_seconds: float
    via: str = ""


def advertised(book: Book, event: Event) -> None:
    """`capacity.advertised`: all that a neighbour knows now; older than what it told before is ignored.

    Raises:
        Refused: not-a-neighbour.
    """
    draft, told = book.draft, data_of(event, CapacityAdvertised).capacities
    renting: set[str] = set()
    if event.source not in draft.config.neighbours:
        raise Refused("not-a-neighbour", f"{event.source} is not linked to {draft.config.me}; tell your neighbours")
    news: list[Capacity] = []
    for protection in PROTECTIONS:
        key = f"heard/{protection}/{event.source}"
        before = draft.find(HeardRecord, key)
        if before is not None and event.time < before.said_at:
            return
        known = words(draft, protection)
        best = [each for each in told if each.protection == protection][: limits.CAPACITIES_PER_NEIGHBOUR_MAX]
        news += (each for each in best if each.hub not in known or known[each.hub].capacity.at < each.at)
        draft.put(key, HeardRecord(capacities=tuple(best), said_at=event.time, heard_at=draft.now))
        renting |= {hub_of(Address(each.hub)) for each in best if each.memory_mib}
    telling.seek(draft, renting)
    _spread(book, [each for each in news if each.hub != draft.config.me])


def corrected(book: Book, event: Event, told: Iterable[Capacity]) -> None:
    """What a hub says of itself takes the place of what neighbours told of it.

    Raises:
        Refused: wrong-hub.
    """
    draft, news = book.draft, list[Capacity]()
    for capacity in told:
        if capacity.hub != event.source:
            raise Refused("wrong-hub", f"{event.source} cannot speak for {capacity.hub}; tell only of your own subnet")
        if event.source in draft.config.neighbours and not told_lately(draft, capacity.protection, event.source):
            first = HeardRecord(capacities=(capacity,), said_at=0.0, heard_at=draft.now)
            draft.put(f"heard/{capacity.protection}/{event.source}", first)
            news.append(capacity)
        for key, record in list(draft.each(HeardRecord, f"heard/{capacity.protection}")):
            kept = tuple(_younger(each, capacity) for each in record.capacities)
            if kept != record.capacities:
                draft.put(key, structs.replace(record, capacities=kept))
                news.append(capacity)
    _spread(book, news)


def freed(book: Book, contract: Contract) -> None:
    """A renter of this subnet ended a contract: its units are free at the lessor's hub, as that will tell itself."""
    draft, news = book.draft, list[Capacity]()
    for protection in contract.sell.protections:
        for key, record in list(draft.each(HeardRecord, f"heard/{protection}")):
            kept = tuple(_with_freed(each, contract) for each in record.capacities)
            if kept != record.capacities:
                draft.put(key, structs.replace(record, capacities=kept))
                news += (each for each in kept if each.hub == contract.lessor_hub)
    if news:
        book.announce(lambda buy: any(may_serve(each, buy) for each in news))


def told_lately(draft: Draft, protection: Protection, neighbour: str) -> bool:
    """Whether a neighbour's word still counts."""
    record = draft.find(HeardRecord, f"heard/{protection}/{neighbour}")
    return record is not None and draft.now < record.heard_at + limits.CAPACITY_SECONDS_MAX


def tell(book: Book) -> None:
    """Timer: tell the neighbours, if there is anything new; plan when to tell them again that nothing is."""
    draft = book.draft
    before = draft.find(Own, "hub") or Own()
    own = _own(book, before.told)
    living = [each.at for each in own if each.memory_mib]
    tells_at = max(draft.now, min(living) + RENEW_SECONDS) if living else 0.0
    if tells_at:
        draft.do(SetTimer(name="advertise", at=tells_at))
    if own == before.told and not before.has_news:
        draft.put("hub", structs.replace(before, tells_at=tells_at))
        return
    draft.put("hub", Own(told=own, told_at=draft.now, tells_at=tells_at))
    known = [_to_tell(draft, each) for each in own]
    for to in draft.config.neighbours:
        best = tuple(capacity for each in known for capacity in _best(to, each))
        draft.send("capacity.advertised", to, to, CapacityAdvertised(capacities=best))


def last_told(book: Book) -> tuple[Capacity, ...]:
    """What the neighbours were told last of this subnet; nothing while the first such news are under way."""
    own = book.draft.find(Own, "hub") or Own()
    return own.told if own.told or own.tells_at else book.capacities()


def market_requested(book: Book, event: Event) -> None:
    """`market.requested`: people at a node want to know what compute there is."""
    found = known(book)
    told, more = found[: limits.CAPACITIES_TOLD_MAX], max(0, len(found) - limits.CAPACITIES_TOLD_MAX)
    answer = MarketTold(event=event.id, capacities=tuple(told), more=more)
    book.draft.send("market.told", event.source, event.id, answer, lane=data_of(event, MarketRequested).lane)


def known(book: Book) -> list[Capacity]:
    """All that is known now, with its age: of the own subnet, then of others, those with the most units first."""
    draft = book.draft
    own = [structs.replace(each, age_seconds=_age(draft.now - each.at)) for each in book.capacities()]
    heard = [
        structs.replace(word.capacity, age_seconds=_age(word.age_seconds))
        for protection in PROTECTIONS
        for word in words(draft, protection).values()
    ]
    return own + sorted(heard, key=lambda each: (-each.units, each.hub))


def _age(seconds: float) -> float:
    return min(max(0.0, seconds), limits.CAPACITY_SECONDS_MAX)


def words(draft: Draft, protection: Protection) -> dict[str, Word]:
    """The newest word on each other hub, by hub, none too old; of equally new ones the nearest."""
    found: dict[str, Word] = {}
    for key, record in sorted(draft.each(HeardRecord, f"heard/{protection}"), key=lambda each: each[0]):
        via, held_seconds = key.rpartition("/")[2], max(0.0, draft.now - record.heard_at)
        for each in record.capacities:
            known, age_seconds = found.get(each.hub), each.age_seconds + held_seconds
            if age_seconds >= limits.CAPACITY_SECONDS_MAX or each.hub == draft.config.me:
                continue
            if known is None or (known.capacity.at, -known.capacity.hops) < (each.at, -each.hops):
                found[each.hub] = Word(each, age_seconds, via)
    return found


def _to_tell(draft: Draft, own: Capacity) -> list[tuple[Capacity, str]]:
    """All that is known under a protection, as it is told on, and by whom it was told."""
    mine = Word(structs.replace(own, hops=-1), draft.now - own.at)
    return [
        (structs.replace(word.capacity, age_seconds=word.age_seconds, hops=word.capacity.hops + 1), word.via)
        for word in (mine, *words(draft, own.protection).values())
        if 0 <= word.age_seconds < limits.CAPACITY_SECONDS_MAX and word.capacity.hops < limits.HOPS_MAX
    ]


def _best(to: str, known: Iterable[tuple[Capacity, str]]) -> list[Capacity]:
    """What one neighbour is told of it: the best, without what it told itself."""
    others = [capacity for capacity, via in known if to not in (via, capacity.hub)]
    return sorted(others, key=lambda each: _rank(each, to))[: limits.CAPACITIES_PER_NEIGHBOUR_MAX]


def _rank(capacity: Capacity, to: str) -> tuple[bool, int, int, int]:
    """Sorts best first: what is free, cheap and near; of equals each neighbour hears of others."""
    chance = crc32(f"{capacity.hub}>{to}".encode())
    return not capacity.units, capacity.price_micros, capacity.hops, chance


def _own(book: Book, told: tuple[Capacity, ...]) -> tuple[Capacity, ...]:
    """This subnet under each protection: as told before where that is still so, and needs no renewal."""
    before = {each.protection: each for each in told}
    return tuple(_renewed(before.get(each.protection), each) for each in book.capacities())


def _renewed(before: Capacity | None, now: Capacity) -> Capacity:
    if before is None or structs.replace(before, at=now.at) != now:
        return now
    return now if now.memory_mib and now.at >= before.at + RENEW_SECONDS else before


def _younger(before: Capacity, after: Capacity) -> Capacity:
    """The newer of two words on one hub; as far away as the older, and no younger than what it lies among."""
    if before.hub != after.hub or before.at >= after.at:
        return before
    return structs.replace(after, hops=before.hops, age_seconds=0.0)


def _with_freed(before: Capacity, contract: Contract) -> Capacity:
    if before.hub != contract.lessor_hub or not before.memory_mib:
        return before
    price = min(before.price_micros, contract.price_micros) if before.units else contract.price_micros
    return structs.replace(before, units=before.units + contract.units, price_micros=price)


def _spread(book: Book, news: list[Capacity]) -> None:
    """See that the neighbours are told, and that waiting orders are tried which this may help."""
    if not news:
        return
    own = book.draft.find(Own, "hub") or Own()
    book.draft.put("hub", structs.replace(own, has_news=True))
    book.changed()
    book.announce(lambda buy: any(may_serve(each, buy) for each in news))
