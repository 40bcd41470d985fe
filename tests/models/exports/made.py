"""A model as an exporter wrote it, with what its framework said of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Made:
    """`rows` names the table that the model's columns are the first of; `said` the framework's own results."""

    name: str
    model: bytes
    rows: str
    said: Mapping[str, Any]
    beside: Mapping[str, bytes] = field(default_factory=dict)  # files beside it, by name


def said_by(fitted: Any, rows: Any) -> dict[str, Any]:
    """What a fitted estimator says, by the name of its method."""
    names = ("predict", "predict_proba") if hasattr(fitted, "predict") else ("transform",)
    return {name: np.asarray(getattr(fitted, name)(rows)) for name in names if hasattr(fitted, name)}
