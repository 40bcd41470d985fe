"""Numbers in CSV are Python's `float` of their text, however fast they are read, and everything else is refused."""

from __future__ import annotations

import csv
import io
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nodes.data import records
from schemas.errors import BadData

WAYS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map("{:.6f}".format),
    st.integers(-(10**30), 10**30).map(str),
    st.from_regex(r"[+-]?[0-9]{1,25}\.?[0-9]{0,25}([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.from_regex(r" ?[+-]?\.[0-9]{1,5} ?", fullmatch=True),
)


def read(*fields: str) -> list[float]:
    """The fields as one row."""
    columns = [f"c{position}" for position in range(len(fields))]
    block = ",".join(fields).encode() + b"\n"
    row: list[float] = records.numbers(block, columns, range(len(fields)), 1)[0].tolist()
    return row


@given(st.lists(WAYS, min_size=1, max_size=5))
@example(["9007199254740993", "-9007199254740993", "18446744073709551615", "123456789012345678901234567890"])
@example(["1e23", "5e-324", "2.2250738585072011e-308", "1.7976931348623157e308", "0.1", "-0.0"])
@example(["007", "+1", ".5", "1.", "1E5", "-0"])
def test_numbers_are_those_that_python_reads(fields: list[str]) -> None:
    assert read(*fields) == [float(field) for field in fields]


@given(st.text(alphabet="0123456789+-.eEnulltrfasi_[]{}:x ", min_size=1, max_size=8))
def test_what_is_no_number_is_refused_beside_numbers_too(text: str) -> None:
    expected = records.as_number(text)
    if expected is not None and math.isfinite(expected):
        assert read("1", text, "2") == [1.0, expected, 2.0]
        return
    with pytest.raises(BadData, match="row 1, column 'c1'"):
        read("1", text, "2")


@pytest.mark.parametrize(
    "text", ["true", "null", "NaN", "Infinity", "-Infinity", "1e999", "[1]", "{}", "1_000", "", " ", "0x10"]
)
def test_words_of_json_and_python_are_no_numbers(text: str) -> None:
    with pytest.raises(BadData, match="row 1, column 'c1'"):
        read("1", text, "2")


FIELDS = st.text(alphabet='ab1é ,;"\n.', max_size=6) | st.text(alphabet="ab1é.", max_size=6)


@given(
    st.lists(st.tuples(FIELDS, FIELDS, FIELDS), min_size=1, max_size=6),
    st.integers(0, 2),
    st.sampled_from(["\n", "\r\n"]),
)
def test_a_column_of_text_is_what_was_written(rows: list[tuple[str, str, str]], wanted: int, end: str) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=end).writerows(rows)
    read = records.texts(file.getvalue().encode(), ["a", "b", "c"], wanted, 1)
    assert read == [row[wanted] for row in rows]


def test_text_that_is_not_utf8_is_refused_whichever_column_is_read() -> None:
    for wanted in (0, 1):
        with pytest.raises(BadData, match="row 8 is not UTF-8"):
            records.texts(b"a,b\n\xff,b\n", ["a", "b"], wanted, 7)
        with pytest.raises(BadData, match="row 8 is not UTF-8"):
            records.numbers(b"1,2\n3,4\xff\n", ["a", "b"], [wanted], 7)


def test_text_beside_numbers_may_be_of_any_language() -> None:
    assert records.numbers("é,1\nж,2\n".encode(), ["a", "b"], [1], 1).tolist() == [[1.0], [2.0]]
    assert records.numbers("é,1\nж,+2\n".encode(), ["a", "b"], [1], 1).tolist() == [[1.0], [2.0]]
    with pytest.raises(BadData, match="row 2, column 'b'"):
        records.numbers("é,1\nж,\u0662\n".encode(), ["a", "b"], [1], 1)


def test_columns_come_in_the_asked_order_and_as_often_as_asked() -> None:
    for block in (b"1,2,3\n4,5,6\n", b"1,2,+3\n4,5,6\n", b"x,2,3\ny,5,6\n"):
        assert records.numbers(block, ["a", "b", "c"], [2, 1, 2], 1).tolist() == [[3, 2, 3], [6, 5, 6]]
