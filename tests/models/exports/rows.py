"""Rows to fit models on and to score with them, made from seeds: numbers, counts, gaps, people, words by number."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

FIT = 120
"""Rows to fit on. Small: models that keep their rows (neighbours, Gaussian processes) are written with them."""
SCORE = 200
Rows = npt.NDArray[Any]


@cache
def tables() -> Mapping[str, Rows]:
    """By name, `FIT + SCORE` rows each. Half of the numbers have one decimal, so that they meet thresholds exactly."""
    random, count = np.random.default_rng(12), FIT + SCORE
    numbers = random.normal(size=(count, 6))
    numbers[::2] = numbers[::2].round(1)
    gaps = numbers.copy()
    gaps[random.random(gaps.shape) < 0.1] = np.nan
    people = np.stack(
        [
            random.integers(18, 90, count).astype(str),
            random.normal(3000, 500, count).round(2).astype(str),
            random.choice(["F", "M"], count),
            random.choice(["Bonn", "Oslo", "São Paulo", "Łódź"], count),
        ],
        axis=1,
    )
    return MappingProxyType(
        {
            "numbers": numbers.astype(np.float32).astype(np.float64),
            "doubles": numbers,
            "gaps": gaps.astype(np.float32).astype(np.float64),
            "counts": random.poisson(2.0, (count, 6)).astype(np.float64),
            "categories": random.integers(0, 4, (count, 3)).astype(np.float64),
            "tokens": random.integers(0, 20, (count, 8)).astype(np.float64),
            "people": people,
        }
    )


def target(kind: str, rows: Rows) -> Any:
    """What to learn: `number`, `two`, `three`, `text` (three names), `numbers` (two), `labels` (two at once)."""
    weights = np.linspace(1.0, -0.5, rows.shape[1])
    filled = np.nan_to_num(rows)
    value = filled @ weights + np.sin(filled[:, 0]) + 0.1 * filled[:, -1] ** 2
    other = filled @ weights[::-1] - np.abs(filled[:, 1])
    classes = np.digitize(value, np.quantile(value, [1 / 3, 2 / 3]))
    made: dict[str, Any] = {
        "number": value,
        "numbers": np.stack([value, other], axis=1),
        "positive": np.exp(value / 4),
        "two": (value > np.median(value)).astype(np.int64),
        "three": classes.astype(np.int64),
        "text": np.array(["high", "low", "middle"])[classes],
        "labels": np.stack([value > 0, other > 0], axis=1).astype(np.int64),
    }
    return made[kind]
