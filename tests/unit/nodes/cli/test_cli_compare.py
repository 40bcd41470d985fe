"""Outputs held against plaintext: rows that are missing, added, moved or wrong are found."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from nodes.cli.compare import Comparison, compare
from nodes.cli.inputs import read_inputs
from nodes.data.making import write_table
from nodes.data.manifest import Column
from nodes.data.port import Block
from nodes.data.reading import Reading
from nodes.data.table import Table
from nodes.renter.submission import JobOptions
from nodes.views.jobs import JobReport
from schemas.errors import VerificationFailed
from tests.support.tables import table_of
from tests.unit.nodes.programs.models import data, model, node


def compared(folder: Path, change: Callable[[list[str]], list[str]], protection: str = "homomorphic") -> Comparison:
    """A right output of `good.csv`, changed."""
    values = [2 * (row + 0.5) + row + 0.125 * row + 10 for row in range(1, 61)]
    rows = change([f"p{number},{value!r}" for number, value in enumerate(values, 1)])
    (folder / "output.csv").write_text("\n".join(["id,result", *rows, ""]))
    output = table_of(folder / "output.csv", "result", reading=Reading("id"))
    return against(folder, output, folder / "linear.onnx", protection)


def labelled(folder: Path, labels: list[str], program: Path, protection: str = "homomorphic") -> Comparison:
    """These labels against what the program gives for `good.csv`."""
    columns, ids = [Column("id", "text"), Column("l", "text")], [f"p{row}" for row in range(1, 61)]
    path = Path(tempfile.mkdtemp(dir=folder)) / "output"
    output = write_table(path, columns, [Block(np.zeros((60, 0)), (ids, labels))], id_column="id")
    return against(folder, output, program, protection)


def against(folder: Path, output: Table, program: Path, protection: str) -> Comparison:
    """An output against what the program gives for `good.csv`."""
    report = JobReport(
        id="job-000000000000000000000000",
        phase="completed",
        asked="auto",
        protection=protection,
        rows=60,
        rows_done=60,
        batches=2,
        batches_done=2,
        submitted_at=0.0,
        ended_at=1.0,
        code="",
        reason="",
        assessment=None,
        spent=None,
        contracts=(),
        route=(),
        confidential="",
        output=output.folder,
    )
    inputs = read_inputs(folder / "good.csv", program, None, None, None)
    return compare(inputs, JobOptions(id_column="id", max_error=1e-4), report)


def test_a_right_output_has_no_difference(folder: Path) -> None:
    comparison = compared(folder, lambda rows: rows)
    assert comparison.rows == 60
    assert comparison.max_abs_error < 1e-12
    assert comparison.good


@pytest.mark.parametrize(("protection", "good"), [("homomorphic", True), ("sealed-result", True), ("enclave", False)])
def test_what_is_allowed_depends_on_the_protection(folder: Path, protection: str, good: bool) -> None:
    comparison = compared(folder, lambda rows: ["p1,14.12505", *rows[1:]], protection)
    assert comparison.max_abs_error == pytest.approx(5e-5)
    assert comparison.good == good


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[:-1],
        lambda rows: [*rows, "p61,0.0"],
        lambda rows: [rows[1], rows[0], *rows[2:]],
        lambda rows: [rows[0], *rows],
        lambda rows: ["stranger,14.125", *rows[1:]],
    ],
    ids=["missing", "added", "moved", "repeated", "renamed"],
)
def test_other_rows_are_not_compared(folder: Path, change: Callable[[list[str]], list[str]]) -> None:
    with pytest.raises(VerificationFailed) as caught:
        compared(folder, change)
    assert caught.value.code == "wrong-rows"


def test_labels_may_be_others_only_where_an_error_at_the_cut_makes_them_so(folder: Path) -> None:
    texts = helper.make_tensor("texts", TensorProto.STRING, [2], [b"low", b"high, or more"])
    nodes = [
        node("MatMul", ["x", "w"], ["s"]),
        node("Greater", ["s", "b"], ["g"]),
        node("Cast", ["g"], ["i"], to=TensorProto.INT64),
        node("Gather", ["texts", "i"], ["l"]),
    ]
    made = model(nodes, outputs={"l": TensorProto.STRING}, constants={"w": [[1.0], [0.0], [0.0]], "b": [10.5]})
    made.graph.initializer.append(texts)
    (folder / "labels.onnx").write_bytes(data(made))
    program, low, high = folder / "labels.onnx", "low", "high, or more"
    right = [low] * 10 + [high] * 50
    exact = labelled(folder, right, program)
    assert (exact.rows, exact.max_abs_error, exact.near) == (60, 0.0, 0)
    tie = [low] * 9 + [high] * 51
    assert labelled(folder, tie, program).good
    assert labelled(folder, tie, program).near == 1
    assert not labelled(folder, tie, program, "enclave").good
    for wrong in (high, "middle"):
        assert not labelled(folder, [low] * 8 + [wrong] + [low] + [high] * 50, program).good
