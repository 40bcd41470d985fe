"""`sublet run --joint` and `sublet demo --joint`: joint jobs on two tables in one process, through the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from nodes.cli import show
from nodes.cli.console import Output
from nodes.cli.inputs import Inputs
from nodes.cli.main import main
from nodes.cli.pooled import AgainstPooled
from nodes.cli.replayed import Half, both, replayed
from nodes.cli.together import Ended, JointRequest
from nodes.cli.together_results import Outcome, weights
from nodes.data.making import write_table
from nodes.data.manifest import Column
from nodes.data.port import Block
from nodes.data.reading import Reading
from nodes.programs.check import check
from nodes.renter.submission import JobOptions
from nodes.views.models import FitReport
from nodes.views.parts import PartReport
from nodes.views.report import JobReport, Joining
from schemas.errors import VerificationFailed
from tests.support import together as joint
from tests.support.terminals import LINES, captured, faults, screens
from tests.support.together import Case

FIT = ("--algorithm", "logistic", "--label", "malignant", "--key-bits", "2048")


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """Two files in the working folder; the insurer's ids have another name, and its rows another order."""
    monkeypatch.chdir(tmp_path)
    case = joint.make_breast(tmp_path)
    header, *rows = case.partner.read_text().splitlines()
    case.partner.write_text("\n".join([header.replace("id,", "person,", 1), *rows[:19:-1]]) + "\n")
    return case


def run(*options: str, ids: tuple[str, ...] = ("--id-column", "id", "--joint-id-column", "person")) -> int:
    return main(["run", "hospital.csv", "--joint", "insurer.csv", *ids, "--lessors", "1", *options])


def test_two_files_become_a_model_that_is_that_of_all_columns_in_one_place(
    case: Case, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(*FIT, "--outliers", "move", "--check", "--json", "--out", "weights.csv") == 0
    job = json.loads(capfd.readouterr().out)
    assert (job["state"], job["output"], job["joint"]["fit"]["rows"]) == ("completed", "weights.csv", 549)
    assert job["route"][-1] == "B11.B12 → B11 → A11 → C11 → C11.C12"
    assert job["pooled"]["scores_error"] < 1e-2
    assert job["pooled"]["joint"] > 0.99 > 0.95 > job["pooled"]["alone"]
    with Path("weights.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["column", "file", "weight"]
    assert [row[1] for row in rows] == ["hospital.csv"] * 10 + ["insurer.csv"] * 20 + [""]
    assert rows == [[each["column"], each["file"], repr(each["weight"])] for each in job["weights"]]
    found = np.array([float(row[2]) for row in rows])
    scores = case.mine[:, :-1] @ found[:10] + case.theirs @ found[10:-1] + found[-1]
    assert ((scores > 0) == case.mine[:, -1]).mean() > 0.9


def test_weights_that_the_partner_does_not_know_itself_are_not_told(tmp_path: Path) -> None:
    columns, values = (Column("name", "text"), Column("weight")), np.array([[2.0], [3.0], [-1.0]])
    write_table(tmp_path / "out", columns, [Block(values, (["a", "b", "intercept"],))], id_column="name")
    fit = FitReport(
        algorithm="ridge", label="y", rows=9, columns=("a", "b"), partner_columns=2, penalty=0.0, intercept=0.0, r2=0.5
    )
    joined = Joining(partner="C11.C12", dataset="other.csv", round=1, rounds=1, fits=True, fit=fit, ledger=())
    report = JobReport(id="job-1", phase="completed", output=tmp_path / "out", joint=joined)
    ended = Ended(report, cast(PartReport, SimpleNamespace(weights={}, offset=0.0)), ())
    asked = JointRequest(
        Inputs(tmp_path / "own.csv", b""), JobOptions(), tmp_path / "other.csv", "id", None, check=False
    )
    assert ended.linear is None
    assert list(weights(ended, asked)) == [("a", "own.csv", 2.0), ("b", "own.csv", 3.0), ("intercept", "", -1.0)]


@pytest.mark.parametrize(
    ("algorithm", "scored", "said"),
    [
        ("logistic", 0, "auc and log loss of both"),
        ("poisson", 0, "deviance of both"),
        ("ridge", 0, ""),
        ("logistic", 9, ""),
    ],
)
def test_a_model_says_which_of_its_figures_take_scores_of_rows_until_there_are_such(
    algorithm: str, scored: int, said: str
) -> None:
    fit = FitReport(
        algorithm=algorithm,
        label="y",
        rows=9,
        columns=("a",),
        partner_columns=2,
        penalty=0.0,
        intercept=0.0,
        r2=0.5,
        scored=scored,
    )
    lines = [str(each).strip() for each in show.fit_lines(fit)]
    assert [each for each in lines if "take rows' scores" in each] == (
        [f"{said} take rows' scores: a job with --score and --label"] if said else []
    )


def test_programs_run_on_both_tables_in_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    case = joint.make_case(tmp_path)
    programs = {"l": joint.lessors_program(), "p": joint.partner_program(), "u": joint.update_program()}
    for name, raw in programs.items():
        Path(f"{name}.onnx").write_bytes(raw)
    options = ("--program", "l.onnx", "--partner-program", "p.onnx", "--update", "u.onnx", "--rounds", "2", "--aligned")
    assert run(*options, ids=("--id-column", "id")) == 0
    _, *rows = csv.reader(capfd.readouterr().out.splitlines())
    expected = case.expected(2)
    found = np.array([[float(value) for value in row[1:]] for row in rows])
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


def test_programs_are_checked_against_plaintext_round_by_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    joint.make_overlapping(tmp_path)
    programs = {"l": joint.lessors_program(), "p": joint.partner_program(), "u": joint.update_program(ends=True)}
    for name, raw in programs.items():
        Path(f"{name}.onnx").write_bytes(raw)
    options = ("--program", "l.onnx", "--partner-program", "p.onnx", "--update", "u.onnx", "--rounds", "3")
    assert run(*options, "--parameters", "1,2,3", "--check", "--json", ids=("--id-column", "id")) == 0
    assert 0 < json.loads(capfd.readouterr().out)["error"] < 1e-6


def test_outputs_that_differ_from_plaintext_end_with_5(tmp_path: Path) -> None:
    """Of 300 rows, one of the partner's numbers is another in what they are held against."""
    case = joint.make_case(tmp_path)
    wanted = joint.wishes(parameters=(1.0, 2.0, 3.0)).joint
    assert wanted is not None
    columns = (Column("round", "text"), Column("a"), Column("b"))
    outputs = Block(case.expected(3, (1.0, 2.0, 3.0)), (["1", "2", "3"],))
    write_table(tmp_path / "out", columns, [outputs], id_column="round")
    here, there = (Half(each, Reading("id")) for each in (case.renter, case.partner))
    lessors, partner = check(joint.lessors_program()), check(wanted.program)
    assert replayed(tmp_path / "out", both(here, there, lessors, partner), lessors, wanted).good
    first, second, *rest = case.partner.read_text().splitlines(keepends=True)
    case.partner.write_text("".join([first, second.replace(",", ",9", 1), *rest]))
    other = replayed(tmp_path / "out", both(here, there, lessors, partner), lessors, wanted)
    asked = JointRequest(Inputs(tmp_path, b""), JobOptions(), tmp_path, "id", None, check=True)
    outcome = Outcome(asked, Ended(JobReport(id="job-1", phase="completed"), None, ()), None, other)
    with pytest.raises(VerificationFailed, match="of 3 rounds differ from plaintext") as found:
        outcome.deliver(Output(as_json=True))
    assert (found.value.code, found.value.exit_code) == ("different-from-plaintext", 5)


def test_a_model_is_fitted_and_rows_are_scored_with_it_in_one_go(case: Case, capfd: pytest.CaptureFixture[str]) -> None:
    header, *rows = case.renter.read_text().splitlines()
    case.renter.write_text("\n".join([header, *rows[:450]]) + "\n")
    Path("new.csv").write_text("\n".join([header, *rows[450:], "nobody" + rows[0][rows[0].index(",") :]]) + "\n")
    assert run(*FIT, "--outliers", "move", "--score", "new.csv", "--json", "--out", "scores.csv") == 0
    job = json.loads(capfd.readouterr().out)
    assert (job["joint"]["fit"]["rows"], len(job["weights"]), job["output"]) == (430, 31, "scores.csv")
    fit = job["scored"]["joint"]["fit"]
    assert fit["scored"] == 119
    assert fit["auc"] > 0.98
    with Path("scores.csv").open(newline="") as file:
        named, *scores = csv.reader(file)
    assert named == ["id", "score", "probability"]
    assert [row[0] for row in scores] == [row.partition(",")[0] for row in rows[450:]]
    kept = {row.partition(",")[0]: place for place, row in enumerate(rows)}
    weights = np.array([each["weight"] for each in job["weights"]])
    places = [kept[row[0]] for row in scores]
    expected = case.mine[places, :-1] @ weights[:10] + case.theirs[places] @ weights[10:-1] + weights[-1]
    found = np.array([float(row[1]) for row in scores])
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_few_rows_without_a_label_are_scored_with_the_other_partys_columns_in_a_file_of_their_own(
    case: Case, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = [line.rpartition(",")[0] for line in case.renter.read_text().splitlines()]
    Path("new.csv").write_text("\n".join([lines[0], *lines[-3:]]) + "\n")
    others = case.partner.read_text().splitlines()
    Path("others.csv").write_text("\n".join([others[0], *others[1:30]]) + "\n")
    assert run(*FIT, "--outliers", "move", "--score", "new.csv", "--score-joint", "others.csv") == 0
    said = capfd.readouterr()
    assert [line.partition(",")[0] for line in said.out.splitlines()] == [
        "id",
        *(line.partition(",")[0] for line in lines[-3:]),
    ]
    assert "worst_radius" in said.err


def test_a_refusal_says_what_the_other_side_found_and_what_to_do(case: Case, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(*FIT) == 4
    said = capfd.readouterr().err.splitlines()
    assert any(line.startswith("sublet: insurer.csv: ") and "rows stand alone" in line for line in said)
    assert any(line.startswith("what to do: --outliers move") for line in said)


@pytest.mark.parametrize(
    ("options", "ids", "said"),
    [
        ((), ("--id-column", "id"), "--algorithm and --label, or --partner-program"),
        (("--algorithm", "ridge"), ("--id-column", "id"), "--label"),
        (FIT, (), "--id-column"),
        ((*FIT, "--check", "--no-partner-coefficients"), ("--id-column", "id"), "--check"),
        ((*FIT, "--joint", "nowhere.csv"), ("--id-column", "id"), "nowhere.csv"),
    ],
    ids=["nothing to compute", "no label", "no ids", "nothing to check with", "no file"],
)
def test_what_cannot_be_a_joint_job_is_refused_before_a_network_is_started(
    case: Case, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], ids: tuple[str, ...], said: str
) -> None:
    Path("p.onnx").write_bytes(joint.partner_program())
    Path("l.onnx").write_bytes(joint.lessors_program())
    program = () if "--algorithm" in options else ("--program", "l.onnx")
    assert run(*options, *program, ids=ids) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("options", [("--label", "y"), ("--rounds", "2"), ("--joint-id-column", "person")])
def test_options_of_a_joint_job_need_the_other_table(
    folder: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    assert main(["run", "good.csv", "--linear", "weights.csv", *options]) == 2
    assert "--joint" in capsys.readouterr().err


def test_a_model_that_differs_from_the_pooled_one_ends_with_5(tmp_path: Path) -> None:
    asked = JointRequest(Inputs(tmp_path, b""), JobOptions(), tmp_path, "id", None, check=True)
    against = AgainstPooled(
        rows=9, weights_error=0.1, scores_error=0.1, figure="auc", joint=0.6, pooled=0.8, alone=0.5, standard=()
    )
    ended = Ended(JobReport(id="job-1", phase="completed"), None, ())
    with pytest.raises(VerificationFailed) as found:
        Outcome(asked, ended, None, against).deliver(Output(as_json=True))
    assert (found.value.code, found.value.exit_code) == ("different-from-pooled", 5)


def test_the_demonstration_of_two_parties_shows_all_and_leaves_its_files(
    tmp_path: Path,
) -> None:
    files = tmp_path / "files"
    lines = captured(["demo", "--joint", "--files", str(files)], 80, {"TMPDIR": str(tmp_path)})
    assert [each for each in faults(lines, 80) if str(files) not in each] == []
    assert max(screens(lines[: lines.index(next(each for each in lines if each.startswith("files")))])) < LINES
    said = "\n".join(lines)
    for part in (
        "B11.B12 → B11 → A11 → C11 → C11.C12",
        "529 in common",
        "  3  ",
        "worst_radius",
        "hospital alone 0.93",
        "joint 0.99",
        "schur-statistics",
    ):
        assert part in said
    assert said.count("allowed: ok") == 2
    assert {each.name for each in files.iterdir()} >= {"hospital.csv", "insurer.csv"}


def test_files_of_the_demonstration_overwrite_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--joint", "--files", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert main(["demo", "--files", str(tmp_path / "new")]) == 2
    assert "--joint" in capsys.readouterr().err
