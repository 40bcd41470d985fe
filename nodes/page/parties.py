"""The page of a lessor or partner, as this node knows it: each kind of node keeps something else of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from htpy import Element, Node, code, h1, header, p, span

from nodes.page.earnings import Earned, by_party, last_refusal, no_refusal, sums, work
from nodes.page.market import offers, tenancies
from nodes.page.parts import figures, job_link, part, rows, state
from nodes.page.words import clock, day, number
from nodes.page.words import span as lasting
from nodes.views.book import Book
from nodes.views.lines import JobLine, RentalLine
from nodes.views.refusals import Refused
from schemas import money
from schemas.joint import Learned

JOBS_SHOWN_MAX = 50


def lessor_at_renter(address: str, lines: Sequence[JobLine], earned: Earned) -> Node:
    """What this renter rented of it; `lines` newest first, `earned` by its receipts."""
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
        part("Work and earnings", _work(found, earned), _refusal(refusal), note=earned.reading),
        part(
            "Work done for this renter",
            rows(
                "Work", heads, (_rented(*each) for each in rented[:JOBS_SHOWN_MAX]), empty="Nothing was rented of it."
            ),
            kind="wide",
        ),
    ]


def _work(found: Sequence[RentalLine], earned: Earned) -> Element:
    return figures(
        *sums(earned, "Earned here"),
        ("Core-seconds", f"{sum(each.core_seconds for each in found):.3g}, of jobs still kept"),
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


def lessor_at_hub(address: str, book: Book, earned: Earned, refused: Refused | None, now: float) -> Node:
    """Its receipts, offers and contracts, at its hub, or at a hub whose renters rent of it."""
    own = [each for each in book.offers if each.lessor == address]
    rented = [each for each in book.tenancies if each.lessor == address]
    hourly = sum(each.price_micros * each.units for each in rented)
    silent = [each for each in own if each.state == "silent"]
    said = "A renter found it silent: it is not matched until it places its order again." if silent else ""
    units = sum(each.units for each in own)
    return [
        _head("Lessor", address, said or f"{number(len(rented), 'contract')} under way."),
        part(
            "Work and earnings",
            figures(
                *sums(earned, "Earned"),
                ("Earns now", f"{money.shown(hourly)} an hour"),
                ("Rented now", f"{sum(each.units for each in rented):,} of {number(units, 'unit')}"),
                ("Rented for", lasting(sum(now - each.since for each in rented)) if rented else "–"),
            ),
            _refused(refused),
            note=earned.reading,
        ),
        by_party(earned, "By renter", "renter"),
        offers(own),
        tenancies(rented),
        work(earned),
    ]


def _refused(found: Refused | None) -> Element:
    if found is None:
        return no_refusal("this hub refused nothing of it lately")
    return last_refusal(found.at, found.code, found.reason, f", this hub said to {found.type}")


def partner_at_renter(address: str, lines: Sequence[JobLine]) -> Node:
    """The joint jobs with it, and what both learned; `lines` newest first."""
    joint = [each for each in lines if each.partner == address]
    heads = ("Job", "State", "Dataset", "#Rows", "#It learned", "#Learned here", "Code", "Submitted")
    table = (
        (
            job_link(each.id),
            state(each.phase),
            each.dataset or "–",
            f"{each.rows:,}",
            learned_by(each.learned, "partner"),
            learned_by(each.learned, "renter"),
            each.code or "–",
            day(each.submitted_at),
        )
        for each in joint[:JOBS_SHOWN_MAX]
    )
    said = (
        f"{number(len(joint), 'joint job')} of this renter: what it was asked here, and how many numbers each learned."
    )
    return [
        _head("Partner", address, said),
        part("Joint jobs", rows("Joint jobs", heads, table, empty="No job was joint with it."), kind="wide"),
        ledger(learned for each in joint for learned in each.learned),
    ]


def learned_by(lines: Sequence[Learned], party: str) -> str:
    """How many numbers."""
    return f"{sum(each.count for each in lines if each.party == party):,}"


def ledger(lines: Iterable[Learned]) -> Element:
    """What each party learned in all jobs together, by kind."""
    by: dict[tuple[str, str], int] = {}
    for each in lines:
        by[each.party, each.kind] = by.get((each.party, each.kind), 0) + each.count
    heads = ("Party", "What", "#Numbers")
    table = ((party, kind, f"{count:,}") for (party, kind), count in sorted(by.items()))
    title = "What each party learned"
    return part(title, rows(title, heads, table, empty="Nothing was told to either party."), kind="wide")


def unknown(what: str, address: str, why: str) -> Node:
    """The page of a party of which this node keeps nothing."""
    return [_head(what, address, why)]


def _head(what: str, address: str, said: str) -> Element:
    return header(".head")[h1[f"{what} ", span(".id")[address]], p(".waits")[said]]
