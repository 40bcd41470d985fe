"""Every process of every party killed at each step of joint jobs, in one network: what comes out is the same.

`tests/soak/jointkills.py` does so with real processes on RabbitMQ, one at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from nodes.crew.crew import Crew
from nodes.data.table import open_table
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.joint import chunks
from nodes.local import LOCAL_PARTNER, LOCAL_RENTER
from nodes.renter.submission import JobOptions
from nodes.views import parts
from nodes.views.report import JobReport
from tests.e2e.test_joint_local import outputs
from tests.e2e.test_joint_models import Pooled
from tests.support import together as joint
from tests.support.mortal import MortalNetwork, Steps
from tests.support.together import Case

SECONDS_MAX: Final = 180
ROUNDS: Final = {
    "joint.requested": "partner",
    "chunk.taken": "renter",
    "ids.matched": "partner",
    "key.confirmed": "renter",
    "partial.taken": "partner",
    "round.made": "partner",
    "output.accepted": "renter",
}
"""Steps, and whose machine takes them."""
MODEL: Final = {
    "job.joined": "renter",
    "unit.summed": "partner",
    "output.accepted": "renter",
    "weights.made": "partner",
}


@pytest.fixture(scope="module")
def key() -> PaillierSecret:
    return paillier.generate(2048)


@pytest.fixture
async def steps(monkeypatch: pytest.MonkeyPatch, key: PaillierSecret) -> AsyncIterator[Steps]:
    monkeypatch.setattr(paillier, "generate", lambda *_, **__: key)
    monkeypatch.setattr(chunks, "IDS_PER_CHUNK", 13)
    async with asyncio.timeout(SECONDS_MAX):
        yield Steps(monkeypatch)


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    """One hand: the numbers are small."""
    small = Crew(1)
    yield small
    await small.close()


async def kill_everybody(network: MortalNetwork) -> None:
    """One after the other, each started again before the next."""
    for address in (LOCAL_RENTER, LOCAL_PARTNER, *network.hubs):
        await network.kill(address)
        await network.revive(address)
    for module in ("nodes.crew", "nodes.enclave"):
        await network.kill_children(module)
    for lessor in network.lessors:
        await network.replace(lessor)
    network.cut((*network.hubs, *network.lessors, LOCAL_RENTER, LOCAL_PARTNER))


async def killed_at(network: MortalNetwork, steps: Steps, role: str, step: str, case: Case, asked: JobOptions) -> str:
    """A job of which everybody was killed at a step."""
    program = b"" if asked.joint is not None and asked.joint.fitting is not None else joint.lessors_program()
    spec = network.stage(case.renter, program, None, asked)
    steps.expect(spec.id, role, step)
    await network.submit(spec)
    await steps.reached()
    await kill_everybody(network)
    return spec.id


async def ended(network: MortalNetwork, job: str) -> JobReport:
    report = [each async for each in network.watch(job)][-1]
    assert report.phase == "completed", report.reason
    return report


async def test_rounds_go_on_to_the_same_result(tmp_path: Path, steps: Steps, crew: Crew) -> None:
    case = joint.make_overlapping(tmp_path, rows=60, shared=40)
    asked = joint.wishes({"batch_rows": 10, "lessors": 1}, aligned=False)
    partner, expected = joint.local_partner(case, joint.policy(tmp_path)), case.expected(3)
    async with MortalNetwork(tmp_path / "network", partner=partner, lessors=1, crew=crew) as network:
        for step, role in ROUNDS.items():
            report = await ended(network, await killed_at(network, steps, role, step, case, asked))
            assert np.abs(outputs(report) - expected).max() <= 1e-6 * np.abs(expected).max(), step


async def test_a_model_comes_out_the_same(tmp_path: Path, steps: Steps, crew: Crew) -> None:
    case = joint.make_wide(tmp_path, rows=200, columns=4)
    asked = joint.model_wishes("ridge", {"partner_bits": 16}, batch_rows=50, lessors=1)
    partner, pooled = joint.local_partner(case, joint.policy(tmp_path), "move"), Pooled.of(case, "ridge")
    async with MortalNetwork(tmp_path / "network", partner=partner, lessors=1, crew=crew) as network:
        for step, role in MODEL.items():
            job = await killed_at(network, steps, role, step, case, asked)
            report = await ended(network, job)
            assert network.partner_store is not None
            theirs = (await parts.part(network.partner_store, job)).weights
            assert pooled.difference(np.array([*outputs_of(report)[:-1], *theirs.values()])) < 1e-3, step


def outputs_of(report: JobReport) -> list[float]:
    """Weights of the renter's columns, and the intercept."""
    assert report.output is not None
    table = open_table(report.output)
    found: list[float] = table.read(0, table.rows)[:, 0].tolist()
    return found
