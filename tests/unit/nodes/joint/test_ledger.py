"""What was declared, what was written, and what would be too much."""

from __future__ import annotations

import pytest

from nodes.joint import ledger
from nodes.joint.errors import BadPeer
from nodes.joint.ledger import Dimensions, Learned

DECLARED = ledger.moments(Dimensions(569, 10, 20))


def test_the_renter_learns_the_schur_statistics_and_no_number_that_grows_with_rows_or_the_partners_columns() -> None:
    wider = ledger.moments(Dimensions(5690, 10, 200))
    numbers = {each.kind: each.numbers for each in DECLARED if each.party == "renter"}
    assert numbers["schur-statistics"] == 11 * 12 // 2
    assert numbers == {each.kind: each.numbers for each in wider if each.party == "renter"}


def test_a_partner_whose_coefficients_are_withheld_learns_no_number_of_the_renters_values() -> None:
    kinds = {each.kind for each in ledger.moments(Dimensions(569, 10, 20, False)) if each.party == "partner"}
    assert kinds == {"rows", "renter-columns", "encrypted-rows"}


def test_what_was_declared_may_be_learned_once() -> None:
    coefficients = Learned("partner", "partner-coefficients", (20,))
    ledger.require_declared(DECLARED, [], coefficients)
    with pytest.raises(BadPeer, match="40 numbers") as caught:
        ledger.require_declared(DECLARED, [coefficients], coefficients)
    assert caught.value.code == "undeclared-leakage"


@pytest.mark.parametrize(
    "entry",
    [
        Learned("partner", "schur-statistics", (1,)),
        Learned("renter", "row-results", (569, 1)),
        Learned("renter", "schur-statistics", (12, 12)),
    ],
    ids=["another party", "another kind", "more"],
)
def test_what_was_not_declared_is_refused(entry: Learned) -> None:
    with pytest.raises(BadPeer):
        ledger.require_declared(DECLARED, [], entry)


def test_rounds_of_sums_are_declared_round_by_round() -> None:
    declared = ledger.linear_rounds(3, 5, 1000, sums=True)
    once = Learned("renter", "sums-over-rows", (5,))
    ledger.require_declared(declared, [once, once], once)
    with pytest.raises(BadPeer):
        ledger.require_declared(declared, [once] * 3, once)


def test_row_results_and_alignments_are_declared_as_what_they_are() -> None:
    assert ledger.linear_rounds(1, 2, 100, sums=False)[0].numbers == 200
    assert {each.kind for each in ledger.alignment(10, 20)} == {"ids-of-partner", "ids-of-renter", "rows-in-common"}
