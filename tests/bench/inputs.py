"""What jobs under measurement compute on: tables of normal numbers with an id, and linear programs for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nodes.programs.build import linear


def write_table(path: Path, rows: int, columns: int) -> Path:
    """CSV with columns id, x0, x1, …; the same for the same size."""
    values = np.random.default_rng(rows).normal(size=(rows, columns))
    header = ",".join(["id", *(f"x{column}" for column in range(columns))])
    numbered = np.column_stack([np.arange(rows), values])
    np.savetxt(path, numbered, delimiter=",", header=header, comments="", fmt=["%d"] + ["%.6f"] * columns)
    return path


def write_program(path: Path, columns: int, outputs: int = 1) -> Path:
    """ONNX: `outputs` weighted sums of the columns x0, x1, …; the same for the same size."""
    weights = np.random.default_rng(3).normal(size=(columns, outputs)).tolist()
    names = [f"y{output}" for output in range(outputs)]
    path.write_bytes(linear({f"x{column}": each for column, each in enumerate(weights)}, [1.0] * outputs, names))
    return path
