"""Boosted trees of XGBoost and LightGBM, exported by onnxmltools."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightgbm
import numpy as np
import onnxmltools
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

from tests.models.exports.made import Made, said_by
from tests.models.exports.rows import FIT, tables, target

SMALL: dict[str, Any] = {"n_estimators": 5, "max_depth": 3, "random_state": 0, "n_jobs": 1}
LIGHT: dict[str, Any] = {**SMALL, "verbose": -1, "min_child_samples": 5}


def xgboost_models() -> dict[str, tuple[Any, str, str]]:
    """By name: the model, its rows, its target."""
    return {
        "xgboost-regressor": (xgboost.XGBRegressor(**SMALL), "numbers", "number"),
        "xgboost-gaps": (xgboost.XGBRegressor(**SMALL), "gaps", "number"),
        "xgboost-binary": (xgboost.XGBClassifier(**SMALL), "numbers", "two"),
        "xgboost-three": (xgboost.XGBClassifier(**SMALL), "numbers", "three"),
        "xgboost-forest": (xgboost.XGBRFRegressor(**SMALL), "numbers", "number"),
        "xgboost-poisson": (xgboost.XGBRegressor(objective="count:poisson", **SMALL), "numbers", "positive"),
    }


def lightgbm_models() -> dict[str, tuple[Any, str, str]]:
    """By name: the model, its rows, its target."""
    return {
        "lightgbm-regressor": (lightgbm.LGBMRegressor(**LIGHT), "numbers", "number"),
        "lightgbm-gaps": (lightgbm.LGBMRegressor(**LIGHT), "gaps", "number"),
        "lightgbm-binary": (lightgbm.LGBMClassifier(**LIGHT), "numbers", "two"),
        "lightgbm-three": (lightgbm.LGBMClassifier(**LIGHT), "numbers", "three"),
        "lightgbm-dart": (lightgbm.LGBMRegressor(boosting_type="dart", **LIGHT), "numbers", "number"),
        "lightgbm-poisson": (lightgbm.LGBMRegressor(objective="poisson", **LIGHT), "numbers", "positive"),
        "lightgbm-forest": (
            lightgbm.LGBMRegressor(boosting_type="rf", bagging_freq=1, bagging_fraction=0.7, **LIGHT),
            "numbers",
            "number",
        ),
    }


def made() -> Iterator[Made]:
    """Every model of this module."""
    for name, (model, rows, wanted) in xgboost_models().items():
        fitted = _fitted(model, rows, wanted)
        types = [("X", FloatTensorType([None, 6]))]
        exported = onnxmltools.convert_xgboost(fitted, initial_types=types, target_opset=15)
        yield Made(name, exported.SerializeToString(), rows, said_by(fitted, _typed(rows)[FIT:]))
    yield _ranker()
    for name, (model, rows, wanted) in lightgbm_models().items():
        yield _light(name, _fitted(model, rows, wanted), rows)
    yield _light(
        "lightgbm-no-dictionary", _fitted(lightgbm.LGBMClassifier(**LIGHT), "numbers", "three"), "numbers", zipmap=False
    )
    yield _categories()


def _typed(rows: str) -> Any:
    return tables()[rows].astype(np.float32)


def _fitted(model: Any, rows: str, wanted: str) -> Any:
    return model.fit(_typed(rows)[:FIT], target(wanted, tables()[rows])[:FIT])


def _ranker() -> Made:
    rows, value = _typed("numbers"), target("three", tables()["numbers"])
    fitted = xgboost.XGBRanker(**SMALL).fit(rows[:FIT], value[:FIT], qid=np.arange(FIT) // 10)
    types = [("X", FloatTensorType([None, 6]))]
    exported = onnxmltools.convert_xgboost(fitted.get_booster(), initial_types=types, target_opset=15)
    return Made("xgboost-ranker", exported.SerializeToString(), "numbers", said_by(fitted, rows[FIT:]))


def _light(name: str, fitted: Any, rows: str, width: int = 6, **options: Any) -> Made:
    types = [("X", FloatTensorType([None, width]))]
    exported = onnxmltools.convert_lightgbm(fitted, initial_types=types, target_opset=15, **options)
    return Made(name, exported.SerializeToString(), rows, said_by(fitted, _typed(rows)[FIT:]))


def _categories() -> Made:
    rows = tables()["categories"]
    wanted = (rows[:, 0] % 2) * 10 + (rows[:, 1] == 3) * 5 + rows[:, 2]
    model = lightgbm.LGBMRegressor(**LIGHT, min_data_per_group=1, cat_smooth=0.0, max_cat_to_onehot=1)
    fitted = model.fit(rows[:FIT].astype(np.float32), wanted[:FIT], categorical_feature=[0, 1, 2])
    return _light("lightgbm-categories", fitted, "categories", width=3)
