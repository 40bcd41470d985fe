"""The exported models of `tests/models/exported`: rows for each, what a plain ONNX Runtime gives for the original file,
and what the framework said."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from nodes.model_files import read_program
from nodes.programs.encoder import TEXT, Encoder
from nodes.programs.program import Program
from tests.models.exports.rows import FIT, tables

FOLDER: Final = Path(__file__).resolve().parents[1] / "models" / "exported"
NUMPY: Final = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(string)": object,
}
ONLY_ERRORS: Final = 3
Floats = NDArray[np.float64]


@cache
def names() -> Mapping[str, str]:
    """The table of rows by model."""
    rows: Mapping[str, str] = json.loads((FOLDER / "models.json").read_text())["rows"]
    return rows


@dataclass(frozen=True)
class Outside:
    """Outputs of the original file by name, [N, k]: numbers, or text."""

    outputs: Mapping[str, NDArray[Any]]

    @property
    def numbers(self) -> Floats:
        """Side by side, without text."""
        found = [values.astype(np.float64) for values in self.outputs.values() if values.dtype.kind != "U"]
        return np.concatenate(found, axis=1)

    @property
    def texts(self) -> list[NDArray[Any]]:
        """[N] each."""
        return [values[:, 0] for values in self.outputs.values() if values.dtype.kind == "U"]

    @property
    def whole(self) -> list[int]:
        """Columns of all outputs side by side that are text or whole numbers."""
        kinds = [values.dtype.kind for values in self.outputs.values() for _ in range(values.shape[1])]
        return [column for column, kind in enumerate(kinds) if kind != "f"]

    def joined(self, texts: Mapping[int, Sequence[str]]) -> Floats:
        """Side by side; text as its position among the texts that its column may have."""
        columns: list[Floats] = []
        for values in self.outputs.values():
            known = texts[sum(made.shape[1] for made in columns)] if values.dtype.kind == "U" else ()
            numbers = np.array([[known.index(text)] for text in values[:, 0].tolist()]) if known else values
            columns.append(numbers.astype(np.float64))
        return np.concatenate(columns, axis=1)


def model(name: str) -> bytes:
    """As exported, with what lies in a file beside it."""
    return read_program(FOLDER / f"{name}.onnx")


def rows_for(name: str, program: Program, encoder: Encoder | None) -> Floats:
    """What its model was not fitted on, as its program takes it."""
    rows = _given(name)
    if encoder is None:
        return np.ascontiguousarray(rows[:, : program.width_in].astype(np.float64))
    texts = [column for column, kind in enumerate(encoder.types) if kind == TEXT]
    numbers = np.delete(rows, texts, axis=1).astype(np.float64)
    return encoder.encode(numbers, [rows[:, column].tolist() for column in texts])


def _given(name: str) -> NDArray[Any]:
    return tables()[names()[name]][FIT:]


@cache
def outside(name: str) -> Outside:
    """What ONNX Runtime gives without us for those rows: its own options, the file as it is."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ONLY_ERRORS
    session = onnxruntime.InferenceSession(FOLDER / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
    rows, feeds, first = _given(name), {}, 0
    for each in session.get_inputs():
        width = each.shape[1]
        feeds[each.name] = rows[:, first : first + width].astype(NUMPY[each.type])
        first += width
    results = zip(session.get_outputs(), session.run(None, feeds), strict=True)
    return Outside({each.name: _array(values).reshape(len(rows), -1) for each, values in results})


def _array(values: Any) -> NDArray[Any]:
    """A tensor, a dictionary per row, or a sequence of tensors."""
    if not isinstance(values, list):
        return np.asarray(values, str) if values.dtype.kind == "O" else np.asarray(values)
    if isinstance(values[0], dict):
        return np.array([list(each.values()) for each in values])
    return np.concatenate(values, axis=1)  # an output for each of its labels


def said(name: str) -> Mapping[str, NDArray[Any]]:
    """What the framework said, by its method."""
    return {key.split("/")[1]: array for key, array in _expected().items() if key.split("/")[0] == name}


@cache
def _expected() -> Mapping[str, NDArray[Any]]:
    with np.load(FOLDER / "expected.npz") as file:
        return dict(file)
