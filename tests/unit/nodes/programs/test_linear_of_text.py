"""A linear model of text, as an ONNX model whose inputs are the user's columns."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.programs import encoder
from nodes.programs.build import linear_of_text
from nodes.programs.runtime import evaluate, run, session

NUMBERS = {"age": 0.1, "weight in kg": -1e-9}
TEXTS = {"city": ({"Bern": 1.0, "Rome": 0.0, "": 3.0}, -2.0), "score": ({"a": 1e9}, 0.0)}


def test_it_runs_as_any_other_model() -> None:
    raw = linear_of_text(NUMBERS, TEXTS, 0.25, "result")
    given = {
        "age": np.array([[30.0], [40.0], [50.0]]),
        "weight in kg": np.array([[70.0], [80.0], [0.0]]),
        "city": np.array([["Bern"], ["Ulm"], [""]], dtype=object),
        "score": np.array([["b"], ["a"], [""]], dtype=object),
    }
    (found,) = run(session(raw), ["result"], given)
    expected = [[0.25 + 3.0 - 7e-8 + 1.0], [0.25 + 4.0 - 8e-8 - 2.0 + 1e9], [0.25 + 5.0 + 3.0]]
    assert np.allclose(found, expected, rtol=1e-15)


@pytest.mark.parametrize("numbers", [NUMBERS, {}], ids=["with numbers", "text alone"])
def test_it_is_divided_before_a_job_so_that_only_numbers_go_on(numbers: dict[str, float]) -> None:
    program, before = encoder.read(linear_of_text(numbers, TEXTS, 0.25, "result"))
    assert before is not None
    assert before.input_names == (*numbers, "city", "score")
    rows = before.encode(np.zeros((2, len(numbers))), [["Rome", "Oslo"], ["b", "b"]])
    assert evaluate(program, rows)[:, 0].tolist() == [0.25, -1.75]
