"""Models as people export them, from scikit-learn, XGBoost, LightGBM and PyTorch: each runs and means what ONNX Runtime
makes of the original file, row by row, or is refused with a reason that stands here.

`tests/models/export.py` made them, and says with which versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nodes.enclave.host.process import EnclaveProcess
from nodes.homomorphic.encoding import decode, encode, integer_program, quantise
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.programs.cut import cut
from nodes.programs.encoder import Encoder, read
from nodes.programs.program import Program
from nodes.programs.runtime import evaluate
from schemas.errors import BadProgram
from tests.support.exported import Floats, model, names, outside, rows_for, said
from tests.unit.nodes.enclave.enclaves import agree, quoter

REFUSED = {
    "imputer-knn": "functions",
}
"""By what the refusal says."""
OTHERWISE = {
    "calibrated-isotonic": "the exporter steps where scikit-learn draws a line between two steps",
    "knn-distance": "the exporter's weights of neighbours at a distance of zero",
    "lightgbm-forest": "the exporter adds trees up whose mean it should take",
    "logistic-raw-scores": "asked for scores instead of probabilities",
    "normalizer-max": "the exporter divides by the largest number instead of the largest size",
    "xgboost-ranker": "the exporter leaves the base score out",
}
"""Exports that do not say what the framework says: their exporters' doing, which no one here could mend."""
TOLERANCE = 1e-6
UNITS = 8
"""Of float32 by which a row alone may differ from the row among others: kernels add up in another order."""
ALIKE = 0.99
"""Of rows, in which an export says what its framework says: some of these decide in float64, or the other way round."""
FLOAT32 = float(np.finfo(np.float32).eps)
ASKED = 1e-4
"""The error that is asked for on ciphertext."""
IN_THE_CHILD = ("columns", "gaussian-nb", "knn", "lightgbm-categories", "random-forest-regressor", "svc", "torch-block")
ON_CIPHERTEXT = ("linear-double", "logistic-text", "pca", "ridge")
ENCRYPTED_ROWS = 40

RUN = sorted(set(names()) - set(REFUSED))


@cache
def whole(name: str) -> tuple[Program, Encoder | None]:
    """As a job takes it: the program, and what comes before where it takes text."""
    return read(model(name))


def program(name: str) -> Program:
    return whole(name)[0]


@cache
def rows_of(name: str) -> Floats:
    return rows_for(name, *whole(name))


@cache
def beginning(name: str) -> tuple[Program, Program | None] | None:
    """What of it runs on ciphertext, and the rest that follows in the clear; None where nothing does."""
    try:
        affine(program(name))
    except BadProgram:
        try:
            found = cut(program(name))
        except BadProgram:
            return None
        return found.beginning, found.rest
    return program(name), None


@pytest.mark.parametrize("name", RUN)
def test_a_model_gives_what_onnx_runtime_gives_outside(name: str) -> None:
    rows = rows_of(name)
    results, decided = evaluate(program(name), rows), outside(name).whole
    expected = outside(name).joined(program(name).whole)
    np.testing.assert_allclose(results, expected, rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_array_equal(results[:, decided], expected[:, decided])
    assert sorted(program(name).whole) == decided
    assert check(program(name).canonical) == program(name)


@pytest.mark.parametrize("name", RUN)
def test_a_row_gives_the_same_alone_in_parts_and_in_another_order(name: str) -> None:
    rows = rows_of(name)
    results, order = evaluate(program(name), rows), np.random.default_rng(5).permutation(len(rows))
    parts = np.concatenate([evaluate(program(name), part) for part in (rows[:1], rows[1:3], rows[3:70], rows[70:])])
    turned = evaluate(program(name), rows[order])
    np.testing.assert_allclose(parts, results, rtol=UNITS * FLOAT32, atol=UNITS * FLOAT32)
    np.testing.assert_allclose(turned, results[order], rtol=UNITS * FLOAT32, atol=UNITS * FLOAT32)


@pytest.mark.parametrize("name", sorted(set(RUN) - set(OTHERWISE)))
def test_an_export_says_what_its_framework_says(name: str) -> None:
    found, known = outside(name), said(name)
    texts = [each for each in known.values() if each.dtype.kind == "U"]
    for mine, theirs in zip(found.texts, texts, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    numbers = by_row([each for each in known.values() if each.dtype.kind != "U"], len(rows_of(name)))
    columns = slice(-numbers.shape[1], None) if "predict_proba" in known else slice(numbers.shape[1])
    assert np.isclose(found.numbers[:, columns], numbers, rtol=1e-3, atol=1e-4).all(axis=1).mean() >= ALIKE


def by_row(results: Sequence[NDArray[Any]], rows: int) -> Floats:
    """Side by side; some are [outputs, N, classes]."""
    turned = [each.transpose(1, 0, 2) if each.ndim == 3 else each for each in results]
    return np.concatenate([np.zeros((rows, 0)), *(each.reshape(rows, -1) for each in turned)], axis=1)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused_says_why(name: str) -> None:
    with pytest.raises(BadProgram, match=REFUSED[name]):
        read(model(name))


def test_a_hundred_models_of_scikit_learn_run_and_some_of_each_other_framework() -> None:
    families = {family: sum(name.startswith(family) for name in RUN) for family in ("xgboost", "lightgbm", "torch")}
    assert all(count >= 7 for count in families.values()), families
    assert len(RUN) - sum(families.values()) >= 100


@pytest.mark.parametrize("name", IN_THE_CHILD)
async def test_a_model_gives_inside_an_enclave_what_it_gives_outside(name: str) -> None:
    rows = rows_of(name)
    async with EnclaveProcess(quoter()) as enclave:
        subtask = await agree(enclave, program(name).canonical)
        context = subtask.context(len(rows))
        result = await enclave.execute(context, subtask.encrypt(context, rows))
    got = np.frombuffer(subtask.decrypt(context, result.body)).reshape(len(rows), -1)
    np.testing.assert_array_equal(got, evaluate(program(name), rows))


@pytest.fixture(scope="module")
def secret() -> PaillierSecret:
    return paillier.generate(2048, subgroup=True)


@pytest.mark.parametrize("name", [name for name in RUN if beginning(name)])
def test_what_runs_on_ciphertext_is_right_to_the_asked_error(name: str, secret: PaillierSecret) -> None:
    first, rest = beginning(name) or (program(name), None)
    mapped, rows = affine(first), rows_of(name)
    fixed, _ = quantise(mapped, np.abs(rows).max(axis=0), len(rows), secret.public.slots, ASKED)
    made, encoded = integer_program(mapped, fixed), encode(rows, fixed)
    plain = encoded @ np.array(made.weights, dtype=np.int64).T + np.array(made.bias, dtype=np.int64)
    if name in ON_CIPHERTEXT:
        body = secret.public.encrypt(encoded[:ENCRYPTED_ROWS])
        result = secret.public.evaluate(body, ENCRYPTED_ROWS, made)
        np.testing.assert_array_equal(secret.decrypt(result, ENCRYPTED_ROWS, mapped.width_out), plain[:ENCRYPTED_ROWS])
    results = decode(plain, fixed) if rest is None else evaluate(rest, decode(plain, fixed))
    expected, decided = outside(name).joined(program(name).whole), outside(name).whole
    np.testing.assert_allclose(results, expected, rtol=0, atol=ASKED)
    np.testing.assert_array_equal(results[:, decided], expected[:, decided])


def test_half_a_hundred_models_run_on_ciphertext_whole_or_from_their_beginning() -> None:
    assert sum(beginning(name) is not None for name in RUN) >= 50
