"""A renter's list of jobs, newest first. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from htpy import Element, Node, a, h1, header, nav, p, span

from nodes.page.parts import job_link, part, party_link, rows, state
from nodes.page.words import day, number
from nodes.page.words import span as lasting
from nodes.views.lines import JobLine
from schemas import money

SHOWN_MAX: Final = 50
"""Jobs of a page."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of the jobs are shown."""

    state: str = ""
    page: int = 0

    def link(self) -> str:
        """The address of this choice."""
        asked = {"state": self.state, "page": str(self.page) if self.page else ""}
        query = urlencode({name: value for name, value in asked.items() if value})
        return f"/?{query}" if query else "/"


def jobs_page(lines: Sequence[JobLine], unread: int, choice: Choice, now: float) -> Node:
    """The page's content; `lines` newest first."""
    states = Counter(each.phase for each in lines)
    chosen = [each for each in lines if choice.state in ("", each.phase)]
    shown = chosen[choice.page * SHOWN_MAX : (choice.page + 1) * SHOWN_MAX]
    heads = ("Job", "State", "Protection", "#Rows", "#Done", "#Time", "Lessors", "#Cost", "Submitted")
    reading = f"Reading the store: {number(unread, 'job')} to go." if unread else None
    empty = "No such job." if choice.state else "No job was submitted yet: `sublet job submit` does."
    return [
        header(".head")[h1["Jobs"]],
        _filter(states, choice, len(lines)),
        part(
            "All jobs" if not choice.state else f"Jobs that are {choice.state}",
            *(
                rows("Jobs", heads, (_line(each, now) for each in shown), empty=empty),
                _pages(choice, len(chosen)),
            ),
            note=reading,
            kind="wide",
        ),
    ]


def _filter(states: Counter[str], choice: Choice, total: int) -> Element:
    wanted = [("", total), *sorted(states.items())]
    return nav(".filter", aria_label="States")[
        (
            a(href=Choice(name).link(), aria_current="true" if name == choice.state else None)[
                name or "all", span(".count")[f"{count:,}"]
            ]
            for name, count in wanted
        )
    ]


def _line(each: JobLine, now: float) -> tuple[Node, ...]:
    done = f"{each.rows_done / each.rows:.0%}" if each.rows else "–"
    took = (each.ended_at or now) - each.submitted_at if each.submitted_at else 0.0
    cost = sum(rental.cost_micros for rental in each.rentals)
    lessors = dict.fromkeys(rental.lessor for rental in each.rentals)
    lost = sum(rental.state == "lost" for rental in each.rentals)
    who = [[party_link(name, "lessor"), " "] for name in list(lessors)[:3]]
    more = f"+{len(lessors) - 3} " if len(lessors) > 3 else ""
    return (
        job_link(each.id),
        [state(each.phase), each.code and span(".dim")[f" {each.code}"]],
        each.protection,
        f"{each.rows:,}" if each.rows else "–",
        done,
        lasting(took) if took else "–",
        [who, more, lost and span(".bad")[f"{lost} lost"]],
        money.shown(cost) if cost else "–",
        day(each.submitted_at),
    )


def _pages(choice: Choice, total: int) -> Element | None:
    last = max(0, (total - 1) // SHOWN_MAX)
    if not last:
        return None
    newer, older = Choice(choice.state, choice.page - 1), Choice(choice.state, choice.page + 1)
    return p(".pages")[
        choice.page > 0 and a(href=newer.link(), rel="prev")["newer"],
        span[f"page {choice.page + 1:,} of {last + 1:,}"],
        choice.page < last and a(href=older.link(), rel="next")["older"],
    ]
