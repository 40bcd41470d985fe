"""Outputs held against plaintext: rows that are missing, added, moved or wrong are found."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from nodes.cli.compare import Comparison, compare
from nodes.cli.inputs import read_inputs
from nodes.cli.main import main
from nodes.data.making import write_table
from nodes.data.manifest import Column
from nodes.data.port import Block
from nodes.data.reading import Reading
from nodes.data.table import Table
from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.programs.cut import cut
from nodes.programs.linear_inside import opened
from nodes.programs.runtime import evaluate
from nodes.renter.submission import JobOptions
from nodes.views.report import JobReport
from schemas.errors import VerificationFailed
from tests.support.models import MODELS
from tests.support.tables import table_of
from tests.unit.nodes.programs.exported import ml, typed
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


def against(
    folder: Path, output: Table, program: Path, protection: str, rows: str = "good.csv", id_column: str | None = "id"
) -> Comparison:
    """An output against what the program gives for some rows."""
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
    inputs = read_inputs(folder / rows, program, None, None, None)
    return compare(inputs, JobOptions(id_column=id_column, max_error=1e-4), report)


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


def linear_map(folder: Path, kind: int, rows: list[list[int]], off: float) -> Comparison:
    """Exact results for these rows, the first of which is off, held against plaintext."""
    weights = np.array([[3.0], [5.0]])
    cast = node("Cast", ["x"], ["c"], to=TensorProto.FLOAT)
    made = model([cast, node("MatMul", ["c", "w"], ["y"])], {"x": 2}, constants={"w": weights})
    (folder / "map.onnx").write_bytes(data(typed(made, kind)))
    (folder / "rows.csv").write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in rows))
    results = np.array(rows) @ weights
    results[0] += off
    output = write_table(folder / "output", [Column("y")], [Block(results)], id_column=None)
    return against(folder, output, folder / "map.onnx", "homomorphic", "rows.csv", None)


def test_a_row_of_large_numbers_excuses_no_other(folder: Path) -> None:
    comparison = linear_map(folder, TensorProto.FLOAT, [[1, 1], [2_000_000_001, 1]], 1.0)
    assert not comparison.good
    assert comparison.max_abs_error == 1.0
    assert comparison.tolerance == pytest.approx(1e-4, rel=0.1)


def test_whole_numbers_are_rounded_where_the_program_computes_in_float32(folder: Path) -> None:
    comparison = linear_map(folder, TensorProto.INT64, [[1, 1], [16_777_217, 16_777_219]], 0.0)
    assert comparison.good
    assert comparison.max_abs_error >= 1.0


def test_a_polynomial_is_rounded_by_its_terms(folder: Path) -> None:
    """1000.3 squared less 1000.1 squared: in float32, the difference of numbers that are right to 0.06."""
    nodes = [node("Mul", ["x", "x"], ["q"]), node("MatMul", ["q", "w"], ["y"])]
    (folder / "squares.onnx").write_bytes(data(model(nodes, {"x": 2}, constants={"w": [[1.0], [-1.0]]})))
    (folder / "rows.csv").write_text("a,b\n1000.3,1000.1\n0.3,0.1\n")
    results = np.array([[1000.3**2 - 1000.1**2], [0.3**2 - 0.1**2]])
    for off, good in (([0.0, 0.0], True), ([0.0, 0.01], False)):
        blocks = [Block(results + np.array([off]).T)]
        output = write_table(Path(tempfile.mkdtemp(dir=folder)) / "output", [Column("y")], blocks, id_column=None)
        comparison = against(folder, output, folder / "squares.onnx", "homomorphic", "rows.csv", None)
        assert comparison.good == good
        assert comparison.max_abs_error > 5e-3


@pytest.mark.parametrize(("protection", "good"), [("enclave", True), ("homomorphic", False)])
def test_the_largest_result_stands_for_terms_that_are_not_known(folder: Path, protection: str, good: bool) -> None:
    """Of a program that is neither cut nor a polynomial."""
    nodes = [node("MatMul", ["x", "w"], ["s"]), node("Relu", ["s"], ["y"])]
    (folder / "steps.onnx").write_bytes(data(model(nodes, {"x": 2}, constants={"w": [[1.0], [1.0]]})))
    (folder / "rows.csv").write_text("a,b\n1000000,0\n1,1\n")
    results = np.array([[1e6], [2.1]])
    output = write_table(folder / "output", [Column("y")], [Block(results)], id_column=None)
    assert against(folder, output, folder / "steps.onnx", protection, "rows.csv", None).good == good


def test_what_is_no_number_is_not_allowed(folder: Path) -> None:
    assert not linear_map(folder, TensorProto.FLOAT, [[1, 1], [2, 1]], math.nan).good


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


# Cut programs ---------------------------------------------------------------------------------------------------------

WINE, SVM = MODELS / "classifiers" / "wine.csv", MODELS / "classifiers" / "svm.onnx"
FAULTS: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "sums of half the size": lambda weights: weights * np.float32(0.5),
    "one sum for another": lambda weights: weights[:, ::-1],
    "a column left out": lambda weights: np.delete(np.insert(weights, 2, 0.0, axis=0), 3, axis=0),
}


def plant(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """A fault of the compiler's, in every cut of an operator that is linear inside."""

    def wrong(canonical: bytes) -> bytes:
        made = ModelProto.FromString(opened(canonical))
        for tensor in made.graph.initializer:
            if tensor.name.endswith("/weights"):
                weights = np.ascontiguousarray(FAULTS[fault](numpy_helper.to_array(tensor)))
                tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
        return bytes(made.SerializeToString())

    monkeypatch.setattr("nodes.programs.cut.opened", wrong)


def vectors(center: float, factor: float, columns: int = 6) -> dict[str, Any]:
    """A support vector machine of three classes; of two vectors each that are near each other, with factors of which
    only a difference of 1 is left."""
    random = np.random.default_rng(8)
    near = center + np.repeat(random.normal(size=(3, columns)), 2, axis=0) + random.normal(size=(6, columns)) / factor
    return {
        "classlabels_ints": [0, 1, 2],
        "coefficients": (np.array([[1, -1] * 3, [-1, 1] * 3]) * (factor + random.random((2, 6)))).ravel().tolist(),
        "kernel_params": [0.0, 0.0, 3.0],
        "kernel_type": "LINEAR",
        "rho": [0.25, -0.5, 0.125],
        "support_vectors": near.ravel().tolist(),
        "vectors_per_class": [2, 2, 2],
    }


def by_parts(folder: Path, program: ModelProto, rows: NDArray[np.float64]) -> Comparison:
    """What the two parts of a program give, held against plaintext."""
    (folder / "cut.onnx").write_bytes(data(program))
    whole = check(data(program))
    found = cut(whole)
    mapped = affine(found.beginning)
    results = evaluate(found.rest, rows @ mapped.weights + mapped.bias)
    columns = [Column(name) for name in whole.output_names]
    output = write_table(Path(tempfile.mkdtemp(dir=folder)) / "output", columns, [Block(results)], id_column=None)
    names = ",".join(f"c{number}" for number in range(rows.shape[1]))
    np.savetxt(folder / "rows.csv", rows, delimiter=",", header=names, comments="")
    return against(folder, output, folder / "cut.onnx", "homomorphic", "rows.csv", None)


def machine(*outputs: str, **attributes: Any) -> ModelProto:
    """A classifier of support vectors, with labels and scores or one of them."""
    kinds = {"l": TensorProto.INT64, "s": TensorProto.FLOAT}
    made = ml("SVMClassifier", ["x"], list(kinds), **attributes)
    return model([made], {"x": 6}, {each: kinds[each] for each in outputs or kinds})


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_cut_excuses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    rows = np.random.default_rng(9).normal(size=(80, 6))
    right = by_parts(folder, machine(**vectors(0.0, 2.0)), rows)
    assert (right.good, right.rows, right.near) == (True, 80, 0)
    plant(monkeypatch, fault)
    wrong = by_parts(folder, machine(**vectors(0.0, 2.0)), rows)
    assert not wrong.good
    assert wrong.max_abs_error > 0.1


def test_a_wrong_label_is_wrong_however_large_its_number(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [10_000_000_000, 10_000_000_001, 10_000_000_002]
    program = machine("l", **vectors(0.0, 2.0) | {"classlabels_ints": labels})
    rows = np.random.default_rng(9).normal(size=(80, 6))
    assert by_parts(folder, program, rows).good
    plant(monkeypatch, "one sum for another")
    wrong = by_parts(folder, program, rows)
    assert not wrong.good
    assert wrong.max_abs_error in (1.0, 2.0)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE], ids=["float", "double"])
def test_rounding_of_the_whole_program_is_allowed_and_said_but_no_wrong_cut(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    rows = 30 + np.random.default_rng(9).normal(size=(80, 6))
    program = typed(machine(**vectors(30.0, 50.0)), kind)
    right = by_parts(folder, program, rows)
    assert right.good
    assert right.near
    assert right.cut_error > right.near_error > right.tolerance
    plant(monkeypatch, "sums of half the size")
    assert not by_parts(folder, program, rows).good


def test_a_wrong_cut_ends_with_an_exit_code_of_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    plant(monkeypatch, "sums of half the size")
    options = ["--protection", "homomorphic", "--lessors", "1", "--check", "--out", "out.csv"]
    assert main(["run", str(WINE), "--program", str(SVM), *options]) == 5
    assert "largest difference to plaintext" in capfd.readouterr().err
