"""How a benchmark measures and what it hands back. Says nothing about what is measured.

Figures from different runs of one machine differ by a quarter, so only ratios within one run count: ours and the peer
take turns, and each figure is the median of its rounds.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

ROUNDS_MIN = 5
"""Medians of fewer rounds are not reported."""


@dataclass(frozen=True)
class Result:
    """One line of the table: `ours` and `peer` in `unit`, and the ratio of the two that the name promises."""

    name: str
    ours: float
    peer: float
    peer_name: str
    unit: str
    ratio: float


def interleave(
    ours: Callable[[], float], peer: Callable[[], float], rounds: int = ROUNDS_MIN, *, warm_up: bool = True
) -> tuple[float, float]:
    """Runs both in turn, `rounds` times each after one warm-up, and gives the median figure of each.

    Each callable does its work once and returns its own figure (seconds, MiB/s, …). Without `warm_up` the first round
    counts: right where every round is a process of its own. Raises ValueError below ROUNDS_MIN rounds.
    """
    figures = in_turns((ours, peer), rounds, warm_up=warm_up)
    return median(figure[0] for figure in figures), median(figure[1] for figure in figures)


def in_turns(measures: Sequence[Callable[[], float]], rounds: int, *, warm_up: bool = True) -> list[tuple[float, ...]]:
    """The figures of every round, in which all run in turn. As `interleave`, for any number of them."""
    if rounds < ROUNDS_MIN:
        raise ValueError(f"{rounds} rounds are too few for a median, take at least {ROUNDS_MIN}")
    if warm_up:
        for measure in measures:
            measure()
    return [tuple(measure() for measure in measures) for _ in range(rounds)]


def faster(name: str, ours_seconds: float, peer_seconds: float, peer_name: str, unit: str = "s") -> Result:
    """A result in time per something: the ratio says how many times faster ours is."""
    return Result(name, ours_seconds, peer_seconds, peer_name, unit, peer_seconds / ours_seconds)


def more(name: str, ours_rate: float, peer_rate: float, peer_name: str, unit: str) -> Result:
    """A result in something per second: the ratio says how many times more ours does."""
    return Result(name, ours_rate, peer_rate, peer_name, unit, ours_rate / peer_rate)


def output_of(command: Sequence[str], seconds_max: float, environment: Mapping[str, str] | None = None) -> bytes:
    """What a command prints. Raises RuntimeError with what it said beside that when it fails."""
    ran = subprocess.run(command, capture_output=True, check=False, timeout=seconds_max, env=environment)
    if ran.returncode:
        raise RuntimeError(f"{command[0]} ended with {ran.returncode}: {ran.stderr.decode(errors='replace')}")
    return ran.stdout
