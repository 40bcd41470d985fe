"""Tables as people bring them to `sublet run`: through pipes, with gaps, in any order; results overwrite no input."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from nodes.cli.files import writing
from nodes.cli.inputs import read_columns, read_inputs, require_no_input
from nodes.cli.main import main
from schemas.errors import BadConfig
from tests.unit.nodes.cli.test_cli_bad_input import unboxed
from tests.unit.nodes.programs.models import data, model, node

HOMOMORPHIC = ["--protection", "homomorphic"]
TREE = node(
    "TreeEnsembleRegressor",
    ["x"],
    ["y"],
    domain="ai.onnx.ml",
    n_targets=1,
    nodes_treeids=[0, 0, 0],
    nodes_nodeids=[0, 1, 2],
    nodes_featureids=[0, 0, 0],
    nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
    nodes_values=[1.0, 0.0, 0.0],
    nodes_truenodeids=[1, 0, 0],
    nodes_falsenodeids=[2, 0, 0],
    nodes_missing_value_tracks_true=[1, 0, 0],
    target_treeids=[0, 0],
    target_nodeids=[1, 2],
    target_ids=[0, 0],
    target_weights=[10.0, 20.0],
)
"""10 where a is at most 1 or missing, else 20."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with y = 100a + b that names no columns, y = 2a - b that does, and a tree that knows gaps."""
    monkeypatch.chdir(tmp_path)
    weights = {"w": [[100.0], [1.0]]}
    (tmp_path / "unnamed.onnx").write_bytes(
        data(model([node("MatMul", ["x", "w"], ["y"])], {"x": 2}, constants=weights))
    )
    (tmp_path / "tree.onnx").write_bytes(data(model([TREE], {"x": 2})))
    (tmp_path / "weights.csv").write_text("name,weight\na,2\nb,-1\n")
    return tmp_path


def ran(capfd: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The report of a run that completed, and its rows."""
    assert main(["run", *arguments, "--json", "--out", "out.csv"]) == 0
    report: dict[str, Any] = json.loads(capfd.readouterr().out)
    return report | {"result": Path("out.csv").read_text().splitlines()[1:]}


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said of a run that its input ends."""
    assert main(["run", *arguments]) == 2
    return unboxed(capfd.readouterr().err)


# Which columns --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options", "result", "columns", "by"),
    [
        ("a,b\n1,2\n", [], ["1,102.0"], ["a", "b"], "position"),
        ("b,a\n2,1\n", [], ["1,201.0"], ["b", "a"], "position"),
        ("b,a\n2,1\n", ["--columns", "a,b"], ["1,102.0"], ["a", "b"], "choice"),
        ("id,a,b,target\n7,1,2,0\n", ["--id-column", "id", "--columns", "@names"], ["7,102.0"], ["a", "b"], "choice"),
    ],
)
def test_the_report_says_which_columns_went_where(
    here: Path,
    capfd: pytest.CaptureFixture[str],
    text: str,
    options: list[str],
    result: list[str],
    columns: list[str],
    by: str,
) -> None:
    (here / "data.csv").write_text(text)
    (here / "names").write_text("a\nb\n")
    report = ran(capfd, "data.csv", "--program", "unnamed.onnx", *HOMOMORPHIC, *options)
    assert (report["result"], report["columns"], report["columns_by"]) == (result, columns, by)


def test_the_text_of_the_report_warns_of_columns_by_position(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "rev.csv").write_text("b,a\n2,1\n")
    assert main(["run", "rev.csv", "--program", "unnamed.onnx", *HOMOMORPHIC, "--out", "out.csv"]) == 0
    assert "columns     by position: b, a (the program names none)" in capfd.readouterr().out


def test_a_column_too_many_is_refused_with_how_to_choose(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "extra.csv").write_text("id,a,b,target\n7,1,2,0\n")
    said = refused(capfd, "extra.csv", "--program", "unnamed.onnx", "--id-column", "id")
    assert "the program takes 2 columns, but the data has 3 with numbers: a, b, target; choose with --columns" in said


@pytest.mark.parametrize(
    ("wanted", "names"), [("a,b", ("a", "b")), ('a," b,c",', ("a", "b,c")), ("@names", ("x y", "z")), (" a ", ("a",))]
)
def test_columns_are_chosen_by_names_or_a_file_of_them(here: Path, wanted: str, names: tuple[str, ...]) -> None:
    (here / "names").write_text("\ufeffx y\n\n z \n", encoding="utf-8")
    assert read_columns(wanted) == names


@pytest.mark.parametrize("wanted", ["", ",", "@nothing", "@empty"])
def test_columns_that_name_nothing_are_refused(here: Path, wanted: str) -> None:
    (here / "empty").touch()
    with pytest.raises(BadConfig) as refused:
        read_columns(wanted)
    assert refused.value.field == "columns"


def test_a_program_of_more_columns_than_travel_is_refused_at_once(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = [f"c{i}" for i in range(4097)]
    (here / "wide.csv").write_text("name,weight\n" + "".join(f"{name},1\n" for name in names))
    (here / "data.csv").write_text(",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
    assert "the program takes 4,097 columns; at most 4,096" in refused(capfd, "data.csv", "--linear", "wide.csv")


def test_whole_numbers_are_added_exactly_on_ciphertext(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "data.csv").write_text("n\n1234567890123\n2345678901234\n-3\n")
    ran(capfd, "data.csv", "--aggregate", "sum:n", *HOMOMORPHIC, "--check")
    assert Path("out.csv").read_text() == "sum_n\n3580246791354.0\n"


# Missing values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", ["", "NA"])
def test_gaps_reach_programs_that_know_them(here: Path, capfd: pytest.CaptureFixture[str], gap: str) -> None:
    (here / "data.csv").write_text(f"a,b\n3,0\n{gap},0\n5,0\n")
    report = ran(capfd, "data.csv", "--program", "tree.onnx", "--missing", "nan", "--check")
    assert (report["protection"], report["result"]) == ("enclave", ["1,20.0", "2,10.0", "3,20.0"])


def test_gaps_are_refused_unless_they_are_wanted(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "data.csv").write_text("a,b\n3,0\n,0\n5,\n")
    said = refused(capfd, "data.csv", "--program", "tree.onnx", "--protection", "enclave")
    assert "row 2, column 'a': the value is missing; values are missing in 2 of 3 rows (by column: a 1, b 1)" in said
    assert "--missing nan" in said


def test_gaps_are_refused_on_ciphertext_with_how_many_there_are(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "data.csv").write_text("a,b\n3,0\n,0\n5,\n")
    said = refused(capfd, "data.csv", "--linear", "weights.csv", "--missing", "nan", *HOMOMORPHIC)
    assert "values are missing in 2 of 3 rows (by column: a 1, b 1); ciphertext has no missing values" in said


# Where it comes from and goes to --------------------------------------------------------------------------------------


def test_stdin_is_read(here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a;b\n1,5;2\n3;4\n")))
    report = ran(capfd, "-", "--linear", "weights.csv", "--decimal", ",", *HOMOMORPHIC)
    assert report["result"] == ["1,1.0", "2,2.0"]


def test_a_pipe_is_read_once_and_whole(here: Path) -> None:
    os.mkfifo(here / "pipe")
    text = b"a,b\n" + b"1,2\n" * 100_000
    writing = threading.Thread(target=lambda: (here / "pipe").write_bytes(text))
    writing.start()
    inputs = read_inputs(Path("pipe"), None, Path("weights.csv"), None, None)
    writing.join()
    assert inputs.data.read_bytes() == text
    assert inputs.data.is_file()


@pytest.mark.parametrize("name", ["data.csv", "weights.csv", "./data.csv", "link.csv", "hard.csv"])
def test_a_result_overwrites_no_input(here: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    (here / "data.csv").write_text("a,b\n1,2\n")
    (here / "link.csv").symlink_to("data.csv")
    (here / "hard.csv").hardlink_to(here / "data.csv")
    said = refused(capfd, "data.csv", "--linear", "weights.csv", "--out", name)
    assert "it would be overwritten; name another file" in said
    assert (here / "data.csv").read_text() == "a,b\n1,2\n"


def test_a_result_may_replace_what_is_no_input(here: Path) -> None:
    (here / "out.csv").touch()
    require_no_input(Path("out.csv"), (Path("weights.csv"), None, Path("-")))
    require_no_input(None, (Path("weights.csv"),))


def test_a_result_has_the_form_of_its_name(here: Path) -> None:
    (here / "data.csv").write_text("id,a,b\n007,1,2\nx,0.1,0.2\n")
    (here / "scores.parquet").write_bytes(b"old")
    arguments = ["--linear", "weights.csv", "--id-column", "id", *HOMOMORPHIC, "--check", "--out", "scores.parquet"]
    assert main(["run", "data.csv", *arguments]) == 0
    found = parquet.read_table("scores.parquet").to_pydict()
    assert found == {"id": ["007", "x"], "result": [0.0, pytest.approx(0.0, abs=1e-6)]}
    assert {each.name for each in here.iterdir()} == {
        *("data.csv", "scores.parquet", "weights.csv", "unnamed.onnx", "tree.onnx")
    }


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("scores.xlsx", "results are written as .csv, .parquet, .arrow, .feather; name one of these"),
        ("scores.parquet.gz", "results are written as .csv, .parquet"),
        ("scores.json", "results are written as .csv, .parquet"),
        ("nowhere/scores.parquet", "there is no folder"),
        (".", "--out . is a folder; name a file in it"),
    ],
)
def test_a_result_that_cannot_be_written_is_refused_before_any_work(
    here: Path, capfd: pytest.CaptureFixture[str], out: str, words: str
) -> None:
    (here / "data.csv").write_text("a,b\nnot,read\n")
    assert words in refused(capfd, "data.csv", "--linear", "weights.csv", "--out", out)


def test_a_missing_extra_is_named_before_any_work(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("nodes.data.extra.importlib.import_module", fail)
    (here / "data.csv").write_text("a,b\nnot,read\n")
    said = refused(capfd, "data.csv", "--linear", "weights.csv", "--out", "scores.parquet")
    assert "to write .parquet, install the extra `tables`: pip install 'sublet[tables]'" in said


def test_a_result_goes_through_links_and_into_pipes(here: Path) -> None:
    (here / "real.csv").write_text("old")
    (here / "link.csv").symlink_to("real.csv")
    with writing(Path("link.csv")) as file:
        file.write(b"new")
    assert (Path("link.csv").is_symlink(), Path("real.csv").read_bytes()) == (True, b"new")
    os.mkfifo(here / "pipe")
    got: list[bytes] = []
    reading = threading.Thread(target=lambda: got.append((here / "pipe").read_bytes()))
    reading.start()
    with writing(Path("pipe")) as file:
        file.write(b"rows")
    reading.join()
    assert (got, (here / "pipe").is_fifo()) == ([b"rows"], True)


def test_a_result_that_fails_half_way_leaves_the_old_file_alone(here: Path) -> None:
    (here / "out.csv").write_text("old")
    before = set(here.iterdir())

    def rows() -> Iterator[bytes]:
        yield b"half"
        raise OSError("no space left")

    with pytest.raises(BadConfig, match="cannot write"), writing(Path("out.csv")) as file:
        file.writelines(rows())
    assert ((here / "out.csv").read_text(), set(here.iterdir())) == ("old", before)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--encoding", "klingon"], "there is no text encoding 'klingon'"),
        (["--delimiter", "ab"], "--delimiter 'ab' is not one character, or `tab`"),
        (["--decimal", "x"], "--decimal 'x' is neither"),
        (["--missing", "zero"], "'zero' is not one of 'refuse', 'nan'"),
        (["--columns", "a,z"], "no column 'z'; its columns are: a, b"),
    ],
)
def test_what_is_said_of_the_table_must_make_sense(
    here: Path, capfd: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    (here / "data.csv").write_text("a,b\n1,2\n")
    assert words in refused(capfd, "data.csv", "--linear", "weights.csv", *options)
