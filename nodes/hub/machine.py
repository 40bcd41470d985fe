"""The hub's protocol (R1, R2, R4, N4) as a table of events and handlers. Pure.

Theory of operation. A hub is one aggregate: its own subnet's book, orders and contracts, and what its neighbours told.

    lessor ──order.sell.placed──► hub B        the book: price first, then time; renewed or expired
    hub B ──capacity.advertised──► hub A       the best hubs that B knows of, every few seconds at most
    hub B ──hubs.announced──► hub A            by which hubs others are reached, when that changes (announcing); of
                                               those alone that hub A deals with, where that is a leaf (leaf)
    renter ──order.buy.placed──► hub A         own units are reserved, and at the same time
    hub A ──quote.requested──► hub B           some of the hubs that may serve are asked, drawn at random
    hub B ──quote.offered──► hub A             reserved for seconds; what is not taken is released
    hub A ──contract.proposed──► hub B         signed by the renter's hub
    hub B ──contract.countersigned──► hub A    or refused: then the missing units are looked for again
    hubs ──contract.signed──► renter, lessor   each party hears it from its own hub
    renter ──contract.ended──► hub A ──► hub B ──► lessor
    renter, lessor ──contract.settled──► hubs  receipts, kept by day (`nodes/receipts.py`)
    renter ──introduction.requested──► hub A   who is that partner? hub C vouches for it (introducing)
    hub A ──link.reported──► renter            a link that a job of its waits for is lost, or carries again (links)
    operator ──participant.admitted──► hub     who is attached, and by which key (registry)

Of what each order, reservation and contract may become, `nodes/hub/states.py` has the tables. Order of arrival is not
assumed: what comes too late is noted in the journal, and a party that now waits for nothing is told so. What is wrong
in itself (another's order, a bad signature) is refused and changes nothing.

    event in `TABLE` ─► sender ─► handler (selling, quoting, buying, renting, …) ─► waiting orders, if there is news
                                     decisions: terms, matching, asking, rounds, proposing
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from nodes import receipts
from nodes.draft import data_of
from nodes.hub import (
    advertising,
    announcing,
    buying,
    introducing,
    known,
    leaf,
    links,
    members,
    quoting,
    registry,
    renting,
    selling,
    telling,
)
from nodes.hub.book import Book
from nodes.hub.directory import HubConfig
from nodes.hub.draft import Draft
from nodes.hub.records import INTERNAL_TYPES, RECORD_TYPES
from nodes.machine import TIMER_FIRED, Context, Machine, PublishFailed, Records, Refused, Step, TimerFired, Verify
from schemas.contracts import Settlement
from schemas.events import CheckAnswered, CheckRequested, DeliveryFailed, Event, EventRefused, Role
from schemas.hubs import HubsAnnounced

Handler = Callable[[Book, Event], None]
AGGREGATE: Final = "hub"


def _timer_fired(book: Book, event: Event) -> None:
    """A timer is named `<what>/<id>`."""
    fired = data_of(event, TimerFired)
    what, _, name = fired.name.partition("/")
    if what == "wake":
        buying.woken(book, name, fired.at)
    elif what == "advertise":
        advertising.tell(book)
    elif what == "ways":
        announcing.ways(book)
    elif what in TIMERS:
        TIMERS[what](book, name)
    else:
        raise Refused("unknown-timer", f"a hub sets no timer {fired.name}; nothing is done")


def _checked(book: Book, event: Event) -> None:
    """Whoever came so far is believed; the time of the answer tells it how its clock goes."""
    answered = CheckAnswered(event=event.id)
    book.draft.send("check.answered", event.source, event.id, answered, lane=data_of(event, CheckRequested).lane)


def _event_refused(book: Book, event: Event) -> None:
    """Another does not believe this hub: people have to set a clock, or a key."""
    data = data_of(event, EventRefused)
    book.draft.note("not-believed", f"{event.source}: {data.reason}", type=data.type, code=data.code)


def _link_changed(book: Book, event: Event) -> None:
    """Of those that cannot be reached any more no quote is awaited."""
    for hub in links.changed(book, event):
        buying.unreachable(book, "quote.requested", hub)


def _announced(book: Book, event: Event) -> None:
    """What a leaf looked up is there now, or is not to be had."""
    announcing.announced(book, event)
    if book.draft.config.leaf:
        told = data_of(event, HubsAnnounced)
        introducing.looked_up(book, {*(each.hub for each in told.announced), *told.lost})
        book.announce(lambda _: True)


def _delivery_failed(book: Book, event: Event) -> None:
    """A hub on the way, or this hub's own broker, knows nobody at the address."""
    data = event.data
    if not isinstance(data, DeliveryFailed | PublishFailed):
        raise Refused("wrong-data", f"{event.type} without its data")
    book.draft.note("undelivered", f"{data.type} did not reach {data.to}: {data.reason}")
    buying.unreachable(book, data.type, data.to)


TIMERS: Final[Mapping[str, Callable[[Book, str], None]]] = MappingProxyType(
    {
        "sell": selling.expired,
        "quote": quoting.lapsed,
        "contract": renting.expired,
        "match": buying.overdue,
        "member": registry.overlapped,
        "announce": telling.tell,
        "stranger": introducing.overdue,
    }
)
TABLE: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        "order.sell.placed": selling.placed,
        "order.sell.cancelled": selling.cancelled,
        "order.buy.placed": buying.placed,
        "order.buy.cancelled": buying.cancelled,
        "capacity.advertised": advertising.advertised,
        "hubs.announced": _announced,
        "hubs.configured": announcing.configured,
        "quote.requested": quoting.requested,
        "quote.offered": buying.offered,
        "quote.released": quoting.released,
        "contract.proposed": quoting.proposed,
        "contract.countersigned": buying.countersigned,
        "contract.refused": buying.refused,
        "contract.ended": renting.ended,
        "introduction.requested": introducing.requested,
        "introduction.proposed": introducing.proposed,
        "introduction.countersigned": introducing.countersigned,
        "introduction.refused": introducing.refused,
        "participant.admitted": registry.admitted,
        "participant.settled": registry.settled,
        "participant.removed": registry.removed,
        "market.requested": advertising.market_requested,
        "check.requested": _checked,
        "event.refused": _event_refused,
        "delivery.failed": _delivery_failed,
        "publish.failed": _delivery_failed,
        "link.changed": _link_changed,
        TIMER_FIRED: _timer_fired,
    }
)


class HubMachine(Machine):
    """A `Machine` with one aggregate, and one per day of receipts; `config` names hubs and participants it knows."""

    name: Role = "hub"
    record_types = RECORD_TYPES
    internal_types = INTERNAL_TYPES

    def __init__(self, config: HubConfig, verify: Verify = lambda key, data, signature: False) -> None:
        """`verify`: whether founders signed a certificate; without it no event is believed for one that it brings."""
        self.config = config
        self._verify = verify

    def aggregate_of(self, event: Event) -> str:
        return receipts.aggregate_of(event.data) if isinstance(event.data, Settlement) else AGGREGATE

    def key_of(self, records: Records, event: Event) -> bytes | None:
        """Keys of hubs as certified or configured, and of this subnet's participants as they are registered."""
        hub = known.key_of(self.config, records, event, self._verify)
        return hub or receipts.key_of(event) or members.key_of(self.config, records, event.source)

    def handle(self, records: Records, event: Event, context: Context) -> Step:
        draft = Draft(self.config, records, context)
        if receipts.concerns(event):
            return receipts.handle(draft, event)
        book = Book(draft)
        if self.config.leaf and leaf.met(draft, event):
            telling.tell_sought(draft)
        TABLE[event.type](book, event)
        buying.retry_waiting(book)
        return book.draft.step()
