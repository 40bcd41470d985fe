"""What the parties could make of what they see, beside naive variants that tell too much."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.joint import columns, guards
from nodes.joint.columns import Floats
from nodes.joint.errors import TooRevealing
from nodes.joint.guards import Limits
from tests.support import joint

ROWS, KNOWN = 240, 30
MEAN = 1.0
"""The error of who guesses a column's mean, in standard deviations."""


def _error(guess: Floats, truth: Floats) -> float:
    """Root mean square over the rows that were not known, in standard deviations."""
    return float(np.sqrt(np.mean(((guess - truth) / truth.std(axis=0))[KNOWN:] ** 2)))


def _mixed(seen: Floats, truth: Floats) -> Floats:
    """The attack: numbers per row that the renter holds are unmixed with the help of KNOWN rows."""
    held = np.column_stack([seen, np.ones(len(seen))])
    return np.asarray(held @ np.linalg.lstsq(held[:KNOWN], truth[:KNOWN], rcond=None)[0])


def test_with_the_secret_key_rounds_of_residuals_give_the_partners_columns_away() -> None:
    """The naive variant: in 8 rounds the renter decrypts residuals, so X_C w for 8 weights w."""
    rng = np.random.default_rng(1)
    theirs = rng.normal(size=(ROWS, 8))
    residuals = theirs @ rng.normal(size=(8, 8))
    assert _error(_mixed(residuals, theirs), theirs) < 1e-7


def test_with_the_secret_key_rotated_moments_give_no_columns_away(secret: PaillierSecret) -> None:
    rng = np.random.default_rng(1)
    theirs, ours = rng.normal(size=(ROWS, 8)), rng.normal(size=(ROWS, 3))
    label = ours[:, 0] + theirs[:, 0] + rng.normal(size=ROWS)
    outcome = joint.run(secret, ours, label, theirs, 1.0)
    own = np.column_stack([ours, label])
    centred = own - own.mean(axis=0)
    projected = centred @ np.linalg.solve(centred.T @ centred, outcome.seen.T)
    alone = _error(_mixed(own, theirs), theirs)
    attacked = _error(_mixed(projected, theirs), theirs)
    assert attacked > 0.95 * min(MEAN, alone)
    assert alone == pytest.approx(attacked, rel=1e-3)


def test_moments_without_rotation_tell_the_renter_of_single_columns_and_rotated_ones_do_not() -> None:
    rng = np.random.default_rng(2)
    ours = rng.normal(size=(ROWS, 3))
    theirs = np.column_stack([ours[:, 0] + 0.1 * rng.normal(size=ROWS), rng.normal(size=(ROWS, 7))])
    first, second = (joint.run(None, ours, ours[:, 1], theirs, 1.0) for _ in range(2))
    given, table = columns.scaled(theirs, 12), columns.zero_sum(ours, 16)
    naive = np.abs(given.integers[:, :].T.astype(np.float64) @ table.integers[:, :])[:, 0]
    assert naive[0] > 5 * naive[1:].max()
    shown = [np.abs(each.seen[:, 0]) / np.linalg.norm(each.seen[:, 0]) for each in (first, second)]
    assert np.abs(shown[0] - shown[1]).max() > 0.05


def test_from_moments_of_the_label_the_partner_reads_labels_and_from_its_coefficients_withheld_it_reads_none() -> None:
    """The naive variant: the partner sees X_C'y in clear, as masked conjugate gradients have it, and projects."""
    rng = np.random.default_rng(3)
    theirs, label = rng.normal(size=(80, 40)), rng.integers(0, 2, 80) * 2.0 - 1
    naive = np.sign(theirs @ np.linalg.solve(theirs.T @ theirs, theirs.T @ label))
    assert np.mean(naive == label) > 0.8
    with pytest.raises(TooRevealing) as caught:
        guards.require_safe(columns.scaled(theirs, 12), 1.0, Limits())
    assert caught.value.code == "too-few-rows"


def test_from_its_own_coefficients_the_partner_reads_labels_as_well_as_they_predict_and_no_better() -> None:
    rng = np.random.default_rng(4)
    read = []
    for _ in range(10):
        theirs, ours = rng.normal(size=(400, 8)), rng.normal(size=(400, 3))
        label = rng.choice([-1.0, 1.0], 400)
        outcome = joint.run(None, ours, label, theirs, 1.0)
        read.append(np.mean(np.sign((theirs - theirs.mean(axis=0)) @ outcome.partner) == label))
    by_chance = 0.5 + np.arctan(np.sqrt(8 / 392)) / np.pi
    assert np.mean(read) == pytest.approx(by_chance, abs=0.04)


def test_a_row_that_stands_alone_is_read_and_so_it_is_refused() -> None:
    rng = np.random.default_rng(5)
    dummies = np.eye(21)[np.arange(401) // 20][:, :20]
    label = rng.integers(0, 2, 401) * 2.0 - 1
    centred, balanced = dummies - dummies.mean(axis=0), label - label.mean()
    naive = centred @ np.linalg.solve(centred.T @ centred, centred.T @ balanced)
    assert naive[400] == pytest.approx(balanced[400], abs=1e-9)
    with pytest.raises(TooRevealing) as caught:
        guards.require_safe(columns.scaled(dummies, 12), 1e-6, Limits())
    assert caught.value.code == "high-leverage"
