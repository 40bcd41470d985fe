"""A joint job in small: two tables of the same rows, three programs, and what they give in plaintext."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer

from nodes.data.reading import Reading
from nodes.joint.updates import update
from nodes.local_partner import LocalPartner
from nodes.partner.activities.services import Dataset
from nodes.programs.check import check
from nodes.programs.runtime import evaluate
from nodes.renter.invitation import Invitation
from nodes.renter.submission import JobOptions
from schemas.joint import Algorithm, Fitting, Outliers
from tests.unit.nodes.programs.models import data as serialised
from tests.unit.nodes.programs.models import model, node

ROWS: Final = 300
RECEIVED_WEIGHTS: Final = np.array([[1.0, 0.0], [0.5, 0.0], [0.0, -2.25], [0.0, 1.0]], dtype=np.float32)
LOCAL_WEIGHTS: Final = np.array([[0.125, 0.0], [3.0, 0.7]], dtype=np.float32)
RATE: Final = -0.01
DATASET: Final = "claims"

Floats = NDArray[np.float64]


def lessors_program() -> bytes:
    """A sigmoid of the rows' weighted sum, and the rows times it: [N, 4] of columns [N, 3] and parameters [N, 3]."""
    nodes = [
        node("Mul", ["x", "parameters"], ["weighted"]),
        node("ReduceSum", ["weighted", "columns"], ["score"], keepdims=1),
        node("Sigmoid", ["score"], ["p"]),
        node("Mul", ["x", "p"], ["xp"]),
        node("Concat", ["p", "xp"], ["y"], axis=1),
    ]
    inputs = {"x": 3, "parameters": 3}
    return serialised(model(nodes, inputs=inputs, constants={"columns": np.array([1], dtype=np.int64)}))


def partner_program(*, per_row: bool = False) -> bytes:
    """Two sums over rows of what is received and what the partner has; or, refused, a result per row."""
    nodes = [
        node("Gemm", ["received", "r"], ["a"]),
        node("Gemm", ["local", "l"], ["b"]),
        node("Add", ["a", "b"], ["y" if per_row else "each"]),
    ]
    if not per_row:
        nodes.append(node("ReduceSum", ["each", "rows"], ["y"], keepdims=1))
    constants = {"r": RECEIVED_WEIGHTS, "l": LOCAL_WEIGHTS}
    constants |= {} if per_row else {"rows": np.array([0], dtype=np.int64)}
    return serialised(model(nodes, inputs={"received": 4, "local": 2}, constants=constants))


def update_program(*, ends: bool = False) -> bytes:
    """A step against the output; with `ends` it wants no further round."""
    weights = RATE * np.array([[1.0, 0.0, 0.5], [0.0, 1.0, -0.5]], dtype=np.float32)
    nodes = [node("Gemm", ["output", "w"], ["step"]), node("Add", ["parameters", "step"], ["following"])]
    constants: dict[str, Any] = {"w": weights}
    outputs = ["following"]
    if ends:
        nodes += [node("Gemm", ["output", "none", "one"], ["done"])]
        constants |= {"none": np.zeros((2, 1), dtype=np.float32), "one": np.ones(1, dtype=np.float32)}
        outputs.append("done")
    return serialised(model(nodes, inputs={"output": 2, "parameters": 3}, outputs=outputs, constants=constants))


@dataclass(frozen=True, slots=True)
class Case:
    """The files of both sides, and their numbers."""

    renter: Path
    partner: Path
    mine: Floats
    theirs: Floats

    def expected(self, rounds: int, start: Sequence[float] = (0.0, 0.0, 0.0)) -> Floats:
        """The outputs [rounds, 2] in plaintext."""
        program, updating = check(lessors_program()), check(update_program())
        parameters, found = np.array(start), []
        for _ in range(rounds):
            repeated = np.broadcast_to(parameters, (len(self.mine), 3))
            sealed = evaluate(program, np.concatenate([self.mine, repeated], axis=1))
            each = sealed @ RECEIVED_WEIGHTS.astype(np.float64) + self.theirs @ LOCAL_WEIGHTS.astype(np.float64)
            found.append(each.sum(axis=0))
            parameters, _ = update(updating, found[-1][None, :], parameters)
        return np.array(found)


def make_case(folder: Path, rows: int = ROWS) -> Case:
    """Write both sides' tables into `folder`."""
    random = np.random.default_rng(rows)
    mine, theirs = np.round(random.normal(size=(rows, 3)), 3), np.round(random.normal(size=(rows, 2)) * 50, 2)
    ids = [f"person-{number}" for number in random.permutation(rows)]
    renter, partner = folder / "hospital.csv", folder / "insurer.csv"
    _write(renter, ["id", "x0", "x1", "x2"], ids, mine)
    _write(partner, ["id", "premium", "claims"], ids, theirs)
    return Case(renter, partner, mine, theirs)


def make_overlapping(folder: Path, rows: int = ROWS, shared: int = ROWS // 2) -> Case:
    """As `make_case`, but each side has rows that the other lacks, and an order of its own; the numbers are of those
    that are shared, in the renter's order."""
    random = np.random.default_rng(rows + shared)
    whole = 2 * rows - shared
    mine, theirs = np.round(random.normal(size=(whole, 3)), 3), np.round(random.normal(size=(whole, 2)) * 50, 2)
    renters, partners = random.permutation(rows), random.permutation(np.arange(rows - shared, whole))
    renter, partner = folder / "hospital.csv", folder / "insurer.csv"
    _write(renter, ["id", "x0", "x1", "x2"], [f"person-{each}" for each in renters], mine[renters])
    _write(partner, ["id", "premium", "claims"], [f"person-{each}" for each in partners], theirs[partners])
    both = renters[renters >= rows - shared]
    return Case(renter, partner, mine[both], theirs[both])


def policy(folder: Path, **changed: Any) -> Path:
    """A policy file that covers the case, but for what is changed; `top` stands before the rule."""
    rule: dict[str, Any] = {
        "renters": '["A11.A12"]',
        "datasets": f'["{DATASET}"]',
        "programs": '["*"]',
        "algorithms": '["*"]',
        "rounds_max": 5,
    }
    top = changed.pop("top", "")
    rule |= changed
    path = folder / "policy.toml"
    path.write_text(f"{top}\n[[allow]]\n" + "".join(f"{name} = {value}\n" for name, value in rule.items()))
    return path


def local_partner(case: Case, policy_file: Path, outliers: Outliers = "refuse", **settings: Any) -> LocalPartner:
    """The partner C12 with the case's table."""
    return LocalPartner({DATASET: Dataset(case.partner, Reading(id_column="id"), outliers)}, policy_file, settings)


def wishes(job: Mapping[str, Any] | None = None, **invited: Any) -> JobOptions:
    """What the renter asks for, but for what is changed of the job, or of the invitation."""
    asked: dict[str, Any] = {
        "partner": "C11.C12",
        "dataset": DATASET,
        "program": partner_program(),
        "rounds": 3,
        "update": update_program(),
        "aligned": True,
    }
    options: dict[str, Any] = {"id_column": "id", "accept_software_enclave": True, "batch_rows": 50} | dict(job or {})
    return JobOptions(joint=Invitation(**(asked | invited)), **options)


def _write(path: Path, names: Sequence[str], ids: Sequence[str], values: Floats) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([name, *row] for name, row in zip(ids, values.tolist(), strict=True))


LABEL: Final = "malignant"


def make_breast(folder: Path, rows: int | None = None) -> Case:
    """The breast cancer data: the hospital has the label and the 10 columns of errors, the insurer the other 20."""
    data = load_breast_cancer()
    values, label = data.data[:rows], 1.0 - data.target[:rows]
    names = [str(name).replace(" ", "_") for name in data.feature_names]
    mine, theirs = values[:, 10:20], np.hstack([values[:, :10], values[:, 20:]])
    ids = [f"patient-{number}" for number in np.random.default_rng(1).permutation(len(values))]
    hospital, insurer = folder / "hospital.csv", folder / "insurer.csv"
    _write(hospital, ["id", *names[10:20], LABEL], ids, np.column_stack([mine, label]))
    _write(insurer, ["id", *names[:10], *names[20:]], ids, theirs)
    return Case(hospital, insurer, np.column_stack([mine, label]), theirs)


def model_wishes(algorithm: str, fitting: Mapping[str, Any] | None = None, **job: Any) -> JobOptions:
    """What a renter asks for who wants a model fitted."""
    known = {"penalty_per_row", "renter_bits", "partner_bits", "partner_coefficients"}
    given = dict(fitting or {})
    aligned = given.pop("aligned", True)
    agreed = {"penalty_per_row": 1e-3, **{name: given.pop(name) for name in known & given.keys()}}
    asked: dict[str, Any] = {"label": LABEL, "key_bits": 2048, "outliers": "move"} | given
    wanted = Fitting(algorithm=Algorithm(name=algorithm, **agreed), **asked)  # type: ignore[arg-type]
    invited = Invitation(partner="C11.C12", dataset=DATASET, fitting=wanted, aligned=aligned)
    options: dict[str, Any] = {"id_column": "id", "accept_software_enclave": True} | job
    return JobOptions(joint=invited, **options)


def make_wide(folder: Path, rows: int, columns: int) -> Case:
    """Ordinary numbers of the same rows: 3 columns and a label at the renter, so many at the partner."""
    random = np.random.default_rng(rows)
    mine, theirs = random.normal(size=(rows, 3)), np.round(random.normal(size=(rows, columns)), 4)
    label = np.round(mine.sum(axis=1) + theirs @ random.normal(size=columns) / 8 + random.normal(size=rows), 4)
    mine = np.round(np.column_stack([mine, label]), 4)
    ids = [f"person-{number}" for number in range(rows)]
    renter, partner = folder / "hospital.csv", folder / "insurer.csv"
    _write(renter, ["id", "x0", "x1", "x2", LABEL], ids, mine)
    _write(partner, ["id", *(f"c{number}" for number in range(columns))], ids, theirs)
    return Case(renter, partner, mine, theirs)
