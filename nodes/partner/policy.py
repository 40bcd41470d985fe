"""A partner's policy: who may ask what of which data, for how long. The file is TOML; judging is pure.

    uncovered = "refuse"                     # or "ask": a person decides, by `sublet joint approve|refuse JOB`

    [[allow]]
    renters = ["A11.A12"]
    datasets = ["claims"]
    columns = ["age", "premium"]             # left out: all
    programs = ["<SHA-256 of the program>"]  # "*": any that gives sums over rows
    algorithms = ["logistic", "ridge"]       # of models to fit; "*": any
    per_row = false                          # true: rows may be scored with a model that was fitted here
    rows_min = 20                            # under any output but scores of single rows
    rounds_max = 10
    alignment = ["digest", "psi"]            # how rows may be found; psi: private set intersection of the ids
    ids_max = 100000                         # ids of the renter in one, each of which asks about one person
    until = 2027-01-01T00:00:00Z

A request is covered when one rule allows all of it. A refusal names the first thing that no rule allows and nothing of
the data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from nodes.network import convert, read_toml
from schemas import limits
from schemas.ids import AddressField
from schemas.joint import ROUNDS_MAX, AlgorithmName, Name

LIST_MAX: Final = 1024
ANY: Final = "*"

Kind = Literal["digest", "psi"]
Program = Annotated[str, Meta(pattern=r"^(\*|[0-9a-f]{64})\Z")]


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `[[allow]]`."""

    renters: Annotated[tuple[AddressField, ...], Meta(min_length=1, max_length=LIST_MAX)]
    datasets: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=LIST_MAX)]
    columns: Annotated[tuple[Name, ...], Meta(max_length=limits.COLUMNS_MAX)] = ()
    programs: Annotated[tuple[Program, ...], Meta(max_length=LIST_MAX)] = ()
    algorithms: Annotated[tuple[AlgorithmName | Literal["*"], ...], Meta(max_length=LIST_MAX)] = ()
    """Of models to fit."""
    per_row: bool = False
    """Whether a renter may score single rows with a model that it fitted here."""
    rows_min: Annotated[int, Meta(ge=1, le=limits.ROWS_PER_JOB_MAX)] = limits.ROWS_PER_OUTPUT_MIN
    """The fewest rows that an output may rest on, other than scores of single rows."""
    rounds_max: Annotated[int, Meta(ge=1, le=ROUNDS_MAX)] = 1
    alignment: Annotated[tuple[Kind, ...], Meta(min_length=1, max_length=2)] = ("digest", "psi")
    """How rows of both sides may be found: `psi` tells the renter which of its ids are here."""
    ids_max: Annotated[int, Meta(ge=1, le=limits.IDS_PER_ALIGNMENT_MAX)] = limits.IDS_PER_ALIGNMENT_DEFAULT
    """The most ids of the renter's: each may be a guess."""
    until: Annotated[datetime, Meta(tz=True)] | None = None


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    format: Literal[1] = 1
    uncovered: Literal["refuse", "ask"] = "refuse"
    allow: Annotated[tuple[Rule, ...], Meta(max_length=LIST_MAX)] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request is about, as far as a policy looks at it. `now` is seconds since 1970 (UTC)."""

    renter: str
    dataset: str
    columns: tuple[str, ...]
    program: str
    """Its digest; empty where a model is to be fitted."""
    algorithm: str
    """Of the model; empty where a program is to be run."""
    per_row: bool
    """Whether results of single rows are asked for."""
    rows: int
    rounds: int
    alignment: Kind
    now: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """An empty `code`: covered."""

    code: str = ""
    reason: str = ""
    rows_min: int = limits.ROWS_PER_OUTPUT_MIN
    """Of the rules that cover it, the smallest; the default where a person decides."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a rule has to allow, and what is said where none does."""

    code: str
    reason: str
    allows: Callable[[Rule, Asked], bool]


_CHECKS: Final = (
    Check("unknown-renter", "its policy names no such renter", lambda r, a: a.renter in r.renters),
    Check("unknown-dataset", "its policy names no such dataset", lambda r, a: a.dataset in r.datasets),
    Check("policy-expired", "its policy has run out", lambda r, a: r.until is None or a.now < r.until.timestamp()),
    Check(
        "column-not-allowed",
        "its policy does not allow these columns",
        lambda r, a: not r.columns or (bool(a.columns) and set(a.columns) <= set(r.columns)),
    ),
    Check(
        "unknown-program",
        "its policy names no such program",
        lambda r, a: not a.program or ANY in r.programs or a.program in r.programs,
    ),
    Check(
        "unknown-algorithm",
        "its policy names no such algorithm",
        lambda r, a: not a.algorithm or ANY in r.algorithms or a.algorithm in r.algorithms,
    ),
    Check(
        "alignment-not-allowed",
        "its policy does not allow rows to be found so",
        lambda r, a: a.alignment in r.alignment,
    ),
    Check("too-many-ids", "its policy allows fewer ids", lambda r, a: a.alignment == "digest" or a.rows <= r.ids_max),
    Check("per-row-output", "its policy allows no results of single rows", lambda r, a: not a.per_row or r.per_row),
    Check(
        "too-few-rows",
        "its policy asks for more rows under an output",
        lambda r, a: a.per_row or a.rows >= r.rows_min,
    ),
    Check("too-many-rounds", "its policy allows fewer rounds", lambda r, a: a.rounds <= r.rounds_max),
)


def read_policy(path: Path) -> Policy:
    """The policy in a file.

    Raises:
        BadConfig: the file cannot be read, or a field is missing, unknown or out of range; naming it.
    """
    return convert(read_toml(path), Policy, path.name)


def judge(policy: Policy, asked: Asked) -> Verdict:
    """Whether a rule covers the request; else the first thing that none of those left allows."""
    rules = policy.allow
    for check in _CHECKS:
        rules = tuple(rule for rule in rules if check.allows(rule, asked))
        if not rules:
            return Verdict(check.code, check.reason)
    return Verdict(rows_min=1 if asked.per_row else min(rule.rows_min for rule in rules))
