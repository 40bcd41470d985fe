"""The network as this node knows it, and the page of one hub. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from htpy import Element, Node, code, div, h1, header, p, span

from nodes.page.earnings import Earned, by_party, sums
from nodes.page.map import network_map
from nodes.page.market import offers, tenancies
from nodes.page.parts import figures, part, party_link, rows
from nodes.page.words import clock, number
from nodes.page.words import span as lasting
from nodes.views.book import Book, Tenancy
from nodes.views.network import HubView, NetworkView
from schemas.ids import Address, hub_address, hub_of


def network_page(view: NetworkView, book: Book | None, now: float) -> Node:
    """The page's content at `now`, seconds since 1970; a hub has a book."""
    own = hub_of(view.node)
    names = [each.name for each in view.hubs]
    links = sorted({(min(each.name, two), max(each.name, two)) for each in view.hubs for two in each.links})
    drawn = network_map(names, links, own)
    return [
        header(".head")[
            h1["Network"], p(".waits")[f"{number(len(names), 'hub')}, {number(len(links), 'link')} between them."]
        ],
        part(
            "Hubs and links",
            drawn and div(".scroll", role="group", aria_label="Map", tabindex="0")[drawn],
            _hubs(view, book, now),
            kind="wide",
        ),
        _participants(view),
    ]


def _hubs(view: NetworkView, book: Book | None, now: float) -> Element:
    heads = ("Hub", "Linked to", "Broker", "Health", "Public key")
    lines = (_hub(each, view, book, now) for each in view.hubs)
    return rows("Hubs", heads, lines, empty="No hub is known.")


def _hub(each: HubView, view: NetworkView, book: Book | None, now: float) -> tuple[Node, ...]:
    links = ", ".join(each.links) or "–"
    return (
        party_link(hub_address(each.name), "hub"),
        links,
        each.broker,
        _health(each.name, view, book, now),
        _key(each.public_key),
    )


def _health(name: str, view: NetworkView, book: Book | None, now: float) -> Node:
    """What this node can tell of a hub: whether the link to it carries, and when it last heard of it."""
    hub = hub_address(name)
    cut = next((each for each in book.cuts if each.neighbour == hub), None) if book else None
    if cut is not None:
        return span(".bad")["link cut since ", clock(cut.since), f": {cut.why}"]
    at = book.neighbours.get(hub, 0.0) if book else 0.0
    if at:
        return [f"heard {lasting(now - at)} ago, at ", clock(at)]
    if name == hub_of(view.node):
        return "this node's own"
    if book is None:
        return span(".dim")["known to its neighbours' pages"]
    return span(".dim")["nothing heard of it yet" if name in _linked(view) else "not linked to this hub"]


def _linked(view: NetworkView) -> tuple[str, ...]:
    return next((each.links for each in view.hubs if each.name == hub_of(view.node)), ())


def _participants(view: NetworkView) -> Element:
    heads = ("Participant", "Role", "#Workers at most", "Public key")
    lines = (
        (
            party_link(each.address, each.role),
            each.role,
            f"{each.lanes:,}" if each.lanes else "–",
            _key(each.public_key),
        )
        for each in view.participants[:500]
    )
    empty = f"{view.node} is a {view.role}: only a hub knows the participants of its subnet."
    return part("Own participants", rows("Own participants", heads, lines, empty=empty), kind="wide")


def _key(public_key: str) -> Element:
    return code(".digest", title=public_key)[f"{public_key[:16]}…"]


def hub_page(name: str, view: NetworkView, book: Book | None, earned: Earned, now: float) -> Node:
    """The page of one hub, or None where there is none of this name."""
    hub = next((each for each in view.hubs if each.name == name), None)
    if hub is None:
        return None
    own = hub_of(view.node) == name
    known = figures(
        ("Linked to", ", ".join(hub.links) or "no other hub"),
        ("Broker", hub.broker),
        ("Health", _health(name, view, book, now)),
        ("Public key", code(".digest")[hub.public_key]),
    )
    said = "" if own and book is not None else f"What happens inside {name} is in its own store: open the page there."
    inside = [*passed_on(earned), offers(book.offers), tenancies(_of_hub(book, name))] if book and own else None
    shared = tenancies(_of_hub(book, name)) if book is not None and not own else None
    return [
        header(".head")[h1["Hub ", span(".id")[name]], said and p(".waits")[said]],
        part("About", known),
        inside,
        shared,
    ]


def passed_on(earned: Earned) -> Sequence[Node]:
    """What its participants paid and earned, by the receipts that it keeps."""
    return (
        part("Receipts", figures(*sums(earned, "Passed on")), note=earned.reading),
        by_party(earned, "By renter and lessor", "renter", "lessor"),
    )


def _of_hub(book: Book, name: str) -> list[Tenancy]:
    return [each for each in book.tenancies if name in (hub_of(Address(each.renter)), hub_of(Address(each.lessor)))]
