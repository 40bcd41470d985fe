"""What users wish for, and what they are told, is in the words of Python."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest

from nodes.cli.options import PROGRAMS, Asked
from nodes.client.errors import failure, in_python, told_in_python
from nodes.client.programs import column_sum, linear, program_bytes
from nodes.client.showing import html, line
from nodes.client.wishes import Accepted, Wishes, options
from nodes.programs.check import check
from nodes.renter.submission import JobOptions
from nodes.views.failures import ADVICE, FAILURES, UNFIT
from nodes.views.report import JobReport
from schemas.errors import BadConfig, BadData, BadProgram, VerificationFailed


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("fill them in, or give --missing nan if", 'fill them in, or give missing="nan" if'),
        (
            "use --protection enclave, or move it to --local-program",
            'use protection="enclave", or move it to local_program',
        ),
        ("ask for --scheme ckks --results-stay", 'ask for scheme="ckks" results_stay=True'),
        ("accept that by --accept-software-enclave", 'accept that by accept=["software-enclave"]'),
        ("leave --id-column out; --columns names 3", "leave id out; columns names 3"),
        ("at most 1e-06 is allowed (--max-error)", "at most 1e-06 is allowed (max_error)"),
        ("a - b -- c", "a - b -- c"),
    ],
    ids=range(7),
)
def test_options_of_the_command_line_are_called_what_they_are_here(said: str, told: str) -> None:
    assert in_python(said) == told
    with pytest.raises(BadData) as raised, told_in_python():
        raise BadData(said, row=3, column="a")
    assert (str(raised.value), raised.value.row, raised.value.column) == (told, 3, "a")


def test_every_option_of_the_command_line_can_be_wished_for() -> None:
    offered = {each.name for each in fields(Asked)} - set(PROGRAMS)
    renamed = {"id_column": "id"}
    assert {renamed.get(name, name) for name in offered} - set(Wishes.__annotations__) == set()


def test_wishes_become_the_options_of_a_job() -> None:
    wishes: Any = {"id": "k", "columns": ("a", 7), "accept": ["software-enclave"], "local_share": 0.5, "lessors": 3}
    expected = JobOptions(id_column="k", columns=("a", "7"), accept_software_enclave=True, local_share=0.5, lessors=3)
    assert options(wishes) == expected
    assert options({}) == JobOptions()
    assert options({"columns": "age", "accept": "software-enclave"}) == JobOptions(
        columns=("age",), accept_software_enclave=True
    )
    assert options({}, 1) == JobOptions(lessors=1, accept_software_enclave=True)
    assert options({"lessors": 4}, 1).lessors == 4


@pytest.mark.parametrize(
    ("wishes", "says", "field"),
    [
        ({"protecton": "auto"}, "there is no option 'protecton'; did you mean 'protection'", "protecton"),
        ({"zzz": 1}, "there is no option 'zzz'; there are id, columns, protection", "zzz"),
        ({"accept": ["hardware"]}, f"called 'hardware'; there are {', '.join(get_args(Accepted))}", "accept"),
        ({"accept": 3}, "accept is a list of names, not 3", "accept"),
        ({"columns": 5}, "columns is a list of names, not 5", "columns"),
        ({"columns": b"a"}, "columns is a list of names, not b'a'", "columns"),
        ({"id": ["a"]}, r"id is text, not \['a'\]", "id"),
        ({"encoding": 5}, "encoding is text, not 5", "encoding"),
    ],
    ids=["close", "unknown", "accept", "accept-type", "columns-type", "columns-bytes", "id-type", "encoding-type"],
)
def test_wishes_that_cannot_be_used_are_refused_by_name(wishes: dict[str, Any], says: str, field: str) -> None:
    with pytest.raises(BadConfig, match=says) as refused:
        options(wishes)
    assert refused.value.field == field


def test_numbers_of_numpy_are_numbers() -> None:
    found = options({"lessors": np.int64(3), "local_share": np.float64(0.5), "results_stay": np.bool_(True)})
    assert [type(each) for each in (found.lessors, found.local_share, found.results_stay)] == [int, float, bool]


@pytest.mark.parametrize("code", sorted(FAILURES))
def test_a_failed_job_is_an_error_of_its_codes_class(code: str) -> None:
    error = failure(JobReport(id="job-1", phase="failed", code=code, reason="use --max-error"))
    assert (type(error), vars(error)["code"]) == (FAILURES[code], code)
    said, _, advice = str(error).partition("; what to do: ")
    assert said == f"job-1 failed ({code}): use max_error"
    assert bool(advice) == (code in ADVICE)
    assert "--" not in advice


def test_a_lessors_own_code_is_kept_too() -> None:
    error = failure(JobReport(id="job-1", phase="failed", code="odd", reason="why"))
    assert (error.exit_code, vars(error)["code"]) == (1, "odd")
    assert isinstance(failure(JobReport(id="job-1", phase="failed", code="wrong-result")), VerificationFailed)


def test_a_job_is_shown_without_running_what_its_names_say() -> None:
    report = JobReport(id="job-1", phase="running", columns=("<script>",), rows=10, rows_done=5)
    assert line(report) == "<job-1 running 5 of 10 rows>"
    assert "<script>" not in html(report)
    assert "<b>running</b>" in html(report)
    assert "value='0.500'" in html(report)
    failed = JobReport(id="job-1", phase="failed", code="bad-data", reason="<i>")
    assert (line(failed), "bad-data: &lt;i&gt;" in html(failed)) == ("<job-1 failed (bad-data)>", True)


# Programs -------------------------------------------------------------------------------------------------------------


def test_linear_models_are_made_of_numbers() -> None:
    one = check(linear({"a": 2, "b": -1.0}, bias=0.5).onnx)
    assert (one.column_names, one.output_names) == (("a", "b"), ("result",))
    two = check(linear({"a": [2, 0], "b": (0, 1)}, bias=[1, 1], outputs=["u", "v"]).onnx)
    assert two.output_names == ("u", "v")
    assert check(linear({"a": [2, 0]}, outputs=["u", "v"]).onnx).width_out == 2
    arrays: Any = {"a": np.array([2, 0]), "b": np.array([0, 1])}
    assert check(linear(arrays, bias=[1, 1], outputs=["u", "v"]).onnx).digest == two.digest
    series: Any = pd.Series({"a": 2, "b": -1.0})
    assert check(linear(series, bias=0.5, outputs="result").onnx).digest == one.digest
    assert repr(linear({"a": 2})) == "Program(about='linear model of a')"
    for weights, bias in (({"a": [1.0, 2.0]}, 0.0), ({"a": 1.0}, [1.0, 2.0]), ({}, 0.0)):
        with pytest.raises(BadProgram, match="every column needs one weight per output"):
            linear(weights, bias)


@pytest.mark.parametrize(
    ("weight", "says"),
    [
        ("x", "is no number: 'x'"),
        (None, "is no number: "),
        ([1.0, "y"], "is no number: "),
        (10**400, "is no number: 1000"),
        (math.nan, "is not finite: nan"),
        ([1.0, -math.inf], "is not finite: "),
    ],
    ids=["text", "nothing", "text among numbers", "huge", "nan", "infinite among numbers"],
)
def test_weights_that_are_no_finite_numbers_are_refused(weight: Any, says: str) -> None:
    outputs = ["u", "v"][: len(weight) if isinstance(weight, list) else 1]
    with pytest.raises(BadProgram, match=f"a weight or bias {says}"):
        linear({"a": weight}, outputs=outputs)
    with pytest.raises(BadProgram, match="a weight or bias is no"):
        linear({"a": [1.0] * len(outputs)}, weight if isinstance(weight, list) else [weight], outputs)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: linear([1, 2]), "weights are given by column"),  # type: ignore[arg-type]
        (lambda: linear(pd.Series([1.0, 2.0], index=["a", "a"])), "two weights are of a column 'a'"),
        (lambda: linear({"a": 1}, outputs=[3]), "outputs are a list of names"),  # type: ignore[list-item]
        (lambda: linear({"a": 1}, outputs=3), "outputs are a list of names"),  # type: ignore[arg-type]
        (lambda: column_sum(5), "named by text, not 5"),  # type: ignore[arg-type]
        (lambda: column_sum(""), "needs a name"),
    ],
    ids=["weights", "twice", "output", "outputs", "sum", "nameless"],
)
def test_programs_of_other_arguments_are_refused_with_what_to_give(make: Callable[[], object], says: str) -> None:
    with pytest.raises(BadProgram, match=says):
        make()


def test_what_is_no_program_is_refused_with_what_would_be() -> None:
    torch = type("Linear", (), {"__module__": "torch.nn.modules.linear"})()
    for model, says in ((len, "a builtin_function_or_method is no program: bring"), (torch, "torch.onnx.export")):
        with pytest.raises(BadProgram, match=says):
            program_bytes(model)
    with pytest.raises(BadProgram, match=r"cannot read the program absent.onnx"):
        program_bytes("absent.onnx")
    assert program_bytes(bytearray(b"x")) == b"x"


def test_what_the_partner_says_for_itself_stands_where_advice_to_ask_it_would() -> None:
    report = JobReport(id="job-1", phase="failed", code=UNFIT, reason="the dataset does not fit")
    assert str(failure(report, ["row 3"])) == f"job-1 failed ({UNFIT}): the dataset does not fit; there: row 3"
    assert "ask the partner" in str(failure(report))
