"""What a user asks of a partner is held against the lessors' program before anything is published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.cli.options import Together, Whom
from nodes.renter.submission import stage
from nodes.store.blobs import BlobStore
from schemas.errors import BadConfig, BadData, BadInput, BadProgram
from schemas.ids import derive_id
from schemas.jobs import JobSpec
from tests.support import together as joint
from tests.support.together import Case
from tests.unit.nodes.programs.models import data as serialised
from tests.unit.nodes.programs.models import model, node

JOB = derive_id("job", 1)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return joint.make_case(tmp_path, 30)


def staged(
    case: Case, folder: Path, lessors: bytes | None = None, job: dict[str, Any] | None = None, **invited: Any
) -> JobSpec:
    options, blobs = joint.wishes(job, **invited), BlobStore(folder / "blobs")
    program = lessors or joint.lessors_program()
    return stage(case.renter, program, None, options, jobs=folder / "jobs", blobs=blobs, job_id=JOB)


def gemm(inputs: dict[str, int], outputs: int) -> bytes:
    """The first input times a matrix, whatever the others are."""
    (first, width), *_ = inputs.items()
    nodes = [node("Gemm", [first, "w"], ["y"])]
    return serialised(model(nodes, inputs=inputs, constants={"w": np.ones((width, outputs), np.float32)}))


def test_a_job_with_a_partner_is_sealed_wholly_rented_and_knows_its_ids(case: Case, tmp_path: Path) -> None:
    spec = staged(case, tmp_path)
    assert (spec.protection, spec.local_share, spec.cut) == ("sealed-result", 0.0, None)
    assert spec.joint is not None
    assert (spec.joint.partner, spec.joint.outputs, spec.joint.rounds) == ("C11.C12", 2, 3)
    again = stage(
        case.renter,
        joint.lessors_program(),
        None,
        joint.wishes(),
        jobs=tmp_path / "jobs",
        blobs=BlobStore(tmp_path / "blobs"),
        job_id=derive_id("job", 2),
    )
    assert again.joint is not None
    assert again.joint.ids != spec.joint.ids, "the ids' digest is salted by the job"


def test_rows_are_found_by_their_ids_unless_both_sides_say_that_theirs_are_the_same(case: Case, tmp_path: Path) -> None:
    spec = staged(case, tmp_path, aligned=False)
    assert spec.joint is not None
    assert spec.joint.ids is None


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize(("line", "said"), [("", "1 of 31 rows have no id"), ("person-3", "1 of 31 ids were there")])
def test_ids_that_do_not_name_one_row_are_refused_with_their_count(
    case: Case, tmp_path: Path, line: str, said: str, aligned: bool
) -> None:
    case.renter.write_text(case.renter.read_text() + f"{line},1,2,3\n")
    with pytest.raises(BadData, match=said):
        staged(case, tmp_path, aligned=aligned)
    assert not (tmp_path / "jobs" / JOB).exists()


WRONG: dict[str, tuple[dict[str, Any], type[BadInput], str]] = {
    "another protection": ({"job": {"protection": "homomorphic"}}, BadConfig, "needs --protection sealed-result"),
    "rows without ids": ({"job": {"id_column": None}}, BadConfig, "--id-column"),
    "rounds without an update": ({"update": None}, BadConfig, "--update"),
    "too few parameters": ({"parameters": (1.0,)}, BadConfig, "1 numbers"),
    "no address": ({"partner": "C12"}, BadConfig, "out of range"),
    "too many rounds": ({"rounds": 10**6}, BadConfig, "out of range"),
    "another width": ({"program": gemm({"received": 3}, 1)}, BadProgram, "received, local"),
    "a partner's program without its inputs": ({"program": joint.lessors_program()}, BadProgram, "received, local"),
    "an update of other outputs": ({"update": gemm({"output": 3}, 3)}, BadProgram, "3 parameters of 2 outputs"),
    "an update of other parameters": ({"update": gemm({"output": 2}, 2)}, BadProgram, "makes 2"),
    "a sum at the lessors": (
        {"program": joint.partner_program(), "lessors": joint.partner_program()},
        BadProgram,
        "leave the sum to the partner",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_fit_is_refused_and_leaves_nothing(case: Case, tmp_path: Path, wrong: str) -> None:
    changed, kind, said = WRONG[wrong]
    given = dict(changed)
    with pytest.raises(kind, match=said):
        staged(case, tmp_path, given.pop("lessors", None), given.pop("job", None), **given)
    assert not (tmp_path / "jobs" / JOB).exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Whom(dataset="claims"), "--partner"),
        (Whom(partner="C11.C12"), "--dataset, and either --partner-program"),
        (Whom(partner="C11.C12", dataset="claims"), "--dataset, and either --partner-program"),
    ],
)
def test_half_an_invitation_names_what_is_missing(given: Whom, said: str) -> None:
    with pytest.raises(BadConfig, match=said):
        given.invitation(Together())
    assert Whom().invitation(Together()) is None
    with pytest.raises(BadConfig, match="--partner"):
        Whom().invitation(Together(rounds=2))


def test_a_models_options_become_what_both_sides_know_of_it_and_what_stays_here() -> None:
    given = Together(algorithm="ols", label="y", outliers="move", key_bits="2048")
    invitation = Whom(partner="C11.C12", dataset="claims").invitation(given)
    assert invitation is not None
    fitting = invitation.fitting
    assert fitting is not None
    assert (fitting.label, fitting.outliers, fitting.key_bits) == ("y", "move", 2048)
    assert (fitting.algorithm.name, fitting.algorithm.penalty_per_row) == ("ols", 0.0)
    assert fitting.algorithm.partner_coefficients


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"algorithm": "ridge"}, "--label"),
        ({"algorithm": "ridge", "label": "y", "bits": 99}, "out of range"),
        ({"algorithm": "ridge", "label": "y", "key_bits": "1024"}, "out of range"),
        ({"algorithm": "ridge", "label": "y", "key_bits": "many"}, "--key-bits"),
        ({"label": "y", "partner_program": Path("p.onnx")}, "--algorithm"),
    ],
)
def test_options_of_a_model_that_do_not_fit_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadConfig, match=said):
        Whom(partner="C11.C12", dataset="claims").invitation(Together(**options))


def test_rows_are_scored_or_a_model_is_fitted_and_not_both() -> None:
    scored = Whom(partner="C11.C12", dataset="claims", score="job-1")
    with pytest.raises(BadConfig, match="either --partner-program"):
        scored.invitation(Together(algorithm="ridge", label="y"))
    found = scored.invitation(Together(label="y"))
    assert found is not None
    assert (found.score, found.label, found.fitting) == ("job-1", "y", None)
