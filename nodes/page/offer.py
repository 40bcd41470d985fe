"""A lessor's own page: what its files say. It keeps no store, and the page says what follows from that. Pure."""

from __future__ import annotations

from htpy import Node, h1, header, p, span

from nodes.config import LessorSettings
from nodes.page.parts import figures, part


def offer_page(address: str, settings: LessorSettings) -> Node:
    """The page's content."""
    return [
        header(".head")[
            h1["Lessor ", span(".id")[address]],
            p(".waits")[
                "A lessor's workers keep what is under way in memory alone, so nothing can be shown here of contracts "
                "and work: its hub's page shows its offers and contracts, each renter's page what it computed there. "
                "What it earned, sublet account adds up from its receipts."
            ],
        ],
        part(
            "Offer",
            figures(
                *((name.replace("_", " "), _shown(getattr(settings, name))) for name in settings.__struct_fields__)
            ),
            note="As its file says; a worker takes it at its start.",
        ),
    ]


def _shown(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "–"
    return "–" if value is None else str(value)
