"""Joint jobs in one process: lessors seal for a partner in a third subnet, in rounds, and the sums are right."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.local import LocalNetwork
from nodes.views.jobs import JobReport
from tests.support import joint
from tests.support.joint import Case

JOB_SECONDS_MAX = 60


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return joint.make_case(tmp_path_factory.mktemp("case"))


@pytest.fixture
async def network(tmp_path: Path, case: Case) -> AsyncIterator[LocalNetwork]:
    partner = joint.local_partner(case, joint.policy(tmp_path))
    async with LocalNetwork(tmp_path / "network", partner=partner) as running:
        yield running


async def run(network: LocalNetwork, case: Case, **changed: Any) -> JobReport:
    spec = network.stage(case.renter, joint.lessors_program(), None, joint.wishes(**changed))
    await network.submit(spec)
    async with asyncio.timeout(JOB_SECONDS_MAX):
        reports = [each async for each in network.watch(spec.id)]
    return reports[-1]


def outputs(report: JobReport) -> np.ndarray:
    assert report.output is not None
    with report.output.open(newline="") as file:
        _, *rows = csv.reader(file)
    assert [row[0] for row in rows] == [str(number + 1) for number in range(len(rows))]
    return np.array([[float(value) for value in row[1:]] for row in rows])


async def test_three_rounds_are_equal_to_plaintext(network: LocalNetwork, case: Case) -> None:
    report = await run(network, case, parameters=(0.5, -0.25, 1.0))
    assert report.phase == "completed", report.reason
    found, expected = outputs(report), case.expected(3, (0.5, -0.25, 1.0))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()
