"""A joint job on two tables that are both here, each party's with a node of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from nodes.cli import pairing
from nodes.cli.alone import run_job
from nodes.cli.console import Output
from nodes.cli.inputs import Inputs
from nodes.cli.pooled import AgainstPooled, Linear, Side, against_pooled, rows_in_common
from nodes.cli.replayed import Half, Replayed, both, replayed
from nodes.data.sources import open_source
from nodes.data.table import open_table
from nodes.joint.categories import Encoding
from nodes.local import LOCAL_PARTNER, LOCAL_RENTER, LocalNetwork
from nodes.local_partner import Dataset, LocalPartner, allow
from nodes.programs.check import check
from nodes.renter.invitation import Invitation
from nodes.renter.submission import JobOptions
from nodes.views import parts
from nodes.views.errors import UnknownJob
from nodes.views.parts import PartReport
from nodes.views.report import JobReport
from schemas.errors import BadConfig
from schemas.joint import Fitting

ROWS_TO_SCORE: Final = "rows-to-score"
"""The other party's dataset of them, where they lie in a file of their own."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """Rows to score with the model: the renter's columns of them, and where the partner's are."""

    data: Path
    other: Path


@dataclass(frozen=True, slots=True)
class JointRequest:
    """What the user asked for; `wishes.joint` is of the partner that `partner_of` names."""

    inputs: Inputs
    wishes: JobOptions
    other: Path
    other_id_column: str | None
    out: Path | None
    check: bool
    scoring: Scoring | None = None

    @property
    def joint(self) -> Invitation:
        """What is asked of the partner."""
        assert self.wishes.joint is not None
        return self.wishes.joint

    @property
    def fitting(self) -> Fitting | None:
        """The model to fit; None where programs run."""
        return self.joint.fitting

    def require(self) -> None:
        """Raises BadInput: what can be told before a network is started."""
        fitting, asked = self.fitting, self.wishes
        if fitting is None and not self.joint.program:
            raise BadConfig("say what to compute with --joint: --algorithm and --label, or --partner-program")
        if asked.id_column is None or self.other_id_column is None:
            raise BadConfig("rows of both tables are found by their ids: name them by --id-column", field="id_column")
        if self.check and fitting is not None and not fitting.algorithm.partner_coefficients:
            raise BadConfig("--check compares weights: it needs those of both parties", field="check")
        if self.scoring is not None and (fitting is None or not fitting.algorithm.partner_coefficients):
            raise BadConfig("--score needs a model (--algorithm), and a partner that knows its weights", field="score")
        self._require_tables(asked.id_column, self.other_id_column)

    def _require_tables(self, id_column: str, other_id_column: str) -> None:
        label, dialect = None if self.fitting is None else self.fitting.label, self.wishes.reading.dialect
        here = pairing.Table(self.inputs.data, id_column, dialect, self.wishes.columns)
        there = pairing.Table(self.other, other_id_column, dialect, self.joint.columns)
        pairing.require_two(here, there)
        if label is not None:
            pairing.require_label(here, there, label)
        pairing.require_rows(here, there, label)
        if self.scoring is not None:
            rows, others = replace(here, path=self.scoring.data), replace(there, path=self.scoring.other)
            pairing.require_some(rows, others, here.numbers(label or ""), there.numbers(""))


@dataclass(frozen=True, slots=True)
class Ended:
    """A joint job that is over, as both sides know it."""

    report: JobReport
    part: PartReport | None
    """None when the partner was never asked."""
    said: tuple[str, ...]
    """Why the partner refused, in words that are for itself."""

    @property
    def linear(self) -> Linear | None:
        """The whole model; None where none was fitted, or the partner's weights are withheld."""
        if self.report.output is None or self.part is None or not self.part.weights:
            return None
        *mine, constant = self.mine.values()
        return Linear(np.array([*mine, *self.part.weights.values()]), constant + self.part.offset)

    @property
    def mine(self) -> dict[str, float]:
        """The renter's weights, and last the constant."""
        assert self.report.output is not None
        table = open_table(self.report.output)
        return dict(zip(table.ids(0, table.rows), table.read(0, table.rows)[:, 0].tolist(), strict=True))


def partner_of(other: Path) -> tuple[str, str]:
    """The partner who has this table, and what it calls it."""
    return LOCAL_PARTNER, re.sub(r"[^\w.-]", "_", other.name)


def network_for(request: JointRequest, folder: Path) -> LocalNetwork:
    """A network, not yet started, whose partner has the other table and allows what is asked.

    There rows that stand alone are treated as the renter wants its own to be.
    """
    reading = replace(request.wishes.reading, columns=(), id_column=request.other_id_column)
    outliers = "refuse" if request.fitting is None else request.fitting.outliers
    datasets = {request.joint.dataset: Dataset(request.other, reading, outliers)}
    scored = None if request.scoring is None else _dataset_of(request, request.scoring)
    if request.scoring is not None and scored is not None:
        datasets.setdefault(scored, Dataset(request.scoring.other, reading))
    allow(LOCAL_RENTER, request.joint, policy_in(folder), scored)
    partner = LocalPartner(datasets, policy_in(folder))
    return LocalNetwork(folder / "network", lessors=request.wishes.lessors, partner=partner)


def policy_in(folder: Path) -> Path:
    """The partner's, of such a network."""
    return folder / "policy.toml"


def scoring_of(request: JointRequest, rows: Scoring, model: str) -> JointRequest:
    """The job that scores rows with the model that a job fitted; held against their labels where there are any."""
    assert request.fitting is not None
    label = request.fitting.label
    labelled = label in open_source(rows.data, request.wishes.reading.dialect).header.columns
    invitation = Invitation(
        partner=request.joint.partner,
        dataset=_dataset_of(request, rows),
        score=model,
        label=label if labelled else None,
        aligned=False,
    )
    wishes = replace(request.wishes, joint=invitation, columns=(), missing="refuse")
    return replace(request, inputs=Inputs(rows.data, b""), wishes=wishes)


def _dataset_of(request: JointRequest, rows: Scoring) -> str:
    return request.joint.dataset if rows.other == request.other else ROWS_TO_SCORE


async def run_both(network: LocalNetwork, request: JointRequest, output: Output) -> Ended:
    """Submit and watch the job, and see what the partner has of it."""
    done = await run_job(network, request.inputs, request.wishes, output, check=False)
    assert network.partner_store is not None
    try:
        part = await parts.part(network.partner_store, done.report.id)
        said = await parts.said(network.partner_store, done.report.id)
    except UnknownJob:
        return Ended(done.report, None, ())
    return Ended(done.report, part, said)


def compared(ended: Ended, request: JointRequest) -> AgainstPooled | Replayed | None:
    """The model beside one of all columns, or outputs beside plaintext; None where the job has neither."""
    return replay(ended, request) if request.fitting is None else against_all(ended, request)


def against_all(ended: Ended, request: JointRequest) -> AgainstPooled | None:
    """The model beside one of all columns; None where none was fitted."""
    joint, fit = ended.linear, None if ended.report.joint is None else ended.report.joint.fit
    if joint is None or fit is None or ended.part is None or request.fitting is None:
        return None
    mine = Encoding.of(fit.columns, fit.texts, request.fitting.label)
    theirs = Encoding.of(ended.part.columns, ended.part.texts)
    reading = replace(request.wishes.reading, columns=())
    here = Side(request.inputs.data, mine, reading)
    there = Side(request.other, theirs, replace(reading, id_column=request.other_id_column))
    return against_pooled(rows_in_common(here, there), joint, request.fitting)


def replay(ended: Ended, request: JointRequest) -> Replayed | None:
    """Outputs of rounds beside plaintext; None where there are none."""
    if ended.report.output is None:
        return None
    reading, lessors = request.wishes.reading, check(request.inputs.program)
    other = replace(reading, id_column=request.other_id_column, columns=request.joint.columns)
    rows = both(Half(request.inputs.data, reading), Half(request.other, other), lessors, check(request.joint.program))
    return replayed(ended.report.output, rows, lessors, request.joint)
