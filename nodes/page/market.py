"""A hub's book: depth by price, orders, contracts under way, and what other hubs tell of their subnets. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import htpy
from htpy import Element, Node, div, figure, h1, h3, header, p, span

from nodes.hub.states import BUY_OPEN
from nodes.page.parts import part, party_link, rows, state
from nodes.page.words import clock, number
from nodes.views.book import Book, Level, Offer, Subnet, Tenancy, Wish, asks, bids
from schemas import money
from schemas.orders import PROTECTIONS

SHOWN_MAX: Final = 100
"""Orders of a table; of more, the best."""
LEVELS_MAX: Final = 12
BAR_PX, BAR_GAP = 16, 4


def market_page(book: Book, hub: str) -> Node:
    """The page's content."""
    free, units = sum(each.free for each in book.offers), sum(each.units for each in book.offers)
    lessors, wanted = {each.lessor for each in book.offers}, _open(book.wishes)
    said = [
        f"{number(free, 'unit')} free of {number(units, 'unit')} offered by {number(len(lessors), 'lessor')}",
        f"{number(len(book.tenancies), 'contract')} under way",
        f"{number(len(wanted), 'order')} to buy open",
    ]
    return [
        header(".head")[h1["Market of ", party_link(hub, "hub")], p(".waits")[f"{'; '.join(said)}."]],
        depth(book),
        tenancies(book.tenancies),
        offers(book.offers),
        wishes(book.wishes),
        _subnets(book.subnets),
    ]


def _open(found: Sequence[Wish]) -> list[Wish]:
    return [each for each in found if each.state in BUY_OPEN]


def depth(book: Book) -> Element:
    """Units by price, for each protection."""
    return part(
        "Order book",
        div(".depths")[(_depth(each, asks(book.offers, each), bids(_open(book.wishes), each)) for each in PROTECTIONS)],
        note="Free units by price per unit and hour, cheapest first, and what open orders would pay. A unit that is "
        "offered under several protections stands under each.",
        kind="wide",
    )


def _depth(protection: str, offered: Sequence[Level], wanted: Sequence[Level]) -> Element:
    most = max([each.together for each in (*offered, *wanted)], default=0)
    return figure(".depth", aria_label=f"Order book for {protection}")[
        h3[protection],
        _bars("offered", offered, most) if offered else p(".empty")["Nothing free."],
        _bars("wanted", wanted, most) if wanted else None,
    ]


def _bars(side: str, levels: Sequence[Level], most: int) -> Element:
    shown = levels[:LEVELS_MAX]
    words = "; ".join(f"{number(each.units, 'unit')} at {money.shown(each.price_micros)}" for each in shown)
    more = len(levels) - len(shown)
    drawn = htpy.svg(
        width="100%", height=str(len(shown) * (BAR_PX + BAR_GAP)), role="img", aria_label=f"{side}: {words}"
    )[(_bar(place, each, side, most) for place, each in enumerate(shown))]
    return div(".bars", data_side=side)[
        span(".side")[side], drawn, more > 0 and p(".note")[f"{number(more, 'more price')} beyond."]
    ]


def _bar(place: int, level: Level, side: str, most: int) -> Node:
    y = place * (BAR_PX + BAR_GAP)
    before = level.together - level.units
    # Prices take the first quarter of the width, sums the last tenth.
    scale = 62 / most
    text_y = str(y + BAR_PX - 4)
    return [
        htpy.text(x="24%", dx="-8", y=text_y, text_anchor="end", class_="price")[money.shown(level.price_micros)],
        htpy.rect(
            x="24%", y=str(y), width=f"{before * scale:.2f}%", height=str(BAR_PX), class_="bar before", data_side=side
        ),
        htpy.rect(
            x=f"{24 + before * scale:.2f}%",
            y=str(y),
            width=f"{max(0.5, level.units * scale):.2f}%",
            height=str(BAR_PX),
            class_="bar",
            data_side=side,
        ),
        htpy.text(x=f"{24 + level.together * scale:.2f}%", dx="6", y=text_y, class_="sum")[f"{level.together:,}"],
    ]


def tenancies(found: Sequence[Tenancy]) -> Element:
    """Contracts under way."""
    newest = sorted(found, key=lambda each: -each.since)[:SHOWN_MAX]
    heads = ("Lessor", "Renter", "State", "Protection", "#Units", "#Price/h", "Since", "Until", "Contract")
    lines = (
        (
            party_link(each.lessor, "lessor"),
            party_link(each.renter, "renter"),
            state(each.state),
            each.protection,
            f"{each.units:,}",
            money.shown(each.price_micros),
            clock(each.since),
            clock(each.until),
            span(".id")[each.contract],
        )
        for each in newest
    )
    table = rows("Contracts under way", heads, lines, empty="No contract is under way.")
    return part("Contracts under way", table, note=_cut(len(found), "contract"), kind="wide")


def offers(found: Sequence[Offer]) -> Element:
    """Sell orders, the best first."""
    best = sorted(found, key=lambda each: (each.free == 0, each.price_micros))[:SHOWN_MAX]
    heads = ("Lessor", "State", "#Free", "#Units", "#Price/h", "#Workers", "Protections", "Until")
    lines = (
        (
            party_link(each.lessor, "lessor"),
            state(each.state),
            f"{each.free:,}",
            f"{each.units:,}",
            money.shown(each.price_micros),
            f"{each.workers:,}",
            ", ".join(each.protections),
            clock(each.until),
        )
        for each in best
    )
    table = rows("Offers", heads, lines, empty="Nobody offers.")
    return part("Offers", table, note=_cut(len(found), "offer"), kind="wide")


def wishes(found: Sequence[Wish]) -> Element:
    """Buy orders, the newest first."""
    newest = sorted(found, key=lambda each: -each.placed_at)[:SHOWN_MAX]
    heads = ("Renter", "State", "#Units", "#Pays/h", "Protection", "Until", "Lacking")
    lines = (
        (
            span(".id")[each.renter],
            state(each.state),
            f"{each.units:,}",
            money.shown(each.price_micros_max),
            each.protection,
            clock(each.until),
            each.lacking or "–",
        )
        for each in newest
    )
    return part(
        "Orders to buy", rows("Orders to buy", heads, lines, empty="Nobody asks."), note=_cut(len(found), "order")
    )


def _subnets(found: Sequence[Subnet]) -> Element:
    heads = ("Hub", *(f"#{protection}" for protection in PROTECTIONS), "Heard")
    lines = (
        (party_link(each.hub, "hub"), *(_supply(each, name) for name in PROTECTIONS), clock(each.heard_at))
        for each in found[:SHOWN_MAX]
    )
    table = rows("Other subnets", heads, lines, empty="Nothing was heard of any other subnet yet.")
    note = "Free units and best price, as last heard; words travel from hub to hub."
    return part("Other subnets", table, note=_cut(len(found), "subnet") or note, kind="wide")


def _supply(of: Subnet, protection: str) -> str:
    known = next((each for each in of.supplies if each.protection == protection), None)
    return f"{known.units:,} from {money.shown(known.price_micros)}" if known and known.units else "–"


def _cut(count: int, what: str) -> str | None:
    return f"{SHOWN_MAX} of {number(count, what)}." if count > SHOWN_MAX else None
