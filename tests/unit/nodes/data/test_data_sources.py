"""Tables as people have them: packed, in other encodings, of other kinds; what cannot be read says what it is."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import math
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from nodes.data import arrow_source, csv_source
from nodes.data.reading import Dialect, Reading
from nodes.data.sources import open_source
from nodes.data.table import Table
from schemas.errors import BadConfig, BadData, BadInput
from tests.support.tables import table_of

TEXT = "id,a,b\nx,1,2\né,3,4\n"


def opened(path: Path, *columns: str, **dialect: Any) -> Table:
    return table_of(path, *(columns or ("a", "b")), reading=Reading("id", dialect=Dialect(**dialect)))


def is_read(path: Path, **dialect: Any) -> None:
    data = opened(path, **dialect)
    assert (data.read(0, 2).tolist(), data.ids(0, 2)) == ([[1.0, 2.0], [3.0, 4.0]], ["x", "é"])


def written(folder: Path, raw: bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(raw)
    return path


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda raw: bytes(pa.compress(raw, "zstd", asbytes=True)),
}


# Packed and encoded ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PACKERS)
def test_packed_files_are_read_whatever_their_name(tmp_path: Path, kind: str) -> None:
    is_read(written(tmp_path, PACKERS[kind](TEXT.encode())))
    is_read(written(tmp_path, PACKERS[kind](TEXT.encode("utf-16")), "other"))


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz"])
def test_several_packed_parts_are_read_as_one(tmp_path: Path, kind: str) -> None:
    halves = TEXT.encode()[:9], TEXT.encode()[9:]
    is_read(written(tmp_path, b"".join(map(PACKERS[kind], halves))))


@pytest.mark.parametrize("kind", PACKERS)
def test_packed_files_that_are_cut_or_damaged_are_refused(tmp_path: Path, kind: str) -> None:
    rows = TEXT + "".join(f"r{i},{i},{i % 7}\n" for i in range(20_000))
    packed = PACKERS[kind](rows.encode())
    for raw in (packed[:-20], packed[: len(packed) // 2] + b"\xff" * 40 + packed[len(packed) // 2 + 40 :]):
        with pytest.raises(BadData, match=rf"data.csv is damaged, cut short, .* \({kind}\)|row|column|header"):
            opened(written(tmp_path, raw))


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, mark: bytes, encoding: str) -> None:
    is_read(written(tmp_path, mark + TEXT.encode(encoding)))
    is_read(written(tmp_path, gzip.compress(mark + TEXT.encode(encoding))), encoding="latin-1")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16-le", "utf-8", "UTF8", "mac-roman", "utf-8-sig"])
def test_an_encoding_can_be_named(tmp_path: Path, encoding: str) -> None:
    is_read(written(tmp_path, TEXT.encode(encoding)), encoding=encoding)


@pytest.mark.parametrize("characters", [1, 2, 3, 5])
def test_characters_cut_between_blocks_are_whole_again(
    tmp_path: Path, characters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_source, "PIECE_CHARACTERS", characters)
    for raw in (TEXT.encode(), TEXT.encode("utf-16"), TEXT.replace("é", '"é"').encode("utf-16")):
        is_read(written(tmp_path, raw))


@pytest.mark.parametrize("encoding", ["klingon", "hex", "rot13", "utf-16\0"])
def test_an_encoding_that_is_none_is_refused_by_its_option(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(BadConfig, match="there is no text encoding") as refused:
        opened(written(tmp_path, TEXT.encode()), encoding=encoding)
    assert refused.value.field == "encoding"


def test_text_of_another_encoding_is_refused_with_the_option(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="row 2 is not UTF-8 text; give its encoding, for example --encoding cp1252"):
        opened(written(tmp_path, TEXT.encode("latin-1")))
    with pytest.raises(BadData, match=r"data.csv is not utf-16 text: .*; give its --encoding"):
        opened(written(tmp_path, b"\xff\xfe" + TEXT.encode("utf-16-le") + b"\x00"), encoding="utf-16")


@pytest.mark.parametrize(
    ("dialect", "field"),
    [({"delimiter": ";;"}, "delimiter"), ({"delimiter": '"'}, "delimiter"), ({"decimal": "'"}, "decimal")],
)
def test_a_dialect_that_makes_no_sense_is_refused_by_its_option(
    tmp_path: Path, dialect: dict[str, str], field: str
) -> None:
    with pytest.raises(BadConfig, match=f"--{field}") as refused:
        opened(written(tmp_path, TEXT.encode()), **dialect)
    assert refused.value.field == field


# What else people have ------------------------------------------------------------------------------------------------


def test_semicolons_with_decimal_commas(tmp_path: Path) -> None:
    is_read(written(tmp_path, "id;a;b\nx;1,0;2\né;3,00;4,\n".encode()), decimal=",")
    is_read(written(tmp_path, 'id^a^b\nx^1,0^"2"\né^3,00^4,\n'.encode()), decimal=",", delimiter="^")


def test_a_long_text_that_no_program_reads(tmp_path: Path) -> None:
    for text in ("x" * 200_000, '"' + 'x""y,' * 100_000 + '"'):
        data = opened(written(tmp_path, f"note,id,a,b\n{text},x,1,2\nshort,y,3,4\n".encode()))
        assert data.read(0, 2).tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_more_columns_than_any_program_takes_may_lie_beside_those_it_takes(tmp_path: Path) -> None:
    genes = [f"gene{i}" for i in range(30_000)]
    lines = [["id", *genes, "a", "b"], ["x", *"0" * 30_000, "1", "2"], ["é", *"0" * 30_000, "3", "4"]]
    is_read(written(tmp_path, "".join(",".join(line) + "\n" for line in lines).encode()))


@pytest.mark.parametrize("text", ['5" pipe', '12"', 'the "big" one'])
def test_a_stray_quotation_mark_in_the_first_row_or_a_later_one_is_text(tmp_path: Path, text: str) -> None:
    data = opened(written(tmp_path, f"id,a,b\n{text},1,2\ny,3,4\n{text},5,6\n".encode()))
    assert (data.ids(0, 3), data.read(0, 3).tolist()) == ([text, "y", text], [[1, 2], [3, 4], [5, 6]])


def test_the_first_value_that_is_not_missing_tells_which_columns_hold_numbers(tmp_path: Path) -> None:
    header = open_source(written(tmp_path, b"n,t,b,e,m\nNA,,True,,1\n1,x,NA,,?\n")).header
    assert header.numeric == ("n", "b", "e", "m")


# What is no table -----------------------------------------------------------------------------------------------------


def workbook() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return file.getvalue()


def archived() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("data.csv")
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT.encode()))
    return file.getvalue()


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros((2, 2)))
    return file.getvalue()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (workbook(), "is an Excel workbook or a ZIP archive: export its sheet as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "is an Excel workbook: export its sheet as CSV"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is HDF5"),
        (b"SQLite format 3\0" + bytes(100), "is a SQLite database"),
        (b"%PDF-1.7\n", "is a PDF"),
        (gzip.compress(b"PAR1" + bytes(20)), "is Parquet inside a compressed file: unpack it first"),
        (gzip.compress(workbook()), "is an Excel workbook or a ZIP archive"),
        (b"FEA1" + bytes(20), "is Feather of version 1"),
        (b"\xff\xff\xff\xff" + bytes(20), "is an Arrow stream: write it as an Arrow file"),
        (gzip.compress(bz2.compress(TEXT.encode())), "is compressed twice: unpack it once"),
        (gzip.compress(archived()), "is an archive of tar: unpack it first"),
        (archived(), "is an archive of tar"),
        (b'{"id": "x", "a": 1}\n{"id": "y", "a": 2}\n', "is JSON: export it as CSV or Parquet"),
        (b'[\n  {"id": "x", "a": 1}\n]\n', "is JSON"),
        (b"<!DOCTYPE html>\n<table>", "is a web page or XML"),
        (b'<?xml version="1.0"?>', "is a web page or XML"),
        (array(), "is an array of NumPy"),
        (pickle.dumps([1]), "is a pickle: write the table as CSV"),
        (gzip.compress(b"RDX3\nX\n"), "is R's own format"),
        (gzip.compress(b"X\n" + bytes(3) + b"\x03"), "is R's own format"),
        (b"$FL2@(#) SPSS DATA FILE", "is of SPSS, Stata or SAS"),
        (b"<stata_dta><header>", "is of SPSS, Stata or SAS"),
        (bytes(12) + b"\xc2\xea\x81\x60", "is of SPSS, Stata or SAS"),
        (b"Obj\x01" + bytes(20), "is Avro"),
        (b"7z\xbc\xaf\x27\x1c", "is packed: unpack it first"),
        (b"\x04\x22\x4d\x18", "is packed: unpack it first"),
        (bytes(100), "is not text"),
    ],
    # Archives hold the time of day: workers that run tests side by side must know a test by the same name.
    ids=lambda each: each if isinstance(each, str) else "raw",
)
def test_what_is_no_table_is_refused_by_what_it_is(tmp_path: Path, raw: bytes, words: str) -> None:
    with pytest.raises(BadData, match=f"data.csv {words}"):
        open_source(written(tmp_path, raw))


def test_a_name_of_a_workbook_is_believed_where_the_text_makes_no_sense(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="if it is an Excel workbook, export its sheet as CSV"):
        open_source(written(tmp_path, b"PK\\x03", "data.xlsx"))
    is_read(written(tmp_path, TEXT.encode(), "data.xls"))


def test_a_file_that_is_written_to_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, b"id,a,b\n" + b"x,1,2\n" * 400_000)
    blocks = open_source(path).blocks(["a"])
    next(blocks)
    with path.open("ab") as file:
        file.write(b"x,3,4\n")
    with pytest.raises(BadData, match="changed while it was read"):
        list(blocks)


# Parquet and Arrow ----------------------------------------------------------------------------------------------------


def as_parquet(table: pa.Table, path: Path) -> Path:
    parquet.write_table(table, path, row_group_size=1000)
    return path


def as_arrow(table: pa.Table, path: Path) -> Path:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=1000)
    return path


def as_packed_arrow(table: pa.Table, path: Path) -> Path:
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema, options=options) as writer:
        writer.write_table(table)
    return path


KINDS = pytest.mark.parametrize("write", [as_parquet, as_arrow, as_packed_arrow])
Write = Callable[[pa.Table, Path], Path]


@KINDS
def test_typed_columns_are_read(tmp_path: Path, write: Write) -> None:
    is_read(write(pa.table({"b": [2.0, 4.0], "id": ["x", "é"], "a": [1, 3], "other": [None, "t"]}), tmp_path / "data"))


@KINDS
@pytest.mark.parametrize(("name", "said"), [("delimiter", ";"), ("decimal", ","), ("encoding", "cp1252")])
def test_how_text_is_written_is_not_said_of_what_is_none(tmp_path: Path, write: Write, name: str, said: str) -> None:
    path = write(pa.table({"a": [1.0]}), tmp_path / "data")
    for data in (path, open_source(path)):
        with pytest.raises(BadConfig, match=rf"--{name} is of text files, and data is none") as refused:
            open_source(data, Dialect(**{name: said}))
        assert refused.value.field == name


@KINDS
@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, -2, None], pa.int8()), [1, -2, math.nan]),
        (pa.array([2**53, 5, None], pa.uint64()), [2.0**53, 5, math.nan]),
        (pa.array([0.1, math.nan, None], pa.float64()), [0.1, math.nan, math.nan]),
        (pa.array([0.5, 1.5, None], pa.float32()), [0.5, 1.5, math.nan]),
        (pa.array([True, False, None]), [1, 0, math.nan]),
        (pa.array([Decimal("0.1"), Decimal("12.34"), None], pa.decimal128(30, 17)), [0.1, 12.34, math.nan]),
        (pa.array([7, 8, None], pa.int64()).dictionary_encode(), [7, 8, math.nan]),
    ],
)
def test_every_kind_of_number_is_read_and_nulls_are_missing(
    tmp_path: Path, write: Write, column: pa.Array, expected: list[float]
) -> None:
    path = write(pa.table({"x": column}), tmp_path / "data")
    data = table_of(path, "x", reading=Reading(missing="nan"))
    np.testing.assert_array_equal(data.read(0, 3)[:, 0], expected)
    with pytest.raises(BadData, match="column 'x': the value is missing; values are missing in"):
        table_of(path, "x")


@KINDS
@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["007", "", None]), ["007", "", ""]),
        (pa.array([7, -8, 9], pa.int64()), ["7", "-8", "9"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array(["a", "b", "c"], pa.large_string()), ["a", "b", "c"]),
    ],
)
def test_ids_are_text(tmp_path: Path, write: Write, column: pa.Array, expected: list[str]) -> None:
    path = write(pa.table({"id": column, "x": [1, 2, 3]}), tmp_path / "data")
    assert table_of(path, "x", reading=Reading("id")).ids(0, 3) == expected


@KINDS
@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array(["1", "2"]), "column 'x' holds string, not numbers; convert it, or choose others with --columns"),
        (pa.array([1, 2], pa.timestamp("s")), "column 'x' holds timestamp"),
        (pa.array([1.0, math.inf]), "row 2, column 'x': the value is inf; only finite"),
    ],
)
def test_columns_that_are_no_numbers_are_refused(tmp_path: Path, write: Write, column: pa.Array, words: str) -> None:
    with pytest.raises(BadData, match=words):
        table_of(write(pa.table({"x": column}), tmp_path / "data"), "x")


@KINDS
def test_many_rows_come_in_order(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_source, "ROWS_AT_ONCE", 700)
    rows = 5_000
    path = write(pa.table({"id": [f"r{i}" for i in range(rows)], "x": range(rows)}), tmp_path / "data")
    data = table_of(path, "x", reading=Reading("id"))
    assert data.read(0, rows)[:, 0].tolist() == list(range(rows))
    assert data.ids(1234, 2) == ["r1234", "r1235"]


@pytest.mark.parametrize("id_column", ["id", None])
@pytest.mark.parametrize("open_bytes", [0, 6000, 1 << 20])
def test_columns_that_are_too_large_to_be_read_together_are_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_bytes: int, id_column: str | None
) -> None:
    monkeypatch.setattr(arrow_source, "OPEN_BYTES", open_bytes)
    monkeypatch.setattr(arrow_source, "NUMBERS_AT_ONCE", 3000)
    values, names = np.random.default_rng(1).normal(size=(2500, 7)), [f"c{at}" for at in range(7)]
    values[7, 3] = math.nan
    columns = {name: values[:, at] for at, name in enumerate(names)}
    path = as_parquet(pa.table({"id": [f"row {at}" for at in range(2500)], **columns}), tmp_path / "data")
    data = table_of(path, *reversed(names), reading=Reading(id_column, missing="nan"))
    np.testing.assert_array_equal(data.read(0, 2500), values[:, ::-1])
    assert data.ids(0, 2500)[-1] == ("row 2499" if id_column else "2500")


def test_an_infinite_number_in_columns_that_are_put_aside_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow_source, "OPEN_BYTES", 0)
    path = as_parquet(
        pa.table({"id": ["x"] * 1500, "a": [1.0] * 1500, "b": [1.0] * 1400 + [math.inf] * 100}), tmp_path / "data"
    )
    with pytest.raises(BadData, match="row 1401, column 'b'"):
        opened(path)


PEAK = """
import sys, pyarrow
from pathlib import Path
from nodes.data.sources import open_source
source = open_source(Path(sys.argv[1]))
rows = sum(len(block.values) for block in source.blocks(source.header.columns))
print(rows, pyarrow.default_memory_pool().max_memory())
"""


def test_a_wide_table_in_one_group_of_rows_takes_no_more_memory_than_some_of_its_columns(tmp_path: Path) -> None:
    rows, width = 20_000, 200
    values = np.random.default_rng(1).normal(size=(width, rows))
    table = pa.table({f"c{at}": column for at, column in enumerate(values)})
    parquet.write_table(table, tmp_path / "wide.parquet", row_group_size=rows)
    command = [sys.executable, "-c", PEAK, str(tmp_path / "wide.parquet")]
    found, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert int(found) == rows
    assert int(peak) < values.nbytes  # of whole pages it would be more


@KINDS
def test_a_table_without_columns_or_of_too_many_rows_is_refused(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadData, match=r"no columns|no rows"):
        open_source(write(pa.table({}), tmp_path / "none"))
    monkeypatch.setattr(arrow_source, "ROWS_PER_JOB_MAX", 2)
    with pytest.raises(BadData, match="has 3 rows; at most 2 are read"):
        table_of(write(pa.table({"x": [1, 2, 3]}), tmp_path / "many"), "x")


@KINDS
def test_a_table_without_rows_is_refused(tmp_path: Path, write: Write) -> None:
    with pytest.raises(BadData, match="no rows"):
        table_of(write(pa.table({"x": pa.array([], pa.float64())}), tmp_path / "data"), "x")


@KINDS
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(change=st.tuples(st.floats(0, 1), st.integers(0, 255)), cut=st.booleans())
def test_damaged_files_are_refused_or_read(tmp_path: Path, write: Write, change: tuple[float, int], cut: bool) -> None:
    raw = bytearray(write(pa.table({"id": ["x", "y"] * 50, "x": range(100)}), tmp_path / "good").read_bytes())
    at = min(int(change[0] * len(raw)), len(raw) - 1)
    raw[at] = change[1]
    path = written(tmp_path, bytes(raw[:at] if cut else raw))
    try:
        table_of(path, "x", reading=Reading("id", missing="nan"))
    except BadInput:
        pass
    finally:
        for folder in tmp_path.glob("*.table*"):
            for each in folder.iterdir():
                each.unlink()
            folder.rmdir()


DAMAGED = """
import sys
from pathlib import Path
from nodes.data.sources import open_source
from schemas.errors import BadInput
raw, path = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
for at in range(len(raw) - int.from_bytes(raw[-8:-4], "little") - 8, len(raw)):
    for value in (0, raw[at] ^ 1, raw[at] ^ 16):
        path.write_bytes(raw[:at] + bytes([value]) + raw[at + 1 :])
        try:
            list(open_source(path).blocks(["x"], ["id"]))
        except BadInput:
            continue
"""


def test_no_damaged_byte_of_what_a_parquet_file_says_of_itself_ends_the_process(tmp_path: Path) -> None:
    good = as_parquet(pa.table({"id": ["x", "y"] * 50, "x": range(100)}), tmp_path / "good")
    subprocess.run([sys.executable, "-c", DAMAGED, str(good), str(tmp_path / "bad")], check=True)


@pytest.mark.parametrize("raw", [b"PAR1" + bytes(20), b"ARROW1\0\0", b"\x28\xb5\x2f\xfd"])
def test_without_pyarrow_the_extra_is_named(tmp_path: Path, raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("nodes.data.extra.importlib.import_module", fail)
    with pytest.raises(BadConfig, match=r"install the extra `tables`: pip install 'sublet\[tables\]'"):
        open_source(written(tmp_path, raw))


def test_an_endless_header_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_source, "RECORD_CHARACTERS_MAX", 1_000)
    monkeypatch.setattr(csv_source, "PIECE_CHARACTERS", 64)
    with pytest.raises(BadData, match="longer than 1,000 characters"):
        open_source(written(tmp_path, b"a" * 5_000))
