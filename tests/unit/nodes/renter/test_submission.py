"""What a user wishes for is checked before anything is published; what is refused says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodes.programs.build import linear
from nodes.renter.submission import JobOptions, stage
from nodes.store.blobs import BlobStore
from schemas.errors import BadConfig, BadProgram
from schemas.ids import derive_id
from schemas.jobs import JobSpec
from tests.unit.nodes.programs.models import data, model, node

PROGRAM = linear({"a": [2.0]}, [10.0])


SQUARE = data(model([node("Mul", ["a", "a"], ["y"])], inputs={"a": 1}))


def staged(folder: Path, program: bytes = PROGRAM, **options: Any) -> JobSpec:
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


@pytest.mark.parametrize("options", [{"scheme": "ckks", "results_stay": True}, {"scheme": "paillier-subgroup"}])
def test_schemes_are_part_of_the_job(tmp_path: Path, options: dict[str, Any]) -> None:
    spec = staged(tmp_path, **options)
    assert spec.scheme == options["scheme"]
    assert spec.results_stay == options.get("results_stay", False)


@pytest.mark.parametrize("options", [{"scheme": "rsa"}, {"noise": "loud"}])
def test_schemes_and_noise_that_do_not_exist_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(BadConfig, match="an option is out of range"):
        staged(tmp_path, **options)
