"""The secret rotation: uniform, proved to fit, and known to the renter up to rotation only."""

from __future__ import annotations

import secrets

import numpy as np
import pytest

from nodes.homomorphic.errors import Overflow
from nodes.homomorphic.paillier.slots import Layout
from nodes.joint import columns, guards, rotation
from nodes.joint.rotation import Room


def _columns(rows: int = 400, width: int = 5) -> columns.Columns:
    return columns.scaled(np.random.default_rng(1).normal(size=(rows, width)), 12)


def _turned(given: columns.Columns, slot_bits: int = 65, bits: int = 24) -> rotation.Rotation:
    random = secrets.token_bytes(rotation.random_bytes(given.width))
    return rotation.rotation(given, 1.0, Room(Layout(4, slot_bits), 2**15), random, bits=bits)


def test_a_rotation_is_orthogonal_and_another_one_each_time() -> None:
    first, second = (rotation.haar(6, secrets.token_bytes(rotation.random_bytes(6))) for _ in range(2))
    assert np.allclose(first @ first.T, np.eye(6))
    assert np.abs(first - second).max() > 0.01


def test_entries_of_rotations_are_as_often_negative_as_positive() -> None:
    corners = [rotation.haar(3, secrets.token_bytes(rotation.random_bytes(3)))[0, 0] for _ in range(400)]
    assert 120 < sum(corner > 0 for corner in corners) < 280
    assert np.mean(np.square(corners)) == pytest.approx(1 / 3, abs=0.08)


def test_no_renters_numbers_of_the_agreed_size_can_leave_their_slots() -> None:
    given = _columns()
    turned = _turned(given)
    worst = 2**15 * np.abs(given.integers[:, :].astype(object) @ turned.weights.T.astype(object)).sum(axis=0)
    assert worst.max() < 1 << turned.size_bits
    assert worst.max() > 1 << (turned.size_bits - 2)


@pytest.mark.parametrize("slot_bits", [48, 50, 52])
def test_a_rotation_is_as_coarse_as_its_slots_need(slot_bits: int) -> None:
    given = _columns()
    turned = _turned(given, slot_bits)
    assert turned.size_bits <= slot_bits - 1
    assert _turned(given).step_bits - turned.step_bits <= _turned(given).size_bits - slot_bits + 3


def test_slots_too_narrow_for_a_coarse_rotation_are_refused_with_the_numbers() -> None:
    with pytest.raises(Overflow, match="slots of 30 bits") as caught:
        _turned(_columns(), 30)
    assert caught.value.reached > caught.value.limit == 2**29


def test_columns_that_never_vary_are_refused() -> None:
    with pytest.raises(Overflow, match="varies"):
        _turned(columns.scaled(np.ones((50, 2)), 12))


def test_what_the_renter_sees_does_not_depend_on_the_rotation_but_for_its_rounding() -> None:
    given = _columns()
    crossed = given.integers[:, :].T.astype(np.float64) @ columns.zero_sum(
        np.random.default_rng(2).normal(size=(400, 3)), 16
    ).integers[:, :].astype(np.float64)
    root = guards.inverse_root(given.gram, given.rows, 1.0)
    expected = (root @ crossed).T @ (root @ crossed)
    turned = _turned(given)
    seen = np.ldexp(turned.weights.astype(np.float64), -turned.step_bits) @ crossed
    assert np.allclose(seen.T @ seen, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_columns_of_small_integers_beside_large_ones_lose_nothing() -> None:
    """Trap: bits of the largest entry of R serve the column of small integers, and leave the large one with few."""
    rng = np.random.default_rng(4)
    values = rng.normal(size=(400, 2))
    mixed = columns.Columns(
        np.column_stack([np.rint(values[:, 0] * 2**20), np.rint(values[:, 1] * 4)]).astype(np.int32),
        np.ones(2),
        np.zeros(2),
    )
    turned = _turned(mixed, 99, bits=16)
    lost = np.abs(np.ldexp(turned.weights.astype(np.float64), -turned.step_bits) - turned.exact) * mixed.deviations
    assert lost.max() < 2.0**-14 * np.abs(turned.exact * mixed.deviations).max()


def test_a_rotation_shows_no_secret() -> None:
    turned = _turned(_columns())
    assert repr(turned) == f"Rotation(step_bits={turned.step_bits}, size_bits={turned.size_bits})"
