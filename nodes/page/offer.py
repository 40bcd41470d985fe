"""A lessor's own page: what it earned and did, by the receipts that it keeps, and what it offers, by its file. Pure."""

from __future__ import annotations

from htpy import Element, Node, h1, header, p, span

from nodes.config import LessorSettings
from nodes.lessor.refusals import Refusal
from nodes.page.earnings import Earned, by_party, faulty, last_refusal, no_refusal, sums, work
from nodes.page.parts import figures, part, party_link


def offer_page(address: str, settings: LessorSettings, earned: Earned, refusal: Refusal | None) -> Node:
    """The page's content."""
    return [
        header(".head")[
            h1["Lessor ", span(".id")[address]],
            p(".waits")[
                "What it earned and did, by its receipts. Its workers keep what is under way in memory alone: that is "
                "on the page of its hub, and of each renter."
            ],
        ],
        part("Earnings", figures(*sums(earned, "Earned")), _refused(refusal), note=earned.reading),
        by_party(earned, "By renter", "renter"),
        work(earned),
        faulty(earned.faults),
        part(
            "Offer",
            figures(
                *((name.replace("_", " "), _shown(getattr(settings, name))) for name in settings.__struct_fields__)
            ),
            note="As its file says; a worker takes it at its start.",
        ),
    ]


def _refused(refusal: Refusal | None) -> Element:
    if refusal is None:
        return no_refusal("none")
    whose = party_link(refusal.source, "") if refusal.source else "nobody that the broker knows"
    return last_refusal(refusal.at, refusal.code, refusal.reason, ", from ", whose)


def _shown(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "–"
    return "–" if value is None else str(value)
