"""What a user brings as a program, and programs made of a few numbers."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.errors import BadProgram


@dataclass(frozen=True, slots=True)
class Program:
    """An ONNX model that was made here."""

    about: str
    onnx: bytes = field(repr=False)
    """Serialised."""


def linear(
    weights: Mapping[str, float | Sequence[float]],
    bias: float | Sequence[float] | None = None,
    outputs: Sequence[str] = ("result",),
) -> Program:
    """The linear model `bias + Σ weight · column`; it runs on ciphertext.

    Args:
        weights: by column name: a number, or with several outputs one for each.
        bias: a number, or one for each output; by default 0.
        outputs: what the results are called.

    Raises:
        BadProgram: weights are not by column, numbers are missing or not finite, or two outputs have one name.

    Example:
        >>> sublet.linear({"age": 0.04, "dose": -1.5}, bias=0.2)
    """
    from nodes.programs import build  # noqa: PLC0415 - needs NumPy and onnx

    if not hasattr(weights, "items"):  # series of pandas are no mappings
        raise BadProgram(f'weights are given by column, as {{"age": 0.04}}, not {weights!r:.40}')
    outputs = _names(outputs)
    named: dict[str, list[float]] = {}
    for name, each in weights.items():
        if str(name) in named:  # of a series, or 1 and "1"
            raise BadProgram(f"two weights are of a column {str(name)!r}")
        named[str(name)] = _numbers(each)
    onnx = build.linear(named, [0.0] * len(outputs) if bias is None else _numbers(bias), outputs)
    return Program(f"linear model of {', '.join(named)}", onnx)


def column_sum(column: str) -> Program:
    """The sum of a column over all rows; it runs on ciphertext. Its result is one row, called `sum_<column>`.

    Raises:
        BadProgram: the column has no name.
    """
    from nodes.programs import build  # noqa: PLC0415 - needs NumPy and onnx

    if not isinstance(column, str):
        raise BadProgram(f"the column to sum is named by text, not {column!r:.40}")
    return Program(f"sum of {column}", build.aggregate_sum(column))


def program_bytes(model: object) -> bytes:
    """The serialised ONNX model of whatever a user calls a model.

    Raises:
        BadProgram: it is no model, cannot be read, or has no ONNX form.
        BadConfig: it is a scikit-learn estimator, and the extra `sklearn` is not installed.
    """
    if isinstance(model, Program):
        return model.onnx
    if isinstance(model, bytes | bytearray | memoryview):
        return bytes(model)
    if isinstance(model, str | os.PathLike):
        from nodes.model_files import read_program  # noqa: PLC0415 - needs onnx

        return read_program(Path(model))
    serialise: Any = getattr(model, "SerializeToString", None)
    if serialise is not None:
        return bytes(serialise())
    if _is_estimator(model):
        from nodes.client.estimators import converted  # noqa: PLC0415 - needs scikit-learn

        return converted(model)
    raise BadProgram(
        f"a {type(model).__name__} is no program: bring a scikit-learn estimator, an ONNX model or its path, "
        f"sublet.linear(…) or sublet.sum(…){_advice(model)}"
    )


def label_type(model: object) -> str | None:
    """Of what labels of an estimator's come back as numbers; None where nothing says so, or they are text."""
    if not _is_estimator(model):
        return None
    from nodes.client import estimators  # noqa: PLC0415 - needs scikit-learn

    return estimators.label_type(model)


def _is_estimator(model: object) -> bool:
    base: Any = sys.modules.get("sklearn.base")
    return base is not None and isinstance(model, base.BaseEstimator)


def _advice(model: object) -> str:
    return "; export it with torch.onnx.export" if type(model).__module__.partition(".")[0] == "torch" else ""


def _names(given: str | Sequence[str]) -> list[str]:
    """One name is a list of one. Raises BadProgram."""
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, Iterable) or not all(isinstance(each, str) for each in names):
        raise BadProgram(f"outputs are a list of names, not {given!r:.40}")
    return list(names)


def _numbers(given: float | Sequence[float]) -> list[float]:
    """A number is a list of one. How many there must be is known where the model is built. Raises BadProgram."""
    several = isinstance(given, Iterable) and not isinstance(given, str)  # NumPy's arrays too
    values: Any = given if several else (given,)
    try:
        found = [float(each) for each in values]
    except (TypeError, ValueError, OverflowError) as error:
        raise BadProgram(f"a weight or bias is no number: {given!r:.40}") from error
    if not all(map(math.isfinite, found)):
        raise BadProgram(f"a weight or bias is not finite: {given!r:.40}")
    return found
