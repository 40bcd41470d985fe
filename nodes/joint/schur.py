"""The renter's side of the rotation: its own weights from the decrypted moments, and the reply to the partner. Pure.

All numbers here are of *standardised* columns and of the target in units of its own integers:

    S = G_A + penalty - M''_A' M''_A,   S w_A = g_y - M''_A' m''_y,   v = m''_y - M''_A w_A
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nodes.joint.columns import Columns, Floats
from nodes.joint.errors import BadPeer

NEGATIVE_PART_MAX = 1e-3
"""An eigenvalue of the Schur complement may be negative by this part of the largest of the Gram matrix: rounding."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Weights per integer of the renter's columns, and sums for the report, with the target in its own units."""

    weights: Floats
    standard: Floats
    """Of the standardised columns."""
    reply: Floats
    """v [partner's width]: tells the partner its own weights, nothing else."""
    explained: float
    """w'b of both parties' weights: their product with the cross moments of columns and target."""
    total: float
    """Sum of squares of the centred target."""


def solved(columns: Columns, moments: Sequence[Sequence[float]], step_bits: int, penalty: float) -> Solution:
    """From the renter's own columns, the target as the last of them, and the partner's rotated moments.

    Raises BadPeer `moments-impossible`: no columns of the partner have such moments.
    """
    scales, gram = _standardised(columns)
    rotated = np.ldexp(np.array(moments, dtype=np.float64), -step_bits) * scales
    remaining = gram - rotated.T @ rotated
    _require_possible(remaining, gram)
    schur = remaining[:-1, :-1] + penalty * np.eye(columns.width - 1)
    weights: Floats = np.linalg.lstsq(schur, remaining[:-1, -1], rcond=None)[0].astype(np.float64)
    reply = rotated[:, -1] - rotated[:, :-1] @ weights
    explained = float(weights @ gram[:-1, -1] + reply @ rotated[:, -1])
    return Solution(weights * scales[:-1], weights, reply, explained, float(gram[-1, -1]))


@dataclass(frozen=True, slots=True)
class Alone:
    """A model of the renter's columns without the partner's: weights per integer of its columns, and sums as above."""

    weights: Floats
    explained: float
    fitted: float
    """w'Gw: sum of squares of the centred scores."""
    total: float


def alone(columns: Columns, penalty: float) -> Alone:
    """From the renter's own columns, the target as the last of them."""
    scales, gram = _standardised(columns)
    inner, cross = gram[:-1, :-1], gram[:-1, -1]
    weights = np.linalg.lstsq(inner + penalty * np.eye(len(inner)), cross, rcond=None)[0]
    return Alone(weights * scales[:-1], float(weights @ cross), float(weights @ inner @ weights), float(gram[-1, -1]))


def _standardised(columns: Columns) -> tuple[Floats, Floats]:
    """Factors that give columns deviation 1, and the target its own unit; and the Gram matrix of these."""
    scales = np.append(1 / columns.deviations[:-1], columns.units[-1])
    return scales, columns.gram * np.outer(scales, scales)


def _require_possible(remaining: Floats, gram: Floats) -> None:
    """In units in which the Gram matrix has ones on its diagonal."""
    sizes = np.sqrt(np.where(np.diag(gram) > 0, np.diag(gram), 1.0))
    if np.linalg.eigvalsh(remaining / np.outer(sizes, sizes))[0] < -NEGATIVE_PART_MAX * len(gram):
        raise BadPeer(
            "the partner's moments explain more than there is: it did not compute what was agreed",
            code="moments-impossible",
        )
