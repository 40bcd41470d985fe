"""Whole jobs and the contracts behind them: how many lessors serve, and for how long."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nodes.local import LocalNetwork
from nodes.programs.build import linear
from nodes.renter.submission import JobOptions
from nodes.views.report import JobReport

JOB_SECONDS_MAX = 60


async def run(network: LocalNetwork, folder: Path, options: JobOptions) -> JobReport:
    data = folder / "data.csv"
    data.write_text("a\n" + "\n".join(map(str, range(100))) + "\n")
    spec = network.stage(data, linear({"a": [2.0]}, [1.0]), None, options)
    await network.submit(spec)
    async with asyncio.timeout(JOB_SECONDS_MAX):
        return [each async for each in network.watch(spec.id)][-1]


async def test_with_default_options_one_lessor_suffices(tmp_path: Path) -> None:
    options = JobOptions(protection="enclave", accept_software_enclave=True)
    async with LocalNetwork(tmp_path / "network", lessors=1) as network:
        report = await run(network, tmp_path, options)
    assert report.phase == "completed", report.reason
    assert [contract.lessor for contract in report.contracts] == ["B11.B12"]
