"""Leakage ledgers of joint jobs: what each party may learn is declared before it learns anything, and held to it. Pure.

Both sides keep the same lines, each from what it sends or receives. Counts are of numbers; a shape says in words what
they are of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nodes.machine import Refused
from schemas.joint import Learned

LEDGER_EXCEEDED: Final = "ledger-exceeded"


@dataclass(frozen=True, slots=True)
class Declared:
    """What a joint job is about, as both sides know it from its request."""

    rows: int
    received: int
    """Values per row that the enclaves seal."""
    outputs: int
    rounds: int

    def most(self) -> Mapping[tuple[str, str], int]:
        """The most numbers of each (party, kind) that may be learned in the whole job."""
        return {
            ("partner", "rows"): 1,
            ("partner", "ids-equal"): 1,
            ("renter", "ids-equal"): 1,
            ("partner", "ciphertexts"): self.rounds * self.rows * self.received,
            ("partner", "value-bits"): self.rounds,
            ("renter", "totals"): self.rounds * self.outputs,
            ("renter", "scale"): self.rounds,
        }

    def at_first(self) -> tuple[Learned, ...]:
        """What is learned before the first round."""
        equal = "whether the ids of both sides are the same in the same order"
        return (
            Learned(party="partner", kind="rows", count=1, shape=f"how many rows the renter has: {self.rows}"),
            Learned(party="partner", kind="ids-equal", count=1, shape=equal),
            Learned(party="renter", kind="ids-equal", count=1, shape=equal),
        )

    def opened(self, number: int) -> tuple[Learned, ...]:
        """What the partner learns of a round that begins."""
        sealed = f"{self.rows} rows × {self.received}, encrypted under the renter's key"
        return (
            Learned(party="partner", kind="ciphertexts", count=self.rows * self.received, shape=sealed, round=number),
            Learned(party="partner", kind="value-bits", count=1, shape="power of two above every value", round=number),
        )

    def answered(self, number: int, outputs: int) -> tuple[Learned, ...]:
        """What the renter learns of a round that is answered with so many sums."""
        return (
            Learned(
                party="renter",
                kind="totals",
                count=outputs,
                shape=f"{outputs} sums over {self.rows} rows",
                round=number,
            ),
            Learned(party="renter", kind="scale", count=1, shape="power of two that fits the outputs", round=number),
        )


class LedgerExceeded(Refused):
    """Somebody would learn more than was declared: the job ends before."""


def written(lines: Sequence[Learned], more: Sequence[Learned], declared: Declared) -> tuple[Learned, ...]:
    """The ledger with these lines added.

    Raises:
        LedgerExceeded: somebody would learn more than was declared.
    """
    most, whole = declared.most(), (*lines, *more)
    for party, kind in {(each.party, each.kind) for each in more}:
        learned = sum(each.count for each in whole if (each.party, each.kind) == (party, kind))
        allowed = most.get((party, kind), 0)
        if learned > allowed:
            raise LedgerExceeded(
                LEDGER_EXCEEDED, f"the {party} would learn {learned} of {kind}; {allowed} were declared"
            )
    return whole
