"""Tensors of an untrusted model as arrays. Sizes are compared before anything is made; no file is read. Pure."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto, helper

from nodes.programs.limits import ProgramLimits
from nodes.programs.values import Array
from schemas.errors import BadProgram

# TensorProto.DataType -> (dtype of raw_data, the typed field otherwise). ONNX IR, "Tensor data type" and onnx.proto.
FORMATS: dict[int, tuple[str, str]] = {
    TensorProto.FLOAT: ("<f4", "float_data"),
    TensorProto.DOUBLE: ("<f8", "double_data"),
    TensorProto.FLOAT16: ("<f2", ""),
    TensorProto.INT32: ("<i4", "int32_data"),
    TensorProto.INT64: ("<i8", "int64_data"),
    TensorProto.UINT8: ("|u1", "int32_data"),
    TensorProto.BOOL: ("|b1", "int32_data"),
}
ENGINE_TYPES = {f"tensor({name.lower()})": kind for name, kind in TensorProto.DataType.items()}
"""TensorProto.DataType by what ONNX Runtime calls it."""
TYPED_FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


def array_of(tensor: TensorProto, limits: ProgramLimits) -> Array:
    """The tensor, in the type that it is declared in.

    Raises BadProgram: external data, segments, a type without numbers, a payload that is not as long as the dimensions
    say, too large.
    """
    name = repr(tensor.name[:64]) if tensor.name else "without a name"
    if tensor.data_location != TensorProto.DEFAULT or len(tensor.external_data):
        raise BadProgram(
            f"the tensor {name} has external data, which stays in another file; save the model as one file"
        )
    if tensor.HasField("segment"):
        raise BadProgram(f"the tensor {name} is stored in segments, which is not allowed")
    if tensor.data_type not in FORMATS:
        raise BadProgram(f"the tensor {name} has data type {tensor.data_type}; use float, double, int32, int64 or bool")
    dims = tuple(tensor.dims)
    if len(dims) > limits.tensor_rank_max or any(d < 0 for d in dims):
        raise BadProgram(f"the tensor {name} has the shape {list(dims)[:16]}, which is not allowed")
    elements = math.prod(dims)
    if elements > limits.tensor_elements_max:
        raise BadProgram(
            f"the tensor {name} has {elements:,} numbers; at most {limits.tensor_elements_max:,} are allowed"
        )
    return _payload(tensor, name, elements).reshape(dims)


def _payload(tensor: TensorProto, name: str, elements: int) -> Array:
    dtype, field = FORMATS[tensor.data_type]
    filled = [f for f in TYPED_FIELDS if len(getattr(tensor, f))]
    if tensor.HasField("raw_data") and not filled:
        size = elements * np.dtype(dtype).itemsize
        if len(tensor.raw_data) != size:
            raise BadProgram(f"the tensor {name} holds {len(tensor.raw_data)} bytes, but its dimensions ask for {size}")
        if dtype == "|b1":
            return np.frombuffer(tensor.raw_data, dtype=np.uint8).astype(bool)
        return np.frombuffer(tensor.raw_data, dtype=dtype)
    if tensor.HasField("raw_data") or filled not in ([], [field]):
        raise BadProgram(f"the tensor {name} holds its data in a field that does not fit its type")
    values = getattr(tensor, field) if field else []
    if len(values) != elements:
        raise BadProgram(f"the tensor {name} holds {len(values)} numbers, but its dimensions ask for {elements}")
    return np.array(values, dtype=dtype)


def widened(array: Array) -> Array:
    """As float64, int64 or bool: what the compiler computes in, whatever width the weights came in."""
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # a signalling NaN; evaluation refuses results that are not finite
            return array.astype(np.float64)
    return array.astype(bool if array.dtype.kind == "b" else np.int64)


def put(tensor: TensorProto, array: Array, name: str) -> None:
    """Write the array's numbers into an empty tensor, as `raw_data`."""
    tensor.name = name
    tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor.dims.extend(array.shape)
    tensor.raw_data = np.ascontiguousarray(array).tobytes()


def tensor_of(array: Array, name: str) -> TensorProto:
    """A tensor with the array's numbers."""
    made = TensorProto()
    put(made, array, name)
    return made
