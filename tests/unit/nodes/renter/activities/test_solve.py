"""The renter's part of a model: output, program and report, of sums and of its own integers."""

from __future__ import annotations

import secrets
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import Ridge
from sklearn.metrics import log_loss, r2_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nodes.data.making import write_table
from nodes.data.manifest import Column
from nodes.data.port import Block
from nodes.data.table import Table
from nodes.homomorphic.paillier.slots import Layout
from nodes.joint import columns, rotation
from nodes.joint.categories import Encoding
from nodes.joint.encoding import Chosen
from nodes.joint.errors import TooRevealing
from nodes.joint.files import IntegerFiles
from nodes.joint.models import MODELS
from nodes.joint.rotation import Room
from nodes.programs.check import check
from nodes.programs.runtime import evaluate
from nodes.renter.activities.quantise import quantised
from nodes.renter.activities.solve import Fitted, solved
from nodes.renter.files.fits import read_fit
from nodes.renter.files.folder import JobFolder
from nodes.renter.files.solutions import read_solved, write_solved
from nodes.renter.protocol.records import Joined
from schemas.errors import JobFailed
from schemas.joint import Algorithm, AlgorithmName, Fitting

DATA = load_breast_cancer()
OURS, LABEL = DATA.data[:, :3], 1.0 - DATA.target
THEIRS = DATA.data[:, 20:23]


def fitting(name: AlgorithmName = "logistic", **changed: object) -> Fitting:
    return structs.replace(
        Fitting(algorithm=Algorithm(name=name, penalty_per_row=1e-3, renter_bits=20), label="label", outliers="move"),
        **changed,
    )


def table(folder: Path, values: np.ndarray = OURS) -> Table:
    names = [*(f"a{at}" for at in range(values.shape[1])), "label"]
    block = Block(np.column_stack([values, LABEL[: len(values)]]))
    return write_table(folder / "table", [Column(name) for name in names], [block], id_column=None)


ENCODING = Encoding(numbers=("a0", "a1", "a2"), label=("label",))


def joined(folder: Path, asked: Fitting) -> Joined:
    return quantised(Chosen(table(folder), None, ENCODING), asked, IntegerFiles(folder), folder / "joined")


def fitted(folder: Path, asked: Fitting) -> Fitted:
    """A whole model on plain numbers."""
    target = joined(folder, asked).target
    assert target is not None
    ours, theirs = IntegerFiles(folder).read(), columns.scaled(THEIRS, 16)
    penalty = asked.algorithm.penalty_per_row * len(LABEL)
    room = Room(Layout.widest(2048, ours.width), 1 << 19)
    turned = rotation.rotation(theirs, penalty, room, secrets.token_bytes(rotation.random_bytes(theirs.width)))
    moments = (
        turned.weights.astype(object) @ theirs.integers[:, :].astype(object).T @ ours.integers[:, :].astype(object)
    ).tolist()
    found = solved(ours, [[float(each) for each in row] for row in moments], turned.step_bits, asked.algorithm)
    by_integer = turned.coefficients(np.array(found.reply))
    norm = float(((by_integer * theirs.deviations) ** 2).sum())
    return Fitted(asked, ENCODING, ours, target, found, norm)


def test_the_output_and_the_program_say_the_same(tmp_path: Path) -> None:
    made, folder = fitted(tmp_path, fitting()), JobFolder(tmp_path)
    output = made.write(folder, tmp_path / "output")
    assert output.ids(0, output.rows) == ["a0", "a1", "a2", "intercept"]
    weights = output.read(0, output.rows)[:, 0]
    scores = evaluate(check(folder.model.read_bytes()), OURS)[:, 0]
    assert np.allclose(scores, OURS @ weights[:3] + weights[3])
    assert read_fit(folder) == made.report()
    assert made.write(folder, tmp_path / "again").read(0, 4).tolist() == output.read(0, 4).tolist()


def test_a_logistic_report_tells_figures_of_rows_of_the_renter_alone_and_of_both_what_sums_tell(
    tmp_path: Path,
) -> None:
    found = fitted(tmp_path, fitting()).report()
    penalty = 1e-3 * len(LABEL)
    both = np.hstack([OURS, THEIRS])
    joint, alone = (make_pipeline(StandardScaler(), Ridge(penalty)).fit(x, LABEL).predict(x) for x in (both, OURS))
    assert (found.auc, found.log_loss) == (None, None)
    assert found.r2 == pytest.approx(r2_score(LABEL, joint), abs=1e-3)
    assert found.alone is not None
    assert found.alone.r2 == pytest.approx(r2_score(LABEL, alone), abs=1e-3)
    assert found.alone.auc == pytest.approx(roc_auc_score(LABEL, alone), abs=1e-3)
    assert found.alone.log_loss is not None
    assert found.alone.log_loss < log_loss(LABEL, np.full(len(LABEL), LABEL.mean()))
    assert found.intercept == pytest.approx(MODELS["logistic"].target(LABEL).intercept)
    assert found.slope is not None
    assert "not the maximum" in found.approximate


def test_a_ridge_report_has_no_figures_of_classes(tmp_path: Path) -> None:
    found = fitted(tmp_path, fitting("ridge")).report()
    assert (found.auc, found.log_loss, found.slope, found.approximate) == (None, None, None, "")
    assert found.r2 is not None
    assert 0.6 < found.r2 < 0.9


def test_without_the_partners_norm_r2_is_a_lower_bound_and_says_so(tmp_path: Path) -> None:
    asked = fitting("ridge")
    made = fitted(tmp_path, asked)
    withheld = structs.replace(asked, algorithm=structs.replace(asked.algorithm, partner_coefficients=False))
    bound = Fitted(withheld, made.encoding, made.columns, made.target, made.solved, 0.0).report()
    assert bound.r2 is not None
    assert bound.r2 <= (made.report().r2 or 0.0)
    assert "withheld" in bound.approximate


def test_integers_are_the_rows_that_enclaves_get_and_sum_to_zero(tmp_path: Path) -> None:
    found = joined(tmp_path, fitting())
    given = IntegerFiles(tmp_path).read()
    assert found.rows == len(LABEL)
    assert given.integers[:, :].sum(axis=0).tolist() == [0, 0, 0, 0]
    assert int(np.abs(given.integers[:, :]).max()) < 1 << 19
    assert found.target is not None
    assert found.target.mean == pytest.approx(LABEL.mean())


def test_rows_that_stand_alone_are_refused_unless_they_may_be_moved(tmp_path: Path) -> None:
    alone = OURS.copy()
    alone[0] = 1e6
    values = Chosen(table(tmp_path, alone), None, ENCODING)
    with pytest.raises(TooRevealing) as raised:
        quantised(values, fitting(outliers="refuse"), IntegerFiles(tmp_path), tmp_path / "joined")
    assert raised.value.code == "high-leverage"
    found = quantised(values, fitting(), IntegerFiles(tmp_path), tmp_path / "joined")
    assert found.target is not None
    assert found.target.moved >= 1


def test_a_solution_that_was_changed_on_disk_is_none(tmp_path: Path) -> None:
    made, folder = fitted(tmp_path, fitting()), JobFolder(tmp_path)
    digest = write_solved(folder, made.solved)
    assert read_solved(folder, digest) == made.solved
    (path,) = (tmp_path / "rounds").iterdir()
    path.write_bytes(path.read_bytes().replace(b"weights", b"Weights"))
    with pytest.raises(JobFailed, match="changed on disk"):
        read_solved(folder, digest)
    path.unlink()
    with pytest.raises(JobFailed, match="gone"):
        read_solved(folder, digest)
