"""What a user brings as a table, and results as the same kind of table."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from schemas.errors import BadData

if TYPE_CHECKING:
    from nodes.data.frame_source import FrameSource
    from nodes.data.port import Source

PANDAS: Final = "pandas"
ARROW: Final = "pyarrow"
LABEL: Final = "label"
"""What a classifier's decisions are called in its results."""
LIBRARIES: Final = {PANDAS: "DataFrame", "polars": "DataFrame", "duckdb": "DuckDBPyRelation"}
"""Whose tables come back as what they are; those of others come back as Arrow's."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What results take over from the table that they were computed on."""

    library: str
    rows: int | None = None
    index: Any = None
    """Of pandas, where no column names the rows."""
    ids: Any = None
    """The column that names the rows, in the user's own type: a series of pandas, or an Arrow table of it alone."""
    labels: str | None = None
    """The type of an estimator's classes as NumPy calls it, where these are numbers or true and false: all of them come
    back from ONNX as int64."""


@dataclass(frozen=True, slots=True)
class Given:
    """A table as a user brings it."""

    data: Path | Source
    shape: Shape


def given(table: object, id_column: str | None) -> Given:
    """A path, a DataFrame of pandas, or whatever has the Arrow PyCapsule interface.

    Raises:
        BadData: it is none of these, or has no column `id_column`.
        BadConfig: pyarrow is not installed.
    """
    if isinstance(table, str | os.PathLike):
        return Given(Path(table), Shape(ARROW))
    from nodes.data import frame_source  # noqa: PLC0415 - needs NumPy

    library = _library(table)
    if library == PANDAS:
        return _of_pandas(table, frame_source.open_pandas(table), id_column)
    if not hasattr(table, frame_source.STREAM):
        message = f"a {type(table).__name__} is no table: bring a DataFrame, an Arrow table or a path"
        raise BadData(f"{message}; collect() it first" if hasattr(table, "collect") else message)
    columns = frame_source.taken(table)
    source = frame_source.open_table(columns)
    ids = None if id_column is None else columns.select([source.header.position(id_column)])
    return Given(source, Shape(library, source.rows, ids=ids))


def kept(table: object, id_column: str) -> Given:
    """As `given`, and what the user does to a DataFrame of pandas later changes nothing. Raises as `given`."""
    own: Any = table
    return given(own.copy() if _library(table) == PANDAS else table, id_column)


def loaded() -> Shape:
    """The kind of table that this process works with, where nobody says: of pandas, polars or pyarrow."""
    return Shape(next((name for name in (PANDAS, "polars") if name in sys.modules), ARROW))


def made(results: Any, like: Shape, *, with_ids: bool) -> Any:
    """Results (a `pyarrow.Table`) as the user's kind of table; `with_ids` says that their first column names the rows.

    Where a partner has only some of the rows, results are of these.

    Raises:
        BadData: results are of rows that the user's table does not have.
    """
    if like.rows is not None and like.rows != results.num_rows and (with_ids or like.index is not None):
        like = _of_rows(like, results)
    results = _with_labels(results, like.labels)
    own = like.ids is not None and with_ids
    if like.library == PANDAS:
        found = results.to_pandas()
        if own:
            found[results.column_names[0]] = like.ids
        if like.index is not None:
            found.index = like.index
        return found
    if own:
        field = like.ids.schema.field(0).with_name(results.column_names[0])
        results = results.set_column(0, field, like.ids.column(0))
    if like.library == ARROW:
        return results
    return sys.modules[like.library].from_arrow(results)


def _with_labels(results: Any, kind: str | None) -> Any:
    if kind is None or LABEL not in results.column_names:
        return results
    from nodes.data.extra import pyarrow  # noqa: PLC0415

    place, arrow = results.column_names.index(LABEL), pyarrow("have labels of their own type")
    return results.set_column(place, LABEL, results.column(place).cast(arrow.from_numpy_dtype(kind)))


def _of_rows(like: Shape, results: Any) -> Shape:
    """Of the rows that results name. Raises BadData."""
    named = [] if like.ids is None else _names(like)
    places = {name: at for at, name in enumerate(named)}
    wanted = results.column(0).to_pylist()
    if not set(wanted) <= places.keys():
        message = f"the job computed {results.num_rows:,} rows, but the table that its results shall be like has"
        raise BadData(f"{message} {like.rows:,}: give the one that was submitted")
    rows = [places[name] for name in wanted]
    ids = like.ids.iloc[rows].reset_index(drop=True) if like.library == PANDAS else like.ids.take(rows)
    return replace(like, rows=len(rows), ids=ids)


def _names(like: Shape) -> list[str]:
    """Ids as text, as jobs have them."""
    from nodes.data import frame_source  # noqa: PLC0415 - needs NumPy

    opened = frame_source.open_pandas(like.ids.to_frame()) if like.library == PANDAS else None
    source = opened or frame_source.open_table(like.ids)
    return [name for block in source.blocks((), source.header.columns) for name in block.texts[0]]


def _of_pandas(frame: Any, source: FrameSource, id_column: str | None) -> Given:
    """With copies of what results take over: what the user does to the frame meanwhile changes none."""
    if id_column is None:
        return Given(source, Shape(PANDAS, source.rows, index=frame.index))
    if id_column in frame.index.names and id_column not in frame.columns:
        message = f"{id_column!r} is the DataFrame's index, which results have by themselves: leave id out, or call "
        message += "reset_index() first where a partner's rows are found by it"
        raise BadData(message, column=id_column)
    ids = frame.iloc[:, source.header.position(id_column)].reset_index(drop=True)
    return Given(source, Shape(PANDAS, source.rows, ids=ids))


def _library(table: object) -> str:
    """Whoever has a DataFrame has imported its library."""
    for name, kind in LIBRARIES.items():
        found = getattr(sys.modules.get(name), kind, None)
        if found is not None and isinstance(table, found):
            return name
    return ARROW
