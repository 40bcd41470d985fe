"""The renter's part of a model, as it was solved: a file in the job's folder, named by its digest."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
from msgspec import Struct

from nodes.renter.files.folder import JobFolder
from nodes.whole import write_whole
from schemas.errors import JobFailed

ROUND: Final = 1
"""A model takes one."""


class Solved(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights are of the renter's columns; sums are over all rows (`nodes/joint/schur.py`)."""

    weights: tuple[float, ...]
    """Of the columns as they came."""
    offset: float
    """Makes the mean of the renter's scores 0."""
    norm: float
    """Sum of squares of the weights of standardised columns."""
    reply: tuple[float, ...]
    """What gives the partner its own weights."""
    explained: float
    total: float
    partner_columns: int


def write_solved(folder: JobFolder, solved: Solved) -> str:
    """Store it; the digest that names it."""
    raw = msgspec.json.encode(solved)
    digest = hashlib.sha256(raw).hexdigest()
    write_whole(folder.of_round(ROUND, "solved", digest), raw)
    return digest


def read_solved(folder: JobFolder, digest: str) -> Solved:
    """What was stored.

    Raises:
        JobFailed: it is gone, or was changed.
    """
    try:
        raw = folder.of_round(ROUND, "solved", digest).read_bytes()
        if hashlib.sha256(raw).hexdigest() == digest:
            return msgspec.json.decode(raw, type=Solved)
    except (OSError, msgspec.MsgspecError) as error:
        raise JobFailed("the model's weights are gone: submit the job again") from error
    raise JobFailed("the model's weights were changed on disk: submit the job again")
