"""`sublet program show`: for people and for programs; what is refused is explained, and exits as bad input does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nodes.cli.main import main
from tests.support.models import MODELS


def test_a_program_is_explained_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["program", "show", str(MODELS / "classifiers" / "three.onnx")]) == 0
    shown = capsys.readouterr().out
    assert "homomorphic: up to 'probability_tensor/sums' (3 numbers per row, degree 1)" in shown
    assert "locally: LinearClassifier, Normalizer" in shown
    assert "output_label (text: barbera, dry, barolo, grignolino)" in shown
    assert "columns: 13 of at most" in shown


def test_a_refused_program_is_explained_and_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["program", "show", "strange.onnx"]) == 2
    said = capsys.readouterr()
    assert "input       x: double [N, 3]" in said.out
    assert "StringNormalizer" in said.out
    assert "to_onnx(fitted" in said.out, "how to export it"
    assert said.err.startswith("sublet: the operator StringNormalizer is not allowed")


def test_both_are_one_json_object_with_the_same_exit_codes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["program", "show", "linear.onnx", "--json"]) == 0
    good = json.loads(capsys.readouterr().out)
    assert (good["columns"], good["refused"], good["protections"][0]["runs"]) == (["a", "b", "c"], "", "all")
    assert main(["program", "show", "strange.onnx", "--json"]) == 2
    bad = json.loads(capsys.readouterr().out)
    assert (bad["operator"], bad["protections"], bad["inputs"][0]["shape"]) == ("StringNormalizer", [], ["N", 3])


def test_a_file_that_is_not_there_is_bad_input(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["program", "show", "nowhere.onnx"]) == 2
    assert "cannot read the program nowhere.onnx" in capsys.readouterr().err
