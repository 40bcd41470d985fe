"""The frame around every page: navigation, the line that says how old the picture is, and the files it needs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from htpy import Element, Node, a, body, div, footer, head, header, html, link, main, meta, nav, p, script, span, title

from nodes.page.words import clock
from nodes.roles import Role
from nodes.views.presence import Presence

LINKS: Final[Mapping[Role, Sequence[tuple[str, str]]]] = MappingProxyType(
    {
        "renter": (("/", "Jobs"), ("/network", "Network")),
        "hub": (("/", "Market"), ("/network", "Network")),
        "partner": (("/", "Requests"), ("/network", "Network")),
        "lessor": (("/", "Lessor"), ("/network", "Network")),
    }
)


def frame(node: str, role: Role, path: str, heading: str, shown: Sequence[Node]) -> Element:
    """A whole page; shown are the line that says how old it is, and its content."""
    return html(lang="en")[
        head[
            meta(charset="utf-8"),
            meta(name="viewport", content="width=device-width, initial-scale=1"),
            meta(name="color-scheme", content="light dark"),
            title[f"{heading} · {node}"],
            link(rel="icon", href="/static/icon.svg", type="image/svg+xml"),
            link(rel="stylesheet", href="/static/page.css"),
            script(src="/static/idiomorph.min.js", defer=True),
            script(src="/static/page.js", defer=True),
        ],
        body[
            a(".skip", href="#main")["Skip to content"],
            header(".top")[
                div(".brand")[
                    span(".mark", aria_hidden="true"), "Sublet", span(".node")[f"{node}", span(".role")[role]]
                ],
                nav(aria_label="Pages")[
                    (a(href=to, aria_current="page" if to == path else None)[name] for to, name in LINKS[role])
                ],
                shown[0],
            ],
            shown[1],
            footer(".foot")["Read only. Times are UTC."],
        ],
    ]


def content(*parts: Node) -> Element:
    """What changes while the page is looked at."""
    return main(id="main", tabindex="-1")[*parts]


def status_line(node: str, role: Role, presence: Presence | None, trouble: tuple[float, str] | None) -> Element:
    """How old the picture is, and why. `trouble` is since when the store cannot be read, and what it said."""
    return div(id="status", role="status")[_said(node, role, presence, trouble)]


def _said(node: str, role: Role, presence: Presence | None, trouble: tuple[float, str] | None) -> Node:
    if trouble is not None:
        since, reason = trouble
        was = ["has not been readable since ", clock(since), ": this picture is of then"] if since else "cannot be read"
        return p(".old")["The store of ", node, " ", was, f" ({reason})."]
    if presence is None:
        return p(".quiet")["A lessor keeps no store: this is what its files say."]
    if not presence.heard_at:
        return p(".old")[f"No process of {node} was ever heard of: `sublet {role}` starts one."]
    if not presence.processes:
        return p(".old")[
            f"No process of {node} has been heard of since ",
            clock(presence.heard_at),
            ": it is stopped, or its store is. This picture is of then.",
        ]
    return p(".live")[f"Live · {presence.processes} process{'' if presence.processes == 1 else 'es'}"]
