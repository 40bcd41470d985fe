"""The sides of a job's alignment, as a worker has them at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nodes.crew.crew import Kit
from nodes.data.table import Table
from nodes.joint.alignment import Masking
from nodes.joint.masks import Masks
from nodes.joint.records import Alignment
from nodes.secrets import derived


@dataclass(frozen=True, slots=True)
class Side:
    """One side of one job's alignment."""

    other: str
    """Address."""
    table: Table
    kit: Kit[Masking]
    masks: Masks
    places: Path
    """The file that will hold this side's rows in common, in the renter's order."""
    is_renter: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of the sender of a chunk."""

    other: str
    key: bytes
    """Of the other side; Ed25519."""
    over: bool
    """Whether nothing of its ids is wanted any more."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A chunk that came, of a side that may send it."""

    job: str
    chunk: int
    state: Alignment | None
    """None where it is of no use any more."""


def masking(secret: bytes, state: Alignment) -> Kit[Masking]:
    """What tasks share, of the job's secret."""
    return Kit.of(Masking(derived(secret, "alignment"), state.salt))
