"""The Python client with a partner: two tables become a model of both, which scores rows that both have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import log_loss, mean_poisson_deviance, r2_score, roc_auc_score

import sublet
from tests.support import together as joint

ASKED: dict[str, Any] = {"id": "id", "outliers": "move", "key_bits": 2048}
WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The renter's, in an order of its own and with numbers as ids, and the partner's, which lacks its first ten."""
    case = joint.make_breast(tmp_path_factory.mktemp("case"))
    mine, theirs = (pd.read_csv(each) for each in (case.renter, case.partner))
    for each in (mine, theirs):
        each["id"] = each["id"].str.removeprefix("patient-").astype(int)
    return mine.sample(frac=1, random_state=1), theirs[~theirs["id"].isin(mine["id"].head(10))]


@pytest.fixture(scope="module")
def counted() -> tuple[pd.DataFrame, pd.DataFrame]:
    """A number and a count at the renter, which depend on columns of both, of other people than above."""
    ids = np.arange(10_000, 10_400)
    random = np.random.default_rng(8)
    columns = random.normal(size=(400, 3))
    log_mean = 0.6 * columns[:, 0] - 0.5 * columns[:, 1] + 0.4 * columns[:, 2]
    mine = pd.DataFrame({"id": ids, "a": columns[:, 0], "number": log_mean + random.normal(size=400)})
    mine["count"] = random.poisson(np.exp(log_mean))
    return mine, pd.DataFrame({"id": ids, "b": columns[:, 1], "c": columns[:, 2]})


@pytest.fixture(scope="module")
def net(
    tables: tuple[pd.DataFrame, pd.DataFrame], counted: tuple[pd.DataFrame, pd.DataFrame]
) -> Iterator[sublet.Network]:
    claims, counts = sublet.Dataset(tables[1], "id", outliers="move"), sublet.Dataset(counted[1], "id")
    with sublet.local(lessors=1, partner={"claims": claims, "counts": counts}) as opened:
        yield opened


@pytest.fixture(scope="module")
def model(net: sublet.Network, tables: tuple[pd.DataFrame, pd.DataFrame]) -> sublet.JointModel:
    return net.fit_joint(tables[0], joint.LABEL, dataset="claims", **ASKED)


def scores_in_plaintext(model: sublet.JointModel, both: pd.DataFrame) -> np.ndarray:
    weights, part = model.coefficients, model.at_partner
    own = both[list(weights)] @ np.array(list(weights.values())) + model.intercept
    return np.asarray(own + both[list(part.weights)] @ np.array(list(part.weights.values())) + part.offset)


def test_two_tables_become_weights_a_report_and_a_ledger(
    model: sublet.JointModel, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    mine, theirs = tables
    weights = model.result(WAIT_SECONDS)
    assert isinstance(weights, pd.DataFrame)
    assert dict(zip(weights["name"], weights["weight"], strict=True)) == {
        **model.coefficients,
        "intercept": model.intercept,
    }
    assert list(model.coefficients) == [name for name in mine.columns if name not in ("id", joint.LABEL)]
    fit = model.fit
    assert (fit.algorithm, fit.label, fit.rows, fit.partner_columns) == ("logistic", joint.LABEL, len(theirs), 20)
    assert model.report().route[-1] == "B11.B12 → B11 → A11 → C11 → C11.C12"
    assert model.ledger == model.at_partner.ledger
    assert "renter   schur-statistics              66  a symmetric matrix of 11 × 11" in str(model.ledger)
    assert f"logistic of {joint.LABEL}: 559 rows, 10 columns here, 20 at the partner" in model._repr_html_()


def test_rows_that_both_have_are_scored_as_in_plaintext_and_come_back_as_the_same_kind(
    model: sublet.JointModel, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    mine, theirs = tables
    rows = mine.head(300)
    both = rows.merge(theirs, on="id")
    expected = scores_in_plaintext(model, both)
    found = model.predict(rows, timeout=WAIT_SECONDS)
    pd.testing.assert_series_equal(found["id"], both["id"])
    assert np.abs(found["score"] - expected).max() < 1e-6 * np.abs(expected).max()
    polars = model.predict(pl.from_pandas(rows), timeout=WAIT_SECONDS)
    assert polars.schema == pl.Schema({"id": pl.Int64(), "score": pl.Float64(), "probability": pl.Float64()})
    assert polars["id"].to_list() == both["id"].to_list()
    assert polars["score"].to_list() == found["score"].to_list()
    arrow = model.predict(pa.Table.from_pandas(rows), timeout=WAIT_SECONDS, id="id", dataset="claims")
    assert arrow.column("probability").to_pylist() == found["probability"].to_list()


def test_a_score_is_that_of_the_predictions(
    model: sublet.JointModel, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    mine, theirs = tables
    found, predicted = model.score(mine, timeout=WAIT_SECONDS), model.predict(mine, timeout=WAIT_SECONDS)
    label = mine.merge(theirs, on="id")[joint.LABEL]
    assert (found.scored, found.r2) == (len(theirs), None)
    assert found.auc == pytest.approx(roc_auc_score(label, predicted["score"]))
    assert found.log_loss == pytest.approx(log_loss(label, predicted["probability"]))


@pytest.mark.parametrize("algorithm", ["ridge", "ols", "poisson"])
def test_a_report_says_what_has_a_meaning_for_its_algorithm(
    net: sublet.Network, counted: tuple[pd.DataFrame, pd.DataFrame], algorithm: Literal["ridge", "ols", "poisson"]
) -> None:
    label = "count" if algorithm == "poisson" else "number"
    mine, both = counted[0][["id", "a", label]], counted[0].merge(counted[1], on="id")
    model = net.fit_joint(mine, label, dataset="counts", id="id", algorithm=algorithm, partner_bits=20, key_bits=2048)
    fit, scored, predicted = model.fit, model.score(mine), model.predict(mine)
    assert fit.alone is not None
    assert fit.r2 is not None
    assert fit.r2 > fit.alone.r2
    assert (fit.auc, fit.log_loss, scored.auc, scored.log_loss) == (None, None, None, None)
    if algorithm == "poisson":
        full = PoissonRegressor(alpha=0).fit(both[["a", "b", "c"]], both[label]).predict(both[["a", "b", "c"]])
        assert scored.deviance == pytest.approx(mean_poisson_deviance(both[label], predicted["mean"]))
        assert scored.deviance < mean_poisson_deviance(both[label], full) + 0.03
        assert "not the maximum of the likelihood" in scored.approximate
    else:
        assert scored.r2 == pytest.approx(r2_score(both[label], predicted["score"]))
        assert scored.r2 == pytest.approx(fit.r2, abs=1e-4)
        assert (fit.approximate, scored.deviance) == ("", None)


def test_a_model_is_found_again_by_its_id(net: sublet.Network, model: sublet.JointModel) -> None:
    again = net.model(model.id)
    assert again.coefficients == model.coefficients
    with pytest.raises(sublet.UnknownJob):
        net.model("job-000000000000000000000000")
    other = net.submit(pd.DataFrame({"a": [1.0]}), sublet.linear({"a": 2.0}))
    other.result(WAIT_SECONDS)
    with pytest.raises(sublet.BadConfig, match="fits no model"):
        net.model(other.id)
    assert other.ledger == ()


async def test_the_same_is_awaited(tables: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path) -> None:
    mine, theirs = tables
    path = tmp_path / "claims.csv"
    theirs.to_csv(path, index=False)
    datasets = {"claims": sublet.Dataset(path, "id", "move"), "other": sublet.Dataset(theirs.head(3), "id")}
    async with sublet.alocal(lessors=1, partner=datasets) as net:
        with pytest.raises(sublet.BadConfig, match="'claims', 'other': name one"):
            await net.fit_joint(mine, joint.LABEL, **ASKED)
        model = await net.fit_joint(mine, joint.LABEL, dataset="claims", algorithm="ridge", **ASKED)
        assert (await model.fit()).r2 == pytest.approx((await model.score(mine, timeout=WAIT_SECONDS)).r2, abs=0.01)
        predicted = await model.predict(mine.head(50), timeout=WAIT_SECONDS)
        assert list(predicted.columns) == ["id", "score"]
        assert list(await model.coefficients()) == list(await (await net.model(model.id)).coefficients())
        assert await model.ledger() == (await model.at_partner()).ledger
        assert np.isfinite(await model.intercept())


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"label": "z"}, "no column 'z'"),
        ({"id": None}, "id"),
        ({"id": "nobody"}, "no column 'nobody'"),
        ({"penaltyy": 1}, "did you mean 'penalty'"),
        ({"algorithm": "forest"}, "forest"),
        ({"algorithm": ["ridge"]}, "text"),
        ({"key_bits": 1024}, "1024"),
        ({"label": 5}, "text"),
        ({"partner": "nobody"}, "out of range"),
        ({"dataset": 7}, "text"),
    ],
    ids=str,
)
def test_what_cannot_be_fitted_is_refused_at_once_and_says_what_to_do(
    net: sublet.Network, wishes: dict[str, Any], said: str
) -> None:
    frame = pd.DataFrame({"id": ["x", "y"], "a": [1.0, 2.0], "y": [0, 1]})
    asked: dict[str, Any] = {"label": "y", "id": "id", "dataset": "claims"} | wishes
    with pytest.raises(sublet.BadInput, match=said):
        net.fit_joint(frame, **asked)


def test_what_cannot_be_scored_is_refused_at_once_and_says_what_to_do(
    model: sublet.JointModel, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    rows = tables[0].head(3)
    wrong: dict[str, Any] = {"datasett": "claims"}
    for asked, said in (
        (lambda: model.predict(rows.drop(columns="radius_error")), "no column 'radius_error'"),
        (lambda: model.predict(rows, **wrong), "did you mean 'dataset'"),
        (lambda: model.score(rows, "nothing"), "no column 'nothing'"),
        (lambda: model.score(rows.drop(columns=joint.LABEL)), f"no column '{joint.LABEL}'"),
        (lambda: model.predict(rows.set_index("id")), r"reset_index\(\) first"),
        (lambda: model.predict(rows, dataset="nothing", timeout=WAIT_SECONDS), "its policy names no such dataset"),
    ):
        with pytest.raises(sublet.SubletError, match=said):
            asked()


@pytest.mark.parametrize(
    ("partner", "said"),
    [
        (pd.DataFrame({"id": ["x"]}), "tables by name"),
        ({}, "tables by name"),
        ({"claims": pd.DataFrame({"id": ["x"]})}, "tables by name"),
        ({"claims": sublet.Dataset(pd.DataFrame({"id": ["x"]}), "member")}, "no column 'member'"),
        ({"claims": sublet.Dataset(7, "id")}, "a int is no table"),
        ({"claims": sublet.Dataset(Path("nowhere.csv"), "id")}, "nowhere.csv"),
        ({"claims": sublet.Dataset(pd.DataFrame({"id": ["x"]}), "id", "drop")}, "outliers of 'claims'"),  # type: ignore[arg-type]
    ],
    ids=["table", "none", "bare", "id", "number", "path", "outliers"],
)
def test_a_partners_tables_are_looked_at_when_the_network_is_opened(partner: Any, said: str) -> None:
    with pytest.raises(sublet.BadInput, match=said):
        sublet.local(lessors=1, partner=partner)


def test_without_a_partner_nothing_joint_can_be_asked() -> None:
    frame = pd.DataFrame({"id": ["x", "y"], "a": [1.0, 2.0], "y": [0, 1]})
    with sublet.local(lessors=1) as net, pytest.raises(sublet.BadConfig, match=r"open it with sublet.local\(partner="):
        net.fit_joint(frame, "y", id="id")


def test_a_model_that_failed_says_why_whatever_it_is_asked(net: sublet.Network) -> None:
    frame = pd.DataFrame({"id": [f"nobody-{n}" for n in range(40)], "a": np.arange(40.0), "y": [0, 1] * 20})
    model = net.fit_joint(frame, "y", dataset="claims", **ASKED)
    for ask in (lambda: model.fit, lambda: model.coefficients, lambda: model.predict(frame)):
        with pytest.raises(sublet.PolicyRefused, match="more rows in common"):
            ask()
