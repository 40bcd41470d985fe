"""How jobs look: assessment, orders, contracts, route and state, as text and tables, and as JSON values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from nodes.cli import story
from nodes.cli.console import Output, listed, numbers, table
from nodes.cli.tables import Table
from nodes.views.failures import ADVICE, UNFIT, kind_of
from nodes.views.models import figures
from nodes.views.orders import Order
from nodes.views.parts import summed
from nodes.views.report import JobReport, Joining, Rental
from nodes.views.waiting import over_lost_links
from schemas import money
from schemas.ids import Address, hub_of
from schemas.jobs import Assessment, Candidate, Costs, CutNote
from schemas.joint import Learned

if TYPE_CHECKING:
    from nodes.cli.sight import Seen
    from nodes.joint.categories import Omitted
    from nodes.views.models import FitReport

MIB: Final = 1024 * 1024
COLUMNS_BY: Final = {"name": "by name", "position": "by position", "choice": "as chosen"}
OF_ROWS: Final = {"logistic": "auc and log loss", "poisson": "deviance"}
"""By algorithm: figures that take scores of single rows."""
UNNAMED: Final = " (the program names none)"


def exit_code(report: JobReport) -> int:
    """Of a command that waited for this job: 0, or why it failed (the README's table)."""
    return kind_of(report.code).exit_code if report.phase == "failed" else 0


def show(output: Output, report: JobReport, *, verbose: bool = False) -> None:
    """A job's report, in either form."""
    output.text(*job_lines(report, verbose=verbose))
    output.result(as_value(report))


def say_why(output: Output, report: JobReport, *, said: Sequence[str] = ()) -> None:
    """Why the job failed, if it did, and what to do; `said` is the partner's own account of it, where that is here."""
    if report.phase == "failed":
        output.note(f"sublet: {report.id} failed: {report.reason}")
        for line in said:
            output.note(f"sublet: {line}")
        if report.code in ADVICE and not (said and report.code == UNFIT):
            output.note(f"what to do: {ADVICE[report.code]}")


def as_value(report: JobReport) -> dict[str, Any]:
    """A job for programs."""
    return {
        "job": report.id,
        "state": report.phase,
        "protection": report.protection,
        "asked": report.asked,
        "assessment": report.assessment,
        "cut": report.cut,
        "spent": report.spent,
        "columns": report.columns,
        "columns_by": report.columns_by,
        "rows": report.rows,
        "rows_done": report.rows_done,
        "batches": report.batches,
        "batches_done": report.batches_done,
        "seconds": round(report.seconds, 3),
        "contracts": report.contracts,
        "route": report.route,
        "confidential": report.confidential,
        "code": report.code,
        "reason": report.reason,
        "output": report.output,
        "lost_links": report.lost_links,
        "joint": report.joint,
    }


def job_lines(
    report: JobReport, *, verbose: bool = False, brief: bool = False, seen: Seen | None = None
) -> list[str | Table]:
    """A job for people: its story; with `verbose` all numbers behind it.

    Args:
        report: the job.
        verbose: also columns, assessment, contracts and costs.
        brief: only what became of it and what was learned.
        seen: what went to a lessor, where that was watched.
    """
    if brief:
        report = replace(report, columns=(), assessment=None, contracts=(), spent=None)
    lines: list[str | Table] = [f"job         {report.id}: {report.phase}{_in_all(report)}"]
    if report.reason:
        lines.append(f"reason      {report.reason}")
    if report.assessment is not None:
        scheme = f", {report.assessment.scheme}" if report.assessment.scheme else ""
        lines.append(f"protection  {report.assessment.chosen}{scheme}: {report.assessment.reason}")
    if report.columns_by == "position" and not verbose:  # what nobody chose is said
        lines.append(f"columns     {columns_line(report)}")
    if report.rows and not report.ended:
        batches = f"{report.batches_done} of {report.batches} batches"
        lines.append(f"progress    {report.rows_done:,} of {report.rows:,} rows, {batches}")
    lines += [f"waits       {each}" for each in over_lost_links(report)]
    lines += [*story.rents(report), *story.stays(report), *story.saw(report, seen), *story.cost(report)]
    lines += [] if report.joint is None else joint_lines(report, report.joint)
    return lines + (detail_lines(report) if verbose else [])


def _in_all(report: JobReport) -> str:
    """After its state: why it failed, or how much it did, and in what time."""
    said = [report.code] if report.code else [f"{report.rows_done:,} rows"] if report.ended and report.rows else []
    if report.ended_at:
        said.append(f"in {report.seconds:.2f} s")
    return "".join((", ", " ")[at] + each for at, each in enumerate(said))


def detail_lines(report: JobReport) -> list[str | Table]:
    """All numbers of a job."""
    lines: list[str | Table] = []
    if report.columns:
        lines.append(f"columns     {columns_line(report)}")
    if report.assessment is not None:
        lines += assessment_lines(report.assessment)
        lines.append(estimate_line(report.assessment, report.price_micros_max))
        lines += [] if report.cut is None else cut_lines(report.cut, report.assessment.max_error)
    if report.contracts:
        lines += [contracts_table(report.contracts), *(f"route       {way}" for way in report.route)]
    if report.spent is not None:
        lines.append(f"spent       {costs_line(report.spent)}")
    if report.submitted_at:
        lines.append(f"submitted   {when(report.submitted_at)}")
    return lines


def joint_lines(report: JobReport, joint: Joining) -> list[str | Table]:
    """What was done with a partner, and what each party learned."""
    ways = dict.fromkeys(report.route[len(report.route) // 2 :])
    lines: list[str | Table] = [f"partner     {joint.partner}, {joint.dataset}: round {joint.round} of {joint.rounds}"]
    lines += [f"sealed to   {way}" for way in ways]
    lines += [] if joint.fit is None else fit_lines(joint.fit)
    return [*lines, ledger_table(joint.ledger)]


def fit_lines(fit: FitReport) -> list[str | Table]:
    """A fitted model."""
    moved = f", {fit.moved} of them moved towards the mean" if fit.moved else ""
    of = f"{fit.rows:,} rows{moved}; {len(fit.columns)} columns here, {fit.partner_columns} at the partner"
    lines: list[str | Table] = [f"model       {fit.algorithm}: {of}"]
    lines += omitted_lines(fit.omitted)
    if fit.merged:
        lines.append(f"            too few rows in common, so counted as the baseline: {', '.join(fit.merged)}")
    lines.append(f"{'scored' if fit.scored else 'fit':<12}{figures(fit)}" + _scored_rows(fit))
    if fit.alone is not None:
        lines.append(f"here alone  {figures(fit.alone)}")
    if fit.algorithm in OF_ROWS and not fit.scored:
        lines.append(f"            {OF_ROWS[fit.algorithm]} of both take rows' scores: a job with --score and --label")
    return lines + ([f"            approximate: {fit.approximate}"] if fit.approximate else [])


def omitted_lines(omitted: Iterable[Omitted]) -> list[str | Table]:
    """Columns that a model does not have, and why."""
    return [f"            left out: {each.column}, as {each.reason}" for each in omitted]


def _scored_rows(fit: FitReport) -> str:
    return f" of {fit.scored:,} rows" if fit.scored else ""


def ledger_table(lines: tuple[Learned, ...]) -> Table:
    """What each party of a joint job learned."""
    made = table("What was learned", "by", "what", "#rounds", "#numbers", "shape", drops=("shape", "rounds"))
    for party, kind, rounds, count, shape in summed(lines):
        made.add_row(party, kind, str(rounds or ""), f"{count:,}", shape)
    return made


def columns_line(report: JobReport) -> str:
    """Which columns the program takes, for people."""
    by = report.columns_by
    return f"{COLUMNS_BY.get(by, by)}: {listed(report.columns)}{UNNAMED if by == 'position' else ''}"


def assessment_lines(assessment: Assessment) -> list[str | Table]:
    """The decision of A1 and A2, with every number that led to it."""
    lines: list[str | Table] = [f"assessment  {assessment.chosen}: {assessment.reason}"]
    if assessment.scheme is not None:
        noise = f", {assessment.noise} noise" if assessment.noise else ""
        lines.append(f"            scheme {assessment.scheme}{noise}")
    size = f"{assessment.rows:,} rows × {assessment.columns} columns for lessors"
    cores = f"{assessment.free_cores:.2f} free of {assessment.cores} cores"
    lines.append(f"            {size}; {cores}; error at most {assessment.max_error:g}")
    for candidate in assessment.candidates:
        scheme = f" ({candidate.scheme})" if candidate.scheme else ""
        mark = "+" if candidate.possible else "-"
        lines.append(f"            {mark} {candidate.protection}{scheme}: {candidate.reason}")
        if candidate.costs is not None:
            lines.append(f"              {costs_line(candidate.costs)}{_error(candidate)}")
    return lines


def estimate_line(assessment: Assessment, price_micros_max: int) -> str:
    """What the lessors may cost."""
    seconds, price = assessment.costs.lessor_seconds, money.shown(price_micros_max)
    most = money.shown(money.cost_micros(price_micros_max, 1, seconds))
    return f"estimate    about {most} at most: {seconds:.3g} lessors' core-seconds at {price} per unit and hour"


def cut_lines(cut: CutNote, max_error: float) -> list[str | Table]:
    """What runs where, and what the asked error is an error of."""
    at = ", ".join(map(repr, cut.at))
    reach = "how far that reaches into results is not known"
    if cut.factor is not None:
        reach = f"at most {max_error * cut.factor:.2g} in results"
    flips = "; labels and steps flip where they are that near a tie" if cut.flips else ""
    return [
        f"cut         on ciphertext: up to {at} ({numbers(cut.numbers)}); locally: {', '.join(cut.locally)}",
        f"            error at most {max_error:g} at the cut, {reach}{flips}",
    ]


def costs_line(costs: Costs) -> str:
    """Costs for people."""
    return (
        f"core-seconds: encrypt {costs.encrypt_seconds:.3g}, lessors {costs.lessor_seconds:.3g}, "
        f"decrypt {costs.decrypt_seconds:.3g}; {costs.bytes_sent / MIB:.3g} MiB out, {costs.bytes_back / MIB:.3g} back"
    )


def _error(candidate: Candidate) -> str:
    return "" if candidate.error_bound is None else f"; error ≤ {candidate.error_bound:.1e}"


def jobs_table(reports: Iterable[JobReport]) -> Table:
    """A line per job."""
    columns = ("job", "state", "protection", "#rows", "#done", "#seconds", "submitted", "why")
    made = table("", *columns, drops=("seconds", "done", "rows", "why", "protection"))
    for each in reports:
        counts = (f"{each.rows:,}", f"{each.rows_done:,}", f"{each.seconds:.1f}" if each.ended else "")
        made.add_row(each.id, each.phase, each.protection or each.asked, *counts, when(each.submitted_at), each.code)
    return made


def contracts_table(contracts: Iterable[Rental]) -> Table:
    """Who computes what under which contract (R4, S1)."""
    columns = ("contract", "lessor", "hubs", "#units", "#price/h", "#rows", "#batches", "#cost", "subtask", "state")
    made = table("", *columns, drops=("hubs", "batches", "state", "units", "price/h"))
    for each in contracts:
        hubs = " + ".join(dict.fromkeys(hub_of(Address(hub)) for hub in (each.renter_hub, each.lessor_hub)))
        cost = money.shown(each.cost_micros) if each.cost_micros else ""
        counts = (str(each.units), money.shown(each.price_micros), f"{each.rows:,}", str(each.batches), cost)
        made.add_row(each.id, each.lessor, hubs, *counts, each.subtask, each.state)
    return made


def orders_table(orders: Iterable[Order]) -> Table:
    """Orders that a node knows (R1)."""
    columns = ("order", "kind", "by", "#units", "#free", "#price/h", "protections", "state", "until")
    made = table("", *columns, drops=("until", "protections", "kind", "units"))
    for each in orders:
        amounts = (str(each.units), "" if each.free is None else str(each.free), money.shown(each.price_micros))
        protections = ", ".join(each.protections)
        made.add_row(each.order, each.kind, each.by, *amounts, protections, each.state, when(each.until))
    return made


def job_orders_table(orders: Iterable[Order]) -> Table:
    """The orders that a job's contracts bind together (R1)."""
    made = table("", "order", "by", "#units", "#price/h", "protections", drops=("protections",))
    for each in orders:
        most = "≤ " if each.kind == "buy" else ""
        amounts = (str(each.units), f"{most}{money.shown(each.price_micros)}")
        made.add_row(f"{each.kind:<4} {each.order}", each.by, *amounts, ", ".join(each.protections))
    return made


def when(seconds: float) -> str:
    """A time for people, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if seconds else "-"
