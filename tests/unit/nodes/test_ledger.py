"""What was declared, what was written, and what would be too much."""

from __future__ import annotations

import pytest

from nodes.ledger import Intersection, LedgerExceeded, Moments, Rounds, SameRows, Scores, Section, written
from schemas.joint import Learned

MOMENTS = Moments(569, 10, 20)


def line(party: str, kind: str, count: int = 1) -> Learned:
    return Learned(party=party, kind=kind, count=count, shape="")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("section", "lines"),
    [
        (SameRows(5), SameRows(5).compared()),
        (Intersection(10, 20), (*Intersection(10, 20).announced(), *Intersection(10, 20).found(10))),
        (Rounds(9, 2, 3, 1), (*Rounds(9, 2, 3, 1).opened(1), *Rounds(9, 2, 3, 1).answered(1))),
        (MOMENTS, (*MOMENTS.agreed(), *MOMENTS.opened(1), *MOMENTS.answered(1), *MOMENTS.solved())),
        (Scores(9), (*Scores(9).opened(1), *Scores(9).answered(1))),
    ],
    ids=["same rows", "all in common", "a round", "moments", "scores"],
)
def test_what_a_section_declares_may_be_learned_once(section: Section, lines: tuple[Learned, ...]) -> None:
    ledger = written((), lines, [section])
    assert ledger == lines
    for each in lines:
        with pytest.raises(LedgerExceeded) as raised:
            written(ledger, [each], [section])
        assert raised.value.code == "ledger-exceeded"


def test_rounds_are_declared_round_by_round() -> None:
    rounds = Rounds(rows=1000, received=2, outputs=5, rounds=3)
    ledger: tuple[Learned, ...] = ()
    for number in (1, 2, 3):
        ledger = written(ledger, (*rounds.opened(number), *rounds.answered(number)), [rounds])
    with pytest.raises(LedgerExceeded, match="20 of totals; 15 were declared"):
        written(ledger, rounds.answered(4), [rounds])
    with pytest.raises(LedgerExceeded):
        written((), rounds.answered(1, 16), [rounds])


@pytest.mark.parametrize(
    "entry",
    [line("partner", "schur-statistics"), line("renter", "row-results", 569), line("renter", "schur-statistics", 144)],
    ids=["another party", "another kind", "more"],
)
def test_what_was_not_declared_is_refused(entry: Learned) -> None:
    with pytest.raises(LedgerExceeded):
        written((), [entry], [SameRows(569), MOMENTS])


def test_the_renter_learns_the_schur_statistics_and_no_number_that_grows_with_rows_or_the_partners_columns() -> None:
    def of_renter(moments: Moments) -> dict[str, int]:
        return {kind: count for (party, kind), count in moments.most().items() if party == "renter"}

    assert of_renter(MOMENTS)["schur-statistics"] == 11 * 12 // 2
    assert of_renter(MOMENTS) == of_renter(Moments(5690, 10, 200))


def test_a_partner_whose_coefficients_are_withheld_learns_no_number_of_the_renters_values() -> None:
    kinds = {kind for party, kind in Moments(569, 10, 20, partner_coefficients=False).most() if party == "partner"}
    assert kinds == {"renter-columns", "encrypted-rows"}


def test_how_many_did_not_match_is_told_to_both() -> None:
    for each in Intersection(10, 20).found(7):
        assert (each.count, each.shape.startswith("7 rows in common; 3 of the renter's ids and 13 of the")) == (7, True)
