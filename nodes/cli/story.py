"""A job as a story: who rented from whom over which hubs, what strangers saw, what came back, what it cost.

One screen. All numbers that led to it are in `nodes/cli/show.py`, behind `--verbose`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from nodes.cli.sight import Seen
from nodes.views.report import JobReport, Proof, Rental
from schemas import money
from schemas.money import SECONDS_PER_HOUR

RENTALS_MAX: Final = 6
"""Of more, the rest are counted."""
MEASUREMENT_CHARS: Final = 16
MIB: Final = 1024 * 1024


def rents(report: JobReport) -> Iterator[str]:
    """A line per contract: the way, and how much of the job."""
    for at, each in enumerate(report.contracts[:RENTALS_MAX]):
        yield f"{'' if at else 'rents from':<12}{each.route}: {each.rows:,} rows in {each.batches:,} batch{_es(each)}"
    if len(report.contracts) > RENTALS_MAX:
        yield f"            and {len(report.contracts) - RENTALS_MAX:,} more; --verbose lists them"


def stays(report: JobReport) -> Iterator[str]:
    """What runs at the renter."""
    local = report.rows_done - sum(each.rows for each in report.contracts)
    parts = [f"{local:,} rows"] if local > 0 and report.phase == "completed" and not report.joint else []
    if report.cut is not None:
        parts.append(f"{', '.join(report.cut.locally)} of all rows")
    if report.finishes:
        parts.append("the local program, which takes what comes back")
    if parts:
        yield f"stays here  {'; '.join(parts)}"


def saw(report: JobReport, seen: Seen | None = None) -> Iterator[str]:
    """What lessors got to see; with `seen`, some of it."""
    if not report.contracts or not report.confidential:
        return
    if seen is not None:
        yield f"they see    {seen}"
    elif report.spent is not None:
        sent, back = report.spent.bytes_sent / MIB, report.spent.bytes_back / MIB
        yield f"they see    {sent:,.3g} MiB of ciphertext, and give {back:,.3g} MiB back"
    for proof in dict.fromkeys(_shown(each) for each in report.proofs):
        yield f"evidence    {proof}"
    yield f"            {report.confidential}"


def cost(report: JobReport) -> Iterator[str]:
    """What it cost, by its receipts, beside what was expected at most."""
    if not report.contracts:
        return
    done = [each for each in report.contracts if each.subtask == "completed"]
    open_ = len(report.contracts) - len(done)
    said = f"{money.shown(sum(each.cost_micros for each in done))} for {_together(done)}" if done else "no receipt yet"
    yield f"cost        {said}" + (f"; {open_} without a receipt" if done and open_ else "")


def _together(rentals: list[Rental]) -> str:
    """How many contracts, for how long, at what price."""
    paid = [each for each in rentals if each.price_micros]
    times = _range(f"{_seconds(each):,.1f}" for each in sorted(paid, key=_seconds))
    prices = _range(money.shown(each) for each in sorted({each.price_micros for each in rentals}))
    contracts = f"{len(rentals)} contract{'s' if len(rentals) > 1 else ''}"
    return f"{contracts}, {f'{times} s each ' if paid else ''}at {prices} per unit and hour"


def _es(of: Rental) -> str:
    return "" if of.batches == 1 else "es"


def _seconds(of: Rental) -> float:
    """That are paid for."""
    return of.cost_micros * SECONDS_PER_HOUR / (of.units * of.price_micros)


def _range(shown: Iterable[str]) -> str:
    """The first and the last, or the only one."""
    found = list(shown)
    return " to ".join(dict.fromkeys((found[0], found[-1]))) if found else ""


def _shown(proof: Proof) -> str:
    enclave = f"{proof.kind} enclave {proof.measurement[:MEASUREMENT_CHARS]}…"
    return f"{enclave}: verified" if proof.confidential else f"{enclave}: a stand-in, which anybody can make"
