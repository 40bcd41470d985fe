"""Joint jobs that take longer than a lease: renewed, completed, and paid for the time that was rented."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from nodes.contracts import charge_micros
from nodes.local import LocalNetwork
from nodes.partner.activities.collect import Collector
from nodes.renter.submission import JobOptions
from nodes.views import parts
from nodes.views.report import JobReport
from schemas.events import SubtaskCompleted
from tests.e2e.test_joint_kills import outputs_of
from tests.e2e.test_joint_local import ended, outputs
from tests.e2e.test_joint_models import Pooled
from tests.support import together as joint
from tests.support.adversary import Wiretap
from tests.support.together import Case

LEASE_SECONDS: Final = 3.0
LEASES: Final = 3
WAIT_SECONDS_MAX: Final = 40
JOB: Final = {"batch_rows": 20, "lessors": 1, "lease_seconds": LEASE_SECONDS}


class SlowPartner:
    """Takes results of one lease each: before every further one it waits until another contract has been made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, network: LocalNetwork) -> None:
        self._network, self._taken, take = network, 0, Collector._sum_up

        async def slowly(collector: Collector, event: object, sent: object) -> None:
            self._taken += 1
            await self._contracts(sent.batch.job, min(self._taken, LEASES))  # type: ignore[attr-defined]
            await take(collector, event, sent)  # type: ignore[arg-type]

        monkeypatch.setattr(Collector, "_sum_up", slowly)

    async def _contracts(self, job: str, count: int) -> None:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            async for seen in self._network.watch(job):
                if len(seen.contracts) >= count:
                    return


async def completed(network: LocalNetwork, case: Case, program: bytes, asked: JobOptions) -> tuple[JobReport, Wiretap]:
    tap = Wiretap()
    tap.install(network.server)
    spec = network.stage(case.renter, program, None, asked)
    await network.submit(spec)
    done = await ended(network, spec.id)
    assert done.phase == "completed", done.reason
    return done, tap


def require_paid(done: JobReport, tap: Wiretap) -> None:
    """Receipts follow upon each other without a gap, from when the first lessor began to the end of the job."""
    told = [event.data for event, _ in tap.events("subtask.completed")]
    said = {each.receipt.contract: each for each in told if isinstance(each, SubtaskCompleted)}
    receipts = sorted((each.receipt for each in said.values()), key=lambda each: each.started_at)
    assert len(receipts) == len(done.contracts) >= LEASES
    for before, after in pairwise(receipts):
        assert after.started_at == pytest.approx(before.ended_at, abs=1e-3)
    assert all(each.ended_at - each.started_at <= LEASE_SECONDS for each in receipts)
    assert receipts[-1].ended_at == pytest.approx(done.ended_at, abs=0.5)
    time = receipts[-1].ended_at - receipts[0].started_at
    assert sum(each.ended_at - each.started_at for each in receipts) == pytest.approx(time, abs=0.01)
    for each in receipts:
        assert each.cost_micros == charge_micros(said[each.contract].contract, each.ended_at - each.started_at)
    assert not done.reason


async def test_rounds_outlive_their_leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = joint.make_case(tmp_path, rows=60)
    async with LocalNetwork(tmp_path / "n", partner=joint.local_partner(case, joint.policy(tmp_path))) as network:
        SlowPartner(monkeypatch, network)
        done, tap = await completed(network, case, joint.lessors_program(), joint.wishes(JOB))
        expected = case.expected(3)
        assert np.abs(outputs(done) - expected).max() <= 1e-6 * np.abs(expected).max()
        require_paid(done, tap)


async def test_a_model_outlives_its_leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = joint.make_wide(tmp_path, rows=200, columns=4)
    partner = joint.local_partner(case, joint.policy(tmp_path), "move")
    async with LocalNetwork(tmp_path / "n", partner=partner) as network:
        SlowPartner(monkeypatch, network)
        asked = joint.model_wishes("ridge", {"partner_bits": 16}, **JOB)
        done, tap = await completed(network, case, b"", asked)
        assert network.partner_store is not None
        theirs = (await parts.part(network.partner_store, done.id)).weights
        assert Pooled.of(case, "ridge").difference(np.array([*outputs_of(done)[:-1], *theirs.values()])) < 1e-3
        require_paid(done, tap)
