"""Numbers in CSV are Python's `float` of their text, however fast they are read, and everything else is refused."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nodes.data import records
from nodes.data.records import Form, Records
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
    form = Form(tuple(f"c{position}" for position in range(len(fields))))
    row: list[float] = numbers(",".join(fields) + "\n", form, range(len(fields)))[0].tolist()
    return row


def split(text: str, form: Form, first_row: int = 1) -> Records:
    """All of the text, which is whole records."""
    found, taken = records.split(text, form, first_row, last=True)
    assert found is not None
    assert (taken, found.count) == (len(text), len(found.fields) // len(form.columns))
    return found


def numbers(text: str, form: Form, wanted: Sequence[int], first_row: int = 1) -> NDArray[np.float64]:
    """The wanted columns of whole records."""
    return split(text, form, first_row).numbers(wanted)


def texts(text: str, form: Form, wanted: int, first_row: int = 1) -> list[str]:
    """One column of whole records."""
    return split(text, form, first_row).texts(wanted)


AB, ABC = Form(("a", "b")), Form(("a", "b", "c"))


@given(st.lists(WAYS, min_size=1, max_size=5))
@example(["9007199254740993", "-9007199254740993", "18446744073709551615", "123456789012345678901234567890"])
@example(["1e23", "5e-324", "2.2250738585072011e-308", "1.7976931348623157e308", "0.1", "-0.0"])
@example(["007", "+1", ".5", "1.", "1E5", "-0"])
def test_numbers_are_those_that_python_reads(fields: list[str]) -> None:
    assert read(*fields) == [float(field) for field in fields]


@given(st.text(alphabet="0123456789+-.eEnulltrfasi_[]{}:x ", min_size=1, max_size=8))
def test_what_is_no_number_is_refused_beside_numbers_too(text: str) -> None:
    expected = records.as_number(text)
    if expected is not None and not math.isinf(expected):
        np.testing.assert_array_equal(read("1", text, "2"), [1.0, expected, 2.0])
        return
    with pytest.raises(BadData, match="row 1, column 'c1'"):
        read("1", text, "2")


@pytest.mark.parametrize(
    "text", ["yes", "Infinity", "-Infinity", "1e999", "[1]", "{}", "1_000", "nan(1)", "0x10", "0x1F", "1;5"]
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
    read = texts(file.getvalue(), ABC, wanted)
    assert read == [row[wanted] for row in rows]


@pytest.mark.parametrize("text", [b"a,b\n\xff,b\n", b"1,2\n3,4\xff\n", b'"1",2\n3,"\xff"\n', b"1,2\n\xed\xa0\x80,4\n"])
def test_text_that_is_not_utf8_is_refused_whatever_is_read_of_it(text: bytes) -> None:
    with pytest.raises(BadData, match="row 8 is not UTF-8 text; give its encoding, for example --encoding cp1252"):
        split(text.decode("utf-8", "surrogateescape"), AB, 7)


def test_text_beside_numbers_may_be_of_any_language() -> None:
    assert numbers("é,1\nж,2\n", AB, [1]).tolist() == [[1.0], [2.0]]
    assert numbers("é,1\nж,+2\n", AB, [1]).tolist() == [[1.0], [2.0]]
    with pytest.raises(BadData, match="row 2, column 'b'"):
        numbers("é,1\nж,\u0662\n", AB, [1])


def test_columns_come_in_the_asked_order_and_as_often_as_asked() -> None:
    for block in ("1,2,3\n4,5,6\n", "1,2,+3\n4,5,6\n", "x,2,3\ny,5,6\n"):
        assert numbers(block, ABC, [2, 1, 2]).tolist() == [[3, 2, 3], [6, 5, 6]]


GAPS = ["", " ", "NA", "N/A", "nan", "NaN", "-nan", "NULL", "null", "None", "<NA>", "#N/A"]


@pytest.mark.parametrize("text", GAPS)
@pytest.mark.parametrize("beside", ["2", '"2"', "text"])
def test_texts_for_a_missing_value_are_nan_whichever_way_they_are_read(text: str, beside: str) -> None:
    block = f"1,{text},{beside}\n3,4,x\n"
    np.testing.assert_array_equal(numbers(block, ABC, [0, 1]), [[1.0, math.nan], [3.0, 4.0]])


@pytest.mark.parametrize("row", ["x,", "x, ", ",", "x,\t"])
def test_a_chunk_whose_only_value_is_missing_still_has_its_row(row: str) -> None:
    np.testing.assert_array_equal(numbers(f"{row}\n", AB, [1]), [[math.nan]])


def test_truths_are_one_and_zero() -> None:
    for beside in ("x", '"x"'):
        block = f"True,false,{beside}\nFALSE,TRUE,{beside}\n"
        assert numbers(block, ABC, [0, 1]).tolist() == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("text", "decimal", "words"),
    [
        ('"1,234.5"', ".", "'1,234.5' is not a number; write it without signs between the thousands$"),
        ('"1,5"', ".", "'1,5' is not a number; give --decimal ',' if that is its decimal sign$"),
        ('"1,234"', ".", "without signs between the thousands, or give --decimal ','"),
        ("1.234", ",", "without signs between the thousands, or give --decimal '.'"),
        ("1.5", ",", "'1.5' is not a number; give --decimal '.'"),
        ("12 %", ".", "'12 %' is not a number$"),
    ],
)
def test_numbers_in_the_manner_of_another_country_are_refused_with_what_to_do(
    text: str, decimal: str, words: str
) -> None:
    with pytest.raises(BadData, match=f"row 5, column 'b': .*{words}"):
        numbers(f"1{DELIMITER[decimal]}{text}\n", Form(("a", "b"), DELIMITER[decimal], decimal), [1], 5)


DELIMITER = {".": ",", ",": ";"}


@pytest.mark.parametrize(
    ("delimiter", "decimal"), [(sign, point) for sign in (",", ";", "\t", "|") for point in (".", ",") if sign != point]
)
@pytest.mark.parametrize("note", ["x", "a. b", '"q"'])
def test_every_delimiter_and_decimal_is_read_fast_and_slowly_alike(delimiter: str, decimal: str, note: str) -> None:
    rows = [[note, "1.5", "-2"], [note, "0.25", "1e3"]]
    lines = [delimiter.join([first, *(field.replace(".", decimal) for field in rest)]) for first, *rest in rows]
    form = Form(("a", "b", "c"), delimiter, decimal)
    block = "".join(f"{line}\n" for line in lines)
    assert numbers(block, form, [2, 1]).tolist() == [[-2.0, 1.5], [1000.0, 0.25]]
    assert texts(block, form, 0) == [note.strip('"')] * 2


@pytest.mark.parametrize("text", ['5" pipe', '5"', 'a "b" c', "'tis\""])
def test_a_quotation_mark_inside_a_field_without_quotes_is_text(text: str) -> None:
    block = f"{text},1\n6,2\n{text},3\n"
    assert texts(block, AB, 0) == [text, "6", text]
    assert numbers(block, AB, [1]).tolist() == [[1.0], [2.0], [3.0]]


@pytest.mark.parametrize("text", ['"ab"c', '"1"2', '"open'])
def test_quotes_that_do_not_end_a_field_are_refused_with_the_row(text: str) -> None:
    with pytest.raises(BadData, match=r"row 3 cannot be read as CSV: .*; look for a quotation mark"):
        numbers(f"1,2\n{text},4\n", AB, [1], 2)


@given(st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=6), st.integers(0, 60))
def test_a_block_cut_anywhere_gives_its_whole_records(rows: list[tuple[str, str]], at: int) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(rows)
    text = file.getvalue()
    found, taken = records.split(text[:at], AB, 1, last=False)
    rest, left = records.split(text[taken:], AB, 1 + (found.count if found else 0), last=True)
    assert taken + left == len(text)
    fields = [field for each in (found, rest) if each is not None for field in each.fields]
    assert fields == [field for row in rows for field in row]
