"""The Python client with a partner: a model of a DataFrame's columns and of columns that are not here."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sublet
from nodes.client.network import AsyncNetwork
from nodes.client.places import Alone
from nodes.client.wishes import FitWishes
from nodes.local import LocalNetwork
from tests.support import together as joint


async def test_a_model_of_a_frame_and_a_partners_columns_comes_back_as_weights(tmp_path: Path) -> None:
    case = joint.make_breast(tmp_path)
    partner = joint.local_partner(case, joint.policy(tmp_path), "move")
    frame = pd.read_csv(case.renter).sample(frac=1, random_state=1)
    asked: FitWishes = {"id": "id", "outliers": "move", "key_bits": 2048}
    async with (
        LocalNetwork(tmp_path / "network", lessors=1, partner=partner) as network,
        AsyncNetwork(Alone(network, 1, AsyncExitStack())) as net,
    ):
        job = await net.fit_joint(frame, joint.LABEL, partner="C11.C12", dataset=joint.DATASET, **asked)
        weights, fit, report = await job.result(timeout=60), await job.fit(), await job.report()
    assert isinstance(weights, pd.DataFrame)
    assert list(weights.columns) == ["name", "weight"]
    assert list(weights["name"]) == [name for name in frame.columns if name not in ("id", joint.LABEL)] + ["intercept"]
    assert np.isfinite(weights["weight"]).all()
    assert fit is not None
    assert (fit.algorithm, fit.rows, fit.partner_columns) == ("logistic", len(frame), 20)
    assert report.route[-1] == "B11.B12 → B11 → A11 → C11 → C11.C12"


def test_what_cannot_be_fitted_is_refused_at_once_and_says_what_to_do() -> None:
    frame = pd.DataFrame({"id": ["x", "y"], "a": [1.0, 2.0], "y": [0, 1]})
    asked: dict[str, Any] = {"partner": "C11.C12", "dataset": "claims", "id": "id"}
    with sublet.local(lessors=1) as net:
        for changed, said in (
            ({"label": "z"}, "no column 'z'"),
            ({"label": "y", "id": None}, "id"),
            ({"label": "y", "penaltyy": 1}, "did you mean 'penalty'"),
            ({"label": "y", "algorithm": "forest"}, "forest"),
            ({"label": "y", "algorithm": ["ridge"]}, "text"),
            ({"label": "y", "key_bits": 1024}, "1024"),
            ({"label": 5}, "text"),
            ({"label": "y", "partner": "nobody"}, "out of range"),
        ):
            with pytest.raises(sublet.BadInput, match=said):
                net.fit_joint(frame, **(asked | changed))
        job = net.fit_joint(frame, "y", **asked)
        with pytest.raises(sublet.BadInput, match="C11"):
            job.result(timeout=60)
        assert job.fit is None
