"""Every bad input ends with exit code 2 (or what the README says) and a message that says what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from nodes.cli.main import main
from schemas import errors

LINEAR = ["--linear", "weights.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["good.csv", "--linear", "other-weights.csv"], "good.csv has no column 'z'; its columns are: id, a, b, c"),
        (["nan.csv", *LINEAR], "row 2, column 'b': the value is missing"),
        (["text.csv", *LINEAR], "row 2, column 'c': 'three' is not a number"),
        (["empty.csv", *LINEAR], "empty.csv is empty; the first line must name the columns"),
        (["headed.csv", *LINEAR], "headed.csv has a header but no rows"),
        (["missing.csv", *LINEAR], "cannot read missing.csv: No such file"),
        (["good.csv"], "one of --program, --linear and --aggregate"),
        (["good.csv", *LINEAR, "--aggregate", "sum:a"], "one of --program, --linear and --aggregate"),
        (["good.csv", "--aggregate", "mean:a"], "write sum:COLUMN"),
        (["good.csv", "--aggregate", "sum:z"], "no column 'z'"),
        (["good.csv", "--linear", "missing.csv"], "cannot read the program missing.csv"),
        (["good.csv", "--linear", "empty.csv"], "the weights need a header"),
        (["good.csv", "--program", "noise.onnx"], "noise"),
        (["good.csv", "--program", "strange.onnx"], "the operator StringNormalizer is not allowed"),
        (["good.csv", "--program", "external.onnx"], "lie outside of the model's folder"),
        (["good.csv", "--program", "sigmoid.onnx", "--protection", "homomorphic"], "Sigmoid is not linear"),
        (["good.csv", *LINEAR, "--id-column", "name"], "no column 'name'"),
        (["good.csv", *LINEAR, "--local-program", "sigmoid.onnx"], "the local program takes 3 columns"),
        (["good.csv", *LINEAR, "--max-error", "0"], "max_error"),
        (["good.csv", *LINEAR, "--out", "nowhere/out.csv"], "there is no folder"),
        (["good.csv", *LINEAR, "--protection", "rot13"], "'rot13' is not one of 'auto', 'homomorphic', 'enclave',"),
        (["good.csv", *LINEAR, "--lessors", "0"], "--lessors"),
        (["good.csv", *LINEAR, "--scheme", "ckks"], "--results-stay"),
    ],
)
def test_bad_input_ends_with_2_and_says_what_is_wrong(
    folder: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    if message == "noise":
        message = "ONNX"
    assert main(["run", *arguments]) == 2
    said = capfd.readouterr()
    assert message in unboxed(said.err)
    assert said.out == ""
    assert "Traceback" not in said.err


def test_no_matching_sell_order_in_time_fails_the_job(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--match-seconds", "0.3", "--price-max", "0", "--json"]
    assert main(["run", "good.csv", *LINEAR, *options]) == 1
    said = capfd.readouterr()
    job = json.loads(said.out)
    assert (job["state"], job["code"], job["output"]) == ("failed", "no-match", None)
    assert "no compute for this job" in job["reason"]
    assert said.err.rstrip().endswith(job["reason"])


def test_errors_are_json_too(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "empty.csv", *LINEAR, "--json"]) == 2
    said = capfd.readouterr()
    error = json.loads(said.out)
    assert error["exit_code"] == 2
    assert error["error"] in said.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.JobFailed("x"), 1),
        (errors.BadData("x"), 2),
        (errors.BrokerUnreachable("x"), 3),
        (errors.PolicyRefused("x"), 4),
        (errors.VerificationFailed("x", code="y"), 5),
        (KeyboardInterrupt(), 130),
        (RuntimeError("x"), 1),
    ],
)
def test_each_error_has_its_exit_code(monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("nodes.network_init.create", fail)
    assert main(["network", "init", "somewhere"]) == code


def test_what_was_not_expected_is_one_line_and_with_debug_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the\nroof is on fire")

    monkeypatch.setattr("nodes.network_init.create", fail)
    assert main(["network", "init", "somewhere"]) == 1
    assert capsys.readouterr().err == (
        "sublet: unexpected: RuntimeError: the; run `sublet --debug …` for the traceback\n"
    )
    assert main(["--debug", "network", "init", "somewhere"]) == 1
    assert "roof is on fire" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["fly"], ["run"], ["job", "show"], ["run", "good.csv", "--colour"]])
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    assert main(arguments) == 2


@pytest.mark.parametrize("group", [[], ["job"], ["order"], ["events"], ["network"]])
def test_every_group_has_help(capfd: pytest.CaptureFixture[str], group: list[str]) -> None:
    assert main([*group, "--help"]) == 0
    assert "Commands" in capfd.readouterr().out


def unboxed(text: str) -> str:
    """The text of usage errors, which come in a box."""
    return re.sub(r"[\s│]+", " ", text)
