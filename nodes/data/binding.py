"""Which columns of a table feed which program. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from nodes.data.header import Header
from nodes.programs.program import Program, Takes
from schemas.errors import BadData, BadProgram
from schemas.limits import COLUMNS_MAX

SHOWN_COLUMNS: Final = 10


@dataclass(frozen=True, slots=True)
class Binding:
    """The columns that a program takes, in its order, and what decided that."""

    columns: tuple[str, ...]
    by: Literal["name", "position", "choice"]
    taken: tuple[str, ...] = ()
    """Of the file, where the program takes numbers that are made of its text."""


def bind(program: Takes, header: Header, id_column: str | None = None, chosen: Sequence[str] = ()) -> Binding:
    """The columns that the program takes.

    Those that the user chose; else those that the program names, by its inputs or its metadata "columns"; else, by
    position, all columns but the id column when their number fits, else all numeric ones. Raises BadData: a column is
    missing, or the numbers do not fit.
    """
    if id_column is not None:
        header.position(id_column)
    if chosen:
        return Binding(_existing(header, _fitting(program, chosen)), "choice")
    names = _named(program, header)
    if names:
        return Binding(_existing(header, names), "name")
    candidates = tuple(c for c in header.columns if c and c != id_column)
    numeric = tuple(c for c in candidates if c in header.numeric)
    for columns in (candidates, numeric):
        if len(columns) == program.width_in:
            return Binding(_existing(header, columns), "position")
    raise BadData(_mismatch(program, candidates, numeric, id_column))


def _named(program: Takes, header: Header) -> tuple[str, ...]:
    """The names that the program gives its columns. That of a single input, or of several columns, is the tensor's."""
    if program.column_names:
        return program.column_names
    if not program.matrix and (len(program.input_names) > 1 or program.input_names[0] in header.columns):
        return program.input_names
    return ()


def _existing(header: Header, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(header.columns[header.position(name)] for name in names)


def _fitting(program: Takes, chosen: Sequence[str]) -> Sequence[str]:
    if len(chosen) != program.width_in:
        raise BadData(f"--columns names {_count(len(chosen))}, but the program takes {program.width_in:,}")
    return chosen


def _mismatch(program: Takes, candidates: Sequence[str], numeric: Sequence[str], id_column: str | None) -> str:
    names = "" if program.matrix else f" (its input is {program.input_names[0]!r})"
    message = f"the program takes {_count(program.width_in)}{names}, but the data has {len(numeric):,} with numbers"
    if len(numeric) > program.width_in:
        message += f": {_shown(numeric)}"
    text = [c for c in candidates if c not in numeric]
    if text:
        message += f" (no number in row 1 of: {_shown(text)})"
    if len(numeric) > program.width_in:
        message += "; choose with --columns, in the program's order"
        message += ", or name the one that is not an input with --id-column" if id_column is None else ""
    return message


def _count(columns: int) -> str:
    return f"{columns:,} column{'' if columns == 1 else 's'}"


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN_COLUMNS]) + ("…" if len(names) > SHOWN_COLUMNS else "")


def require_width(program: Program) -> None:
    """That what travels can hold the program's columns. Raises BadProgram."""
    for columns, does in ((program.width_in, "takes"), (program.width_out, "gives")):
        if columns > COLUMNS_MAX:
            raise BadProgram(f"the program {does} {columns:,} columns; at most {COLUMNS_MAX:,}")


def require_chain(program: Program, local_program: Program) -> None:
    """That the local program can take the program's results row by row. Raises BadProgram saying what does not fit."""
    if local_program.width_in != program.width_out:
        raise BadProgram(
            f"the local program takes {local_program.width_in} columns, but the program gives {program.width_out}"
        )
    if local_program.sum_rows:
        raise BadProgram("the local program may not sum over rows: it runs row by row on the results")
