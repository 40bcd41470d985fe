"""A job's input, and whether it fits the job's programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nodes.data.binding import bind, require_chain, require_width
from nodes.data.table import Table, open_table, read_header
from nodes.programs.program import Program
from schemas.errors import BadData


def load_table(path: Path, program: Program, id_column: str | None, columns: Sequence[str] = ()) -> Table:
    """The input, read once: the columns that the program takes (`columns`, where chosen) are checked and indexed.

    Raises:
        BadData: naming row and column of the first value that cannot be used.
    """
    require_width(program)
    header = read_header(path)
    return open_table(header, bind(program, header, id_column, columns).columns, id_column)


def check_fit(table: Table, program: Program, local: Program | None) -> None:
    """Whether data and programs fit each other.

    Raises:
        BadInput: saying what does not.
    """
    if table.rows == 0:
        raise BadData("the input has a header but no rows: nothing to compute")
    if local is not None:
        require_chain(program, local)
