"""Operators over images [N, C, spatial...] that are linear while their weights are constant. Pure.

A value per row has the images of one row each; a sum over rows without that axis (`Kind.FLAT`) may hold several images,
which are then handled one after the other as if each were a row.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from nodes.programs.operands import Operands, constant_integers, given, optional
from nodes.programs.operators_layout import inner_axis
from nodes.programs.program import Node
from nodes.programs.values import Array, Context, Kind, Value, aligned, constant
from schemas.errors import BadProgram

Index = Any
"""An index of NumPy: of all leading axes, and of the spatial ones as it says."""
MODES: Mapping[str, Literal["reflect", "edge", "wrap"]] = MappingProxyType(
    {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}
)
"""Ways to pad by what is inside, besides by a constant."""
WINDOW_OFFSETS_MAX = 65_536
"""Positions inside one window; each costs a pass over the values."""
PASS_MULTIPLICATIONS = 4_096
"""What a pass costs beside its multiplications, so that huge windows over few values are not free."""
PADDED_MAX, PADDED_FACTOR_MAX = 4_096, 64
"""Numbers of a padded channel: so many, or so many times those that go in and come out."""


def images(value: Value) -> Array:
    """The images [B, C, spatial...], whatever stands before C. Raises BadProgram for fewer than three axes."""
    if value.rank < 3:
        raise BadProgram("its operand must have the axes N, C and at least one more")
    lead = 2 if value.kind is Kind.FLAT else 1
    return value.array.reshape(math.prod(value.array.shape[:lead]), *value.array.shape[lead:])


def as_before(value: Value, array: Array) -> Value:
    """`array` [B, ...] with the leading axes that `images` joined."""
    lead = 2 if value.kind is Kind.FLAT else 1
    return value.with_array(array.reshape(*value.array.shape[:lead], *array.shape[1:]))


def per_row(value: Value, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape for one row of a result whose images have `shape` [C, spatial...]."""
    return (value.array.shape[1], *shape) if value.kind is Kind.FLAT else tuple(shape)


@dataclass(frozen=True, slots=True)
class Geometry:
    """How windows lie on the spatial axes; every tuple has one entry per axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    size: tuple[int, ...]  # windows per axis

    def padding(self, spatial: Sequence[int]) -> list[tuple[int, int]]:
        """Zeros before and after each axis, so that every window lies inside."""
        return [
            (b, max(a, (s - 1) * stride + (k - 1) * d + 1 - n - b))
            for n, k, stride, d, b, a, s in zip(
                spatial, self.kernel, self.strides, self.dilations, self.before, self.after, self.size, strict=True
            )
        ]

    def windows(self) -> Iterator[tuple[Index, Index]]:
        """Each position inside a window, and where all windows have it in the padded image."""
        for offset in itertools.product(*(range(k) for k in self.kernel)):
            places = zip(offset, self.dilations, self.size, self.strides, strict=True)
            yield (..., *offset), (..., *(slice(o * d, o * d + (s - 1) * t + 1, t) for o, d, s, t in places))


def geometry(node: Node, kernel: Sequence[int], spatial: Sequence[int]) -> Geometry:
    """The windows of Conv and AveragePool, by their attributes. Raises BadProgram."""
    axes = len(spatial)
    strides = node.integers("strides") or (1,) * axes
    dilations = node.integers("dilations") or (1,) * axes
    pads = node.integers("pads") or (0,) * (2 * axes)
    if not (len(kernel) == len(strides) == len(dilations) == axes and len(pads) == 2 * axes):
        raise BadProgram("its kernel_shape, strides, dilations and pads do not fit the axes of its operand")
    if min((*kernel, *strides, *dilations)) < 1 or min(pads) < 0 or math.prod(kernel) > WINDOW_OFFSETS_MAX:
        raise BadProgram("its kernel_shape, strides, dilations or pads are out of range")
    before, after = tuple(pads[:axes]), tuple(pads[axes:])
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    mode = node.text("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        size = tuple(-(-n // stride) for n, stride in zip(spatial, strides, strict=True))
        short = [max((s - 1) * t + span - n, 0) for s, t, span, n in zip(size, strides, spans, spatial, strict=True)]
        small, large = tuple(p // 2 for p in short), tuple(p - p // 2 for p in short)
        before, after = (small, large) if mode == "SAME_UPPER" else (large, small)
    elif mode in ("NOTSET", "VALID"):
        if mode == "VALID":
            before = after = (0,) * axes
        ceil = bool(node.integer("ceil_mode", 0))
        size = tuple(
            _count(n + b + a - span, stride, n + b, ceil)
            for n, b, a, span, stride in zip(spatial, before, after, spans, strides, strict=True)
        )
    else:
        raise BadProgram(f"with auto_pad {mode[:16]} is not supported")
    if min(size) < 1:
        raise BadProgram("its window is larger than its padded operand")
    return Geometry(tuple(kernel), tuple(strides), tuple(dilations), before, after, size)


def _count(room: int, stride: int, end: int, ceil: bool) -> int:
    """Windows that fit; with `ceil` also one that begins inside and ends outside."""
    count = (-(-room // stride) if ceil else room // stride) + 1
    return count - 1 if ceil and (count - 1) * stride >= end else count


def conv(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Conv with constant weights [M, C / group, kernel...] and an optional constant bias [M]."""
    value, weights, bias = given(operands, 0), given(operands, 1), optional(operands, 2)
    if weights.variable or (bias is not None and bias.variable):
        raise BadProgram("its weights must be constant")
    array, kernel = images(value), weights.array
    groups, (channels, *spatial) = node.integer("group", 1), array.shape[1:]
    if kernel.ndim != array.ndim or groups < 1 or kernel.shape[0] % groups or kernel.shape[1] * groups != channels:
        raise BadProgram(f"its weights {list(kernel.shape)[:16]} do not fit {channels} channels in {groups} groups")
    shape = geometry(node, kernel.shape[2:], spatial)
    outputs = kernel.shape[0]
    context.admit(per_row(value, (outputs, *shape.size)), variable=value.variable)
    images_per_row = value.array.shape[1] if value.kind is Kind.FLAT else 1
    context.spend(images_per_row * kernel.size * math.prod(shape.size))
    padded = _padded_images(context, value, array, shape)
    padded = padded.reshape(array.shape[0], groups, channels // groups, *padded.shape[2:])
    grouped = kernel.reshape(groups, outputs // groups, *kernel.shape[1:])
    result = np.zeros((array.shape[0], groups, outputs // groups, *shape.size))
    for offset, window in shape.windows():
        result += np.einsum("bgc...,goc->bgo...", padded[window], grouped[offset])
    made = as_before(value, result.reshape(array.shape[0], outputs, *shape.size))
    return (made if bias is None else added(context, made, per_channel(bias.array, len(spatial), outputs)),)


def _padded_images(context: Context, value: Value, array: Array, shape: Geometry) -> Array:
    padding = shape.padding(array.shape[2:])
    grown = [n + before + after for n, (before, after) in zip(array.shape[2:], padding, strict=True)]
    if math.prod(grown) > PADDED_MAX + PADDED_FACTOR_MAX * (math.prod(array.shape[2:]) + math.prod(shape.size)):
        raise BadProgram("its pads make much more numbers than go in and come out")
    context.admit(per_row(value, (array.shape[1], *grown)), variable=value.variable)
    context.spend(math.prod(shape.kernel) * PASS_MULTIPLICATIONS)
    return np.pad(array, [(0, 0), (0, 0), *padding])


def added(context: Context, value: Value, term: Array) -> Value:
    """`value` + constant, the constant of the shape that broadcasts to one image."""
    (left, right), kind = aligned(context, [value, constant(term)], lift=True)
    return Value(left + right, kind)


def per_channel(array: Array, axes: int, channels: int) -> Array:
    """[C] as [C, 1, ...] beside `axes` spatial axes."""
    if array.shape not in ((channels,), (1,)):
        raise BadProgram(f"a parameter of shape {list(array.shape)[:16]} does not fit {channels} channels")
    return array.reshape(-1, *(1,) * axes)


def average_pool(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """AveragePool; padding counts only with count_include_pad, and what ceil_mode adds never does."""
    value = given(operands, 0)
    array = images(value)
    spatial = array.shape[2:]
    shape = geometry(node, node.integers("kernel_shape") or (), spatial)
    context.admit(per_row(value, (array.shape[1], *shape.size)), variable=value.variable)
    context.spend(value.elements // max(1, math.prod(spatial)) * math.prod(shape.kernel) * math.prod(shape.size))
    padded = _padded_images(context, value, array, shape)
    padding = shape.padding(spatial)
    counted = np.zeros([before + n + after for n, (before, after) in zip(spatial, padding, strict=True)])
    inner = tuple(slice(before, before + n) for n, before in zip(spatial, shape.before, strict=True))
    if node.integer("count_include_pad", 0):
        sides = zip(spatial, shape.before, shape.after, strict=True)
        inner = tuple(slice(0, before + n + after) for n, before, after in sides)
    counted[inner] = 1
    total, count = np.zeros((*array.shape[:2], *shape.size)), np.zeros(shape.size)
    for _, window in shape.windows():
        total += padded[window]
        count += counted[window]
    return (as_before(value, total / count),)


def global_average_pool(_: Context, __: Node, operands: Operands) -> tuple[Value, ...]:
    """GlobalAveragePool: the mean of each channel."""
    value = given(operands, 0)
    array = images(value)
    return (as_before(value, array.mean(axis=tuple(range(2, array.ndim)), keepdims=True)),)


def batch_normalization(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """BatchNormalization at inference: a constant factor and term per channel."""
    value = given(operands, 0)
    parameters = [given(operands, position) for position in range(1, 5)]
    if node.integer("training_mode", 0) or any(parameter.variable for parameter in parameters) or value.rank < 2:
        raise BadProgram("its parameters must be constant, outside training, on operands with a channel axis")
    position = inner_axis(value, 1)
    shape = [per_channel(p.array, value.array.ndim - position - 1, value.array.shape[position]) for p in parameters]
    scale, shift, mean, variance = shape
    factor = scale / np.sqrt(variance + node.number("epsilon", 1e-5))
    (x, times), kind = aligned(context, [value, constant(factor)], lift=False)
    return (added(context, Value(x * times, kind), shift - mean * factor),)


def pad(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Pad; a negative pad cuts. Rows are not padded. A padding value is a constant that is added outside."""
    value = given(operands, 0)
    fill, axes = optional(operands, 2), optional(operands, 3)
    if node.version < 11:
        pads, number = node.integers("pads") or (), node.number("value", 0.0)
    else:
        pads = constant_integers(given(operands, 1), "pads")
        if fill is not None and (fill.variable or fill.array.size != 1):
            raise BadProgram("its padding value must be one constant")
        number = 0.0 if fill is None else float(fill.array.reshape(()))
    chosen = tuple(range(value.rank)) if axes is None else constant_integers(axes, "axes")
    if len(pads) != 2 * len(chosen) or any(abs(p) > context.limits.tensor_elements_max for p in pads):
        raise BadProgram("its pads do not fit its axes")
    widths = [(0, 0)] * value.array.ndim
    for axis, before, after in zip(chosen, pads[: len(chosen)], pads[len(chosen) :], strict=True):
        if before or after:
            widths[inner_axis(value, axis)] = (before, after)
    return (_padded(context, value, widths, node.text("mode", "constant"), number),)


def _padded(context: Context, value: Value, widths: Sequence[tuple[int, int]], mode: str, number: float) -> Value:
    cut = tuple(
        slice(max(0, -before), n - max(0, -after)) for n, (before, after) in zip(value.array.shape, widths, strict=True)
    )
    array = value.array[cut]
    grown = [(max(0, before), max(0, after)) for before, after in widths]
    shape = [n + before + after for n, (before, after) in zip(array.shape, grown, strict=True)]
    context.admit(shape[1:] if value.variable else shape, variable=value.variable)
    if mode != "constant":
        if mode not in MODES:
            raise BadProgram(f"with mode {mode[:16]} is not supported")
        return value.with_array(np.pad(array, grown, mode=MODES[mode]))
    result = np.pad(array, grown)
    if not number:
        return value.with_array(result)
    first = 1 if value.variable else 0
    outside = np.pad(np.zeros(array.shape[first:]), grown[first:], constant_values=number)
    return value.with_array(result + (context.rows.lift(outside) if value.variable else outside))


def depth_to_space(_: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """DepthToSpace: blocks of channels become blocks of pixels (DCR or CRD)."""
    value, side = given(operands, 0), node.integer("blocksize", 0)
    array = images(value)
    if array.ndim != 4 or side < 1 or array.shape[1] % (side * side):
        raise BadProgram("its operand must be [N, C, H, W] with C a multiple of blocksize^2")
    count, channels, height, width = array.shape
    if node.text("mode", "DCR") == "DCR":
        parts = array.reshape(count, side, side, -1, height, width).transpose(0, 3, 4, 1, 5, 2)
    else:
        parts = array.reshape(count, -1, side, side, height, width).transpose(0, 1, 4, 2, 5, 3)
    return (as_before(value, parts.reshape(count, channels // side**2, height * side, width * side)),)


def space_to_depth(_: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """SpaceToDepth: blocks of pixels become channels (DCR or CRD)."""
    value, side = given(operands, 0), node.integer("blocksize", 0)
    array = images(value)
    if array.ndim != 4 or side < 1 or array.shape[2] % side or array.shape[3] % side:
        raise BadProgram("its operand must be [N, C, H, W] with H and W multiples of blocksize")
    count, channels, height, width = array.shape
    order = (0, 3, 5, 1, 2, 4) if node.text("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    parts = array.reshape(count, channels, height // side, side, width // side, side).transpose(order)
    return (as_before(value, parts.reshape(count, channels * side**2, height // side, width // side)),)
