"""Small inputs for the commands, and logs as they were before."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from onnx import ModelProto, TensorProto

from nodes.programs.build import linear


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Commands configure the process's logs."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with inputs good and bad."""
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"p{row},{row}.5,{-row},{row * 0.25}\n" for row in range(1, 61))
    (tmp_path / "good.csv").write_text("id,a,b,c\n" + rows)
    (tmp_path / "nan.csv").write_text("id,a,b,c\np1,1,2,3\np2,1,nan,3\n")
    (tmp_path / "text.csv").write_text("id,a,b,c\np1,1,2,3\np2,1,2,three\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "headed.csv").write_text("id,a,b,c\n")
    (tmp_path / "weights.csv").write_text("name,weight\na,2\nb,-1\nc,0.5\nbias,10\n")
    (tmp_path / "other-weights.csv").write_text("name,weight\na,2\nz,-1\n")
    (tmp_path / "linear.onnx").write_bytes(linear({"a": [2.0], "b": [-1.0], "c": [0.5]}, [10.0]))
    (tmp_path / "thousandfold.onnx").write_bytes(linear({"y": [1e3]}, [0.0]))
    (tmp_path / "sigmoid.onnx").write_bytes(one_node("Sigmoid", 3).SerializeToString())
    (tmp_path / "negative.csv").write_text("a,b,c\n1,2,3\n-4,50,-6\n")
    (tmp_path / "log.onnx").write_bytes(one_node("Log", 3).SerializeToString())
    (tmp_path / "log-of-one.onnx").write_bytes(one_node("Log", 1).SerializeToString())
    (tmp_path / "strange.onnx").write_bytes(one_node("StringNormalizer", 3).SerializeToString())
    (tmp_path / "external.onnx").write_bytes(external().SerializeToString())
    (tmp_path / "noise.onnx").write_bytes(b"\x00\x01 this is no model")
    return tmp_path


def one_node(operator: str, width: int) -> ModelProto:
    """A model of one operator on a matrix."""
    model = ModelProto(ir_version=8)
    model.opset_import.add(domain="", version=17)
    model.graph.name = "one"
    tensor = model.graph.input.add(name="x").type.tensor_type
    tensor.elem_type = TensorProto.DOUBLE
    tensor.shape.dim.add(dim_param="N")
    tensor.shape.dim.add(dim_value=width)
    model.graph.node.add(op_type=operator, input=["x"], output=["y"])
    model.graph.output.add(name="y").type.tensor_type.elem_type = TensorProto.DOUBLE
    return model


def external() -> ModelProto:
    """A model whose weights lie in a file of its choice."""
    model = one_node("MatMul", 3)
    model.graph.node[0].input.append("w")
    weights = model.graph.initializer.add(name="w", dims=[3, 1], data_type=TensorProto.DOUBLE)
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="/etc/hostname")
    return model
