"""Bounds of programs, each with its unit in the name. A program beyond one is refused, never cut short. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.limits import PROGRAM_BYTES_MAX


@dataclass(frozen=True, slots=True)
class ProgramLimits:
    """What a checked program may be at most.

    Parsing takes up to 16 times a program's size in memory once its parts are counted (`fields`), which would take 100
    times without; checking and loading it 11 times with weights and 22 with trees (`renter/prediction/memory`).
    Elements are float64 numbers, 8 bytes each; a row element is one number that is kept for every row of the input.
    """

    program_bytes_max: int = PROGRAM_BYTES_MAX
    ir_version_min: int = 3
    ir_version_max: int = 14
    opset_min: int = 7  # since 7 operators broadcast as NumPy does
    opset_max: int = 28
    ml_opset_min: int = 1
    ml_opset_max: int = 5
    nodes_max: int = 2_000
    initialisers_max: int = 4_000
    attributes_per_node_max: int = 32
    names_per_node_max: int = 10_000
    name_bytes_max: int = 512
    tree_nodes_max: int = 1 << 21
    tree_depth_max: int = 1_000  # the engine builds trees by recursion
    tensor_rank_max: int = 8
    tensor_elements_max: int = 1 << 24
    constant_elements_max: int = 1 << 24  # all constants together, folded ones too
    inputs_max: int = 10_000
    columns_max: int = 10_000
    outputs_max: int = 64
    row_elements_max: int = 1 << 20  # one value, for one row
    live_row_elements_max: int = 1 << 21  # all values alive at the same time, for one row
    row_multiplications_max: int = 1 << 27
    batch_elements_max: int = 1 << 27  # live row elements times rows of one evaluation: 1 GiB
    coefficients_max: int = 1 << 25  # live row elements times (columns + 1) while compiling: 256 MiB
