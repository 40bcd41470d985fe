"""Operators that move numbers without changing them: what stands where is found by moving the places instead.

Each function below does to plain arrays what ONNX says. It is given the numbers themselves when they are constants,
otherwise their places: whole numbers, all different, 0 standing for a zero. The forms are then picked by the places
that come back. Where values have an entry per row, the function is tried on two rows and on three, the places telling
the row too: each row must get the same places of itself, else the operator mixes rows. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from nodes.programs.call import ROWS_FIXED, Call, Function
from nodes.programs.values import Array, Kind, Value, constant, joined_kind
from schemas.errors import BadProgram

Move = Callable[..., Sequence[Array]]
"""Of the call and the arrays that are moved; gives the outputs."""

ROWS_TRIED: Final = (2, 3)
PAD_MODES: Final = ("reflect", "edge", "wrap")
"""Ways to pad by what is inside, besides by a constant."""


def first(call: Call) -> list[Value]:
    """The operand that is moved, of most operators."""
    return [call.given(0)]


def padded(call: Call) -> list[Value]:
    """What Pad moves: its operand, and the number that it pads with."""
    if "constant_value" not in call.node.signature.names:
        return [call.given(0), constant(np.array(call.node.number("value", 0.0)))]
    if call.optional(2) is None:
        return [call.given(0)]
    fill = call.constant(2, "padding value")
    if fill.size != 1:
        raise BadProgram("its padding value must be one number")
    return [call.given(0), constant(fill)]


def moving(move: Move, moved: Callable[[Call], list[Value]] = first) -> Function:
    """The operator that does `move` to the values that `moved` names."""

    def run(call: Call) -> tuple[Value, ...]:
        values = moved(call)
        kind = joined_kind(values)
        if kind is Kind.CONSTANT:
            return tuple(Value(np.asarray(array), kind) for array in move(call, *(value.array for value in values)))
        call.forms.spend(sum(value.elements for value in values))
        results = _places(call, move, values)
        for places in results:
            call.forms.admit(places.shape, variable=True)
        return tuple(Value(_picked(call, places, values), kind) for places in results)

    return run


def _places(call: Call, move: Move, values: Sequence[Value]) -> Sequence[Array]:
    """Where each number of a row comes from: 0 for a zero, else its place in all `values` laid end to end, from 1."""
    total = 1 + sum(value.elements for value in values)
    if not call.rows:
        return move(call, *_numbered(values))
    for count in ROWS_TRIED:
        row = total * np.arange(1, count + 1)
        coded = [
            places + row.reshape(-1, *(1,) * (places.ndim - 1)) if value.variable else places
            for value, places in zip(values, _numbered(values), strict=True)
        ]
        try:
            results = move(call, *coded)
        except ValueError as error:
            raise BadProgram(f"cannot be run on {count} rows of its operands: {error}") from error
        for codes in results:
            if not _same_for_each_row(codes, count, total):
                raise BadProgram(f"this {ROWS_FIXED}")
    return [codes[:1] % total for codes in results]


def _numbered(values: Sequence[Value]) -> list[Array]:
    starts = np.cumsum([1, *(value.elements for value in values)])
    return [np.arange(s, s + v.elements).reshape(v.shape) for s, v in zip(starts, values, strict=False)]


def _same_for_each_row(codes: Array, count: int, total: int) -> bool:
    """Whether each row has the places that the first has, of itself or of constants."""
    if codes.shape[:1] != (count,):
        return False
    step = total * (codes[0] >= total)
    return all(np.array_equal(codes[row], codes[0] + row * step) for row in range(1, count))


def _picked(call: Call, places: Array, values: Sequence[Value]) -> Array:
    """The forms [forms, *places.shape] that stand at `places`."""
    size = call.forms.size
    if len(values) == 1 and places.all():
        flat, places = values[0].array.reshape(size, -1), places - 1
        if np.array_equal(places.reshape(-1), np.arange(flat.shape[1])):
            return flat.reshape(size, *places.shape)
    else:
        forms = [value.array if value.variable else call.forms.lift(value.array) for value in values]
        flat = np.concatenate([np.zeros((size, 1)), *(each.reshape(size, -1) for each in forms)], axis=1)
    return np.take(flat, places, axis=1)


def bounded(call: Call, shape: Sequence[int]) -> None:
    """Refuse an array of this shape before it is made; it may be one of `ROWS_TRIED`."""
    if min(shape, default=0) < 0:
        raise BadProgram(f"an axis would have the length {min(shape)}")
    call.forms.admit((-(-math.prod(shape) // (max(ROWS_TRIED) if call.rows else 1)),), variable=call.rows)


# The operators --------------------------------------------------------------------------------------------------------


def identity(call: Call) -> tuple[Value, ...]:
    """Identity, and Dropout at inference."""
    return (call.given(0),)


def concat(call: Call, *arrays: Array) -> Sequence[Array]:
    """Concat along an axis other than the rows."""
    axis = call.axis(call.node.integer("axis", 0), arrays[0].ndim)
    bounded(call, (sum(array.size for array in arrays),))
    return (np.concatenate(arrays, axis=axis),)


def slice_(call: Call, array: Array) -> Sequence[Array]:
    """Slice."""
    starts, ends = call.required_integers("starts"), call.required_integers("ends")
    axes = call.integers("axes") or tuple(range(len(starts)))
    steps = call.integers("steps") or (1,) * len(starts)
    cut = [slice(None)] * array.ndim
    for axis, start, end, step in zip(map(call.axis, axes), starts, ends, steps, strict=True):
        cut[axis] = slice(start, None if step < 0 and end < -array.shape[axis] else end, step)
    return (array[tuple(cut)],)


def split(call: Call, array: Array) -> Sequence[Array]:
    """Split: given lengths, else equal parts of which the last may be shorter (Split-18)."""
    axis = call.axis(call.node.integer("axis", 0))
    length, parts = array.shape[axis], len(call.node.outputs)
    lengths = call.integers("split")
    if lengths is None:
        if call.node.integer("num_outputs", parts) != parts:
            raise BadProgram("its num_outputs is not its number of outputs")
        step = -(-length // parts)
        lengths = (*(step,) * (parts - 1), length - step * (parts - 1))
    if len(lengths) != parts or sum(lengths) != length or min(lengths) < 0:
        raise BadProgram(f"cannot split {length} into {list(lengths)[:16]}")
    return np.split(array, np.cumsum(lengths)[:-1], axis=axis)


def gather(call: Call, array: Array) -> Sequence[Array]:
    """Gather by constant indices."""
    return _taken(call, array, call.indices(), call.node.integer("axis", 0))


def gather_elements(call: Call, array: Array) -> Sequence[Array]:
    """GatherElements by constant indices, so not of rows: each would have indices of its own."""
    axis, indices = call.axis(call.node.integer("axis", 0)), call.indices()
    cut = (slice(None) if at == axis else slice(0, length) for at, length in enumerate(indices.shape))
    return (np.take_along_axis(array[tuple(cut)], indices, axis=axis),)


def gather_nd(call: Call, array: Array) -> Sequence[Array]:
    """GatherND by constant indices."""
    indices, batch = call.indices(), call.node.integer("batch_dims", 0)
    depth = indices.shape[-1] if indices.ndim else 0
    if not 0 <= batch < min(array.ndim, indices.ndim) or depth + batch > array.ndim:
        raise BadProgram("its indices and batch_dims do not fit its operand")
    bounded(call, (*indices.shape[:-1], *array.shape[batch + depth :]))
    grid = np.meshgrid(*map(np.arange, indices.shape[:-1]), indexing="ij")[:batch]
    return (array[(*grid, *np.moveaxis(indices, -1, 0))],)


def feature_extractor(call: Call, array: Array) -> Sequence[Array]:
    """ArrayFeatureExtractor: columns of the last axis by constant indices."""
    return _taken(call, array, call.indices().reshape(-1), -1)


def _taken(call: Call, array: Array, indices: Array, along: int) -> Sequence[Array]:
    axis = call.axis(along)
    bounded(call, (*array.shape[:axis], *indices.shape, *array.shape[axis + 1 :]))
    return (np.take(array, indices, axis=axis),)


def compress(call: Call, array: Array) -> Sequence[Array]:
    """Compress by a constant condition, along an axis other than the rows, or of all numbers in a line."""
    condition = call.constant(1, "condition")
    if condition.ndim != 1:
        raise BadProgram("its condition must be a list")
    chosen = np.flatnonzero(condition)
    if "axis" in call.node.attributes:
        return _taken(call, array, chosen, call.node.integer("axis", 0))
    return (array.reshape(-1)[chosen],)


def reshape(call: Call, array: Array) -> Sequence[Array]:
    """Reshape to a constant shape; an entry of 0 copies the axis unless allowzero says that it is one."""
    shape = call.required_integers("shape")
    if not call.node.integer("allowzero", 0):
        shape = tuple(array.shape[at] if length == 0 else length for at, length in enumerate(shape))
    if min(shape, default=0) < -1:
        raise BadProgram(f"its shape {list(shape)[:16]} has a negative length")
    if call.rows and shape[:1] not in ((-1,), array.shape[:1]):
        raise BadProgram(f"its shape {list(shape)[:16]} {ROWS_FIXED}; begin it with -1 or 0")
    return (array.reshape(shape),)


def transpose(call: Call, array: Array) -> Sequence[Array]:
    """Transpose that leaves the rows in place."""
    return (array.transpose(call.node.integers("perm") or tuple(reversed(range(array.ndim)))),)


def squeeze(call: Call, array: Array) -> Sequence[Array]:
    """Squeeze; without axes it drops every axis of length 1 but that of the rows."""
    axes = call.integers("axes")
    return (np.squeeze(array, axis=None if axes is None else tuple(map(call.axis, axes))),)


def unsqueeze(call: Call, array: Array) -> Sequence[Array]:
    """Unsqueeze; new axes come after the rows."""
    axes = call.required_integers("axes")
    rank = array.ndim + len(axes)
    call.forms.admit((1,) * rank, variable=False)
    return (np.expand_dims(array, tuple(call.axis(axis, rank) for axis in axes)),)


def expand(call: Call, array: Array) -> Sequence[Array]:
    """Expand to a constant shape; an entry of 1 leaves an axis as it is."""
    shape = np.broadcast_shapes(array.shape, call.required_integers("shape"))
    bounded(call, shape)
    return (np.broadcast_to(array, shape),)


def tile(call: Call, array: Array) -> Sequence[Array]:
    """Tile by constant repeats; rows are not repeated."""
    repeats = call.required_integers("repeats")
    bounded(call, [length * times for length, times in zip(array.shape, repeats, strict=True)])
    return (np.tile(array, repeats),)


def flatten(call: Call, array: Array) -> Sequence[Array]:
    """Flatten to a matrix; of rows only each for itself (axis 1)."""
    axis = call.node.integer("axis", 1)
    shape = array.shape
    if not -array.ndim <= axis <= array.ndim:
        raise BadProgram(f"its axis {axis} does not exist")
    axis += array.ndim if axis < 0 else 0
    return (array.reshape(math.prod(shape[:axis]), math.prod(shape[axis:])),)


def trilu(call: Call, array: Array) -> Sequence[Array]:
    """Trilu: the upper or lower triangle of the last two axes."""
    call.axis(-2)
    k = 0 if (given := call.integers("k")) is None else given[0]
    keep = np.triu if call.node.integer("upper", 1) else np.tril
    return (keep(array, k=max(-(1 << 40), min(1 << 40, k))),)


def pad(call: Call, array: Array, fill: Array | None = None) -> Sequence[Array]:
    """Pad; a negative pad cuts. Rows are not padded."""
    pads, axes = call.integers("pads") or (), call.integers("axes")
    axes = tuple(range(array.ndim)) if axes is None else axes
    mode: Any = call.node.text("mode", "constant")
    widths = np.zeros((array.ndim, 2), dtype=np.int64)
    if len(pads) != 2 * len(axes) or any(abs(p) > call.forms.limits.tensor_elements_max for p in pads):
        raise BadProgram("its pads do not fit its axes")
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        if before or after:
            widths[call.axis(axis)] = before, after
    cut, grown = np.maximum(-widths, 0), np.maximum(widths, 0)
    kept = array[tuple(slice(b, max(n - a, 0)) for n, (b, a) in zip(array.shape, cut.tolist(), strict=True))]
    bounded(call, [n + b + a for n, (b, a) in zip(kept.shape, grown.tolist(), strict=True)])
    if mode == "constant":
        return (np.pad(kept, grown, constant_values=0 if fill is None else fill.reshape(-1)[0]),)
    if mode not in PAD_MODES:
        raise BadProgram(f"with mode {mode[:16]} is not supported")
    return (np.pad(kept, grown, mode=mode),)


def depth_to_space(call: Call, array: Array) -> Sequence[Array]:
    """DepthToSpace: blocks of channels become blocks of pixels (DCR or CRD)."""
    side = call.node.integer("blocksize", 0)
    if array.ndim != 4 or side < 1 or array.shape[1] % (side * side):
        raise BadProgram("its operand must be [N, C, H, W] with C a multiple of blocksize^2")
    count, channels, height, width = array.shape
    if call.node.text("mode", "DCR") == "DCR":
        parts = array.reshape(count, side, side, -1, height, width).transpose(0, 3, 4, 1, 5, 2)
    else:
        parts = array.reshape(count, -1, side, side, height, width).transpose(0, 1, 4, 2, 5, 3)
    return (parts.reshape(count, channels // side**2, height * side, width * side),)


def space_to_depth(call: Call, array: Array) -> Sequence[Array]:
    """SpaceToDepth: blocks of pixels become channels (DCR or CRD)."""
    side = call.node.integer("blocksize", 0)
    if array.ndim != 4 or side < 1 or array.shape[2] % side or array.shape[3] % side:
        raise BadProgram("its operand must be [N, C, H, W] with H and W multiples of blocksize")
    count, channels, height, width = array.shape
    order = (0, 3, 5, 1, 2, 4) if call.node.text("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    parts = array.reshape(count, channels, height // side, side, width // side, side).transpose(order)
    return (parts.reshape(count, channels * side**2, height // side, width // side),)
