"""Columns as integers: sums of zero, own maxima, and moments from the same integers."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.joint import columns
from schemas.errors import BadConfig, BadData


@pytest.mark.parametrize("bits", [6, 12, 16, 26])
def test_renters_columns_sum_to_exactly_zero_and_keep_their_bound(bits: int) -> None:
    rng = np.random.default_rng(bits)
    values = np.column_stack([rng.normal(size=999), rng.exponential(size=999) ** 3, rng.integers(0, 2, 999)])
    made = columns.zero_sum(values, bits)
    assert made.integers[:, :].sum(axis=0).tolist() == [0, 0, 0]
    assert np.abs(made.integers[:, :]).max() < 1 << (bits - 1)
    assert np.abs(made.integers[:, :] * made.units + made.offsets - values).max(axis=0) == pytest.approx(
        np.zeros(3), abs=2 * made.units.max()
    )


def test_without_sums_of_zero_a_constant_added_to_a_partners_column_would_change_its_moments() -> None:
    rng = np.random.default_rng(3)
    values, partner = rng.exponential(size=(500, 1)), rng.integers(0, 2, size=(500, 1))
    naive = np.rint((values - values.mean()) / np.abs(values).max() * 31).astype(np.int64)
    ours = columns.zero_sum(values, 6).integers[:, :]
    assert (naive.T @ (partner + 1000) != naive.T @ partner).any()
    assert (ours.T.astype(np.int64) @ (partner + 1000) == ours.T.astype(np.int64) @ partner).all()


def test_an_exact_gram_matrix_beside_rounded_cross_moments_has_negative_schur_complements_and_ours_has_not() -> None:
    rng = np.random.default_rng(1)
    partner = rng.normal(size=(400, 3))
    renter = partner @ rng.normal(size=(3, 2))
    ours, given = columns.zero_sum(renter, 6), columns.scaled(partner, 6)
    theirs = given.integers[:, :] - given.means
    crossed = theirs.T @ ours.integers[:, :]
    own = ours.gram - crossed.T @ np.linalg.solve(given.gram, crossed)
    exact = (renter - renter.mean(axis=0)) / ours.units
    naive = exact.T @ exact - crossed.T @ np.linalg.solve(given.gram, crossed)
    assert np.linalg.eigvalsh(own)[0] > 0
    assert np.linalg.eigvalsh(naive)[0] < 0


def test_a_common_bound_clips_heavy_tails_and_a_columns_own_maximum_does_not() -> None:
    values = np.concatenate([np.zeros(990), np.full(10, 40.0)])[:, None]
    standard = values / values.std()
    clipped = np.clip(standard, -4, 4)
    made = columns.scaled(values + 0.5, 12)
    assert np.abs(clipped - standard).max() > 5
    assert np.abs(made.integers[:, :] * made.units + made.offsets - values - 0.5).max() < 40 / 2**10


@pytest.mark.parametrize("bits", [8, 12, 20])
def test_whole_numbers_stay_exact_and_their_most_frequent_value_costs_nothing(bits: int) -> None:
    values = np.array([7.0] * 50 + [8, 9, -3, 5] * 5)[:, None]
    made = columns.scaled(values, bits)
    assert np.allclose(made.integers[:, :] * made.units + made.offsets, values, rtol=0, atol=1e-12)
    assert not made.integers[:50].any()


def test_a_gram_matrix_is_that_of_the_centred_integers() -> None:
    rng = np.random.default_rng(2)
    integers = rng.integers(-2000, 30_000, size=(9000, 4)).astype(np.int16)
    centred = integers - integers.mean(axis=0)
    assert np.allclose(columns.Columns(integers, np.ones(4), np.zeros(4)).gram, centred.T @ centred, rtol=1e-12)


def test_missing_values_become_the_mean_of_the_column() -> None:
    values = np.array([[1.0, 2.0], [np.nan, 4.0], [3.0, np.nan]])
    assert columns.filled(values).tolist() == [[1.0, 2.0], [2.0, 4.0], [3.0, 3.0]]


@pytest.mark.parametrize("values", [[[np.nan], [np.nan]], [[np.inf], [1.0]]])
def test_columns_without_any_value_or_with_infinite_ones_are_refused(values: list[list[float]]) -> None:
    with pytest.raises(BadData):
        columns.filled(np.array(values))


@pytest.mark.parametrize("bits", [1, 32])
def test_bits_outside_the_range_are_refused(bits: int) -> None:
    with pytest.raises(BadConfig, match="bits"):
        columns.scaled(np.ones((3, 1)), bits)


def test_what_most_rows_have_is_zero_even_where_others_were_moved() -> None:
    column = np.array([0.0] * 60 + [1.0] * 39 + [0.37])[:, None]
    found = columns.scaled(column, 12)
    assert np.count_nonzero(found.integers[:, :]) == 40
    assert np.abs(found.integers[:, :] * found.units + found.offsets - column).max() < 1e-3


def test_a_column_that_never_changes_has_no_weight_whatever_a_solver_found() -> None:
    values = np.column_stack([np.zeros(8), np.full(8, 3.5), np.arange(8.0)])
    made = columns.scaled(values, 12)
    assert made.part(np.array([7e-14, -2e-13, 0.5])).weights.tolist() == [0.0, 0.0, 0.5 / made.units[2]]
