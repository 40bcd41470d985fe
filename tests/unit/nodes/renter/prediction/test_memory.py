"""What memory an enclave is predicted to need; that it is enough, the enclaves of `test_process_programs.py` show."""

from __future__ import annotations

import numpy as np

from nodes.programs.check import check
from nodes.renter.prediction.memory import BASE_MIB, PER_LIST_BYTE, PER_WEIGHT_BYTE, memory_mib
from tests.support.models import program
from tests.unit.nodes.programs.models import data, model, node

MIB = 2**20


def test_a_small_program_needs_little_more_than_the_least() -> None:
    assert memory_mib(check(data(model([node("Relu", ["x"], ["y"])]))), 1) == BASE_MIB + 1


def test_weights_need_less_than_trees_do() -> None:
    weights = np.zeros((3, 1 << 19), np.float32)
    nodes = [node("MatMul", ["x", "w"], ["z"]), node("Relu", ["z"], ["r"]), node("ReduceMax", ["r"], ["y"], axes=[1])]
    dense, trees = check(data(model(nodes, constants={"w": weights}))), check(program("forest"))
    assert 0 <= memory_mib(dense, 0) - BASE_MIB - PER_WEIGHT_BYTE * weights.nbytes / MIB < 2
    assert 0 <= memory_mib(trees, 0) - BASE_MIB - PER_LIST_BYTE * len(trees.canonical) / MIB < 2


def test_a_batch_needs_what_the_program_makes_of_its_rows() -> None:
    made = check(program("mlp"))
    assert 8 * 10**5 * made.live_row_elements / MIB < memory_mib(made, 10**5) - memory_mib(made, 0)
