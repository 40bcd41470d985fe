"""A partner's own page: who asked what of which data, what was decided, what each side learned. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from htpy import Node, code, h1, header, p, span

from nodes.page.jobs import SHOWN_MAX
from nodes.page.parties import learned_by, ledger
from nodes.page.parts import figures, job_link, part, party_link, rows, state
from nodes.page.words import day, number
from nodes.views.parts import PartReport, summed

WAITS = {
    "examining": "The request is held against this partner's policy and data.",
    "waiting": "Waits for a person here: `sublet joint approve` or `sublet joint decline`.",
    "accepted": "Takes part: lessors' sealed results come in; its output goes to the renter, who alone can open it.",
    "refused": "Refused: the renter was told the code, not more of the data.",
    "finished": "The renter ended the job; the data made for it is erased.",
    "withdrawn": "A person here took the data back; what was made for the job is erased.",
    "failed": "It failed; what was made for the job is erased.",
}
"""What a partner's part waits for, by its phase."""


def requests_page(parts: Sequence[PartReport]) -> Node:
    """The list; newest first."""
    heads = ("Job", "State", "Renter", "Dataset", "#Columns", "#Rows", "#Rounds", "#It learned", "Code", "Asked")
    lines = (
        (
            job_link(each.job),
            state(each.phase),
            party_link(each.renter, "renter"),
            each.dataset,
            f"{len(each.columns):,}",
            f"{each.rows:,}",
            f"{each.answered} of {each.rounds}",
            learned_by(each.ledger, "renter"),
            each.code or "–",
            day(each.asked_at),
        )
        for each in parts[:SHOWN_MAX]
    )
    table = rows("Requests", heads, lines, empty="Nobody asked anything yet.")
    note = f"The last {SHOWN_MAX} of {number(len(parts), 'request')}." if len(parts) > SHOWN_MAX else None
    return [
        header(".head")[h1["Requests"]],
        part("Who asked what", table, note=note, kind="wide"),
        ledger(learned for each in parts for learned in each.ledger),
    ]


def request_page(part_: PartReport) -> Node:
    """One request."""
    heads = ("Party", "What", "#Rounds", "#Numbers", "Shape")
    lines = (
        (party, kind, f"{rounds:,}" if rounds else "–", f"{count:,}", shape)
        for party, kind, rounds, count, shape in summed(part_.ledger)
    )
    return [
        header(".head")[
            h1[span(".what")["Request"], span(".id")[part_.job]],
            p(".states")[state(part_.phase), "from ", party_link(part_.renter, "renter")],
            p(".waits", id="waits")[WAITS.get(part_.phase, "")],
        ],
        part(
            "Asked for",
            figures(
                ("Dataset", part_.dataset),
                ("Columns", ", ".join(part_.columns) or "–"),
                ("Rows", f"{part_.rows:,}"),
                ("Model", part_.algorithm.name)
                if part_.algorithm
                else ("Program", code(".digest")[part_.program[:16]]),
                ("Rounds", f"{part_.answered} answered of {part_.rounds}"),
                ("Lessors", ", ".join(part_.lessors) or "–"),
                ("Asked", day(part_.asked_at)),
                ("Ended", day(part_.ended_at)),
            ),
            note=f"{part_.code}: {part_.reason}" if part_.code else None,
        ),
        part(
            "What each party learned",
            rows("What each party learned", heads, lines, empty="Nothing was told to either party."),
            kind="wide",
        ),
    ]
