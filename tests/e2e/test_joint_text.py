"""Models with columns of text at both parties: the same as scikit-learn's, down to the scores of rows that are new."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from nodes.data.reading import Reading
from nodes.data.table import open_table
from nodes.local import LocalNetwork
from nodes.local_partner import LocalPartner
from nodes.partner.activities.services import Dataset
from nodes.programs import encoder
from nodes.programs.runtime import evaluate
from nodes.views import models, parts
from nodes.views.report import JobReport
from schemas.joint import AlgorithmName
from tests.soak.joint_data import ID, LABEL, DataSet
from tests.soak.joint_models import AUC_POOLED_MAX, WEIGHTS_ERROR_MAX, Model, Pooled, design
from tests.support import together as joint

ROWS, OTHERS, MISSED = 420, 60, 40
JOB_SECONDS_MAX = 90


def people(rows: int, cities: Sequence[str], seed: int) -> pd.DataFrame:
    """The renter's columns are age, city and name, the partner's premium and plan."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": random.integers(20, 80, rows),
            "city": random.choice(cities, rows),
            "name": [f"somebody {at}" for at in range(rows)],
            "premium": np.round(random.normal(size=rows), 3),
            "plan": random.choice(["basic", "basic", "family", "company"], rows),
        }
    )
    odds = (frame.age - 50) / 20 + (frame.city == "Oslo") - (frame.city == "Bern") + frame.premium
    odds += 2.0 * (frame.plan == "company")
    return frame.assign(**{LABEL: (odds + random.logistic(size=rows) > 0).astype(int)})


@pytest.fixture(scope="module")
def fitted_rows() -> pd.DataFrame:
    """Trier is only among rows that the partner lacks, but for a few; Ulm and Rye are rare everywhere."""
    frame = people(ROWS, ["Rome", "Rome", "Bern", "Oslo"], 1)
    frame.loc[:29, "city"] = "Trier"
    frame.loc[30:41, "city"] = ["Ulm"] * 12
    frame.loc[100:111, "city"] = ["Rye"] * 12
    return frame


@pytest.fixture
async def network(tmp_path: Path, fitted_rows: pd.DataFrame) -> AsyncIterator[LocalNetwork]:
    others = people(OTHERS, ["Rome", "Bern", "Oslo", "Trier", "Lund"], 2)
    for frame, end in ((fitted_rows, ""), (others, "-others")):
        named = frame.assign(**{ID: [f"row-{at}" for at in range(len(frame))]})
        named[[ID, "age", "city", "name", LABEL]].to_csv(tmp_path / f"mine{end}.csv", index=False)
        first = 0 if end else 15
        named[[ID, "premium", "plan"]].iloc[first:].to_csv(tmp_path / f"theirs{end}.csv", index=False)
    files = {joint.DATASET: "theirs.csv", "others": "theirs-others.csv"}
    datasets = {name: Dataset(tmp_path / file, Reading(ID), "move") for name, file in files.items()}
    policy = joint.policy(tmp_path, per_row="true", datasets=f'["{joint.DATASET}", "others"]')
    async with LocalNetwork(tmp_path / "network", partner=LocalPartner(datasets, policy)) as running:
        yield running


async def completed(network: LocalNetwork, file: Path, algorithm: AlgorithmName, score: str | None = None) -> JobReport:
    wanted = joint.model_wishes(algorithm, {"label": LABEL, "partner_bits": 20, "renter_bits": 20, "aligned": False})
    assert wanted.joint is not None
    if score is not None:
        scored = replace(wanted.joint, fitting=None, score=score, label=LABEL, dataset="others")
        wanted = replace(wanted, joint=scored)
    spec = network.stage(file, b"", None, wanted)
    await network.submit(spec)
    async with asyncio.timeout(JOB_SECONDS_MAX):
        reports = [each async for each in network.watch(spec.id)]
    assert reports[-1].phase == "completed", reports[-1].reason
    return reports[-1]


async def test_text_is_encoded_by_both_parties_and_nothing_is_left_out_without_a_word(
    network: LocalNetwork, fitted_rows: pd.DataFrame, tmp_path: Path
) -> None:
    report = await completed(network, tmp_path / "mine.csv", "logistic")
    assert report.joint is not None
    assert report.output is not None
    assert network.partner_store is not None
    fit, part = report.joint.fit, await parts.part(network.partner_store, report.id)
    assert fit is not None
    assert fit.columns == ("age", "city=Bern", "city=Oslo", "city=Trier", "city=(rare)")
    assert part.columns == ("premium", "plan=company", "plan=family")
    assert [each.column for each in fit.omitted] == ["name"]
    assert fit.merged == ("city=Trier",)

    table = open_table(report.output)
    mine = dict(zip(table.ids(0, table.rows), table.read(0, table.rows)[:, 0].tolist(), strict=True))
    constant = mine.pop("intercept") + part.offset
    assert mine["city=Trier"] == 0.0
    common = fitted_rows.iloc[15:].reset_index(drop=True)
    names = {name: weight for name, weight in mine.items() if name != "city=Trier"} | dict(part.weights)
    found = Model(names, constant)
    data = DataSet("people", "logistic", ("age", "city"), common.assign(city=common.city.replace("Trier", "Rome")))
    pooled = Pooled.of(data, found, len(mine) - 1, (20, 20))
    assert pooled.error(found) < WEIGHTS_ERROR_MAX

    scored = await completed(network, tmp_path / "mine-others.csv", "logistic", report.id)
    assert scored.joint is not None
    told = scored.joint.fit
    assert told is not None
    assert scored.output is not None
    others = pd.read_csv(tmp_path / "mine-others.csv").merge(pd.read_csv(tmp_path / "theirs-others.csv"), on=ID)
    meant = others.city.replace({"Lund": "Rye", "Trier": "Rome"})  # what is new is rare, what was merged the baseline
    columns = design(others.assign(city=meant), list(names), data.rows)
    score, probability = open_table(scored.output).read(0, OTHERS).T
    assert np.abs(score - found.scores(columns)).max() < 1e-6
    assert told.scored == OTHERS
    assert told.auc == pytest.approx(roc_auc_score(others[LABEL], score))
    assert told.log_loss == pytest.approx(log_loss(others[LABEL], probability))
    assert told.auc == pytest.approx(
        roc_auc_score(others[LABEL], columns @ (pooled.weights() / pooled.spread)), abs=AUC_POOLED_MAX
    )

    program, encoding = encoder.read(models.program(network.jobs, report.id))
    assert encoding is not None
    rows = encoding.encode(others[["age"]].to_numpy(dtype=np.float64), [others.city.tolist()])
    here = columns[:, : len(mine) - 1] @ np.array(list(mine.values()))[np.array(list(mine)) != "city=Trier"]
    expected = here + constant - part.offset
    assert np.abs(evaluate(program, rows)[:, 0] - expected).max() < 1e-9
