"""Columns put aside."""

from __future__ import annotations

import os
import tempfile

import numpy as np
import pytest

from nodes.data.spool import Spool
from schemas.errors import BadData


def test_columns_put_one_after_the_other_are_read_by_rows() -> None:
    values = np.random.default_rng(1).normal(size=(10, 5))
    with Spool() as spool:
        spool.put([values[:4, :3], values[4:, :3]])
        spool.put([values[:7, 3:], values[7:, 3:]])
        assert spool.rows == 10
        assert np.array_equal(spool.read(0, 10), values)
        assert np.array_equal(spool.read(3, 4), values[3:7])
        assert spool.read(10, 0).shape == (0, 5)


def test_columns_of_different_length_are_refused() -> None:
    with Spool() as spool:
        spool.put([np.zeros((10, 2))])
        with pytest.raises(BadData, match="some have 10 rows, others 9"):
            spool.put([np.zeros((9, 1))])


def test_rows_past_the_end_are_refused() -> None:
    with Spool() as spool:
        spool.put([np.zeros((10, 2))])
        spool.put([np.zeros((10, 2))])
        with pytest.raises(BadData, match="some have 10 rows, others 11"):
            spool.read(8, 3)


def test_a_full_disk_is_told_from_a_damaged_file(monkeypatch: pytest.MonkeyPatch) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: os.fdopen(full, "wb", buffering=0))
    with Spool() as spool, pytest.raises(BadData, match=r"no room in .* give another TMPDIR"):
        spool.put([np.zeros((10, 2))])
