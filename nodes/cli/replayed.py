"""A joint job's rounds held against plaintext: the same programs on both tables, possible only where both are here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from nodes.cli.computed import Rows, absolute_terms, map_of
from nodes.data.making import make_table
from nodes.data.reading import Reading
from nodes.data.table import Table, open_table
from nodes.inputs import PARAMETERS, RECEIVED, widened, width_of, without
from nodes.joint.files import values_of
from nodes.joint.updates import update
from nodes.programs.check import check
from nodes.programs.program import Program
from nodes.programs.runtime import combine, evaluate
from nodes.renter.invitation import Invitation, bound

ERROR_MAX: Final = 1e-6
"""Of the absolute terms that an output is added up from."""
ROWS_AT_ONCE: Final = 8192


@dataclass(frozen=True, slots=True)
class Half:
    """One party's table, and how it is read."""

    data: Path
    reading: Reading


@dataclass(frozen=True, slots=True)
class Both:
    """The rows in common, in the renter's order: what the lessors' program takes, and what the partner's does."""

    mine: Rows
    theirs: Rows


@dataclass(frozen=True, slots=True)
class Replayed:
    """Outputs [rounds, outputs] as they came and in plaintext, each round from the parameters that the job had."""

    parameters: Rows
    found: Rows
    expected: Rows
    error: float
    """Largest difference, as a part of the absolute terms that were added up."""

    @property
    def good(self) -> bool:
        """Whether the difference is allowed."""
        return self.error <= ERROR_MAX


def both(here: Half, there: Half, lessors: Program, partner: Program) -> Both:
    """Raises BadInput: a table does not have what a program takes."""
    with tempfile.TemporaryDirectory(prefix="sublet-check-") as folder:
        mine = make_table(Path(folder) / "here", here.data, bound(lessors), here.reading)
        theirs = make_table(Path(folder) / "there", there.data, without(partner, RECEIVED), there.reading)
        places = in_common(mine, theirs)
        return Both(
            *(values_of(each, at, range(len(each.columns))) for each, at in zip((mine, theirs), places.T, strict=True))
        )


def in_common(mine: Table, theirs: Table) -> np.ndarray:
    """Places [rows, 2] of the rows that both have, in the order of the first."""
    known = {name: at for at, name in enumerate(_ids(theirs))}
    return np.array([(at, known[name]) for at, name in enumerate(_ids(mine)) if name in known], dtype=np.int64)


def replayed(output: Path, rows: Both, lessors: Program, asked: Invitation) -> Replayed:
    """Hold a completed job's output against plaintext; `rows` are those in common."""
    table = open_table(output)
    found, partner = table.read(0, table.rows), check(asked.program)
    updating = None if asked.update is None else check(asked.update)
    given = np.array(asked.parameters or (0.0,) * width_of(lessors, PARAMETERS), dtype=np.float64)
    parameters, expected, largest = [given], [], np.zeros(found.shape[1])
    for each in found:
        value, terms = _round(lessors, partner, rows, parameters[-1])
        expected.append(value)
        largest = np.maximum(largest, terms)
        if updating is not None and len(expected) < len(found):
            following, _ = update(updating, each[None, :], parameters[-1])
            parameters.append(following)
    differences = np.abs(found - np.array(expected)).max(axis=0)
    error = float((differences / np.where(largest > 0, largest, 1.0)).max())
    return Replayed(np.array(parameters), found, np.array(expected), error)


def _round(lessors: Program, partner: Program, rows: Both, parameters: Rows) -> tuple[Rows, Rows]:
    """The output, and the absolute terms of each of its numbers."""
    mapped = map_of(partner)
    assert mapped is not None, "a partner's program that ran on ciphertext is affine"
    parts, terms = [], np.zeros(partner.width_out)
    for mine, theirs in _chunks((rows.mine, rows.theirs)):
        sealed = evaluate(lessors, widened(lessors, mine, parameters) if len(parameters) else mine)
        columns = _joined(partner, sealed, theirs)
        parts.append(evaluate(partner, columns))
        terms += absolute_terms(mapped, columns)[0]
    return combine(partner, parts)[0], terms


def _joined(partner: Program, received: Rows, local: Rows) -> Rows:
    """As the program takes its two inputs."""
    return np.column_stack([received, local] if partner.input_names[0] == RECEIVED else [local, received])


def _chunks(tables: Sequence[Rows]) -> Iterator[tuple[Rows, ...]]:
    for first in range(0, len(tables[0]), ROWS_AT_ONCE):
        yield tuple(each[first : first + ROWS_AT_ONCE] for each in tables)


def _ids(table: Table) -> Iterator[str]:
    for some in table.all_ids():
        yield from some
