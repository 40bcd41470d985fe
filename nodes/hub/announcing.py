"""How hubs learn of each other, and of the ways there: a path vector, from neighbour to neighbour (N3, N4). Pure.

Theory of operation. Every hub announces itself to its neighbours, signed; whoever hears of a hub tells it on, with its
own name at the end of the path. Of the ways to a hub one is kept, and this is told:

    the shortest; of equal ones the older     what its next hop tells anew takes its place, be it longer
    lost     its link is lost, its next hop lost it, or leads over this hub; then this is told, and every neighbour
             that has a way which does not lead over the teller tells it

A path names all hubs on it, so nobody takes a way that leads over itself, and who hears that a hub lost its way gives
up all that lead over that hub: nothing counts to infinity. Whoever is told of a way much longer than its own tells its
own. A neighbour is told of what changed only (`telling.py`); a leaf takes word of those alone that it deals with
(`leaf.py`). What is told is numbered: what others overtook is passed over, and whoever misses a number asks for all.
Over a lost link no way is taken; what came meanwhile is a number missed.

A neighbour can lie about paths, and attract or lose messages so; it cannot invent a hub (the origin signs), nor give
one another key (founders sign). What it tells is refused as a whole where it cannot be an honest neighbour's:

    not-a-neighbour, wrong-path, hub-certificate, origin-signature

and passed over where it is merely late, or of no use here: old-number, link-lost, old-sequence, old-certificate,
uncertified, expired; unsought, by leaves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Final

from msgspec import structs

from nodes.draft import data_of
from nodes.hub import known, leaf, telling
from nodes.hub.book import Book
from nodes.hub.draft import Draft
from nodes.hub.records import KnownHub, LinkRecord, Telling
from nodes.hub_keys import founding_of, version_of
from nodes.machine import CancelTimer, Perform, Refused, SetTimer
from schemas import limits
from schemas.certifying import announcement_bytes, is_certified
from schemas.events import Event
from schemas.hubs import PATH_HUBS_MAX, HubAnnouncement, HubCertificate, HubsAnnounced
from schemas.ids import Address, hub_address, hub_of

LEAD: Final = "lead"
"""The activity that binds hubs to the exit to their next hop (`nodes/ways.py`)."""
NO_WAY: Final = "no-way"
"""Code: no link that carries leads to a hub."""
WAYS_SECONDS: Final = 10 * limits.ANNOUNCE_SECONDS
"""So long another way is looked for before it is said that there is none."""


class _News:
    """What one event changes: whom to tell of what, and where messages go from now on."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.me = hub_of(draft.config.me)
        self.led: list[str] = []
        self.gone: list[str] = []
        """Neighbours that are none any more."""
        self._more: dict[str, set[str]] = defaultdict(set)

    def tell(self, neighbour: str, hubs: Iterable[str]) -> None:
        """A neighbour is to be told of these."""
        self._more[neighbour] |= set(hubs)

    def tell_all(self, hub: str, but: str = "") -> None:
        """All neighbours are, but this one."""
        for neighbour in self.draft.config.neighbours:
            if hub_of(Address(neighbour)) != but:
                self.tell(neighbour, (hub,))

    def set(self, hub: str, before: KnownHub | None, after: KnownHub, *, by: str = "") -> None:
        """Keep what is known of a hub, and see that everybody hears of it to whom it is news: not who said so."""
        self.draft.put(known.record_key(hub), after)
        was, now = _next_hop(before), _next_hop(after)
        if now and now != was and not self.draft.config.leaf:
            self.led.append(hub)
        if was and not now:
            self.draft.do(SetTimer(name="ways", at=self.draft.now + WAYS_SECONDS))
        self.tell_all(hub, but=by or (now if was in ("", now) else ""))

    def write(self) -> None:
        """Once, at the end."""
        for neighbour, hubs in sorted(self._more.items()):
            telling.plan(self.draft, neighbour, hubs)
        if self.led or self.gone:
            gone = {"gone": self.gone} if self.gone else {}
            self.draft.do(Perform(activity=LEAD, params={"hubs": self.led, **gone}))


def _next_hop(record: KnownHub | None) -> str:
    return record.path[-1] if record is not None and record.path else ""


def way_of(draft: Draft, hub: str) -> tuple[str, ...] | None:
    """The hubs over which a hub (its address) is reached, it first; none: no way; None: nobody told of it."""
    record = draft.find(KnownHub, known.record_key(hub_of(Address(hub))))
    return None if record is None else record.path


# ---------------------------------------------------------------- this hub itself, and its links


def configured(book: Book, event: Event) -> None:
    """`hubs.configured`: a process of this hub started, or its files changed."""
    draft, news = book.draft, _News(book.draft)
    fresh = draft.find(KnownHub, known.record_key(news.me)) is None
    _announce_self(draft, news)
    before_now = _all(draft)
    asks = _become(draft) or fresh
    told = {key.partition("/")[2]: each for key, each in draft.each(Telling, "telling")}
    for neighbour in draft.config.neighbours:
        if neighbour not in told or asks:
            before = told.get(neighbour, Telling(number=int(draft.now)))
            draft.put(f"telling/{neighbour}", structs.replace(before, asks=asks))
            news.tell(neighbour, _all(draft))
    for neighbour in sorted(told.keys() - set(draft.config.neighbours)):
        draft.delete(f"telling/{neighbour}")
        draft.delete(f"seeking/{neighbour}")
        draft.do(CancelTimer(name=f"announce/{neighbour}"))
        _lose(news, neighbour)
        news.gone.append(hub_of(Address(neighbour)))
    news.led = sorted(_led(news, before_now))
    news.write()


def _led(news: _News, before: Collection[str]) -> Iterable[str]:
    """The hubs whose ways a broker has to be led by, as this hub is configured now; of a leaf, those that it led."""
    draft, others = news.draft, {*before} - {news.me}
    if news.gone or (draft.config.leaf and others - {*_all(draft)}):
        return others
    return () if draft.config.leaf else {each for each in others if way_of(draft, hub_address(each))}


def _become(draft: Draft) -> bool:
    """A leaf or an ordinary hub, as the files say: whether it was a leaf, and lacks what ordinary hubs know."""
    if not draft.config.leaf:
        return leaf.end(draft)
    leaf.begin(draft)
    telling.tell_sought(draft)
    return False


def _announce_self(draft: Draft, news: _News) -> None:
    """With a higher number when this hub's key or certificate is another."""
    before = draft.find(KnownHub, known.record_key(news.me))
    certificate = draft.config.certificate
    key = draft.config.hub_keys[draft.config.me] if certificate is None else certificate.public_key
    if before is not None and before.certificate == certificate:
        signed = announcement_bytes(HubAnnouncement(news.me, before.sequence, ()), key)
        if draft.context.verify(key, signed, before.signature):
            return
    sequence = max(int(draft.now), 0 if before is None else before.sequence + 1)
    signature = draft.context.sign(announcement_bytes(HubAnnouncement(news.me, sequence, ()), key))
    draft.put(known.record_key(news.me), KnownHub(sequence, signature, (), certificate))
    draft.note("announced", f"{draft.config.me} announces itself", sequence=sequence)
    news.tell_all(news.me)


def link_lost(book: Book, neighbour: str) -> tuple[str, ...]:
    """Nothing passes to a neighbour now: the hubs (addresses) that were reached over it."""
    draft, news = book.draft, _News(book.draft)
    told = draft.find(Telling, f"telling/{neighbour}")
    if told is None:
        return ()
    draft.put(f"telling/{neighbour}", structs.replace(told, hubs=(), tells_at=0.0))
    draft.do(CancelTimer(name=f"announce/{neighbour}"))
    lost = _lose(news, neighbour)
    news.write()
    return tuple(map(hub_address, lost))


def _lose(news: _News, neighbour: str) -> list[str]:
    via, lost = hub_of(Address(neighbour)), list[str]()
    for key, record in sorted(news.draft.each(KnownHub, "known"), key=lambda each: each[0]):
        if _next_hop(record) == via:
            lost.append(key.partition("/")[2])
            news.set(lost[-1], record, structs.replace(record, path=()))
    return lost


def link_restored(book: Book, neighbour: str) -> None:
    """It carries again: the neighbour is told of everything, for it gave up all that it had from here, or may have."""
    draft, news = book.draft, _News(book.draft)
    if draft.find(Telling, f"telling/{neighbour}") is not None:
        news.tell(neighbour, _all(draft))
        news.write()


def _all(draft: Draft) -> list[str]:
    return [key.partition("/")[2] for key, _ in draft.each(KnownHub, "known")]


# ---------------------------------------------------------------- what neighbours tell


def announced(book: Book, event: Event) -> None:
    """`hubs.announced`: by a neighbour.

    Raises:
        Refused: not-a-neighbour, wrong-path, hub-certificate or origin-signature.
    """
    draft, data, news = book.draft, data_of(event, HubsAnnounced), _News(book.draft)
    if event.source not in draft.config.neighbours:
        raise Refused("not-a-neighbour", f"{event.source} is not linked to {draft.config.me}; tell your neighbours")
    sender = hub_of(event.source)
    unsought = 0
    for each in data.announced:
        _check_path(each, sender)
    if _is_news(news, event.source, data.number):
        for each in data.announced:
            if draft.config.leaf and not leaf.is_sought(draft, each.hub):
                unsought += each.hub != news.me
            elif each.hub != news.me:
                _hear(news, sender, each)
        for hub in data.lost:
            _hear_lost(news, sender, hub)
    if unsought:
        draft.note("passed-over", f"{sender} tells of {unsought} hubs that were not sought", code="unsought")
    news.tell(event.source, telling.asked(draft, event, data, _all(draft)))
    news.write()


def _is_news(news: _News, neighbour: str, number: int) -> bool:
    """Whether what a neighbour tells counts: it is the youngest, and what it says could be followed."""
    draft, key = news.draft, f"telling/{neighbour}"
    told, why = draft.find(Telling, key), ""
    if draft.find(LinkRecord, f"link/{neighbour}") is not None:
        why = "link-lost"
    elif told is not None and number <= told.heard:
        why = "old-number"
    elif told is not None:
        missed = 0 < told.heard < number - 1
        draft.put(key, structs.replace(told, heard=number, asks=told.asks or missed))
        if missed:
            news.tell(neighbour, (news.me,))
    if why:
        draft.note("passed-over", f"{neighbour} tells of hubs: {why}", code=why)
    return not why


def _check_path(told: HubAnnouncement, sender: str) -> None:
    path = told.path
    if not path or path[0] != told.hub or path[-1] != sender or len(set(path)) < len(path):
        way = " ".join(path)
        raise Refused("wrong-path", f"{sender} tells of {told.hub} by a path that leads not from it to {sender}: {way}")


def _hear(news: _News, sender: str, told: HubAnnouncement) -> None:
    draft, key = news.draft, known.record_key(told.hub)
    before = draft.find(KnownHub, key)
    if why := _useless(draft, before, told):
        draft.note("passed-over", f"{sender} tells of {told.hub}: {why}", code=why)
        return
    path = () if before is None else before.path
    after = KnownHub(told.sequence, told.signature, _better(news.me, path, sender, told.path), told.certificate)
    if after != before:
        news.set(told.hub, before, after)
    elif sender not in path and len(told.path) > len(path) + 1:
        news.tell(hub_address(sender), (told.hub,))


def _better(me: str, path: tuple[str, ...], sender: str, told: tuple[str, ...]) -> tuple[str, ...]:
    """The way that is kept, of the one that was and the one that is told."""
    is_next_hop = bool(path) and path[-1] == sender
    if me in told or len(told) >= PATH_HUBS_MAX:
        return () if is_next_hop else path
    return told if is_next_hop or not path or len(told) < len(path) else path


def _useless(draft: Draft, before: KnownHub | None, told: HubAnnouncement) -> str:
    """Why an announcement is passed over, as a code; empty where it is not.

    Raises:
        Refused: hub-certificate or origin-signature.
    """
    hub, certificate = hub_address(told.hub), told.certificate
    kept, filed = None if before is None else before.certificate, version_of(draft.config.hub_keys, hub)
    newest = max(filed, -1 if kept is None else kept.version)
    version = min(filed, 0) if certificate is None else certificate.version
    key = draft.config.hub_keys.get(hub, b"") if certificate is None else certificate.public_key
    late = before is not None and version == newest and told.sequence < before.sequence
    other = kept is not None and version == kept.version and key != kept.public_key
    reasons = {
        "uncertified": version < 0 or (certificate is not None and founding_of(draft.config.hub_keys) is None),
        "old-certificate": version < newest or other,
        "expired": certificate is not None and draft.now > certificate.valid_until,
        "old-sequence": late,
    }
    if why := next((code for code, holds in reasons.items() if holds), ""):
        return why
    if certificate is not None and certificate != kept:
        _check_certificate(draft, told.hub, certificate)
    same = before is not None and (told.sequence, told.signature) == (before.sequence, before.signature)
    if not (same and certificate == kept) and not draft.context.verify(
        key, announcement_bytes(told, key), told.signature
    ):
        raise Refused("origin-signature", f"{hub} has not signed what is announced of it")
    return ""


def _check_certificate(draft: Draft, hub: str, certificate: HubCertificate) -> None:
    founding = founding_of(draft.config.hub_keys)
    assert founding is not None
    if certificate.hub != hub or not is_certified(certificate, founding, draft.context.verify):
        raise Refused("hub-certificate", f"the founders have not certified this key of {hub_address(hub)}")


def _hear_lost(news: _News, sender: str, hub: str) -> None:
    """Every way that leads over the sender is lost too; who has another tells it."""
    if hub == news.me:
        news.tell(hub_address(sender), (hub,))
        return
    record = news.draft.find(KnownHub, known.record_key(hub))
    if record is None and news.draft.config.leaf:
        leaf.forget(news.draft, hub)
    if record is None or not record.path or hub == sender:
        return
    if sender in record.path:
        news.set(hub, record, structs.replace(record, path=()), by=sender)
    else:
        news.tell(hub_address(sender), (hub,))


# ---------------------------------------------------------------- what cannot be reached


def ways(book: Book) -> None:
    """Timer: other ways were looked for long enough; say which hubs are out of reach."""
    draft, me = book.draft, hub_of(book.draft.config.me)
    cut_off = sorted(hub for hub in _all(draft) if hub != me and not way_of(draft, hub_address(hub)))
    if cut_off:
        draft.note(NO_WAY, f"no link leads from {draft.config.me} to {', '.join(cut_off)}", code=NO_WAY, hubs=cut_off)
