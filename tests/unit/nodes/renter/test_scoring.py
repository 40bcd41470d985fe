"""Scoring rows with a model of an earlier job: what of it must be there, and what fits it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.data.table import open_table
from nodes.programs.build import linear
from nodes.renter import scoring
from nodes.renter.activities.solve import judged
from nodes.renter.files.fits import FitReport, read_fit, write_fit
from nodes.renter.files.folder import JobFolder
from nodes.renter.submission import stage
from nodes.store.blobs import BlobStore
from schemas.errors import BadConfig, BadData, BadInput
from schemas.ids import derive_id
from schemas.jobs import JobSpec
from schemas.joint import Algorithm, Fitting
from tests.support import together as joint

MODEL, JOB = derive_id("job", "model"), derive_id("job", "score")
FIT = FitReport(
    algorithm="ridge", label="y", rows=9, columns=("b", "a"), partner_columns=2, penalty=0.1, intercept=0.5, r2=0.5
)


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """With the folder of a job that fitted a model."""
    folder = JobFolder(tmp_path / "jobs" / MODEL)
    folder.make()
    folder.model.write_bytes(linear({"b": [1.0], "a": [2.0]}, [0.5], ["score"]))
    write_fit(folder, FIT)
    return tmp_path / "jobs"


def staged(jobs: Path, text: str = "id,a,b\nx,1,2\ny,3,4\n", program: bytes = b"", **invited: Any) -> JobSpec:
    (jobs.parent / "new.csv").write_text(text)
    asked: dict[str, Any] = {"program": b"", "rounds": 1, "update": None, "score": MODEL} | invited
    blobs = BlobStore(jobs.parent / "blobs")
    return stage(jobs.parent / "new.csv", program, None, joint.wishes(**asked), jobs=jobs, blobs=blobs, job_id=JOB)


def test_the_models_columns_are_taken_by_name_and_what_is_known_of_it_goes_along(jobs: Path) -> None:
    spec = staged(jobs)
    assert spec.joint is not None
    assert (spec.joint.score, spec.joint.program, spec.joint.outputs) == (MODEL, None, 1)
    assert open_table(jobs / JOB / "table").read(0, 2).tolist() == [[2.0, 1.0], [4.0, 3.0]]
    assert read_fit(JobFolder(jobs / JOB)) == FIT


@pytest.mark.parametrize(
    ("wishes", "kind", "said"),
    [
        ({"score": derive_id("job", "none")}, BadConfig, "has fitted a model"),
        ({"text": "id,a\nx,1\n"}, BadData, "no column 'b'"),
        ({"program": b"p"}, BadConfig, "takes no program"),
        ({"rounds": 2}, BadConfig, "rounds"),
        (
            {"fitting": Fitting(algorithm=Algorithm(name="ols", penalty_per_row=0.0), label="a")},
            BadConfig,
            "--algorithm or --score",
        ),
    ],
    ids=["no model", "a column that is missing", "a program", "rounds", "a model to fit"],
)
def test_what_does_not_fit_is_refused(jobs: Path, wishes: dict[str, Any], kind: type[BadInput], said: str) -> None:
    with pytest.raises(kind, match=said):
        staged(jobs, **wishes)
    assert not (jobs / JOB).exists()


def test_more_rows_than_come_back_in_one_message_are_refused(jobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "SCORES_MAX", 1)
    with pytest.raises(BadData, match="at most 1"):
        staged(jobs)


def test_labels_stay_beside_the_rows_that_are_scored(jobs: Path) -> None:
    staged(jobs, "id,a,b,y\nx,1,2,0.5\ny,3,4,1.5\n", label="y")
    assert open_table(jobs / JOB / "table").columns == ("b", "a")
    assert open_table(JobFolder(jobs / JOB).labels).read(0, 2).tolist() == [[0.5], [1.5]]


@pytest.mark.parametrize(
    ("text", "label", "said"),
    [
        ("id,a,b\nx,1,2\n", "y", "no column 'y'"),
        ("id,a,b,y\nx,1,2,\n", "y", "the value is missing"),
    ],
    ids=["none", "missing"],
)
def test_labels_that_cannot_be_used_are_refused(jobs: Path, text: str, label: str, said: str) -> None:
    with pytest.raises(BadData, match=said):
        staged(jobs, text, label=label)


def test_a_label_without_a_model_to_score_with_is_refused(jobs: Path) -> None:
    wanted = Fitting(algorithm=Algorithm(name="ols", penalty_per_row=0.0), label="a")
    with pytest.raises(BadConfig, match="give --score"):
        staged(jobs, score=None, fitting=wanted, label="b")


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"probability": [0.1, 0.9, 0.6, 0.2]}, {"auc": 1.0, "log_loss": 0.2362}),
        ({"mean": [0.1, 0.9, 0.6, 0.2]}, {"deviance": 0.2081}),
        ({}, {"r2": -4.4}),
    ],
    ids=["logistic", "poisson", "ridge"],
)
def test_scores_are_held_against_labels(columns: dict[str, list[float]], found: dict[str, float]) -> None:
    given = {name: np.array(values) for name, values in ({"score": [-2.0, 2.0, 0.4, -0.2]} | columns).items()}
    told = judged(FIT, np.array([0.0, 1.0, 1.0, 0.0]), given)
    assert told.scored == 4
    known = {name: getattr(told, name) for name in ("auc", "log_loss", "deviance", "r2")}
    assert known == pytest.approx({name: found.get(name) for name in known}, abs=1e-3)
