"""Which columns of a table feed which program. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nodes.programs.program import Program
from schemas.errors import BadData, BadProgram


class Columns(Protocol):
    """What binding has to know about a table; `nodes.data.table.Header` is one."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All names, in the file's order."""

    @property
    def numeric(self) -> tuple[str, ...]:
        """Those whose first value is a number."""

    def position(self, column: str) -> int:
        """Where a column stands. Raises BadData when it does not exist."""


def bind(program: Program, header: Columns, id_column: str | None = None) -> tuple[str, ...]:
    """The columns that the program takes, in its order.

    Named inputs take the columns of their names; so does a matrix whose model names its columns. Any other matrix takes
    all columns but the id column when their number fits, else all numeric ones. Raises BadData: a column is missing, or
    the numbers do not fit.
    """
    if id_column is not None:
        header.position(id_column)
    candidates = tuple(c for c in header.columns if c != id_column)
    names = program.column_names if program.matrix else program.input_names
    if names:
        if not program.matrix and len(names) == 1 and names[0] not in header.columns and len(candidates) == 1:
            return candidates
        return tuple(header.columns[header.position(name)] for name in names)
    numeric = tuple(c for c in candidates if c in header.numeric)
    for columns in (candidates, numeric):
        if len(columns) == program.width_in:
            return columns
    raise BadData(_mismatch(program, candidates, numeric, id_column))


def _mismatch(program: Program, candidates: Sequence[str], numeric: Sequence[str], id_column: str | None) -> str:
    message = f"the program takes {program.width_in} columns, but the data has {len(numeric)} with numbers"
    if len(candidates) != len(numeric):
        text = [c for c in candidates if c not in numeric]
        message += f" (no number in row 1 of: {', '.join(text[:10])}{'…' if len(text) > 10 else ''})"
    if id_column is None and len(numeric) == program.width_in + 1:
        message += "; name the one that is not an input with --id-column"
    return message


def require_chain(program: Program, local_program: Program) -> None:
    """That the local program can take the program's results row by row. Raises BadProgram saying what does not fit."""
    if local_program.width_in != program.width_out:
        raise BadProgram(
            f"the local program takes {local_program.width_in} columns, but the program gives {program.width_out}"
        )
    if local_program.sum_rows:
        raise BadProgram("the local program may not sum over rows: it runs row by row on the results")
