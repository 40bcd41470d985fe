"""A partner's linear program on received ciphertexts and its own rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from gmpy2 import mpz
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nodes.homomorphic import encoding
from nodes.homomorphic.errors import BadCiphertext, Overflow, TooCoarse
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.joint import fresh, linear
from nodes.joint.linear import LinearPlan
from nodes.programs.check import check
from nodes.programs.program import Program
from schemas.errors import BadProgram
from schemas.jobs import FixedPoint

RNG = np.random.default_rng(1)
ROWS = 70
RECEIVED, LOCAL = RNG.uniform(-1, 1, size=(ROWS, 2)), RNG.uniform(-8, 8, size=(ROWS, 3))
WEIGHTS = RNG.normal(size=(5, 2))
BIAS = np.array([0.5, -2.0])


def _program(*, sums: bool, names: Sequence[str] = linear.INPUTS) -> Program:
    """Weighted rows, or the weights of the sum over rows; the bias counts once."""
    nodes = [
        helper.make_node("Concat", list(names), ["joined"], axis=1),
        *([helper.make_node("ReduceSum", ["joined", "rows"], ["summed"], keepdims=1)] if sums else []),
        helper.make_node("MatMul", ["summed" if sums else "joined", "weights"], ["weighted"]),
        helper.make_node("Add", ["weighted", "bias"], ["result"]),
    ]
    inputs = zip(names, (2, 3), strict=True)
    constants = {"weights": WEIGHTS, "bias": BIAS, **({"rows": np.array([0])} if sums else {})}
    graph = helper.make_graph(
        nodes,
        "partner",
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N", width]) for name, width in inputs],
        [helper.make_tensor_value_info("result", TensorProto.DOUBLE, [1 if sums else "N", 2])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return check(model.SerializeToString())


def _scaled(program: Program, max_error: float) -> tuple[LinearPlan, FixedPoint]:
    bounds = np.array([1.0, 1, 8, 8, 8])
    fixed, error = linear.scales(program, bounds, ROWS, 31, max_error)
    assert error <= max_error
    return linear.planned(program, fixed, ROWS), fixed


def _local(plan: LinearPlan, fixed: FixedPoint) -> NDArray[np.int64]:
    whole = np.hstack([np.zeros_like(RECEIVED), LOCAL])
    return linear.on_local(plan, encoding.encode(whole, fixed)[:, 2:])


def _received(fixed: FixedPoint) -> NDArray[np.int64]:
    return encoding.encode(np.hstack([RECEIVED, np.zeros_like(LOCAL)]), fixed)[:, :2]


def test_row_results_are_those_of_the_program(secret: PaillierSecret) -> None:
    public = secret.public
    plan, fixed = _scaled(_program(sums=False), 1e-6)
    sealed = linear.on_received(public, plan, public.encrypt(_received(fixed)), ROWS)
    body = linear.released(public, plan, sealed, _local(plan, fixed), b"")
    found = encoding.decode(secret.decrypt(body, ROWS, 2), fixed)
    assert np.abs(found - (np.hstack([RECEIVED, LOCAL]) @ WEIGHTS + BIAS)).max() < 1e-6


def test_sums_over_several_batches_are_those_of_the_program(secret: PaillierSecret) -> None:
    public = secret.public
    plan, fixed = _scaled(_program(sums=True), 1e-3)
    numbers = _received(fixed)
    parts = [linear.on_received(public, plan, public.encrypt(part), len(part)) for part in (numbers[:40], numbers[40:])]
    sealed = public.add(parts[0], parts[1], 31, 2)
    random = fresh.uniform_bytes(linear.random_bytes(public, 2))
    body = linear.released(public, plan, sealed, _local(plan, fixed), random)
    exact = numbers.sum(axis=0) @ np.array(plan.received.weights).T
    expected = (exact + _local(plan, fixed)[0]) >> linear.SPARE_BITS
    opened = linear.opened_sums(secret, body, 2)
    assert opened.tolist() == [expected.tolist()]
    pooled = np.hstack([RECEIVED, LOCAL]).sum(axis=0) @ WEIGHTS + BIAS
    assert np.abs(encoding.decode(opened, fixed) - pooled).max() < 1e-5 * np.abs(pooled).max()


def test_sums_of_single_slots_do_not_show(secret: PaillierSecret) -> None:
    """Trap: a sum of packed rows decrypts to a partial sum for each slot; two runs of ours share none of them."""
    public = secret.public
    plan, fixed = _scaled(_program(sums=True), 1e-3)
    sealed = linear.on_received(public, plan, public.encrypt(_received(fixed)), ROWS)
    naive = [secret.decrypt(sealed, 31, 2)[:, 0] for _ in range(2)]
    assert naive[0].tolist() == naive[1].tolist()
    local = _local(plan, fixed)
    runs = []
    for _ in range(2):
        random = fresh.uniform_bytes(linear.random_bytes(public, 2))
        body = linear.released(public, plan, sealed, local, random)
        plaintext = secret.decrypt_plaintexts([_first(secret, body)])[0]
        runs.append([int(plaintext >> 64 * slot) & (2**64 - 1) for slot in range(31)])
    assert not set(runs[0]) & set(runs[1])
    sizes = np.array(runs, dtype=np.float64) / 2**64
    assert 0.3 < sizes.mean() < 0.7


def _first(secret: PaillierSecret, body: bytes) -> mpz:
    return mpz.from_bytes(body[: secret.public.ciphertext_bytes], "big")


def test_what_is_released_has_nothing_of_the_noise_that_came_in(secret: PaillierSecret) -> None:
    public = secret.public
    plan, fixed = _scaled(_program(sums=False), 1e-6)
    sealed = linear.on_received(public, plan, public.encrypt(_received(fixed)), ROWS)
    local = _local(plan, fixed)
    first, second = (linear.released(public, plan, sealed, local, b"") for _ in range(2))
    assert first != second
    assert secret.decrypt(first, ROWS, 2).tolist() == secret.decrypt(second, ROWS, 2).tolist()


def test_a_sealed_result_of_another_length_is_refused(secret: PaillierSecret) -> None:
    plan, fixed = _scaled(_program(sums=False), 1e-6)
    with pytest.raises(BadCiphertext) as caught:
        linear.released(secret.public, plan, b"\x01" * 512, _local(plan, fixed), b"")
    assert caught.value.code == "ciphertext-length"


def test_a_program_with_other_inputs_is_refused() -> None:
    program = _program(sums=False, names=("local", "received"))
    with pytest.raises(BadProgram, match="received, local, in this order"):
        linear.scales(program, np.ones(5), ROWS, 31, 1e-3)


def test_scales_that_leave_no_room_for_masks_are_refused_with_the_numbers() -> None:
    program = _program(sums=True)
    fixed = FixedPoint(column_exponents=(0, 0, 3, 3, 3), input_bits=26, weight_bits=26)
    with pytest.raises(Overflow, match="slot"):
        linear.planned(program, fixed, ROWS)


def test_sums_whose_error_cannot_be_proved_are_refused_with_the_best_that_can() -> None:
    with pytest.raises(TooCoarse) as caught:
        linear.scales(_program(sums=True), np.full(5, 1e6), ROWS, 31, 1e-6)
    assert caught.value.reachable > caught.value.asked
