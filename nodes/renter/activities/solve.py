"""A model at the renter: the partner's rotated moments become weights, and these an output, a program and a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import structs

from nodes.data.making import write_table
from nodes.data.manifest import Column
from nodes.data.port import Block
from nodes.data.table import ROWS_AT_ONCE, Table
from nodes.joint import report, schur
from nodes.joint.columns import BLOCK_ROWS, Columns, Floats
from nodes.joint.models import MODELS
from nodes.joint.report import Calibration, Fit
from nodes.programs.build import linear
from nodes.renter.files.fits import OWN, FitReport, read_fit, write_fit
from nodes.renter.files.folder import JobFolder
from nodes.renter.files.solutions import Solved
from nodes.renter.protocol.records import Target
from nodes.whole import write_whole
from schemas.joint import Algorithm, Fitting

WITHHELD: Final = "r2 is at least this: the partner's weights are withheld"
INTERCEPT: Final = "intercept"
SCORE: Final = "score"


def solved(columns: Columns, moments: list[list[float]], step_bits: int, algorithm: Algorithm) -> Solved:
    """The renter's part of the model; the target is the last of the columns. Raises BadPeer."""
    found = schur.solved(columns, moments, step_bits, algorithm.penalty_per_row * columns.rows)
    part = columns.part(found.weights)
    return Solved(
        weights=tuple(part.weights.tolist()),
        offset=part.offset,
        norm=float(found.standard @ found.standard),
        reply=tuple(found.reply.tolist()),
        explained=found.explained,
        total=found.total,
        partner_columns=len(moments),
    )


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model whose parts are made."""

    fitting: Fitting
    names: tuple[str, ...]
    """Of the renter's columns."""
    columns: Columns
    """The renter's, and the target."""
    target: Target
    solved: Solved
    partner_norm: float

    def write(self, folder: JobFolder, aside: Path) -> Table:
        """The output as a table at `aside`, and program and report into the job's folder; again it gives the same."""
        weights = dict(zip(self.names, self.solved.weights, strict=True))
        constant = self.solved.offset + self.target.intercept
        program = linear({name: [weight] for name, weight in weights.items()}, [constant], [SCORE])
        write_whole(folder.model, program)
        write_fit(folder, self.report())
        lines = [*weights.items(), (INTERCEPT, constant)]
        block = Block(np.array([[value] for _, value in lines]), ([name for name, _ in lines],))
        return write_table(aside, [Column("name", "text"), Column("weight")], [block], id_column="name")

    def report(self) -> FitReport:
        """How good it is, of sums; and of the renter's own scores where there is a label to hold them against."""
        algorithm, solved, rows = self.fitting.algorithm, self.solved, self.columns.rows
        penalty, known = algorithm.penalty_per_row * rows, algorithm.partner_coefficients
        norm = solved.norm + self.partner_norm
        fit = Fit(rows, solved.total, solved.explained, solved.explained - penalty * norm)
        found = FitReport(
            algorithm=algorithm.name,
            rows=rows,
            columns=self.names,
            partner_columns=solved.partner_columns,
            penalty=penalty,
            intercept=self.target.intercept,
            r2=fit.r2,
            moved=self.target.moved,
            approximate="; ".join(filter(None, (MODELS[algorithm.name].approximation, "" if known else WITHHELD))),
        )
        return self._classified(found, fit) if algorithm.name == "logistic" else found

    def _classified(self, found: FitReport, fit: Fit) -> FitReport:
        scores, target, positive = self._own_scores(), self.columns.integers[:, -1], self.target.mean
        label = (np.asarray(target) > 0).astype(np.float64)  # of a target that sums to 0
        centred = target * self.columns.units[-1]
        own = Fit(fit.rows, fit.total, float(scores @ centred), float(scores @ scores))
        alone = report.calibration(own, positive, 0.0)
        joint = report.calibration(fit, positive, self.target.intercept)
        return structs.replace(
            found,
            auc=report.auc(label, scores),
            log_loss=report.log_loss(label, alone.probabilities(scores)),
            scores=OWN,
            slope=joint.slope,
            logit_at_mean=joint.intercept,
        )

    def _own_scores(self) -> Floats:
        """Of all rows, with a mean of 0."""
        by_integer = np.array(self.solved.weights) * self.columns.units[:-1]
        blocks = range(0, self.columns.rows, BLOCK_ROWS)
        return np.concatenate([self.columns.integers[at : at + BLOCK_ROWS, :-1] @ by_integer for at in blocks])


def write_scores(folder: JobFolder, aside: Path, rows: Table, scores: Floats) -> Table:
    """The scores [rows] of a joint model as a table at `aside`; behind them what they mean for the label."""
    fit, columns = read_fit(folder), {SCORE: scores}
    if fit is not None and fit.slope is not None and fit.logit_at_mean is not None:
        columns["probability"] = Calibration(fit.slope, fit.logit_at_mean, fit.intercept).probabilities(scores)
    elif fit is not None and fit.algorithm == "poisson":
        columns["mean"] = np.exp(scores)
    values, name = np.column_stack(list(columns.values())), rows.known.id_column or "row"
    blocks = (
        Block(values[first : first + ROWS_AT_ONCE], (rows.ids(first, min(ROWS_AT_ONCE, rows.rows - first)),))
        for first in range(0, rows.rows, ROWS_AT_ONCE)
    )
    return write_table(aside, [Column(name, "text"), *map(Column, columns)], blocks, id_column=name)
