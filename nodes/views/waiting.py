"""What a job waits for, and why, in words: a sentence for every phase of a job, of a subtask and of a joint round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from nodes.renter.protocol.records import LostLink
from nodes.renter.protocol.states import OPEN, JobPhase, RoundPhase, SubtaskPhase
from nodes.views.report import UNREADABLE, JobReport, Joining, Rental
from schemas import money

Words = Callable[[JobReport, float], str]
NAMED_MAX: Final = 4
"""As many lessors are named in a sentence; of others their number."""


def waits_for(report: JobReport, now: float) -> str:
    """What the job waits for at `now`, seconds since 1970, and why."""
    return " ".join([PHASES[report.phase](report, now), *over_lost_links(report)])


def over_lost_links(report: JobReport) -> list[str]:
    """A sentence for each link that the job waits for: its order does, or a contract over it."""
    lost = [] if report.ended else report.lost_links
    return [
        f"The link from its hub to {each.neighbour} is down since {_clock(each.lost_at)} ({each.why}): what is on its "
        "way there waits, and nobody behind it is asked for compute."
        for each in lost
        if report.ordered_at or report.unowned or any(_is_cut_off(rental, each) for rental in report.contracts)
    ]


def _is_cut_off(rental: Rental, lost: LostLink) -> bool:
    return rental.subtask in OPEN and rental.id in lost.contracts


# ------------------------------------------------------------ phases


def _new(report: JobReport, now: float) -> str:
    return "Waits for a worker of this renter to take it."


def _preparing(report: JobReport, now: float) -> str:
    return (
        "This renter scans the data, compiles the program, and measures what each protection would cost here: "
        "that decides which one is used."
    )


def _agreeing(report: JobReport, now: float) -> str:
    partner = report.joint.partner if report.joint else "its partner"
    since = f" for {lasted(now - report.joint.owes_since)}" if report.joint and report.joint.owes_since else ""
    return (
        f"Waits{since} for {partner} to say whether it takes part: its policy is asked first, then perhaps a person "
        "there."
    )


def _joining(report: JobReport, now: float) -> str:
    partner = report.joint.partner if report.joint else "the partner"
    return f"Finds the rows that both sides have, together with {partner}, by ids that neither shows the other."


def _ordering(report: JobReport, now: float) -> str:
    price = money.shown(report.price_micros_max)
    since = f" for {lasted(now - report.ordered_at)}" if report.ordered_at else ""
    return (
        f"Waits{since} for contracts: its hub looks for {report.protection} compute at {price} per unit and hour or "
        "less, in its own subnet and at the other hubs."
    )


def _running(report: JobReport, now: float) -> str:
    said = [SUBTASKS[phase](rentals, now) for phase, rentals in _by_phase(report).items()]
    return " ".join(filter(None, [_round(report), *said, _unowned(report, now), _here(report)])) or (
        "Waits for its first results."
    )


def _assembling(report: JobReport, now: float) -> str:
    return "Every row has its result: this renter joins the parts in row order and runs what is left of the program."


def _completed(report: JobReport, now: float) -> str:
    return "Waits for nothing: the result is in its place."


def _failed(report: JobReport, now: float) -> str:
    return f"Waits for nothing: it failed ({report.code}). {report.reason}"


def _unreadable(report: JobReport, now: float) -> str:
    return f"Nothing goes on: {report.reason}"


PHASES: Final[Mapping[JobPhase | str, Words]] = MappingProxyType(
    {
        "new": _new,
        "preparing": _preparing,
        "agreeing": _agreeing,
        "joining": _joining,
        "ordering": _ordering,
        "running": _running,
        "assembling": _assembling,
        "completed": _completed,
        "failed": _failed,
        UNREADABLE: _unreadable,
    }
)


# ------------------------------------------------------------ subtasks, while the job is running


def _keying(rentals: list[Rental], now: float) -> str:
    those = "its enclave" if len(rentals) == 1 else "their enclaves"
    run = "runs" if len(rentals) == 1 else "run"
    return f"Waits for {_lessors(rentals)} to prove what {those} {run}: before that no data goes there."


def _serving(rentals: list[Rental], now: float) -> str:
    under_way, waiting = sum(each.under_way for each in rentals), sum(each.waiting for each in rentals)
    if not under_way and not waiting:
        return ""
    heard = max(each.heard_at for each in rentals)
    last = f"; the last was heard {lasted(now - heard)} ago" if heard else ""
    more = f"; {waiting:,} more follow as results come in" if waiting else ""
    return f"Waits for {_lessors(rentals)} to compute {_batches(under_way)}{more}{last}."


def _closing(rentals: list[Rental], now: float) -> str:
    under_way = sum(each.under_way for each in rentals)
    return f"Waits for {_lessors(rentals)} to finish {_batches(under_way)} under a contract that was renewed."


def _lost(rentals: list[Rental], now: float) -> str:
    was = "was" if len(rentals) == 1 else "were"
    return f"{_lessors(rentals)} {was} lost: other lessors compute the rest of that part."


def _nothing(rentals: list[Rental], now: float) -> str:
    return ""


SUBTASKS: Final[Mapping[SubtaskPhase | str, Callable[[list[Rental], float], str]]] = MappingProxyType(
    {
        "lost": _lost,
        "new": _nothing,
        "keying": _keying,
        "running": _serving,
        "closing": _closing,
        "completed": _nothing,
    }
)

ROUNDS: Final[Mapping[RoundPhase | str, str]] = MappingProxyType(
    {
        "planning": "Round {round} of {rounds}: its parameters are made here.",
        "open": "Round {round} of {rounds}: lessors compute, and their sealed results go to {partner}, which answers "
        "when it has every row.",
        "replying": "Round {round} of {rounds}: this renter has its weights; waits for {partner} to make its own.",
        "answered": "Round {round} of {rounds} is answered: what comes next is made of it here.",
    }
)


def _round(report: JobReport) -> str:
    joint: Joining | None = report.joint
    words = ROUNDS.get(joint.round_phase, "") if joint else ""
    return words.format(round=joint.round, rounds=joint.rounds, partner=joint.partner) if joint else ""


def _unowned(report: JobReport, now: float) -> str:
    if not report.unowned:
        return ""
    since = f" for {lasted(now - report.ordered_at)}" if report.ordered_at else ""
    cause = f" ({report.causes[-1][1]})" if report.causes else ""
    return f"{_batches(report.unowned).capitalize()} have waited{since} for a contract in place of a lost one{cause}."


def _here(report: JobReport) -> str:
    if report.here is None:
        return ""
    return (
        f"This renter computes {_batches(report.here)} itself: after a result that was not what it should be, nothing "
        "more is decrypted under the job's key."
    )


def _by_phase(report: JobReport) -> dict[str, list[Rental]]:
    """Rentals by their subtask's phase, in the order of the table."""
    found = {phase: [each for each in report.contracts if each.subtask == phase] for phase in SUBTASKS}
    return {phase: rentals for phase, rentals in found.items() if rentals}


def _lessors(rentals: list[Rental]) -> str:
    names = list(Counter(each.lessor for each in rentals))
    if len(names) > NAMED_MAX:
        return f"{len(names)} lessors"
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _batches(count: int) -> str:
    return f"{count:,} batch{'' if count == 1 else 'es'}"


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S} UTC"


def lasted(seconds: float) -> str:
    """A time span for people."""
    if seconds < 120:
        return f"{max(0.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
