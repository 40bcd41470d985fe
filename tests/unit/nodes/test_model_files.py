"""Weights in a file beside the model are read from its folder, and from nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from nodes.model_files import read_program
from nodes.programs.check import check
from schemas.errors import BadProgram
from schemas.limits import PROGRAM_BYTES_MAX
from tests.unit.nodes.programs.models import data, model, node


def saved(folder: Path, weights: int = 2) -> Path:
    """A model in two files."""
    made = model([node("Gemm", ["x", "w"], ["y"])], constants={"w": np.ones((3, weights))})
    onnx.save(made, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data", size_threshold=0)
    return folder / "model.onnx"


def test_weights_beside_the_model_are_put_into_it(tmp_path: Path) -> None:
    whole = model([node("Gemm", ["x", "w"], ["y"])], constants={"w": np.ones((3, 2))})
    assert check(read_program(saved(tmp_path))).digest == check(data(whole)).digest


@pytest.mark.parametrize("location", ["weights.bin", "deep/er/weights.bin"])
def test_several_weights_may_lie_in_one_file_and_in_folders_below(tmp_path: Path, location: str) -> None:
    constants = {"w": np.arange(6.0).reshape(3, 2), "b": [0.5, -0.5], "v": np.ones((2, 4))}
    nodes = [node("Gemm", ["x", "w", "b"], ["h"]), node("MatMul", ["h", "v"], ["y"])]
    (tmp_path / location).parent.mkdir(parents=True, exist_ok=True)
    made, path = model(nodes, constants=constants), tmp_path / "model.onnx"
    onnx.save(made, path, save_as_external_data=True, location=location, size_threshold=0)
    assert check(read_program(path)).digest == check(data(model(nodes, constants=constants))).digest


def test_a_missing_file_of_weights_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = saved(tmp_path)
    (tmp_path / "model.onnx.data").unlink()
    with pytest.raises(BadProgram, match=r"'w' cannot be read.*external_data=False"):
        read_program(path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a pipe", "a folder"])
def test_weights_that_are_no_file_are_refused_without_waiting(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = saved(tmp_path)
    (tmp_path / "model.onnx.data").unlink()
    make(tmp_path / "model.onnx.data")
    with pytest.raises(BadProgram, match="cannot be read from the file beside the model"):
        read_program(path)


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "link"])
def test_a_file_elsewhere_is_not_read(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(24))
    (folder / "link").symlink_to(tmp_path / "secret")
    path = saved(folder)
    made = onnx.load(path, load_external_data=False)
    next(entry for entry in made.graph.initializer[0].external_data if entry.key == "location").value = location
    path.write_bytes(made.SerializeToString())
    with pytest.raises(BadProgram, match=r"outside of the model's folder|cannot be read"):
        read_program(path)


def test_both_files_together_are_bounded(tmp_path: Path) -> None:
    with pytest.raises(BadProgram, match="too large with the weights"):
        read_program(saved(tmp_path, PROGRAM_BYTES_MAX // 12))
