"""A whole joint job in one process, by the functions that the parties run, and what each of them saw."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.paillier.slots import Layout
from nodes.joint import columns, partner, renter, rotation, schur
from nodes.joint.columns import Columns, Floats
from nodes.joint.rotation import Room, Rotation
from nodes.joint.schur import Solution


@dataclass(frozen=True)
class Outcome:
    """Weights are per unit of the columns as they came."""

    renter: Floats
    partner: Floats
    intercept: float
    solution: Solution
    partner_norm: float
    rotation: Rotation
    seen: NDArray[np.float64]
    """What the renter decrypted, in steps of the rotation."""


def run(
    secret: PaillierSecret | None,
    ours: Floats,
    target: Floats,
    theirs: Floats,
    penalty: float,
    *,
    intercept: float = 0.0,
    bits: tuple[int, int, int] = (16, 12, 24),
    key_bits: int = 2048,
) -> Outcome:
    """Ridge regression of the target on both parties' columns; without a key on plain numbers."""
    renter_bits, partner_bits, rotation_bits = bits
    table = columns.zero_sum(np.column_stack([ours, target]), renter_bits)
    given = columns.scaled(theirs, partner_bits)
    size_max = 1 << (renter_bits - 1)
    room = Room(Layout.widest(key_bits, table.width), size_max)
    random = secrets.token_bytes(rotation.random_bytes(given.width))
    turned = rotation.rotation(given, penalty, room, random, bits=rotation_bits)
    moments = _encrypted(secret, table, given, turned, size_max) if secret else _plain(table, given, turned)
    solution = schur.solved(table, moments, turned.step_bits, penalty)
    by_integer = turned.coefficients(solution.reply)
    parts = table.part(solution.weights), given.part(by_integer)
    norm = float(((by_integer * given.deviations) ** 2).sum())
    seen = np.array(moments, dtype=np.float64)
    offset = intercept + parts[0].offset + parts[1].offset
    return Outcome(parts[0].weights, parts[1].weights, offset, solution, norm, turned, seen)


def _encrypted(
    secret: PaillierSecret, table: Columns, given: Columns, turned: Rotation, size_max: int
) -> list[list[float]]:
    public = secret.public
    body = public.encrypt_rows(table.integers[:, :].astype(np.int64))
    moments = partner.cross_moments(public, body, given.integers[:, :])
    reply = partner.rotated(public, moments, turned.weights.tolist())
    return renter.opened(secret, reply, table.width, given.width, turned.size_bits)


def _plain(table: Columns, given: Columns, turned: Rotation) -> list[list[float]]:
    moments = given.integers[:, :].astype(object).T @ table.integers[:, :].astype(object)
    found: list[list[float]] = (turned.weights.astype(object) @ moments).tolist()
    return found
