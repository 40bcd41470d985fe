"""A clock or a key that is not right is told to whoever has it: no silence (`tests/soak/clocks.py`: all cases)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

import nodes.demo
from nodes.identity import Identity
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.renter.submission import JobOptions
from nodes.views.report import JobReport
from tests.support.clocks import SkewedNetwork
from tests.support.models import DATA

LINEAR = (Path(nodes.demo.__file__).parent / "breast_cancer_linear.onnx").read_bytes()
SECONDS_MAX = 60.0


async def ended(network: LocalNetwork) -> JobReport:
    wishes = JobOptions(protection="homomorphic", batch_rows=100, match_seconds=2.0)
    spec = network.stage(DATA, LINEAR, None, wishes)
    await network.submit(spec)
    return [each async for each in network.watch(spec.id)][-1]


async def test_a_renter_whose_clock_is_ahead_is_told_by_its_hub(tmp_path: Path) -> None:
    async with asyncio.timeout(SECONDS_MAX), SkewedNetwork(tmp_path, {LOCAL_RENTER: 600.0}) as network:
        report = await ended(network)
    assert (report.phase, report.code) == ("failed", "not-believed")
    assert "A11.A12's clock is 600 s ahead of A11.hub's" in report.reason


async def test_a_lessor_whose_clock_is_wrong_is_told_and_not_ready(tmp_path: Path) -> None:
    for skew, code in ((600.0, "from-the-future"), (-600.0, "expired")):
        with capture_logs() as lines:
            network = SkewedNetwork(tmp_path / code, {"B11.B12": skew}, lessors=1)
            async with asyncio.timeout(SECONDS_MAX), network:
                while network.workers[0].ready.is_set():  # noqa: ASYNC110 - what its hub says
                    await asyncio.sleep(0.01)
        said: list[Any] = [line for line in lines if line["event"] == "not believed"]
        assert [(line["node"], line["source"], line["code"]) for line in said] == [("B11.B12", "B11.hub", code)]
        assert "600 s" in said[0]["reason"]


async def test_a_renter_with_another_key_than_its_hub_knows_is_told(tmp_path: Path) -> None:
    network = LocalNetwork(tmp_path)
    start_hubs = network._start_hub

    async def start_hub(hub: str) -> None:
        """Known by the hub with one key, and then it has another."""
        await start_hubs(hub)
        if hub == "A11":
            network._identities[LOCAL_RENTER] = Identity.generate(LOCAL_RENTER)

    network._start_hub = start_hub  # type: ignore[method-assign]
    async with asyncio.timeout(SECONDS_MAX), network:
        report = await ended(network)
    assert (report.phase, report.code) == ("failed", "not-believed")
    assert "A11.A12 did not sign this with the key by which it is known here" in report.reason
