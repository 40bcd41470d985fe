"""A job's page: what it waits for and why, its timeline, and the reasons, prices and proofs behind it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import htpy
from htpy import Element, Node, code, div, h1, header, li, ol, p, span, strong

from nodes.page import map as maps
from nodes.page.parts import columns, figures, part, party_link, rows, short, state
from nodes.page.timeline import timeline
from nodes.page.words import clock, day, number, size
from nodes.page.words import span as lasting
from nodes.protections import traits_of
from nodes.views.history import History, Incident, Lane
from nodes.views.models import figures as fit_figures
from nodes.views.parts import summed
from nodes.views.report import JobReport, Rental
from nodes.views.waiting import waits_for
from schemas import money
from schemas.jobs import Assessment, Candidate, Costs


@dataclass(frozen=True, slots=True)
class JobPicture:
    """What the page shows."""

    report: JobReport
    history: History
    unread: int
    """Journal entries that were not read yet."""
    now: float
    """Seconds since 1970."""


def title(picture: JobPicture) -> str:
    """Of the page."""
    return f"{picture.report.phase} · {picture.report.id}"


def job_page(picture: JobPicture) -> Node:
    """The page's content."""
    report = picture.report
    return [
        _head(picture),
        _timeline(picture),
        _happened(picture),
        _contracts(report),
        columns(_decision(report.assessment) if report.assessment else None, _price(report)),
        columns(_route(report), _evidence(picture)),
        _learned(report),
    ]


def _head(picture: JobPicture) -> Element:
    report, now = picture.report, picture.now
    took = (report.ended_at or now) - report.submitted_at if report.submitted_at else 0.0
    share = htpy.progress(max=str(max(1, report.rows)), value=str(report.rows_done), aria_label="Rows done")
    return header(".head")[
        h1[span(".what")["Job"], span(".id")[report.id]],
        p(".states")[state(report.phase), span[" · ".join(filter(None, _kind(report)))]],
        p(".waits", id="waits")[waits_for(report, now)],
        report.rows > 0
        and div(".progress")[
            share,
            span[f"{report.rows_done:,} of {number(report.rows, 'row')}"],
            span[f"{report.batches_done:,} of {number(report.batches, 'batch', 'batches')}"],
            took > 0 and span[lasting(took)],
            span[("submitted ", day(report.submitted_at))],
        ],
    ]


def _kind(report: JobReport) -> tuple[str | None, ...]:
    scheme = report.assessment.scheme if report.assessment else None
    return report.protection or report.asked, scheme, f"with {report.joint.partner}" if report.joint else None


# ------------------------------------------------------------ what happened


def _timeline(picture: JobPicture) -> Element | None:
    history, report = picture.history, picture.report
    if not history.entries:
        return None
    reading = f"Reading the journal: {number(picture.unread, 'entry', 'entries')} to go." if picture.unread else None
    return part("Timeline", timeline(history, report.ended_at, picture.now), note=reading, kind="wide")


def _happened(picture: JobPicture) -> Element | None:
    history = picture.history
    if not history.incidents:
        return None
    more = history.incidents_seen - len(history.incidents)
    return part(
        "Not as planned",
        ol(".incidents")[(_incident(each, history.began_at) for each in history.incidents)],
        note=f"{number(more, 'earlier incident')} not listed." if more else None,
    )


def _incident(each: Incident, start: float) -> Element:
    return li(data_kind=each.kind)[
        span(".after")[f"+{lasting(each.at - start)}"],
        span(".at")[clock(each.at)],
        strong[each.kind.replace("-", " ")],
        each.party and party_link(each.party, "lessor"),
        span(".text")[each.text],
        each.code and code[each.code],
    ]


# ------------------------------------------------------------ why, and at what price


def _decision(assessment: Assessment) -> Element:
    heads = ("Protection", "Verdict", "#Encrypt", "#Lessors", "#Decrypt", "#Out", "#Back")
    lines = (_candidate(each, assessment) for each in assessment.candidates)
    return part(
        "Decision",
        rows("Ways to protect the data", heads, lines, empty=""),
        p(".note")["Seconds of one core, predicted on this machine."],
        figures(
            ("Asked for", assessment.asked),
            ("Data", f"{number(assessment.rows, 'row')} × {number(assessment.columns, 'column')} for lessors"),
            ("Cores", f"{assessment.free_cores:.2g} free of {assessment.cores}"),
            ("Afforded", f"{lasting(assessment.encrypt_seconds_max)} to encrypt, by the clock"),
            ("Error", f"at most {assessment.max_error:g}"),
        ),
        note=f"{assessment.chosen}: {assessment.reason}",
    )


def _candidate(each: Candidate, assessment: Assessment) -> tuple[Node, ...]:
    chosen = each.possible and each.protection == assessment.chosen and each.scheme in (None, assessment.scheme)
    scheme = span(".dim")[f" {each.scheme}"] if each.scheme else None
    name = [each.protection, scheme, span(".why")[each.reason]]
    mark = state("chosen") if chosen else state("possible" if each.possible else "ruled out")
    return (name, mark, *_costs(each.costs))


def _costs(costs: Costs | None) -> tuple[Node, ...]:
    if costs is None:
        return ("–",) * 5
    seconds = (costs.encrypt_seconds, costs.lessor_seconds, costs.decrypt_seconds)
    return (*(f"{each:.3g}" for each in seconds), size(costs.bytes_sent), size(costs.bytes_back))


def _price(report: JobReport) -> Element | None:
    if report.assessment is None:
        return None
    predicted, spent = report.assessment.costs, report.spent
    price = report.price_micros_max
    estimate = money.cost_micros(price, 1, predicted.lessor_seconds)
    paid = sum(each.cost_micros for each in report.contracts)
    heads = ("Cost", "#Predicted", "#So far")
    known = predicted if predicted.lessor_seconds else None
    names = ("Encrypt, core-s", "Lessors, core-s", "Decrypt, core-s", "Bytes out", "Bytes back")
    lines = zip(names, _costs(known), _costs(spent), strict=True)
    return part(
        "Price and cost",
        figures(
            ("Estimate", f"about {money.shown(estimate)} at most" if estimate else "not predicted"),
            ("Receipts", money.shown(paid) if paid else "none yet"),
            ("Pays", f"up to {money.shown(price)} per unit and hour"),
        ),
        rows("Costs, predicted and so far", heads, lines, empty=""),
        p(".note")[
            "Receipts count whole leases of seconds and each lessor's least charge; the estimate, core-seconds."
        ],
    )


def _contracts(report: JobReport) -> Element | None:
    if not report.contracts:
        return None
    heads = (
        "Lessor",
        "State",
        "#Units",
        "#Price/h",
        "#Rows",
        "#Batches",
        "#Under way",
        "#Core-s",
        "#Cost",
        "Heard",
        "Contract",
    )
    return part("Contracts", rows("Contracts", heads, map(_contract, report.contracts), empty=""), kind="wide")


def _contract(each: Rental) -> tuple[Node, ...]:
    numbers = (
        f"{each.rows:,}",
        f"{each.batches:,}",
        f"{each.under_way:,}",
        f"{each.core_seconds:.3g}" if each.core_seconds else "–",
    )
    cost = money.shown(each.cost_micros) if each.cost_micros else "–"
    name = party_link(each.lessor, "lessor")
    terms = (f"{each.units:,}", money.shown(each.price_micros))
    return (name, state(each.subtask or each.state), *terms, *numbers, cost, clock(each.heard_at), span(".id")[each.id])


# ------------------------------------------------------------ over which way, and on what proof


def _route(report: JobReport) -> Element | None:
    lessors: dict[str, bool] = {}
    for each in report.contracts:
        lessors[each.lessor] = each.subtask == "lost"
    drawn = maps.route_map(report.renter, lessors, report.joint.partner if report.joint else "")
    if drawn is None:
        return None
    ways = ol(".ways")[(li[way] for way in report.route)]
    return part("Route", div(".scroll", role="group", aria_label="Map", tabindex="0")[drawn], ways)


def _evidence(picture: JobPicture) -> Element | None:
    report = picture.report
    if report.assessment is None or not report.contracts:
        return None
    if traits_of(report.assessment.chosen).on_ciphertext:
        saw = "Lessors computed on ciphertext, without any key: there is nothing that an enclave would have to prove."
        return part("Evidence", p[saw], note=report.confidential)
    proofs = [each for each in picture.history.lanes if each.kind == "attester" and each.claims]
    heads = ("Enclave", "Lessor", "Kind", "Measurement", "Locked down by")
    return part(
        "Evidence",
        rows("Evidence of enclaves", heads, map(_proof, proofs), empty="No enclave has proved itself yet."),
        note=report.confidential,
    )


def _proof(lane: Lane) -> tuple[Node, ...]:
    measurement = lane.claims.get("measurement", "")
    kind = [lane.claims.get("kind", ""), htpy.br, span(".dim")[lane.claims.get("confidential", "")]]
    digest = code(".digest", title=measurement)[f"{measurement[:16]}…"] if measurement else "–"
    return (
        span(".id", title=lane.name)[short(lane.name)],
        party_link(lane.of, "lessor"),
        kind,
        digest,
        ", ".join(lane.applied) or "–",
    )


def _learned(report: JobReport) -> Element | None:
    if report.joint is None:
        return None
    joint = report.joint
    lines: Iterable[tuple[Node, ...]] = (
        (party, kind, f"{rounds:,}" if rounds else "–", f"{count:,}", shape)
        for party, kind, rounds, count, shape in summed(joint.ledger)
    )
    heads = ("Party", "What", "#Rounds", "#Numbers", "Shape")
    empty = "Nothing was told to either party yet."
    return part(
        "What each party learned",
        figures(
            ("Partner", party_link(joint.partner, "partner")),
            ("Dataset", joint.dataset),
            ("Round", f"{joint.round} of {joint.rounds}"),
            *((("Model", f"{joint.fit.algorithm}: {fit_figures(joint.fit)}"),) if joint.fit else ()),
        ),
        rows("What each party learned", heads, lines, empty=empty),
        kind="wide",
    )
