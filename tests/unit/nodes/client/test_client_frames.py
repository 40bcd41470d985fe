"""What a user brings as a table, and results as the same kind of table."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from nodes.client.frames import Shape, given, loaded, made
from nodes.data.arrow_source import ROWS_AT_ONCE
from nodes.data.port import Source
from schemas.errors import BadData

COLUMNS: dict[str, list[Any]] = {"key": ["x", "y", "z"], "a": [1, 2, 3], "b": [0.5, 1.5, 2.5]}
RESULT = [2.0, 3.0, 4.0]


def read(table: Any, *columns: str, id_column: str | None = None) -> tuple[list[list[float]], list[str] | None]:
    source = given(table, id_column).data
    assert not isinstance(source, Path)
    blocks = list(source.blocks(columns, () if id_column is None else (id_column,)))
    ids = None if id_column is None else [each for block in blocks for each in block.texts[0]]
    return np.concatenate([block.values for block in blocks]).tolist(), ids


def results(table: Any, id_column: str | None) -> Any:
    """As if a job had computed RESULT of it."""
    ids: dict[str, Any] = {} if id_column is None else {id_column: ["p", "q", "r"]}
    columns = ids | {"result": RESULT}
    return made(pa.table(columns), given(table, id_column).shape, with_ids=id_column is not None)


# Results --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["when", "7", "kind", "key"])
def test_results_that_a_column_of_pandas_names_have_it_in_its_own_type(name: str) -> None:
    days = pd.to_datetime(["2024-03-01", "2024-01-01", "2024-02-01"])
    kinds = pd.Categorical(["u", "v", "u"])
    columns: dict[Any, Any] = {**COLUMNS, "when": days, 7: [30, 10, 20], "kind": kinds}
    frame = pd.DataFrame(columns, index=[9, 9, 9])
    column = frame[7 if name == "7" else name].reset_index(drop=True)
    pd.testing.assert_frame_equal(results(frame, name), pd.DataFrame({name: column, "result": RESULT}))


def test_results_of_pandas_have_its_index_of_several_levels() -> None:
    index = pd.MultiIndex.from_tuples([(1, "u"), (1, "v"), (0, "u")], names=["site", "arm"])
    frame = pd.DataFrame(COLUMNS, index=index)
    pd.testing.assert_frame_equal(results(frame, None), pd.DataFrame({"result": RESULT}, index=index))


def test_what_is_done_to_a_frame_meanwhile_changes_no_result() -> None:
    frame = pd.DataFrame(COLUMNS)
    shape = given(frame, "key").shape
    frame.loc[:, "key"] = "changed"
    found = made(pa.table({"key": COLUMNS["key"], "result": RESULT}), shape, with_ids=True)
    assert list(found["key"]) == COLUMNS["key"]


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["x", "y", "z"]), pl.String], ids=["cat", "enum", "text"])
def test_results_of_polars_are_polars(kind: Any) -> None:
    frame = pl.DataFrame(COLUMNS, schema_overrides={"key": kind})
    assert results(frame, "key").equals(pl.DataFrame({"key": frame["key"], "result": RESULT}))
    assert results(frame, None).equals(pl.DataFrame({"result": RESULT}))
    assert read(frame, "b", id_column="key") == ([[0.5], [1.5], [2.5]], COLUMNS["key"])


def test_results_of_arrow_and_of_what_speaks_it_are_arrow() -> None:
    table = pa.table({**COLUMNS, "n": pa.array([3, 1, 2], pa.int16())})
    expected = pa.table({"n": table["n"], "result": RESULT})
    for data in (table, table.to_reader(), Stream(table)):
        assert results(data, "n").equals(expected)


def test_a_table_of_another_length_is_not_what_results_are_like() -> None:
    shape = given(pd.DataFrame(COLUMNS).head(2), None).shape
    with pytest.raises(BadData, match=r"computed 3 rows, but the table .* has 2: give the one that was submitted"):
        made(pa.table({"result": RESULT}), shape, with_ids=False)


def test_a_path_stays_one_and_its_results_are_arrow() -> None:
    for path in ("rows.csv", Path("rows.csv")):
        assert (given(path, "key").data, given(path, "key").shape) == (Path("rows.csv"), Shape("pyarrow"))


def test_where_nobody_says_results_are_of_a_library_that_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pandas", "polars", "pyarrow"):
        assert loaded().library == name
        monkeypatch.delitem(__import__("sys").modules, name)


# Numbers and ids ------------------------------------------------------------------------------------------------------


def test_numbers_of_every_type_are_numbers() -> None:
    nan = float("nan")
    frame = pd.DataFrame(
        {
            "float32": np.array([0.1, nan, 3], dtype=np.float32),
            "nullable": pd.Series([1, None, 3], dtype="Int64"),
            "boolean": pd.Series([True, None, False], dtype="boolean"),
            "category": pd.Categorical([5, None, 7]),
            "decimal": [Decimal("0.1"), None, Decimal("1e-7")],
            "objects": [Decimal("0.3"), None, 3],
            "sparse": pd.arrays.SparseArray([0.0, nan, 2.0]),
            "arrow": pd.Series([1, None, 2], dtype=pd.ArrowDtype(pa.decimal128(9, 3))),
        }
    )
    values, _ = read(frame, *frame.columns)
    assert given(frame, None).data.header.numeric == tuple(frame.columns)  # type: ignore[union-attr]
    assert values[0] == [float(np.float32(0.1)), 1.0, 1.0, 5.0, 0.1, 0.3, 0.0, 1.0]
    assert np.isnan(values[1]).all()
    assert values[2] == [3.0, 3.0, 0.0, 7.0, 1e-7, 3.0, 2.0, 2.0]


def test_what_is_no_number_is_refused_where_it_is_computed_on_and_nowhere_else() -> None:
    days = [datetime.date(2024, 1, 1)] * 3
    frame = pd.DataFrame({**COLUMNS, "day": days, "mixed": [1, "x", None], "complex": [1j, 2, 3]})
    assert read(frame, "a") == ([[1.0], [2.0], [3.0]], None)
    for name in ("key", "day", "mixed", "complex"):
        with pytest.raises(BadData, match=f"column '{name}' holds .*, not numbers"):
            read(frame, name)


def test_objects_of_any_kind_are_passed_over_where_nothing_is_computed_on_them() -> None:
    odd: dict[str, list[Any]] = {
        "arrays": [np.arange(2), np.arange(3), None],
        "huge": [10**400, 1, 2],
        "half": ["\ud800", 1, None],
    }
    frame = pd.DataFrame(COLUMNS).assign(**{name: pd.Series(values, dtype=object) for name, values in odd.items()})
    assert read(frame, "a") == ([[1.0], [2.0], [3.0]], None)
    for name in odd:
        with pytest.raises(BadData, match=f"column '{name}' holds .*, not numbers"):
            read(frame, name)


def test_a_column_without_any_value_is_one_of_missing_numbers() -> None:
    for table in (pd.DataFrame({"a": [None] * 3}), pl.DataFrame({"a": [None] * 3}), pa.table({"a": pa.nulls(3)})):
        assert np.isnan(read(table, "a")[0]).all()


def test_infinity_is_refused_with_its_row() -> None:
    frame = pd.DataFrame({"a": np.arange(ROWS_AT_ONCE + 3.0)})
    frame.loc[ROWS_AT_ONCE + 1, "a"] = np.inf
    for table in (frame, pl.from_pandas(frame)):
        with pytest.raises(BadData, match="the value is inf") as refused:
            read(table, "a")
        assert refused.value.row == ROWS_AT_ONCE + 2


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        ([7, 8, 9], ["7", "8", "9"]),
        (["", None, 'q,\n"é'], ["", "", 'q,\n"é']),
        ([1, "x", None], ["1", "x", ""]),
        (pd.Categorical(["u", None, "v"]), ["u", "", "v"]),
        ([datetime.date(2024, 1, 2)] * 3, ["2024-01-02"] * 3),
        ([2**63, 1, 2], ["9223372036854775808", "1", "2"]),
    ],
    ids=["whole", "text", "mixed", "category", "dates", "large"],
)
def test_any_column_names_rows(column: Any, texts: list[str]) -> None:
    frame = pd.DataFrame({"id": column, "a": [1, 2, 3]})
    assert read(frame, "a", id_column="id") == ([[1.0], [2.0], [3.0]], texts)


def test_large_tables_are_read_in_blocks_of_chunks() -> None:
    table = pa.concat_tables([pa.table({"a": np.arange(50_000.0) + first}) for first in (0, 50_000)])
    source = given(table, None).data
    assert not isinstance(source, Path)
    blocks = [block.values for block in source.blocks(["a"])]
    assert [len(block) for block in blocks] == [ROWS_AT_ONCE, 100_000 - ROWS_AT_ONCE]
    assert np.concatenate(blocks)[:, 0].tolist() == list(range(100_000))


def test_columns_of_any_name_are_found_and_two_of_one_are_not_told_apart() -> None:
    frame = pd.DataFrame(np.eye(2))
    assert read(frame, "1", "0") == ([[0.0, 1.0], [1.0, 0.0]], None)
    twice = pd.concat([frame, frame], axis=1)
    for table in (twice, pa.table([[1.0], [2.0]], names=["0", "0"])):
        with pytest.raises(BadData, match="two columns named '0'"):
            read(table, "0")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ([1, 2], "a list is no table"),
        (np.zeros((2, 2)), "a ndarray is no table"),
        (pl.LazyFrame(COLUMNS), r"a LazyFrame is no table.*collect\(\) it first"),
        (pl.Series([1.0]), "Arrow cannot take this Series as a table"),
        (pd.Series([1.0]), "Arrow cannot take this Series as a table"),
        (pd.DataFrame(), "has no columns"),
        (pa.table({}), "has no columns"),
    ],
    ids=["list", "ndarray", "lazy", "polars-series", "pandas-series", "no-columns", "empty"],
)
def test_what_is_no_table_is_refused(table: object, says: str) -> None:
    with pytest.raises(BadData, match=says):
        given(table, None)


def test_the_column_that_names_rows_has_to_be_there() -> None:
    for table in (pd.DataFrame(COLUMNS), pl.DataFrame(COLUMNS)):
        with pytest.raises(BadData, match="has no column 'nobody'; its columns are: key, a, b"):
            given(table, "nobody")


def test_a_frame_is_a_source_and_may_be_read_again() -> None:
    source: Source | Path = given(pd.DataFrame(COLUMNS), None).data
    assert not isinstance(source, Path)
    assert (source.header.columns, source.header.numeric) == (("key", "a", "b"), ("a", "b"))
    for _ in range(2):
        assert [block.values.tolist() for block in source.blocks(["b", "a"])] == [[[0.5, 1], [1.5, 2], [2.5, 3]]]


class Stream:
    """A table of a library that nobody has heard of."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return self.table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "index",
    [pd.Index([1, 2, 3], name="key"), pd.MultiIndex.from_product([["u"], [1, 2, 3]], names=["key", "visit"])],
    ids=["one level", "several levels"],
)
def test_an_index_is_no_id_column_but_stays(index: Any) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0]}, index=index)
    with pytest.raises(BadData, match=r"'key' is the DataFrame's index.*leave id out"):
        given(frame, "key")
    assert given(frame.reset_index(), "key").shape.ids.tolist() == index.get_level_values("key").tolist()
