"""The page of a lessor or partner, as this node knows it: each kind of node keeps something else of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from htpy import Element, Node, code, h1, header, p, span

from nodes.page.market import offers, tenancies
from nodes.page.parts import figures, job_link, part, rows, state
from nodes.page.words import clock, day, number
from nodes.page.words import span as lasting
from nodes.views.book import Book
from nodes.views.lines import JobLine, RentalLine
from schemas import money

JOBS_SHOWN_MAX = 50


def lessor_at_renter(address: str, lines: Sequence[JobLine]) -> Node:
    """What this renter rented of it; `lines` newest first."""
    rented = [(line, each) for line in lines for each in line.rentals if each.lessor == address]
    found = [each for _, each in rented]
    refusal = next(
        ((line, cause) for line in lines for cause in reversed(line.causes) if cause[1].startswith(f"{address}: ")),
        None,
    )
    heads = ("Job", "State", "Protection", "#Rows", "#Batches", "#Core-s", "#Cost", "Heard")
    return [
        _head(
            "Lessor",
            address,
            f"As this renter saw it: {number(len(rented), 'contract')}. What others rented of it is not known here.",
        ),
        part("Work and earnings", _work(found), _refusal(refusal)),
        part(
            "Work done for this renter",
            rows(
                "Work", heads, (_rented(*each) for each in rented[:JOBS_SHOWN_MAX]), empty="Nothing was rented of it."
            ),
            kind="wide",
        ),
    ]


def _work(found: Sequence[RentalLine]) -> Element:
    return figures(
        ("Earned here", money.shown(sum(each.cost_micros for each in found))),
        ("Rows", f"{sum(each.rows for each in found):,}"),
        ("Batches", f"{sum(each.batches for each in found):,}"),
        ("Core-seconds", f"{sum(each.core_seconds for each in found):.3g}"),
        ("Lost", f"{sum(each.state == 'lost' for each in found):,} of {number(len(found), 'subtask')}"),
        ("Last heard", clock(max((each.heard_at for each in found), default=0.0))),
    )


def _refusal(found: tuple[JobLine, tuple[str, str]] | None) -> Element:
    if found is None:
        return p[span(".dim")["Last refusal: none that this renter knows of."]]
    line, (failed, text) = found
    return p["Last refusal: ", code[failed], f" {text.partition(': ')[2]}, in ", job_link(line.id), "."]


def _rented(line: JobLine, each: RentalLine) -> tuple[Node, ...]:
    cost = money.shown(each.cost_micros) if each.cost_micros else "–"
    work = (f"{each.rows:,}", f"{each.batches:,}", f"{each.core_seconds:.3g}")
    return (job_link(line.id), state(each.state), each.protection, *work, cost, clock(each.heard_at))


def lessor_at_hub(address: str, book: Book, now: float) -> Node:
    """Its offers and contracts, in the book of its hub, or of a hub whose renters rent of it."""
    own = [each for each in book.offers if each.lessor == address]
    rented = [each for each in book.tenancies if each.lessor == address]
    hourly = sum(each.price_micros * each.units for each in rented)
    silent = [each for each in own if each.state == "silent"]
    said = "A renter found it silent: it is not matched until it places its order again." if silent else ""
    return [
        _head("Lessor", address, said or f"{number(len(rented), 'contract')} under way."),
        part(
            "Work and earnings",
            figures(
                ("Earns", f"{money.shown(hourly)} an hour, under the contracts under way"),
                (
                    "Rented",
                    f"{sum(each.units for each in rented):,} of {number(sum(each.units for each in own), 'unit')}",
                ),
                ("Rented for", lasting(sum(now - each.since for each in rented)) if rented else "–"),
            ),
            note="A hub keeps no contract that is over, and no batch passes through it: what the lessor computed and "
            "earned before is in the receipts of its renters.",
        ),
        offers(own),
        tenancies(rented),
    ]


def partner_at_renter(address: str, lines: Sequence[JobLine]) -> Node:
    """The joint jobs with it; `lines` newest first."""
    joint = [each for each in lines if each.partner == address]
    heads = ("Job", "State", "#Rows", "Code", "Submitted")
    table = (
        (job_link(each.id), state(each.phase), f"{each.rows:,}", each.code or "–", day(each.submitted_at))
        for each in joint[:JOBS_SHOWN_MAX]
    )
    said = f"{number(len(joint), 'joint job')} of this renter. What it learned stands on the page of each."
    return [
        _head("Partner", address, said),
        part("Joint jobs", rows("Joint jobs", heads, table, empty="No job was joint with it."), kind="wide"),
    ]


def unknown(what: str, address: str, why: str) -> Node:
    """The page of a party of which this node keeps nothing."""
    return [_head(what, address, why)]


def _head(what: str, address: str, said: str) -> Element:
    return header(".head")[h1[f"{what} ", span(".id")[address]], p(".waits")[said]]
