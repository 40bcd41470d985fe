"""Leakage ledgers of joint jobs: what each party may learn is declared before it learns anything, and held to it. Pure.

A job declares by sections: how its rows are found, and what is computed on them. Both sides keep the same lines, each
from what it sends or receives. Counts are of numbers; a shape says in words what they are of, and `noise` what lies on
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from nodes.machine import Refused
from schemas.joint import Learned

LEDGER_EXCEEDED: Final = "ledger-exceeded"
_EQUAL: Final = "whether the ids of both sides are the same in the same order"
_UNPROVED: Final = "the rounding of the secret rotation; not proved to tell nothing"

Most = Mapping[tuple[str, str], int]
"""The most numbers of each (party, kind)."""


class Section(Protocol):
    """A part of what a joint job does, as both sides know it before it begins."""

    def most(self) -> Most:
        """What may be learned by it in the whole job."""
        ...


@dataclass(frozen=True, slots=True)
class SameRows:
    """Both sides say that they have the same rows in the same order, and compare a digest of the ids."""

    rows: int

    def most(self) -> Most:
        """As the lines say, once."""
        return _once(self.compared())

    def compared(self) -> tuple[Learned, ...]:
        """What is learned before anything is computed."""
        return (
            Learned(party="partner", kind="rows", count=1, shape=f"how many rows the renter has: {self.rows}"),
            Learned(party="partner", kind="ids-equal", count=1, shape=_EQUAL),
            Learned(party="renter", kind="ids-equal", count=1, shape=_EQUAL),
        )


@dataclass(frozen=True, slots=True)
class Intersection:
    """Private set intersection of so many ids of each side."""

    renters: int
    partners: int

    def most(self) -> Most:
        """Every id of the smaller side may be the other's too."""
        rows = min(self.renters, self.partners)
        return _once((*self.announced(), *self.found(rows), *self.omitted(rows)))

    def announced(self) -> tuple[Learned, ...]:
        """What each learns by the other's announcement."""
        return (
            Learned(party="partner", kind="ids-of-renter", count=1, shape=f"how many: {self.renters}"),
            Learned(party="renter", kind="ids-of-partner", count=1, shape=f"how many: {self.partners}"),
        )

    def found(self, rows: int) -> tuple[Learned, ...]:
        """Which rows are in common: so each knows which of its own people the other knows too."""
        left = f"{self.renters - rows} of the renter's ids and {self.partners - rows} of the partner's did not match"
        which = f"{rows} rows in common; {left}"
        return (
            Learned(party="partner", kind="rows-in-common", count=rows, shape=f"{which}; and the renter's order"),
            Learned(party="renter", kind="rows-in-common", count=rows, shape=which),
        )

    def omitted(self, rows: int) -> tuple[Learned, ...]:
        """Rows in common that the partner leaves out, as with earlier jobs sums would show them."""
        shape = f"{rows} more rows in common, which are left out: sums would show them beside those of earlier jobs"
        return (
            Learned(party="partner", kind="rows-omitted", count=rows, shape=shape),
            Learned(party="renter", kind="rows-omitted", count=1, shape=f"how many: {shape}"),
        )


@dataclass(frozen=True, slots=True)
class Rounds:
    """Rounds of a partner's program on what lessors' enclaves seal."""

    rows: int
    received: int
    """Values per row that the enclaves seal."""
    outputs: int
    rounds: int

    def most(self) -> Most:
        """Every round once."""
        return {key: self.rounds * count for key, count in _once((*self.opened(1), *self.answered(1))).items()}

    def opened(self, number: int) -> tuple[Learned, ...]:
        """What the partner learns of a round that begins."""
        sealed, noise = f"{self.rows} rows × {self.received}", "encrypted under the renter's key"
        bits = "power of two above every value"
        return (
            Learned(
                party="partner",
                kind="ciphertexts",
                count=self.rows * self.received,
                shape=sealed,
                noise=noise,
                round=number,
            ),
            Learned(party="partner", kind="value-bits", count=1, shape=bits, round=number),
        )

    def answered(self, number: int, outputs: int | None = None) -> tuple[Learned, ...]:
        """What the renter learns of a round that is answered with so many sums; by default with those declared."""
        found = self.outputs if outputs is None else outputs
        sums, scale = f"{found} sums over {self.rows} rows", "power of two that fits the outputs"
        return (
            Learned(party="renter", kind="totals", count=found, shape=sums, round=number),
            Learned(party="renter", kind="scale", count=1, shape=scale, round=number),
        )


@dataclass(frozen=True, slots=True)
class Moments:
    """Ridge, OLS, first-order logistic and first-order Poisson regression by moments under a secret rotation.

    `renter_columns` are without the label.
    """

    rows: int
    renter_columns: int
    partner_columns: int
    partner_coefficients: bool = True

    def most(self) -> Most:
        """As the lines say, once."""
        return _once((*self.agreed(), *self.opened(1), *self.answered(1), *self.solved()))

    def agreed(self) -> tuple[Learned, ...]:
        """How many columns each has."""
        return (
            Learned(party="partner", kind="renter-columns", count=1, shape=f"how many: {self.renter_columns}"),
            Learned(party="renter", kind="partner-columns", count=1, shape=f"how many: {self.partner_columns}"),
        )

    def opened(self, number: int) -> tuple[Learned, ...]:
        """What enclaves see, and what the partner gets of them."""
        width = self.renter_columns + 1
        shape = f"{self.rows} rows × {width}"
        return (
            Learned(party="lessor", kind="renter-rows", count=self.rows * width, shape=shape, noise="in its enclave"),
            Learned(
                party="partner",
                kind="encrypted-rows",
                count=self.rows,
                shape=f"{self.rows} ciphertexts of {width} numbers",
                noise="encrypted under the renter's key",
            ),
        )

    def answered(self, number: int, outputs: int | None = None) -> tuple[Learned, ...]:
        """What the renter can compute of the rotated moments: the columns' own rotation it cannot undo."""
        width = self.renter_columns + 1
        count, shape = width * (width + 1) // 2, f"a symmetric matrix of {width} × {width}"
        return (
            Learned(party="renter", kind="size-bits", count=1, shape="power of two above every moment"),
            Learned(party="renter", kind="step-bits", count=1, shape="power of two that fits the rotation"),
            Learned(party="renter", kind="schur-statistics", count=count, shape=shape, noise=_UNPROVED),
        )

    def solved(self) -> tuple[Learned, ...]:
        """What the partner gets back, if anything."""
        if not self.partner_coefficients:
            return ()
        count = self.partner_columns
        return (
            Learned(party="partner", kind="partner-coefficients", count=count, shape=f"{count} weights of its own"),
            Learned(party="renter", kind="partner-norm", count=1, shape="how much of the score is the partner's"),
        )


@dataclass(frozen=True, slots=True)
class Scores:
    """Rows scored with a model of both: results of single rows, to which the partner's policy has to consent."""

    rows: int

    def most(self) -> Most:
        """As the lines say, once."""
        return _once((*self.opened(1), *self.answered(1)))

    def opened(self, number: int) -> tuple[Learned, ...]:
        """What the partner learns of a round that begins."""
        return Rounds(rows=self.rows, received=1, outputs=1, rounds=1).opened(number)

    def answered(self, number: int, outputs: int | None = None) -> tuple[Learned, ...]:
        """What the renter learns: its own part it knows."""
        shape = f"the partner's part of the score of each of {self.rows} rows"
        return (
            Learned(party="renter", kind="row-scores", count=self.rows, shape=shape, round=number),
            Learned(party="renter", kind="scale", count=1, shape="power of two that fits the scores", round=number),
        )


class LedgerExceeded(Refused):
    """Somebody would learn more than was declared: the job ends before."""


def written(lines: Sequence[Learned], more: Sequence[Learned], declared: Iterable[Section]) -> tuple[Learned, ...]:
    """The ledger with these lines added.

    Raises:
        LedgerExceeded: somebody would learn more than was declared.
    """
    most = {key: count for section in declared for key, count in section.most().items()}
    whole = (*lines, *more)
    for party, kind in dict.fromkeys((each.party, each.kind) for each in more):
        learned = sum(each.count for each in whole if (each.party, each.kind) == (party, kind))
        allowed = most.get((party, kind), 0)
        if learned > allowed:
            raise LedgerExceeded(
                LEDGER_EXCEEDED, f"the {party} would learn {learned} of {kind}; {allowed} were declared"
            )
    return whole


def _once(lines: Iterable[Learned]) -> Most:
    return {(each.party, each.kind): each.count for each in lines}
