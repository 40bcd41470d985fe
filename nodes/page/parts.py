"""What the pages are built from: sections, tables, figures, links to other pages. All text is escaped by htpy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from htpy import Element, Node, a, dd, div, dl, dt, h2, p, section, span, table, tbody, td, th, thead, tr

from schemas.ids import HUB_NAME, Address, hub_of, name_of


def part(title: str, *content: Node, note: Node = None, kind: str = "") -> Element:
    """A part of a page, named by its heading."""
    name = title.lower().replace(" ", "-")
    heading = h2(id=name)[title]
    return section(class_=f"part {kind}".strip(), aria_labelledby=name)[heading, note and p(".note")[note], *content]


def columns(*content: Node) -> Element:
    """Parts side by side where there is room."""
    return div(".columns")[*content]


def figures(*pairs: tuple[str, Node]) -> Element:
    """Names and values."""
    return dl(".figures")[(div[dt[name], dd[value]] for name, value in pairs)]


def rows(caption: str, heads: Sequence[str], lines: Iterable[Sequence[Node]], *, empty: str) -> Element:
    """A table that scrolls by itself where it is wider than the page. Heads that begin with # are of numbers."""
    body = list(lines)
    if not body:
        return p(".empty")[empty]
    kinds = ["number" if head.startswith("#") else "" for head in heads]
    names = [head.removeprefix("#") for head in heads]
    return div(".scroll", role="group", aria_label=caption, tabindex="0")[
        table[
            thead[tr[(th(scope="col", class_=kind or None)[name] for name, kind in zip(names, kinds, strict=True))]],
            tbody[(_row(line, kinds) for line in body)],
        ]
    ]


def _row(line: Sequence[Node], kinds: Sequence[str]) -> Element:
    first, *others = line
    return tr[th(scope="row")[first], (td(class_=k or None)[cell] for cell, k in zip(others, kinds[1:], strict=True))]


def state(name: str) -> Element:
    """A state as a chip."""
    return span(class_="state", data_state=name)[name]


def job_link(job: str) -> Element:
    """To a job's page; its id is never cut."""
    return a(".id", href=f"/jobs/{quote(job, safe='')}")[job]


def party_link(address: str, role: str) -> Node:
    """To the page of a party: `role` is lessor, partner, renter or hub; renters have none."""
    if address.endswith(f".{HUB_NAME}"):
        return a(".id", href=f"/hubs/{quote(hub_of(Address(address)), safe='')}")[address]
    if role not in ("lessor", "partner"):
        return span(".id")[address]
    return a(".id", href=f"/{role}s/{quote(address, safe='')}")[address]


def short(worker: str) -> str:
    """The end of a long id, which tells workers of one job apart; the whole id stands beside it as a title."""
    return worker.rpartition("-")[2][:8]


def is_address(text: str) -> bool:
    """Whether it names a party, as `A11.A12` does."""
    return bool(hub_of(Address(text)) and name_of(Address(text))) if text.count(".") == 1 else False
