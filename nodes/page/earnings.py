"""What receipts say of a party: earned, of whom, for what work; and what was refused last. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from htpy import Element, Node, code, p, span

from nodes.page.parts import part, party_link, rows
from nodes.page.words import day, number
from nodes.views.accounts import Fault, Line
from nodes.views.balance import Pair, Total
from schemas import money

HOUR_SECONDS: Final = 3600.0
SHOWN_MAX: Final = 50
"""Lines of a table."""


@dataclass(frozen=True, slots=True)
class Earned:
    """What is known of receipts."""

    totals: Mapping[Pair, Total] = field(default_factory=dict)
    """By renter and lessor, dearest first."""
    newest: Sequence[Line] = ()
    unread: int = 0
    """Days, or at a lessor receipts, that were not read yet."""
    faults: Sequence[Fault] = ()

    @property
    def total(self) -> Total:
        """Of all."""
        return sum(self.totals.values(), Total())

    @property
    def reading(self) -> str | None:
        """That there is more to read."""
        return f"Reading receipts: {self.unread:,} to go." if self.unread else None


def sums(earned: Earned, name: str) -> tuple[tuple[str, Node], ...]:
    """Figures; `name` is what the amount is."""
    total = earned.total
    return (
        (name, money.shown(total.cost_micros)),
        ("Contracts", f"{total.contracts:,}"),
        ("Rows", f"{total.rows:,}"),
        ("Batches", f"{total.batches:,}"),
        ("Unit-hours", f"{total.unit_seconds / HOUR_SECONDS:,.4f}"),
        ("Last ended", day(total.ended_at)),
    )


def by_party(earned: Earned, title: str, *parties: str) -> Element:
    """Sums per renter, lessor or both."""
    by: dict[tuple[str, ...], Total] = {}
    for (renter, lessor), total in earned.totals.items():
        key = tuple({"renter": renter, "lessor": lessor}[each] for each in parties)
        by[key] = by.get(key, Total()) + total
    heads = (*map(str.capitalize, parties), "#Amount", "#Contracts", "#Rows", "#Unit-hours", "Last ended")
    lines = (
        (
            *(party_link(name, role) for name, role in zip(names, parties, strict=True)),
            money.shown(total.cost_micros),
            f"{total.contracts:,}",
            f"{total.rows:,}",
            f"{total.unit_seconds / HOUR_SECONDS:,.4f}",
            day(total.ended_at),
        )
        for names, total in list(by.items())[:SHOWN_MAX]
    )
    more = f"{SHOWN_MAX} of {len(by):,}, dearest first." if len(by) > SHOWN_MAX else None
    return part(title, rows(title, heads, lines, empty="There is no receipt yet."), note=more, kind="wide")


def work(earned: Earned, *, lessor: bool = False) -> Element:
    """The last receipts; with `lessor` it is said whose they are."""
    who = ("Lessor", "Renter") if lessor else ("Renter",)
    heads = (*who, "Protection", "#Rows", "#Batches", "#Seconds", "#Amount", "Ended", "Contract")
    lines = (
        (
            *((party_link(each.lessor, "lessor"),) if lessor else ()),
            party_link(each.renter, "renter"),
            each.protection,
            f"{each.rows:,}",
            f"{each.batches:,}",
            f"{each.ended_at - each.started_at:,.1f}",
            money.shown(each.cost_micros),
            day(each.ended_at),
            span(".id")[each.contract],
        )
        for each in earned.newest[:SHOWN_MAX]
    )
    many = earned.total.contracts
    note = f"The last {SHOWN_MAX} of {many:,}; sublet account --csv has all." if many > SHOWN_MAX else None
    return part("Work done", rows("Work done", heads, lines, empty="No receipt yet."), note=note, kind="wide")


def faulty(faults: Sequence[Fault]) -> Element | None:
    """Files of a lessor that are no receipts any more."""
    if not faults:
        return None
    lines = ((span(".id")[each.file.name], code[each.code], each.reason) for each in faults[:SHOWN_MAX])
    note = f"{number(len(faults), 'file')} that no longer verify; they count for nothing."
    return part("Not receipts", rows("Not receipts", ("File", "Code", "Why"), lines, empty=""), note=note, kind="wide")


def last_refusal(at: float, failed: str, text: str, *about: Node) -> Element:
    """The last that was refused; `about` says of what, or of whom."""
    return p["Last refusal: ", code[failed], f" {text}", about, ", ", day(at), "."]


def no_refusal(why: str) -> Element:
    """Nothing was refused."""
    return p[span(".dim")[f"Last refusal: {why}."]]
