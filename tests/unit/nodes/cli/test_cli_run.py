"""`sublet run` and `sublet demo`: whole jobs in one process, through the command line."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nodes
from nodes.cli import main as cli
from nodes.cli.main import main
from schemas.limits import CHARGED_SECONDS_MIN_DEFAULT
from schemas.orders import PROTECTIONS
from tests.support.terminals import LINES, captured, faults, screens
from tests.unit.nodes.programs.models import data, model, node


def expected(path: Path) -> list[float]:
    """What the weights in `conftest` make of a file."""
    with path.open(newline="") as file:
        return [2 * float(row["a"]) - float(row["b"]) + 0.5 * float(row["c"]) + 10 for row in csv.DictReader(file)]


@pytest.mark.parametrize("protection", PROTECTIONS)
def test_run_writes_the_ids_and_results_in_the_inputs_order(
    folder: Path, capfd: pytest.CaptureFixture[str], protection: str
) -> None:
    options = ["--protection", protection, "--id-column", "id", "--out", "out.csv", "--check", "--json"]
    assert main(["run", "good.csv", "--program", "linear.onnx", *options]) == 0
    job = json.loads(capfd.readouterr().out)
    assert (job["state"], job["protection"], job["rows"], job["output"]) == ("completed", protection, 60, "out.csv")
    assert job["max_abs_error"] <= (1e-6 if protection == "enclave" else 1e-3)
    assert job["assessment"]["chosen"] == protection
    lessors = {each["lessor"] for each in job["contracts"]}
    assert set() < lessors <= {"B11.B12", "B11.B13"}
    assert job["route"] == [f"A11.A12 → A11 → B11 → {lessor}" for lessor in sorted(lessors)]
    assert sum(each["rows"] for each in job["contracts"]) == 60 - 6  # a tenth stays
    assert ("not confidential" in job["confidential"]) == (protection != "homomorphic")
    with (folder / "out.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["id", "result"]
    assert [row[0] for row in rows] == [f"p{number}" for number in range(1, 61)]
    np.testing.assert_allclose([float(row[1]) for row in rows], expected(folder / "good.csv"), atol=1e-4)


def test_columns_are_taken_as_the_user_orders_them(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A program that names no columns would take them as they stand."""
    (folder / "three.csv").write_text("b,target,a\n2,9,1\n")
    unnamed = model([node("MatMul", ["x", "w"], ["y"])], {"x": 2}, constants={"w": [[100.0], [1.0]]})
    (folder / "unnamed.onnx").write_bytes(data(unnamed))
    options = ["--protection", "enclave", "--check", "--lessors", "1"]
    assert main(["run", "three.csv", "--program", "unnamed.onnx", "--columns", "a,b", *options]) == 0
    assert capfd.readouterr().out.splitlines()[1] == "1,102.0"


def test_run_prints_the_result_alone_on_stdout(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "good.csv", "--aggregate", "sum:b", "--check", "--lessors", "1"]) == 0
    said = capfd.readouterr()
    header, value = said.out.splitlines()
    assert header == "sum_b"
    assert float(value) == pytest.approx(-sum(range(1, 61)), abs=1e-6)
    assert "protection  homomorphic, " in said.err
    assert "they see    … " in said.err
    assert "largest difference to plaintext" in said.err
    assert "software" in said.err


def test_auto_takes_an_enclave_for_what_cannot_run_on_ciphertext(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["--id-column", "id", "--json", "--check", "--lessors", "1"]
    assert main(["run", "good.csv", "--program", "sigmoid.onnx", *options]) == 0
    job = json.loads(capfd.readouterr().out)
    assert (job["asked"], job["protection"]) == ("auto", "enclave")
    assert job["max_abs_error"] <= 1e-6


def test_auto_takes_an_enclave_when_encryption_is_not_afforded(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--encrypt-seconds-max", "0", "--json", "--check", "--lessors", "1"]
    assert main(["run", "good.csv", "--linear", "weights.csv", *options]) == 0
    assert json.loads(capfd.readouterr().out)["protection"] == "enclave"


def test_a_difference_beyond_the_tolerance_ends_with_5(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local program that magnifies the encoding's error."""
    errors: list[Any] = []
    tell = cli._report

    def keep(given: Sequence[str], said: str, exit_code: int, error: Exception) -> int:
        errors.append(error)
        return tell(given, said, exit_code, error)

    monkeypatch.setattr(cli, "_report", keep)
    options = ["--protection", "homomorphic", "--max-error", "0.5", "--local-program", "thousandfold.onnx"]
    weights = "name,weight\na,0.3\nb,0.7\nc,0.123\n"
    (folder / "odd-weights.csv").write_text(weights)
    assert main(["run", "good.csv", "--linear", "odd-weights.csv", *options, "--check", "--out", "out.csv"]) == 5
    assert [error.code for error in errors] == ["different-from-plaintext"]
    said = capfd.readouterr()
    assert "largest difference to plaintext" in said.err


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--program", "log.onnx", "--local-share", "1"], "bad-data"),
        (["--program", "log.onnx", "--local-share", "0"], "bad-data"),
        (["--linear", "weights.csv", "--local-program", "log-of-one.onnx"], "bad-program"),
    ],
    ids=["computed here", "computed in an enclave, and checked here", "as local program"],
)
def test_a_program_without_a_result_for_a_row_ends_with_2(
    folder: Path, capfd: pytest.CaptureFixture[str], options: list[str], code: str
) -> None:
    """The logarithm of a number below zero."""
    assert main(["run", "negative.csv", *options, "--lessors", "1", "--json"]) == 2
    assert json.loads(capfd.readouterr().out)["code"] == code


def test_the_demonstration_tells_a_story_of_each_protection_on_a_screen(tmp_path: Path) -> None:
    lines = captured(["demo"], 80, {"TMPDIR": str(tmp_path)})
    assert faults(lines, 80) == []
    assert max(screens(lines)) < LINES
    said = "\n".join(lines)
    stories = re.split(r"\n(?=[a-z-]+: [^\n]*──)", said)[1:]
    assert [each.partition(":")[0] for each in stories] == list(PROTECTIONS)
    for protection, story in zip(PROTECTIONS, stories, strict=True):
        assert_it_adds_up(story)
        assert re.search(r"they see    … ([0-9a-f]{2} ){16}… ", story)
        assert ("software enclaves protect nothing" in story) == (protection != "homomorphic")
        assert re.search(r"malignant with (\d\.\d{4})\d\d; in plaintext \1", story)
        assert "all 569 results equal plaintext" in story
    table = said.partition("against plaintext")[2]
    assert [line.split()[0] for line in table.splitlines() if line.endswith(" ok")] == list(PROTECTIONS)


def assert_it_adds_up(story: str) -> None:
    """All rows were computed once, and what is paid is what the time costs, however long a busy machine took, and
    whether it had both lessors in time."""
    rented = re.findall(r"A11\.A12 → A11 → B11 → B11\.B1[23]: (\d+) rows in \d+ batch", story)
    (stays,) = re.findall(r"stays here  (\d+) rows", story)
    assert sum(map(int, [*rented, stays])) == 569
    assert int(stays) == 57
    terms = r"cost +([\d.]+) for (\d) contracts?, ([\d.]+)(?: to ([\d.]+))? s each\s+at 1 per unit and hour"
    ((cost, contracts, least, most),) = re.findall(terms, story)
    assert int(contracts) == len(rented) in (1, 2)
    assert float(least) >= CHARGED_SECONDS_MIN_DEFAULT
    hours = [int(contracts) * float(seconds) / 3600 for seconds in (least, most or least)]
    assert hours[0] - 1e-4 <= float(cost) <= hours[1] + 1e-4


def test_the_demonstration_has_every_number_for_who_asks(tmp_path: Path) -> None:
    lines = captured(["demo", "--verbose"], 120, {"TMPDIR": str(tmp_path)})
    assert faults(lines, 120) == []
    said = "\n".join(lines)
    for protection in PROTECTIONS:
        assert f"assessment  {protection}: " in said
    assert said.count("estimate    about ") == len(PROTECTIONS)


def test_an_interrupted_run_ends_with_130_and_leaves_nothing(folder: Path) -> None:
    (folder / "tmp").mkdir()
    command = [sys.executable, "-c", "import sys; from nodes.cli.main import main; sys.exit(main())", "run", "good.csv"]
    waits = ["--linear", "weights.csv", "--price-max", "0", "--match-seconds", "60"]
    root = str(Path(nodes.__file__).parent.parent)
    environment = os.environ | {"TMPDIR": str(folder / "tmp"), "PYTHONPATH": root}
    with subprocess.Popen(
        [*command, *waits], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as run:
        assert run.stderr is not None
        assert any(" ordering" in line for line in run.stderr)
        run.send_signal(signal.SIGINT)
        rest = run.stderr.read()
        assert run.wait() == 130
    assert "Traceback" not in rest
    assert list((folder / "tmp").iterdir()) == []
