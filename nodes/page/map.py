"""Who reaches whom over which hubs, as a small map: a job's route, or the whole network. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import htpy
from htpy import Element, Node

from schemas.ids import Address, hub_of, name_of

NAMED_MAX: Final = 12
"""Parties on a route's map; of others their number."""
COLUMN, ROW, BOX, TALL = 150, 44, 112, 28
RING: Final = 40
"""Hubs that are drawn in a ring; of more, a list says all."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node on the map."""

    name: str
    kind: str
    x: float
    y: float
    lost: bool = False


def route_map(renter: str, lessors: Mapping[str, bool], partner: str) -> Element | None:
    """The renter, its hub, the hubs of others, lessors (whether each is lost) and the partner, if there is one."""
    if not renter or not lessors:
        return None
    names = list(lessors)[:NAMED_MAX]
    others = [*names, *([partner] if partner else [])]
    own = hub_of(Address(renter))
    hubs = list(dict.fromkeys(hub_of(Address(each)) for each in others if hub_of(Address(each)) != own))
    height = max(1, len(others), len(hubs)) * ROW
    middle = height / 2
    places = {renter: Place(renter, "renter", 0, middle), own: Place(own, "hub", 1, middle)}
    places |= {hub: Place(hub, "hub", 2, (n + 0.5) * height / len(hubs)) for n, hub in enumerate(hubs)}
    for number, each in enumerate(others):
        kind = "partner" if each == partner else "lessor"
        y = (number + 0.5) * height / len(others)
        places[each] = Place(each, kind, 3 if hubs else 2, y, lessors.get(each, False))
    ways = [(renter, own), *((own, hub) for hub in hubs), *((hub_of(Address(each)), each) for each in others)]
    words = ", ".join(" → ".join(dict.fromkeys((renter, own, hub_of(Address(each)), each))) for each in others)
    more = len(lessors) - len(names)
    return _drawn(places, ways, (4 if hubs else 3) * COLUMN, height, f"Route: {words}" + _more(more))


def network_map(hubs: Sequence[str], links: Iterable[tuple[str, str]], own: str) -> Element | None:
    """Hubs in a ring, the own one at its top."""
    if not 1 < len(hubs) <= RING:
        return None
    ordered = [own, *(hub for hub in hubs if hub != own)] if own in hubs else list(hubs)
    radius = max(70.0, len(ordered) * BOX / 5)
    turns = [2 * math.pi * number / len(ordered) - math.pi / 2 for number in range(len(ordered))]
    wide = radius * 1.35
    places = {
        hub: Place(
            hub, "own hub" if hub == own else "hub", wide * math.cos(turn) + wide, radius * math.sin(turn) + radius
        )
        for hub, turn in zip(ordered, turns, strict=True)
    }
    ways = [(one, two) for one, two in links if one in places and two in places]
    words = ", ".join(f"{one}–{two}" for one, two in ways)
    return _svg(
        -BOX / 2 - 4,
        -TALL / 2 - 4,
        2 * wide + BOX + 8,
        2 * radius + TALL + 8,
        f"Links: {words}",
        [_line(places[one].x, places[one].y, places[two].x, places[two].y, lost=False) for one, two in ways],
        [_box(each, each.x, each.y) for each in places.values()],
    )


def _more(count: int) -> str:
    return f", and {count} more lessors" if count > 0 else ""


def _drawn(
    places: Mapping[str, Place], ways: Iterable[tuple[str, str]], width: int, height: float, words: str
) -> Element:
    def x(place: Place) -> float:
        return place.x * COLUMN + COLUMN / 2

    lines = [
        _line(x(one) + BOX / 2, one.y, x(two) - BOX / 2, two.y, lost=two.lost)
        for one, two in ((places[one], places[two]) for one, two in ways)
    ]
    return _svg(0, 0, width, height, words, lines, [_box(each, x(each), each.y) for each in places.values()])


def _svg(x: float, y: float, width: float, height: float, words: str, *content: Node) -> Element:
    box = f"{x:.0f} {y:.0f} {width:.0f} {height:.0f}"
    return htpy.svg(".map", viewBox=box, width=f"{width:.0f}", height=f"{height:.0f}", role="img", aria_label=words)[
        *content
    ]


def _line(x1: float, y1: float, x2: float, y2: float, *, lost: bool) -> Element:
    bend = (x1 + x2) / 2
    path = f"M{x1:.0f} {y1:.0f}C{bend:.0f} {y1:.0f} {bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
    return htpy.path(d=path, class_="way", data_lost="yes" if lost else None)


def _box(place: Place, x: float, y: float) -> Node:
    text = place.name if place.kind.endswith("hub") else name_of(Address(place.name))
    label = {"hub": "hub", "own hub": "own hub"}.get(place.kind, place.kind)
    return htpy.g(class_="place", data_kind=place.kind.replace(" ", "-"), data_lost="yes" if place.lost else None)[
        htpy.rect(x=f"{x - BOX / 2:.0f}", y=f"{y - TALL / 2:.0f}", width=str(BOX), height=str(TALL), rx="5"),
        htpy.text(x=f"{x - BOX / 2 + 9:.0f}", y=f"{y + 4:.0f}", class_="place-name")[text],
        htpy.text(x=f"{x + BOX / 2 - 8:.0f}", y=f"{y + 4:.0f}", text_anchor="end", class_="place-kind")[label],
    ]
