"""What each party learns from a joint job: declared by its algorithm, written as it happens, the two compared. Pure.

An entry names who learns, what kind of number, how many of which shape, and what noise lies on it. `require_declared`
refuses an entry that the declaration does not cover, before it is sent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nodes.joint.errors import BadPeer
from nodes.joint.rotation import ROTATION_BITS

Party = Literal["renter", "partner", "lessor"]


@dataclass(frozen=True, slots=True)
class Learned:
    """`count` arrays of `shape`, () for a single number. `kind` is in kebab-case."""

    party: Party
    kind: str
    shape: tuple[int, ...]
    noise: str = ""
    count: int = 1

    @property
    def numbers(self) -> int:
        """How many numbers that are."""
        return self.count * math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Dimensions:
    """What is public of a joint job. `renter_columns` are without the label."""

    rows: int
    renter_columns: int
    partner_columns: int
    partner_coefficients: bool = True


def moments(dimensions: Dimensions) -> tuple[Learned, ...]:
    """Of ridge, OLS, first-order logistic and first-order Poisson regression by rotated moments."""
    width = dimensions.renter_columns + 1
    entries = [
        Learned("lessor", "renter-rows", (dimensions.rows, width), "in its enclave"),
        Learned("partner", "rows", ()),
        Learned("partner", "renter-columns", ()),
        Learned("partner", "encrypted-rows", (dimensions.rows,), "Paillier under the renter's key"),
        Learned("renter", "partner-columns", ()),
        Learned("renter", "size-bits", ()),
        Learned("renter", "step-bits", ()),
        Learned(
            "renter",
            "schur-statistics",
            (width * (width + 1) // 2,),
            f"rounding of the rotation to {ROTATION_BITS} bits at most; not proved to tell nothing",
        ),
    ]
    if dimensions.partner_coefficients:
        entries.append(Learned("partner", "partner-coefficients", (dimensions.partner_columns,)))
        entries.append(Learned("renter", "partner-norm", ()))
    return tuple(entries)


def alignment(renters: int, partners: int) -> tuple[Learned, ...]:
    """Of private set intersection of so many ids at each side."""
    smaller = min(renters, partners)
    return (
        Learned("renter", "ids-of-partner", ()),
        Learned("partner", "ids-of-renter", ()),
        Learned("renter", "rows-in-common", (smaller,)),
        Learned("partner", "rows-in-common", (smaller,), "in the renter's order, with their places in it"),
    )


def linear_rounds(rounds: int, outputs: int, rows: int, *, sums: bool) -> tuple[Learned, ...]:
    """Of rounds of linear programs on received ciphertexts and local data."""
    if sums:
        noise = "the carries of masked slots: at most log2(2 slots) bits each"
        return (Learned("renter", "sums-over-rows", (outputs,), noise, rounds),)
    return (Learned("renter", "row-results", (rows, outputs), "", rounds),)


def require_declared(declared: Sequence[Learned], written: Sequence[Learned], entry: Learned) -> None:
    """Raises BadPeer `undeclared-leakage` where `entry`, after what is `written`, is more than was declared."""
    allowed = sum(each.numbers for each in declared if _same(each, entry))
    already = sum(each.numbers for each in written if _same(each, entry))
    if already + entry.numbers > allowed:
        raise BadPeer(
            f"the {entry.party} would learn {already + entry.numbers} numbers of kind {entry.kind}, {allowed} were "
            "declared: the job ends here",
            code="undeclared-leakage",
        )


def _same(left: Learned, right: Learned) -> bool:
    return (left.party, left.kind) == (right.party, right.kind)
