"""What a user says of a model is held against the table before anything is published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.data.table import open_table
from nodes.programs.check import check
from nodes.programs.runtime import evaluate
from nodes.renter.submission import JobOptions, stage
from nodes.store.blobs import BlobStore
from schemas.errors import BadConfig, BadData, BadInput, BadProgram
from schemas.ids import derive_id
from schemas.jobs import JobSpec
from schemas.joint import Algorithm, AlgorithmName, Fitting
from tests.support import together as joint

JOB = derive_id("job", 1)
HEADER = "id,age,city,malignant,weight"
ROWS = ["p1,30,Rome,0,60", "p2,40,Bern,1,70.5", "p3,50,Oslo,1,80"]


def staged(folder: Path, rows: list[str], algorithm: AlgorithmName = "logistic", **wishes: Any) -> JobSpec:
    fitting = wishes.pop("fitting", {})
    program = wishes.pop("program", b"")
    (folder / "data.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    options: JobOptions = joint.model_wishes(algorithm, fitting, **wishes)
    blobs = BlobStore(folder / "blobs")
    return stage(folder / "data.csv", program, None, options, jobs=folder / "jobs", blobs=blobs, job_id=JOB)


def test_a_model_takes_all_columns_of_numbers_and_the_label_last(tmp_path: Path) -> None:
    spec = staged(tmp_path, ROWS)
    table = open_table(tmp_path / "jobs" / JOB / "table")
    assert table.columns == ("age", "weight", "malignant")
    assert table.read(0, 3).tolist() == [[30.0, 60.0, 0.0], [40.0, 70.5, 1.0], [50.0, 80.0, 1.0]]
    assert spec.joint is not None
    assert (spec.joint.program, spec.joint.outputs) == (None, 0)
    assert (spec.protection, spec.local_share) == ("sealed-result", 0.0)
    program = check(BlobStore(tmp_path / "blobs").get(spec.program))
    assert evaluate(program, table.read(0, 3)).tolist() == table.read(0, 3).tolist()


def test_columns_may_be_chosen_and_missing_values_filled(tmp_path: Path) -> None:
    staged(tmp_path, ["p0,,Rome,0,1", *ROWS], columns=("age",), missing="mean")
    table = open_table(tmp_path / "jobs" / JOB / "table")
    assert table.columns == ("age", "malignant")
    assert np.isnan(table.read(0, 1)[0, 0])


REFUSED: dict[str, tuple[list[str], dict[str, Any], type[BadInput], str]] = {
    "no such label": (ROWS, {"fitting": {"label": "sick"}}, BadData, "no column 'sick'"),
    "no such column": (ROWS, {"columns": ("age", "height")}, BadData, "no column 'height'"),
    "the label among the columns": (ROWS, {"columns": ("age", "malignant")}, BadConfig, "named as another column"),
    "the ids as label": (ROWS, {"fitting": {"label": "id"}}, BadConfig, "named as another column"),
    "a label of three kinds": ([*ROWS, "p4,1,Rome,2,3"], {}, BadData, "0 and 1"),
    "a label of one kind": (ROWS[1:], {}, BadData, "both of them"),
    "a label that is missing": ([*ROWS, "p4,1,Rome,,3"], {"missing": "mean"}, BadData, "missing in 1 of 4 rows"),
    "a value that is missing": ([*ROWS, "p4,,Rome,1,3"], {}, BadData, "'age'"),
    "a column that does not vary": (["p1,30,Rome,0,60", "p2,30,Bern,1,70"], {}, BadData, "'age' has the same value"),
    "missing values as NaN": (ROWS, {"missing": "nan"}, BadConfig, "refuse or mean"),
    "a program beside": (ROWS, {"program": b"p"}, BadConfig, "leave --program"),
    "a negative count": (["p1,1,R,-1,2", "p2,2,R,3,1"], {"algorithm": "poisson"}, BadData, "never negative"),
    "no id column": (ROWS, {"id_column": None}, BadConfig, "--id-column"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_fitted_is_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    rows, wishes, kind, said = REFUSED[name]
    with pytest.raises(kind, match=said):
        staged(tmp_path, rows, **wishes)
    assert not (tmp_path / "jobs" / JOB).exists()


def test_more_columns_than_a_ciphertext_has_slots_for_are_refused(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(42)]
    lines = [",".join(["id", *names, "malignant"])]
    lines += [",".join([f"p{row}", *(str(row + number) for number in range(42)), str(row)]) for row in (0, 1)]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    options, blobs = joint.model_wishes("ridge"), BlobStore(tmp_path / "blobs")
    with pytest.raises(BadProgram, match="at most 42 do"):
        stage(tmp_path / "data.csv", b"", None, options, jobs=tmp_path / "jobs", blobs=blobs, job_id=JOB)


def test_only_models_fill_missing_values(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a\n1\n\n")
    options, blobs = JobOptions(missing="mean"), BlobStore(tmp_path / "blobs")
    with pytest.raises(BadConfig, match="for models"):
        stage(tmp_path / "data.csv", b"", None, options, jobs=tmp_path / "jobs", blobs=blobs, job_id=JOB)


def test_a_model_takes_no_programs_or_rounds(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("\n".join([HEADER, *ROWS]))
    fitting = Fitting(algorithm=Algorithm(name="ridge", penalty_per_row=0.1), label="malignant")
    options, blobs = joint.wishes(fitting=fitting), BlobStore(tmp_path / "blobs")
    with pytest.raises(BadConfig, match="no partner's program"):
        stage(tmp_path / "data.csv", b"", None, options, jobs=tmp_path / "jobs", blobs=blobs, job_id=JOB)
