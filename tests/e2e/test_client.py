"""The Python client on a network in this process: tables of every kind in, the same kind out; waits, errors, ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import sublet
from schemas import limits
from tests.support.seal import needs_seal
from tests.unit.nodes.programs.models import model, node

MODEL = sublet.linear({"a": 2.0, "b": -1.0}, bias=0.5)
TINY: Final = 1e-6
AMPLE: Final = 1e4
"""Budgets in seconds: less than any job takes, and more."""
COLUMNS: dict[str, list[Any]] = {"key": ["x", "y", "z"], "a": [1, 2, 3], "b": [0.5, 1.5, 2.5]}
RESULT = [2.0, 3.0, 4.0]
WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def net() -> Iterator[sublet.Network]:
    with sublet.local() as opened:
        yield opened


def scored(net: sublet.Network, data: Any, program: object = MODEL, **wishes: Any) -> Any:
    """On this machine alone, which is quicker: what lessors do is tested elsewhere."""
    asked: Any = {"protection": "enclave", "local_share": 1.0} | wishes
    return net.submit(data, program, **asked).result(WAIT_SECONDS)


# The same kind of table -----------------------------------------------------------------------------------------------


def test_results_of_pandas_have_its_index(net: sublet.Network) -> None:
    frame = pd.DataFrame(COLUMNS, index=pd.Index([7, 7, 3], name="visit"))
    pd.testing.assert_frame_equal(scored(net, frame), pd.DataFrame({"result": RESULT}, index=frame.index))


def test_results_of_polars_are_polars(net: sublet.Network) -> None:
    frame = pl.DataFrame(COLUMNS, schema_overrides={"key": pl.Enum(["x", "y", "z"])})
    assert scored(net, frame, id="key").equals(pl.DataFrame({"key": frame["key"], "result": RESULT}))


def test_results_of_a_relation_of_duckdb_are_one(net: sublet.Network) -> None:
    found = scored(net, duckdb.from_arrow(pa.table(COLUMNS)), id="key")
    assert isinstance(found, duckdb.DuckDBPyRelation)
    assert found.fetchall() == list(zip(COLUMNS["key"], RESULT, strict=True))


def test_results_of_a_path_are_arrow(net: sublet.Network, tmp_path: Path) -> None:
    pd.DataFrame(COLUMNS).to_csv(tmp_path / "rows.csv", index=False)
    assert scored(net, tmp_path / "rows.csv").equals(pa.table({"result": RESULT}))
    found = scored(net, str(tmp_path / "rows.csv"), id="key")
    assert found.to_pydict() == {"key": COLUMNS["key"], "result": RESULT}


def test_a_sum_is_one_row(net: sublet.Network) -> None:
    frame = pd.DataFrame(COLUMNS, index=[5, 6, 7])
    found = scored(net, frame, sublet.sum("b"), protection="homomorphic")
    pd.testing.assert_frame_equal(found, pd.DataFrame({"sum_b": [4.5]}), atol=1e-6)


def test_an_estimator_is_a_model_and_columns_are_found_by_name(net: sublet.Network) -> None:
    frame = pd.DataFrame(COLUMNS)
    estimator = LinearRegression().fit(frame[["b", "a"]], [1.0, 5.0, 2.0])
    found = scored(net, frame, estimator)
    assert np.abs(found["prediction"] - estimator.predict(frame[["b", "a"]])).max() < 1e-12


@pytest.mark.parametrize("chosen", [["site", "arm"], [0, 1]], ids=["by-name", "by-place"])
def test_an_estimator_of_columns_of_text_is_a_model(net: sublet.Network, chosen: list[Any]) -> None:
    random = np.random.default_rng(3)
    frame = pd.DataFrame({"site": random.choice(["n", "s", "é"], 60), "arm": random.choice(["u", "v"], 60)})
    frame["arm"], frame["age"] = frame["arm"].astype("category"), random.integers(20, 90, 60)
    encoders = ColumnTransformer([("text", OneHotEncoder(handle_unknown="ignore"), chosen)], remainder=StandardScaler())
    label = np.where(frame["age"] > 50, "old", "young")
    estimator = make_pipeline(encoders, LogisticRegression()).fit(frame, label)
    for given in (frame, frame.assign(site="unknown"), pl.from_pandas(frame)):
        found = scored(net, given, estimator)
        rows = frame if isinstance(given, pl.DataFrame) else given
        assert list(found["label"]) == list(estimator.predict(rows))
        assert np.abs(found["probability_old"].to_numpy() - estimator.predict_proba(rows)[:, 0]).max() < 1e-6


@pytest.mark.parametrize("kind", ["bool", "float32", "int8"])
def test_labels_have_the_type_of_the_estimators_classes(net: sublet.Network, kind: str) -> None:
    frame = pd.DataFrame(COLUMNS)[["a", "b"]]
    estimator = LogisticRegression().fit(frame, np.array([0, 1, 1], dtype=kind))
    expected = estimator.predict(frame)
    pd.testing.assert_series_equal(scored(net, frame, estimator)["label"], pd.Series(expected, name="label"))
    assert scored(net, pl.from_pandas(frame), estimator)["label"].to_numpy().dtype == expected.dtype


# What may go wrong ----------------------------------------------------------------------------------------------------


def test_missing_values_are_refused_in_the_words_of_python(net: sublet.Network) -> None:
    frame = pd.DataFrame({"a": [1, None, 3], "b": [1.0, 2.0, float("nan")]})
    for data in (frame, pl.from_pandas(frame)):
        with pytest.raises(
            sublet.BadData, match=r"row 2, column 'a': the value is missing.*give missing=\"nan\""
        ) as bad:
            net.submit(data, MODEL)
        assert (bad.value.row, bad.value.column, bad.value.exit_code) == (2, "a", 2)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([1, 2], "a list is no table"),
        (np.zeros((2, 2)), "a ndarray is no table"),
        (pl.LazyFrame(COLUMNS), "a LazyFrame is no table.*collect"),
        (pd.Series([1.0], name="a"), "Series"),
        (pd.DataFrame({"a": [1.0]}), "the DataFrame has no column 'b'; its columns are: a"),
        (pd.DataFrame({"a": [1.0], "b": ["x"]}), "column 'b' holds .*, not numbers.*choose others with columns"),
        (pd.DataFrame(COLUMNS).head(0), "no rows"),
        (pd.DataFrame(), "no columns"),
        ("absent.csv", "cannot read absent.csv"),
    ],
    ids=["list", "ndarray", "LazyFrame", "Series", "lacking", "text", "no-rows", "no-columns", "absent"],
)
def test_what_is_no_table_for_this_is_refused(net: sublet.Network, data: object, says: str) -> None:
    with pytest.raises(sublet.BadData, match=says):
        net.submit(data, MODEL)


def test_wishes_that_do_not_exist_are_refused_by_name(net: sublet.Network) -> None:
    for wishes, says in (
        ({"protecton": "auto"}, "there is no option 'protecton'; did you mean 'protection'?"),
        ({"protection": "rot13"}, "there is no protection 'rot13'"),
        ({"accept": ["hardware"]}, "there is nothing to accept called 'hardware'"),
        ({"lessors": 0}, "lessors cannot be 0: Expected `int` >= 1"),
        ({"delimiter": ";"}, "delimiter is of text files, and the DataFrame is none"),
    ):
        with pytest.raises(sublet.BadConfig, match=says):
            net.submit(pd.DataFrame(COLUMNS), MODEL, **wishes)


def test_a_job_that_fails_raises_what_the_command_line_would_exit_with(net: sublet.Network) -> None:
    inverse = model([node("Reciprocal", ["a"], ["y"])], inputs={"a": 1})
    job = net.submit(pd.DataFrame({"a": [1, 0]}), inverse, protection="enclave", local_share=1.0)
    with pytest.raises(sublet.BadData, match="failed") as failed:
        job.result(WAIT_SECONDS)
    assert (vars(failed.value)["code"], failed.value.exit_code, job.status) == ("bad-data", 2, "failed")


def test_a_wait_that_is_too_short_leaves_the_job_which_can_be_taken_back(net: sublet.Network) -> None:
    job = net.submit(pd.DataFrame({"a": range(50_000), "b": 1.0}), MODEL, protection="homomorphic")
    with pytest.raises(TimeoutError, match=r"is \w+ after 0.01 s; it goes on"):
        job.result(timeout=0.01)
    assert not job.done()
    job.cancel()
    with pytest.raises(sublet.JobFailed, match="cancelled") as failed:
        job.result(WAIT_SECONDS)
    assert vars(failed.value)["code"] == "cancelled"
    assert job.done()


# What is known of a job -----------------------------------------------------------------------------------------------


@needs_seal
def test_a_quote_prices_every_protection_and_leaves_nothing(net: sublet.Network) -> None:
    frame = pd.DataFrame(COLUMNS)
    scored(net, frame, local_share=0.0)  # a contract, which says what lessors ask
    jobs, folder = len(net.jobs()), net._core._place.jobs.parent
    before = sorted(folder.iterdir())
    quote, deadline = net.quote(frame, MODEL), time.monotonic() + WAIT_SECONDS
    while not all(each.units_free for each in quote.offers):  # until word is here that the contract's units are free
        assert time.monotonic() < deadline, quote
        quote = net.quote(frame, MODEL)
    assert (quote.rows, quote.columns, quote.chosen) == (3, ("a", "b"), "homomorphic")
    assert quote.prices == "market"
    ways = [("homomorphic", "bfv"), ("homomorphic", "paillier"), ("enclave", None), ("sealed-result", "paillier")]
    assert [(each.protection, each.scheme) for each in quote.offers] == ways
    for offer in quote.offers:
        assert offer.possible
        assert min(offer.own_seconds or 0, offer.bytes_sent or 0, offer.bytes_back or 0, offer.price or 0) > 0
        assert offer.price == pytest.approx((offer.lessor_seconds or 0) * limits.PRICE_MICROS_DEFAULT / 1e6 / 3600)
        assert (offer.units_free or 0) > 0
        assert offer.protection in str(quote)
        assert offer.protection in quote._repr_html_()
    assert sorted(folder.iterdir()) == before
    assert len(net.jobs()) == jobs


@needs_seal
@pytest.mark.parametrize(
    ("wishes", "chosen", "said"),
    [
        ({}, "homomorphic", "local compute affords it"),
        ({"scheme": "paillier"}, "homomorphic", "local compute affords it"),
        ({"encrypt_seconds_max": TINY}, "enclave", "too long"),
        ({"encrypt_seconds_max": TINY, "decrypt_seconds_max": AMPLE}, "sealed-result", "results encrypted"),
        ({"encrypt_seconds_max": TINY, "decrypt_seconds_max": TINY}, "enclave", "too long"),
        ({"scheme": "paillier", "decrypt_seconds_max": TINY}, "enclave", "to decrypt"),
    ],
    ids=["ample", "paillier", "encrypt", "sealed", "both", "decrypt"],
)
def test_budgets_on_this_machine_choose_the_protection(
    net: sublet.Network, wishes: dict[str, Any], chosen: str, said: str
) -> None:
    """By what this machine was measured to take: no price here is made up."""
    quote = net.quote(pd.DataFrame({"a": range(9_000), "b": 1.0}), MODEL, **wishes)
    assert (quote.chosen, said in quote.reason) == (chosen, True), quote


def test_a_quote_says_why_a_protection_will_not_do(net: sublet.Network) -> None:
    squares = LinearRegression().fit(pd.DataFrame(COLUMNS)[["a", "b"]], [0.0, 1.0, 2.0])
    quote = net.quote(pd.DataFrame({"a": [1.0, None], "b": 1.0}), squares, missing="nan")
    homomorphic, enclave, _ = quote.offers
    assert (homomorphic.possible, enclave.possible, quote.chosen) == (False, True, "enclave")
    assert "missing" in homomorphic.reason
    assert "--" not in str(quote)


def test_a_job_says_what_became_of_it(net: sublet.Network) -> None:
    job = net.submit(pd.DataFrame(COLUMNS), MODEL, protection="enclave")
    assert job.result(WAIT_SECONDS).equals(job.result(timeout=0))
    assert (job.status, job.done(), repr(job)) == ("completed", True, f"<{job.id} completed>")
    assert "job.submitted" in str(job.explain()).splitlines()[0]
    assert job.cost.price > 0
    assert job.cost.predicted is not None
    html = job._repr_html_()
    assert "<b>completed</b>" in html
    assert "not confidential" in html


def test_a_job_is_found_again_by_its_id(net: sublet.Network) -> None:
    frame = pl.DataFrame(COLUMNS)
    job = net.submit(frame, MODEL, id="key", protection="enclave", local_share=1.0)
    again = net.job(job.id)
    found = again.result(WAIT_SECONDS)
    assert isinstance(found, pd.DataFrame)
    assert found.to_dict("list") == {"key": COLUMNS["key"], "result": RESULT}
    assert net.job(job.id, like=frame).result().equals(pl.DataFrame({"key": COLUMNS["key"], "result": RESULT}))
    assert job.id in {each.id for each in net.jobs()}
    with pytest.raises(sublet.BadData, match=r"computed 3 rows, but the table .* has 2"):
        net.job(job.id, like=frame.head(2)).result()
    with pytest.raises(sublet.UnknownJob, match="there is no job job-0"):
        net.job("job-0")


# Both faces -----------------------------------------------------------------------------------------------------------


async def test_plain_calls_work_where_a_loop_runs(net: sublet.Network) -> None:
    assert list(scored(net, pd.DataFrame(COLUMNS))["result"]) == RESULT


async def test_the_same_awaited() -> None:
    frame = pd.DataFrame(COLUMNS)
    async with sublet.alocal(lessors=1) as net:
        job = await net.submit(frame, MODEL, protection="enclave")
        stages = [each.phase async for each in job.watch()]
        assert stages[-1] == "completed"
        assert await job.done()
        assert list((await job.result())["result"]) == RESULT
        assert (await job.cost()).spent is not None
        assert (await (await net.job(job.id)).status()) == "completed"
    with pytest.raises(sublet.NetworkClosed):
        await net.jobs()


def test_what_was_closed_says_how_to_open_another() -> None:
    net = sublet.local(lessors=1)
    job = net.submit(pd.DataFrame(COLUMNS), MODEL, protection="enclave")
    net.close()
    net.close()
    for use in (net.jobs, job.result, job.done, lambda: net.submit("a.csv", MODEL)):
        with pytest.raises(sublet.NetworkClosed, match=r"open another with sublet.connect or sublet.local"):
            use()


def test_a_process_that_ends_leaves_nothing_of_its_network(tmp_path: Path) -> None:
    """Though nobody closed it and a job was under way."""
    script = (
        "import os, psutil, sublet, pandas as pd\n"
        f"net, frame = sublet.local(), pd.DataFrame({COLUMNS!r})\n"
        "model = sublet.linear({'a': 1.0})\n"
        "net.submit(frame, model, protection='enclave').result()\n"
        "net.submit(pd.DataFrame({'a': range(100000)}), model, protection='homomorphic')\n"
        "print(*(each.pid for each in psutil.Process().children(recursive=True)))\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    children = [int(each) for each in ran.stdout.split()]
    assert children
    assert [each for each in children if psutil.pid_exists(each)] == []
    assert list(tmp_path.iterdir()) == []
    assert ran.stderr == ""
