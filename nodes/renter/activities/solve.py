"""A model at the renter: the partner's rotated moments become weights, and these an output, a program and a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import structs

from nodes.data.making import write_table
from nodes.data.manifest import Column
from nodes.data.port import Block
from nodes.data.table import ROWS_AT_ONCE, Table, open_table
from nodes.joint import report, schur
from nodes.joint.categories import Encoding
from nodes.joint.columns import Columns, Floats
from nodes.joint.files import column_of
from nodes.joint.masks import read_places
from nodes.joint.models import MODELS
from nodes.joint.report import Calibration, Fit
from nodes.programs.build import linear, linear_of_text
from nodes.renter.files.fits import Alone, FitReport, read_fit, write_fit, write_scored
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
    encoding: Encoding
    """Of the renter's columns."""
    columns: Columns
    """The renter's, and the target."""
    target: Target
    solved: Solved
    partner_norm: float

    def write(self, folder: JobFolder, aside: Path) -> Table:
        """The output as a table at `aside`, and program and report into the job's folder; again it gives the same."""
        weights = dict(zip(self._names, self.solved.weights, strict=True))
        constant = self.solved.offset + self.target.intercept
        write_whole(folder.model, self._program(weights, constant))
        write_fit(folder, self.report())
        lines = [*weights.items(), (INTERCEPT, constant)]
        block = Block(np.array([[value] for _, value in lines]), ([name for name, _ in lines],))
        return write_table(aside, [Column("name", "text"), Column("weight")], [block], id_column="name")

    @property
    def _names(self) -> tuple[str, ...]:
        return self.encoding.names[:-1]

    def _program(self, weights: Mapping[str, float], constant: float) -> bytes:
        if not self.encoding.texts:
            return linear({name: [weight] for name, weight in weights.items()}, [constant], [SCORE])
        numbers = {name: weights[name] for name in self.encoding.numbers}
        texts = {each.column: each.weights(weights) for each in self.encoding.texts}
        return linear_of_text(numbers, texts, constant, SCORE if SCORE not in (*numbers, *texts) else f"{SCORE} here")

    def report(self) -> FitReport:
        """How good it is, of sums; and how good the renter's columns are alone."""
        algorithm, solved, rows = self.fitting.algorithm, self.solved, self.columns.rows
        penalty, known = algorithm.penalty_per_row * rows, algorithm.partner_coefficients
        norm = solved.norm + self.partner_norm
        fit = Fit.penalised(rows, solved.total, solved.explained, penalty * norm)
        found = FitReport(
            algorithm=algorithm.name,
            label=self.fitting.label,
            rows=rows,
            columns=self._names,
            texts=self.encoding.texts,
            omitted=self.encoding.omitted,
            merged=tuple(self._names[at] for at in self.encoding.encoded if not self.columns.gram[at, at]),
            partner_columns=solved.partner_columns,
            penalty=penalty,
            intercept=self.target.intercept,
            r2=fit.r2,
            moved=self.target.moved,
            alone=self._alone(penalty),
            approximate="; ".join(filter(None, (MODELS[algorithm.name].approximation, "" if known else WITHHELD))),
        )
        if algorithm.name == "poisson":
            return structs.replace(found, log_mean_excess=report.log_mean_excess(fit))
        if algorithm.name == "logistic":
            joint = report.calibration(fit, self.target.mean, self.target.intercept)
            return structs.replace(found, slope=joint.slope, logit_at_mean=joint.intercept)
        return found

    def _alone(self, penalty: float) -> Alone:
        """Here every row's score is known."""
        found, positive = schur.alone(self.columns, penalty), self.target.mean
        own = Fit(self.columns.rows, found.total, found.explained, found.fitted)
        if self.fitting.algorithm.name != "logistic":
            return Alone(r2=own.r2)
        target = self.columns.column(self.columns.width - 1)
        label = np.asarray(target > 0, dtype=np.float64)  # for it sums to 0
        scores = self._scores(found.weights)
        chances = report.calibration(own, positive, 0.0).probabilities(scores)
        return Alone(r2=own.r2, auc=report.auc(label, scores), log_loss=report.log_loss(label, chances))

    def _scores(self, by_integer: Floats) -> Floats:
        """Of all rows by the renter's columns alone, with a mean of 0."""
        return np.concatenate([block[:, :-1] @ by_integer for _, block in self.columns.blocks()])


def write_scores(folder: JobFolder, aside: Path, rows: Table, scores: Floats) -> Table:
    """The scores [rows] of a joint model as a table at `aside`, behind them what they mean for the label; and how good
    they are into the job's folder, where there are labels."""
    fit, columns = read_fit(folder), {SCORE: scores}
    if fit is not None and fit.slope is not None and fit.logit_at_mean is not None:
        columns["probability"] = Calibration(fit.slope, fit.logit_at_mean, fit.intercept).probabilities(scores)
    elif fit is not None and fit.algorithm == "poisson":
        columns["mean"] = np.exp(scores - fit.log_mean_excess)
    if fit is not None and folder.labels.exists():
        places = read_places(folder.places) if folder.places.exists() else None
        label = column_of(open_table(folder.labels), places, 0)
        write_scored(folder, judged(fit, label, columns))
    values, name = np.column_stack(list(columns.values())), rows.known.id_column or "row"
    blocks = (
        Block(values[first : first + ROWS_AT_ONCE], (rows.ids(first, min(ROWS_AT_ONCE, rows.rows - first)),))
        for first in range(0, rows.rows, ROWS_AT_ONCE)
    )
    return write_table(aside, [Column(name, "text"), *map(Column, columns)], blocks, id_column=name)


def judged(fit: FitReport, label: Floats, columns: Mapping[str, Floats]) -> FitReport:
    """Of a model whose scores of some rows are known, how good it is there."""
    scores, empty = columns[SCORE], structs.replace(fit, scored=len(label), r2=None, alone=None)
    if "probability" in columns:
        auc, loss = report.auc(label, scores), report.log_loss(label, columns["probability"])
        return structs.replace(empty, auc=auc, log_loss=loss)
    if "mean" in columns:
        return structs.replace(empty, deviance=report.deviance(label, columns["mean"]))
    return structs.replace(empty, r2=report.r2(label, scores))
