"""Convolutions and pools over images [N, C, spatial...], and what is alike for each channel. Pure.

Which number stands where in a window is found once, on the places of one plane, as NumPy's windows over it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from nodes.programs.algebra import added, aligned
from nodes.programs.call import Call
from nodes.programs.values import Array, Value, constant
from schemas.errors import BadProgram

WINDOW_OFFSETS_MAX: Final = 65_536
"""Positions inside one window; each costs a pass over the values."""
PASS_MULTIPLICATIONS: Final = 4_096
"""What a pass costs beside its multiplications, so that huge windows over few values are not free."""
OUTSIDE, BEYOND = 0, -1
"""Places of what `pads` adds to a plane, and of what ceil_mode adds to that."""


def _image(call: Call) -> Value:
    value = call.given(0)
    if value.rank < 3:
        raise BadProgram("its operand must have the axes N, C and at least one more")
    return value


def windows(call: Call, kernel: Sequence[int]) -> Array:
    """Places [windows..., kernel...] in a plane of the first operand, from 1; `OUTSIDE` and `BEYOND` where it has none.

    Raises BadProgram when the attributes make no sense, or too much.
    """
    spatial, node = call.given(0).shape[2:], call.node
    axes = len(spatial)
    strides, dilations = (node.integers(name) or (1,) * axes for name in ("strides", "dilations"))
    pads = node.integers("pads") or (0,) * (2 * axes)
    if not len(kernel) == len(strides) == len(dilations) == axes or len(pads) != 2 * axes:
        raise BadProgram("its kernel_shape, strides, dilations and pads do not fit the axes of its operand")
    most = call.forms.limits.row_elements_max
    if min((*kernel, *strides, *dilations)) < 1 or min(pads) < 0 or math.prod(kernel) > WINDOW_OFFSETS_MAX:
        raise BadProgram("its kernel_shape, strides, dilations or pads are out of range")
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pairs = zip(pads[:axes], pads[axes:], strict=True)
    widths = [_padding(call, *each) for each in zip(spatial, spans, strides, pairs, strict=True)]
    grown = [length + sum(width) for length, width in zip(spatial, widths, strict=True)]
    if math.prod(grown) > most:
        raise BadProgram(f"its pads make more than {most:,} numbers of a plane")
    if any(span > length for span, length in zip(spans, grown, strict=True)):
        raise BadProgram("its window is larger than its padded operand")
    plane = np.arange(1, math.prod(spatial) + 1).reshape(spatial)
    inside = np.pad(plane, [(before, after) for before, after, _ in widths], constant_values=OUTSIDE)
    whole = np.pad(inside, [(0, beyond) for *_, beyond in widths], constant_values=BEYOND)
    steps = [slice(None, None, step) for step in (*strides, *dilations)]
    return sliding_window_view(whole, spans)[tuple(steps)]


def _padding(call: Call, length: int, span: int, stride: int, pads: tuple[int, int]) -> tuple[int, int, int]:
    """Numbers before and after an axis, and those that ceil_mode asks for beyond."""
    mode = call.node.text("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        short = max((-(-length // stride) - 1) * stride + span - length, 0)
        small, large = short // 2, short - short // 2
        return (small, large, 0) if mode == "SAME_UPPER" else (large, small, 0)
    if mode not in ("NOTSET", "VALID"):
        raise BadProgram(f"with auto_pad {mode[:16]} is not supported")
    before, after = (0, 0) if mode == "VALID" else pads
    beyond = (span - length - before - after) % stride if call.node.integer("ceil_mode", 0) else 0
    begins = length + before + after + beyond - span  # where the last window does
    return before, after, 0 if begins >= length + before else beyond


def conv(call: Call) -> tuple[Value, ...]:
    """Conv with constant weights [M, C / group, kernel...] and an optional constant bias [M]."""
    value, kernel, groups = _image(call), call.constant(1, "weights"), call.node.integer("group", 1)
    channels = value.shape[1]
    if kernel.ndim != value.rank or groups < 1 or kernel.shape[0] % groups or kernel.shape[1] * groups != channels:
        raise BadProgram(f"its weights {list(kernel.shape)[:16]} do not fit {channels} channels in {groups} groups")
    made = _convolved(call, windows(call, kernel.shape[2:]), kernel, groups)
    if call.optional(2) is None:
        return (made,)
    return (added(call.forms, (made, _per_channel(value, call.constant(2, "bias"), kernel.shape[0]))),)


def average_pool(call: Call) -> tuple[Value, ...]:
    """AveragePool; padding counts only with count_include_pad, and what ceil_mode adds never does."""
    channels, kernel = _image(call).shape[1], call.node.integers("kernel_shape") or ()
    places = windows(call, kernel)
    total = _convolved(call, places, np.ones((channels, 1, *kernel)), channels)
    least = OUTSIDE if call.node.integer("count_include_pad", 0) else OUTSIDE + 1
    counted = sum(places[(..., *offset)] >= least for offset in np.ndindex(*kernel))
    return (total.with_array(total.array / counted),)


def _convolved(call: Call, places: Array, kernel: Array, groups: int) -> Value:
    """The image's numbers at `places` [windows..., kernel...], each times its weight and added up per window."""
    value, (outputs, channels) = call.given(0), kernel.shape[:2]
    size, offsets = places.shape[: value.rank - 2], kernel.shape[2:]
    call.forms.admit((value.shape[0], outputs, *size), variable=value.variable)
    call.forms.spend(value.shape[0] * kernel.size * math.prod(size) + math.prod(offsets) * PASS_MULTIPLICATIONS)
    images = value.array.reshape(-1, groups, channels, math.prod(value.shape[2:]))
    images = np.concatenate([np.zeros((*images.shape[:3], 1)), images], axis=3)  # a zero in the first place
    weights = kernel.reshape(groups, outputs // groups, channels, *offsets)
    result = np.zeros((len(images), groups, outputs // groups, math.prod(size)))
    for offset in np.ndindex(*offsets):
        inside = np.maximum(places[(..., *offset)].reshape(-1), OUTSIDE)
        result += np.matmul(weights[(..., *offset)], np.take(images, inside, axis=3))
    lead = value.array.shape[: value.array.ndim - value.rank + 1]
    return value.with_array(result.reshape(*lead, outputs, *size))


def global_average_pool(call: Call) -> tuple[Value, ...]:
    """GlobalAveragePool: the mean of each channel."""
    value = _image(call)
    axes = tuple(range(value.array.ndim - value.rank + 2, value.array.ndim))
    return (value.with_array(value.array.mean(axis=axes, keepdims=True)),)


def _per_channel(value: Value, parameter: Array, channels: int) -> Value:
    """[C] as [C, 1, ...] beside the axes behind the channels."""
    if parameter.shape not in ((channels,), (1,)):
        raise BadProgram(f"a parameter of shape {list(parameter.shape)[:16]} does not fit {channels} channels")
    return constant(parameter.reshape(-1, *(1,) * (value.rank - 2)))


def batch_normalization(call: Call) -> tuple[Value, ...]:
    """BatchNormalization at inference: a constant factor and term per channel."""
    value = call.given(0)
    if not call.node.integer("spatial", 1) or value.rank < 2:
        raise BadProgram("its operand must have a channel axis, and one parameter for each channel")
    parameters = (
        _per_channel(value, call.constant(position, "parameters"), value.shape[1]).array for position in range(1, 5)
    )
    scale, shift, mean, variance = parameters
    factor = scale / np.sqrt(variance + call.node.number("epsilon", 1e-5))
    (x, times), kind = aligned(call.forms, (value, constant(factor)))
    return (added(call.forms, (Value(x * times, kind), constant(shift - mean * factor))),)
