"""What memory an enclave is predicted to need; that it is enough, the enclaves of `test_process_programs.py` show."""

from __future__ import annotations

import numpy as np

from nodes.programs.check import check
from nodes.renter.prediction.memory import BASE_MIB, PER_LIST_BYTE, PER_WEIGHT_BYTE, PROBE_ROWS, memory_mib
from tests.support.models import program
from tests.unit.nodes.programs.models import data, model, node

MIB = 2**20


def test_a_small_program_needs_little_more_than_the_least() -> None:
    assert memory_mib(check(data(model([node("Relu", ["x"], ["y"])]))), 1) == BASE_MIB + 1


def test_weights_need_less_than_trees_do() -> None:
    weights = {"a": np.zeros((3, 512), np.float32), "b": np.zeros((512, 512), np.float32)}
    nodes = [node("MatMul", ["x", "a"], ["h"]), node("Relu", ["h"], ["r"]), node("MatMul", ["r", "b"], ["y"])]
    dense, trees = check(data(model(nodes, constants=weights))), check(program("forest"))
    bytes_of_weights = sum(each.nbytes for each in weights.values())
    assert 0 <= memory_mib(dense, 0) - BASE_MIB - PER_WEIGHT_BYTE * bytes_of_weights / MIB < 5
    assert 0 <= memory_mib(trees, 0) - BASE_MIB - PER_LIST_BYTE * len(trees.canonical) / MIB < 5


def test_trying_a_program_needs_what_it_makes_of_the_rows_tried() -> None:
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["r"]), node("ReduceMax", ["r"], ["y"], axes=[1])]
    wide = check(data(model(nodes, constants={"w": np.zeros((3, 4096), np.float32)})))
    assert memory_mib(wide, 1) == memory_mib(wide, PROBE_ROWS) >= BASE_MIB + 8 * PROBE_ROWS * 2 * 4096 / MIB


def test_a_batch_needs_what_the_program_makes_of_its_rows() -> None:
    made = check(program("mlp"))
    assert 8 * 10**5 * made.live_row_elements / MIB < memory_mib(made, 10**5) - memory_mib(made, 0)
