"""What a user wishes for is checked before anything is published; what is refused says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodes.programs.build import linear
from nodes.programs.check import check
from nodes.renter.files import outputs
from nodes.renter.invitation import Invitation
from nodes.renter.submission import JobOptions, stage
from nodes.store.blobs import BlobStore
from schemas import limits
from schemas.errors import BadConfig, BadData, BadProgram
from schemas.ids import derive_id
from schemas.jobs import CutNote, JobSpec
from tests.unit.nodes.programs.models import data, model, node

PROGRAM = linear({"a": [2.0]}, [10.0])


SQUARE = data(model([node("Mul", ["a", "a"], ["y"])], inputs={"a": 1}))


def staged(folder: Path, program: bytes = PROGRAM, **options: Any) -> JobSpec:
    folder.mkdir(exist_ok=True)
    (folder / "input.csv").write_text("a\n1\n2\n")
    return stage(
        folder / "input.csv",
        program,
        None,
        JobOptions(**options),
        jobs=folder / "jobs",
        blobs=BlobStore(folder / "blobs"),
        job_id=derive_id("job", 1),
    )


def test_products_of_columns_are_homomorphic_where_results_stay(tmp_path: Path) -> None:
    for wishes in ({"scheme": "auto"}, {"scheme": "paillier", "results_stay": True}):
        with pytest.raises(BadProgram, match="--scheme ckks --results-stay") as refused:
            staged(tmp_path, SQUARE, protection="homomorphic", **wishes)
        assert refused.value.operator == "Mul"
        assert not (tmp_path / "jobs").exists()
    assert staged(tmp_path, SQUARE, protection="homomorphic", scheme="ckks", results_stay=True).results_stay


def test_ckks_needs_results_that_stay(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="--results-stay") as refused:
        staged(tmp_path, scheme="ckks")
    assert refused.value.field == "scheme"
    assert not (tmp_path / "jobs").exists()


def test_bfv_is_not_for_results_of_partners(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="not for joint computation") as refused:
        staged(tmp_path, scheme="bfv", joint=Invitation(partner="C11.C12", dataset="people", program=SQUARE))
    assert refused.value.field == "scheme"
    assert not (tmp_path / "jobs").exists()


@pytest.mark.parametrize("options", [{"scheme": "bfv"}, {"scheme": "ckks", "results_stay": True}])
def test_enclaves_seal_under_paillier_and_nothing_else(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(BadConfig, match="enclaves seal results under Paillier") as refused:
        staged(tmp_path, protection="sealed-result", **options)
    assert refused.value.field == "scheme"
    assert not (tmp_path / "jobs").exists()


@pytest.mark.parametrize(
    "options", [{"scheme": "ckks", "results_stay": True}, {"scheme": "paillier-subgroup"}, {"scheme": "bfv"}]
)
def test_schemes_are_part_of_the_job(tmp_path: Path, options: dict[str, Any]) -> None:
    spec = staged(tmp_path, **options)
    assert spec.scheme == options["scheme"]
    assert spec.results_stay == options.get("results_stay", False)


@pytest.mark.parametrize(
    ("name", "wish", "says"),
    [("scheme", "rsa", "Invalid"), ("noise", "loud", "Invalid"), ("lessors", 0, "Expected `int` >= 1")],
)
def test_options_that_are_out_of_range_are_refused_by_name(tmp_path: Path, name: str, wish: Any, says: str) -> None:
    with pytest.raises(BadConfig, match=rf"^{name} cannot be {wish!r}: {says}") as refused:
        staged(tmp_path, **{name: wish})
    assert refused.value.field == name


def test_a_price_is_typed_in_units_and_travels_in_millionths(tmp_path: Path) -> None:
    assert staged(tmp_path, price_max=0.25).price_micros_max == 250_000
    assert staged(tmp_path / "again").price_micros_max == limits.PRICE_MICROS_MAX_DEFAULT


SCORE = node("MatMul", ["x", "w"], ["s"])
WEIGHTS = {"w": [[1.0], [2.0]]}
LOGISTIC = data(model([SCORE, node("Sigmoid", ["s"], ["y"])], inputs={"x": 2}, constants=WEIGHTS))


def staged_two(folder: Path, program: bytes, local: bytes | None = None, **options: Any) -> JobSpec:
    (folder / "input.csv").write_text("a,b\n1,2\n3,4\n")
    jobs, blobs, job_id = folder / "jobs", BlobStore(folder / "blobs"), derive_id("job", 1)
    return stage(folder / "input.csv", program, local, JobOptions(**options), jobs=jobs, blobs=blobs, job_id=job_id)


@pytest.mark.parametrize("protection", ["auto", "homomorphic"])
def test_where_ciphertext_may_be_chosen_a_program_is_staged_whole_and_in_two(tmp_path: Path, protection: str) -> None:
    spec = staged_two(tmp_path, LOGISTIC, protection=protection)
    assert spec.cut is not None
    blobs = BlobStore(tmp_path / "blobs")
    whole, beginning, rest = (check(blobs.get(each)) for each in (spec.program, spec.cut.beginning, spec.cut.rest))
    assert (whole.width_in, beginning.width_out, rest.width_in, rest.output_names) == (2, 1, 1, whole.output_names)
    told = outputs.read(tmp_path / "jobs" / spec.id)
    assert told.cut == CutNote(at=("s",), numbers=1, locally=("Sigmoid",), factor=0.25, flips=False)


@pytest.mark.parametrize(
    ("program", "protection"), [(LOGISTIC, "enclave"), (LOGISTIC, "sealed-result"), (PROGRAM, "auto"), (SQUARE, "auto")]
)
def test_what_needs_no_cut_or_gains_none_is_staged_whole(tmp_path: Path, program: bytes, protection: str) -> None:
    stage_one = staged_two if program is LOGISTIC else staged
    assert stage_one(tmp_path, program, protection=protection).cut is None
    assert outputs.read(tmp_path / "jobs" / derive_id("job", 1)).cut is None


def test_a_program_of_which_ciphertext_can_compute_nothing_worth_while_is_refused(tmp_path: Path) -> None:
    relu = data(model([node("Relu", ["x"], ["y"])], inputs={"x": 2}))
    with pytest.raises(
        BadProgram, match="gives nothing: 2 numbers per row would come back for its 2 columns"
    ) as refused:
        staged_two(tmp_path, relu, protection="homomorphic")
    assert refused.value.operator == "Relu"
    assert not (tmp_path / "jobs").exists()


def test_results_are_named_by_what_runs_last(tmp_path: Path) -> None:
    local = data(model([node("Neg", ["x"], ["n"])], inputs={"x": 1}, outputs=["n"]))
    spec = staged_two(tmp_path, LOGISTIC, local)
    assert outputs.read(tmp_path / "jobs" / spec.id).names == ("n",)


@pytest.mark.parametrize("local", [False, True], ids=["program", "local program"])
def test_an_id_column_that_is_called_as_a_result_is_refused(tmp_path: Path, local: bool) -> None:
    last = data(model([node("Neg", ["x"], ["a"])], inputs={"x": 1}, outputs=["a"])) if local else None
    program = LOGISTIC if local else linear({"b": [2.0]}, [0.0], ["a"])
    with pytest.raises(BadData, match="the id column 'a' is called as a result of the program") as refused:
        staged_two(tmp_path, program, last, id_column="a")
    assert refused.value.column == "a"
    assert not (tmp_path / "jobs").exists()


def test_at_least_more_lessors_than_at_most_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="at least 3 lessors and at most 2: raise --lessors") as refused:
        staged(tmp_path, lessors=2, lessors_min=3)
    assert refused.value.field == "lessors_min"
