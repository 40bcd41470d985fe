"""OUT.csv: what is written reads back the same."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nodes.data.results import write_csv
from schemas.errors import JobFailed

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.lists(st.tuples(st.text(alphabet='ab ,"\r\né', max_size=3), FLOATS, FLOATS), min_size=1, max_size=20),
    st.integers(1, 20),
)
def test_ids_and_floats_are_written_so_that_they_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, float, float]], each: int
) -> None:
    path = tmp_path_factory.mktemp("out") / "out.csv"
    chunks = [rows[at : at + each] for at in range(0, len(rows), each)]
    values = [([row[0] for row in chunk], np.array([row[1:] for row in chunk])) for chunk in chunks]
    assert write_csv(path, ["id", "y", "z"], values) == len(rows)
    with path.open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["id", "y", "z"]
    assert [(line[0], float(line[1]), float(line[2])) for line in lines] == rows


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_written_as_python_writes_them(tmp_path: Path, odd: float) -> None:
    path = tmp_path / "out.csv"
    write_csv(path, ["id", "y"], [(["a", "b"], np.array([[1.0], [odd]]))])
    assert path.read_text() == f"id,y\na,1.0\nb,{odd}\n"


@pytest.mark.parametrize("columns", [np.array([[1.0, 2.0], [3.0, 4.0]]).T, np.zeros((2, 0))])
def test_any_matrix_is_written_row_by_row(tmp_path: Path, columns: NDArray[np.float64]) -> None:
    path = tmp_path / "out.csv"
    write_csv(path, ["id"], [(["a", "b"], columns)])
    expected = [",".join([name, *map(repr, row)]) for name, row in zip("ab", columns.tolist(), strict=True)]
    assert path.read_text().splitlines() == ["id", *expected]


def test_ids_and_rows_of_different_number_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 ids for 2 rows"):
        write_csv(tmp_path / "out.csv", ["id", "y"], [(["a"], np.array([[1.0], [2.0]]))])


def test_ids_that_need_it_are_quoted(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write_csv(path, ["id", "y"], [(["a,b", 'c"d'], np.array([[1.0], [2.5]]))])
    assert path.read_text() == 'id,y\n"a,b",1.0\n"c""d",2.5\n'


def test_an_output_that_fails_half_way_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")

    def chunks() -> Iterator[tuple[list[str], NDArray[np.float64]]]:
        yield ["1"], np.array([[1.0]])
        raise JobFailed("half way")

    with pytest.raises(JobFailed, match="half way"):
        write_csv(path, ["id", "y"], chunks())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match="cannot write"):
        write_csv(tmp_path / "none" / "out.csv", ["id"], [])


def test_whole_numbers_have_no_fraction_and_stand_for_their_texts(tmp_path: Path) -> None:
    path, values = tmp_path / "out.csv", np.array([[1.0, 2.0**53, 0.0], [0.0, -3.0, 2.0]])
    write_csv(path, ["id", "l", "n", "t"], [(["a", "b"], values)], {0: ["no", 'y"e,s'], 1: (), 2: ["only"]})
    assert path.read_text() == 'id,l,n,t\na,"y""e,s",9007199254740992,only\nb,no,-3,2\n'


@pytest.mark.parametrize("odd", [0.5, 2.0**53 + 2, np.nan, -np.inf])
def test_numbers_that_are_not_whole_stay_what_they_are(tmp_path: Path, odd: float) -> None:
    path = tmp_path / "out.csv"
    write_csv(path, ["id", "y"], [(["a", "b"], np.array([[1.0], [odd]]))], {0: ("no", "yes")})
    assert path.read_text() == f"id,y\na,1.0\nb,{odd}\n"
