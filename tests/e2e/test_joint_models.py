"""Models of two parties' columns in one process: the same as a model of all columns in one place, or a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from nodes.data.table import open_table
from nodes.joint import outliers
from nodes.joint import report as joint_report
from nodes.joint.columns import Floats
from nodes.joint.guards import Limits
from nodes.joint.models import MODELS
from nodes.joint.precision import RENTER_BITS_MAX, partner_bits_for
from nodes.local import LocalNetwork
from nodes.programs.check import check
from nodes.programs.runtime import evaluate
from nodes.views import models, parts
from nodes.views.models import FitReport
from nodes.views.parts import PartReport
from nodes.views.report import JobReport
from schemas.joint import AlgorithmName
from tests.support import together as joint
from tests.support.together import Case

JOB_SECONDS_MAX = 60


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that completed, and what each side has of it."""

    report: JobReport
    part: PartReport
    weights: Mapping[str, float]
    """The renter's, and the intercept."""
    program: bytes

    @property
    def fit(self) -> FitReport:
        assert self.report.joint is not None
        assert self.report.joint.fit is not None
        return self.report.joint.fit


@dataclass(frozen=True, slots=True)
class Pooled:
    """The columns that both sides fitted with, and the weights of one model of all of them."""

    columns: Floats
    weights: Floats
    r2: float

    @classmethod
    def of(cls, case: Case, algorithm: AlgorithmName) -> Pooled:
        penalty = 1e-3 * len(case.mine)
        each = ((case.mine[:, :-1], RENTER_BITS_MAX), (case.theirs, partner_bits_for(len(case.mine))))
        sides = [outliers.moved(values, bits, 1e-3, Limits())[0] for values, bits in each]
        columns, target = np.hstack(sides), MODELS[algorithm].target(case.mine[:, -1]).values
        spread = columns.std(axis=0)
        standard = (columns - columns.mean(axis=0)) / spread
        model = Ridge(alpha=penalty).fit(standard, target)
        return cls(columns, model.coef_ / spread, model.score(standard, target))

    def difference(self, found: Floats) -> float:
        """The largest of weights of standardised columns, as a part of the largest weight."""
        spread = self.columns.std(axis=0)
        return float(np.abs((found - self.weights) * spread).max() / np.abs(self.weights * spread).max())


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return joint.make_breast(tmp_path_factory.mktemp("case"))


@pytest.fixture
async def network(tmp_path: Path, case: Case) -> AsyncIterator[LocalNetwork]:
    partner = joint.local_partner(case, joint.policy(tmp_path), "move")
    async with LocalNetwork(tmp_path / "network", partner=partner) as running:
        yield running


async def submit(network: LocalNetwork, case: Case, algorithm: AlgorithmName, **fitting: Any) -> str:
    job = fitting.pop("job", {})
    spec = network.stage(case.renter, b"", None, joint.model_wishes(algorithm, fitting, **job))
    await network.submit(spec)
    return spec.id


async def watched(network: LocalNetwork, job: str) -> JobReport:
    async with asyncio.timeout(JOB_SECONDS_MAX):
        reports = [each async for each in network.watch(job)]
    return reports[-1]


async def fitted(network: LocalNetwork, job: str) -> Ended:
    report = await watched(network, job)
    assert report.phase == "completed", report.reason
    assert report.output is not None
    assert network.partner_store is not None
    table = open_table(report.output)
    found = dict(zip(table.ids(0, table.rows), table.read(0, table.rows)[:, 0].tolist(), strict=True))
    part = await parts.part(network.partner_store, job)
    return Ended(report, part, found, models.program(network.jobs, job))


@pytest.mark.parametrize("algorithm", ["ridge", "logistic"])
async def test_a_joint_model_is_that_of_the_pooled_columns(
    network: LocalNetwork, case: Case, algorithm: AlgorithmName
) -> None:
    found, pooled = (
        await fitted(network, await submit(network, case, algorithm, partner_bits=16)),
        Pooled.of(case, algorithm),
    )
    mine = [weight for name, weight in found.weights.items() if name != "intercept"]
    assert pooled.difference(np.array([*mine, *found.part.weights.values()])) < 1e-2
    assert found.fit.r2 == pytest.approx(pooled.r2, abs=1e-4)
    own = case.mine[:, :-1]
    scores = own @ mine + found.weights["intercept"]
    assert np.abs(evaluate(check(found.program), own)[:, 0] - scores).max() < 1e-9
    assert found.fit.alone is not None
    assert (found.fit.alone.auc is None) == (algorithm == "ridge")
    assert ("first step" in found.fit.approximate) == (algorithm == "logistic")
    assert found.report.joint is not None
    assert found.report.joint.ledger == found.part.ledger
    learned = {(each.party, each.kind) for each in found.part.ledger}
    assert {
        ("renter", "schur-statistics"),
        ("partner", "encrypted-rows"),
        ("partner", "partner-coefficients"),
    } <= learned


async def test_a_model_is_of_the_rows_in_common_whatever_their_order(tmp_path: Path, case: Case) -> None:
    lines = case.partner.read_text().splitlines()
    header, others = lines[0], lines[1:]
    (tmp_path / "other.csv").write_text("\n".join([header, *others[:39:-1], "somebody," + others[0].partition(",")[2]]))
    partner = joint.local_partner(replace(case, partner=tmp_path / "other.csv"), joint.policy(tmp_path), "move")
    common = Case(case.renter, case.partner, case.mine[40:], case.theirs[40:])
    async with LocalNetwork(tmp_path / "network", partner=partner) as network:
        found = await fitted(network, await submit(network, case, "ridge", aligned=False, partner_bits=16))
    pooled = Pooled.of(common, "ridge")
    assert found.fit.rows == len(common.mine)
    mine = [weight for name, weight in found.weights.items() if name != "intercept"]
    assert pooled.difference(np.array([*mine, *found.part.weights.values()])) < 1e-2
    assert ("renter", "rows-in-common") in {(each.party, each.kind) for each in found.part.ledger}


async def test_a_partner_whose_weights_are_withheld_learns_none_and_scores_no_rows(tmp_path: Path, case: Case) -> None:
    partner = joint.local_partner(case, joint.policy(tmp_path, per_row="true"), "move")
    async with LocalNetwork(tmp_path / "network", partner=partner) as network:
        found = await fitted(network, await submit(network, case, "ridge", partner_coefficients=False))
        wanted = joint.wishes(program=b"", rounds=1, update=None, score=found.report.id)
        spec = network.stage(case.renter, b"", None, wanted)
        await network.submit(spec)
        scoring = await watched(network, spec.id)
    assert not found.part.weights
    assert not {each.kind for each in found.part.ledger} & {"partner-coefficients", "partner-norm"}
    assert "withheld" in found.fit.approximate
    pooled = Pooled.of(case, "ridge")
    mine = [weight for name, weight in found.weights.items() if name != "intercept"]
    assert pooled.difference(np.array([*mine, *pooled.weights[len(mine) :]])) < 1e-2
    assert (scoring.phase, scoring.code) == ("failed", "unknown-model")


@pytest.mark.parametrize(
    ("outliers", "asked", "said"),
    [
        ("refuse", {}, "C11.C12 refuses"),
        ("move", {"outliers": "refuse"}, "your columns"),
    ],
    ids=["the partner's rows stand alone", "the renter's rows stand alone"],
)
async def test_rows_that_stand_alone_are_refused_and_it_says_whose(
    tmp_path: Path, case: Case, outliers: Any, asked: dict[str, Any], said: str
) -> None:
    partner = joint.local_partner(case, joint.policy(tmp_path), outliers)
    async with LocalNetwork(tmp_path / "network", partner=partner) as network:
        report = await watched(network, await submit(network, case, "ridge", **asked))
    assert report.code == "high-leverage"
    assert said in report.reason
    assert not report.contracts


async def test_too_few_rows_for_the_partners_columns_are_refused_without_a_number(tmp_path: Path) -> None:
    case = joint.make_breast(tmp_path, rows=190)
    partner = joint.local_partner(case, joint.policy(tmp_path), "move")
    async with LocalNetwork(tmp_path / "network", partner=partner) as network:
        report = await watched(network, await submit(network, case, "ridge"))
    assert report.code == "too-few-rows"
    assert "20" not in report.reason


async def test_rows_are_scored_with_both_parts_of_a_model_where_the_policy_consents(tmp_path: Path, case: Case) -> None:
    partner = joint.local_partner(case, joint.policy(tmp_path, per_row="true"), "move")
    async with LocalNetwork(tmp_path / "network", partner=partner) as network:
        model = await fitted(network, await submit(network, case, "logistic"))
        wanted = joint.wishes({"batch_rows": 100}, program=b"", rounds=1, update=None, score=model.report.id)
        wanted = replace(wanted, joint=replace(wanted.joint, aligned=False))  # type: ignore[type-var]
        spec = network.stage(case.renter, b"", None, wanted)
        await network.submit(spec)
        report = await watched(network, spec.id)
        assert report.phase == "completed", report.reason
        assert report.output is not None
        assert report.joint is not None
        table = open_table(report.output)
    own = np.array([model.weights[name] for name in model.fit.columns])
    theirs = np.array(list(model.part.weights.values()))
    expected = case.mine[:, :-1] @ own + model.weights["intercept"] + case.theirs @ theirs + model.part.offset
    score, probability = table.read(0, table.rows).T
    ids = [line.partition(",")[0] for line in case.renter.read_text().splitlines()[1:]]
    assert table.ids(0, table.rows) == ids
    assert np.abs(score - expected).max() < 1e-6 * np.abs(expected).max()
    assert joint_report.auc(case.mine[:, -1], probability) > 0.99
    assert joint_report.log_loss(case.mine[:, -1], probability) < 0.12
    learned = {(each.party, each.kind): each.count for each in report.joint.ledger}
    assert learned["renter", "row-scores"] == len(case.mine)


async def test_rows_are_scored_only_where_the_policy_says_so_and_weights_are_known(
    network: LocalNetwork, case: Case
) -> None:
    model = await submit(network, case, "ridge")
    await fitted(network, model)
    spec = network.stage(case.renter, b"", None, joint.wishes(program=b"", rounds=1, update=None, score=model))
    await network.submit(spec)
    report = await watched(network, spec.id)
    assert (report.phase, report.code) == ("failed", "per-row-output")
    assert not report.contracts
