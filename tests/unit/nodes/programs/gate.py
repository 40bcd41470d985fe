"""A program of one operator, and what the gate says of one that it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from nodes.programs.check import check
from schemas.errors import BadProgram
from tests.unit.nodes.programs.models import data, model, node

I64 = np.int64


def gemm() -> ModelProto:
    return model([node("Gemm", ["x", "w", "b"], ["y"])], constants={"w": np.ones((3, 2)), "b": [0.5, 1.5]})


def refused(made: ModelProto | bytes, **options: Any) -> BadProgram:
    with pytest.raises(BadProgram) as caught:
        check(made if isinstance(made, bytes) else data(made), **options)
    return caught.value
