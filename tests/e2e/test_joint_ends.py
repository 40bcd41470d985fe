"""A renter that takes its job back, and a partner that withdraws, at each step: both sides end, and nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from nodes.crew.crew import Crew
from nodes.homomorphic.paillier import secret as paillier
from nodes.joint import chunks
from nodes.local import LOCAL_PARTNER
from nodes.partner.protocol.records import Part
from nodes.partner.protocol.states import ENDED
from nodes.renter.submission import JobOptions
from nodes.store.port import Store
from nodes.store.sqlite import SqliteStore
from nodes.views import parts
from nodes.views.parts import PartReport
from nodes.views.report import JobReport
from tests.e2e.test_joint_local import until
from tests.support import together as joint
from tests.support.mortal import MortalNetwork, Steps
from tests.support.together import Case

SECONDS_MAX: Final = 120
ERASED_SECONDS_MAX: Final = 10
STEPS: Final = {
    "rounds": {
        "joint.requested": "partner",
        "joint.deferred": "renter",
        "chunk.taken": "renter",
        "ids.matched": "renter",
        "job.joined": "renter",
        "key.confirmed": "renter",
        "partial.taken": "partner",
        "round.made": "partner",
        "output.accepted": "renter",
    },
    "model": {
        "unit.summed": "partner",
        "output.accepted": "renter",
        "reply.given": "partner",
    },
}
"""Of each kind of job, and whose machine takes them."""
KEPT_OF_JOB: Final = {"format", "outputs.json", "encoding.json", "table/table.json"}
"""What says what the job was."""


class Ends:
    """A network in which jobs are ended by somebody."""

    def __init__(self, network: MortalNetwork, steps: Steps, secrets: set[str]) -> None:
        self.network, self.steps, self.secrets = network, steps, secrets

    async def at(self, step: str, role: str, by: str, case: Case, asked: JobOptions) -> None:
        """One job, ended by the renter or the partner at a step."""
        program = b"" if asked.joint is not None and asked.joint.fitting is not None else joint.lessors_program()
        spec = self.network.stage(case.renter, program, None, asked)
        self.steps.expect(spec.id, role, step)
        await self.network.submit(spec)
        await self.steps.reached()
        if by == "renter":
            await self.network.cancel(spec.id)
        else:
            await self.network.decide(spec.id, approved=False, reason="audit")
        report = [each async for each in self.network.watch(spec.id)][-1]
        await self._require_told(by, report)
        await self._require_erased(spec.id)

    async def _require_told(self, by: str, report: JobReport) -> None:
        part = await self._ended_part(report.id)
        if by == "renter":
            assert (report.phase, report.code) == ("failed", "cancelled")
            assert (part.phase, part.code) == ("finished", "cancelled")
        else:
            code = "withdrawn" if part.phase == "withdrawn" else "declined"
            assert (report.phase, report.code, part.code) == ("failed", code, code)
            assert f"{LOCAL_PARTNER} {code}: audit" in report.reason

    async def _ended_part(self, job: str) -> PartReport:
        async def over() -> bool:
            part = (await self._theirs.get(job, ["part"])).get("part")
            return isinstance(part, Part) and part.phase in ENDED

        await until(over)
        return await parts.part(self._theirs, job)

    async def _require_erased(self, job: str) -> None:
        """Keys, masked ids, ciphertexts, parameters and outputs, at both, whatever was under way at the end."""

        async def erased() -> bool:
            busy = [await store.outbox_size(job) for store in (self.network.store, self._theirs)]
            return not any(busy) and not await self._left(job)

        try:
            async with asyncio.timeout(ERASED_SECONDS_MAX):
                await until(erased)
        except TimeoutError:
            pytest.fail(f"these stay: {await self._left(job)}")

    async def _left(self, job: str) -> set[str]:
        mine, theirs = self.network.jobs / job, self.network.partner_folder / "jobs" / job
        left = {str(each.relative_to(mine)) for each in mine.rglob("*") if each.is_file()} - KEPT_OF_JOB
        left |= {str(each) for each in theirs.glob("*")}
        left |= set(await self._theirs.read(job)) - {"part", "ledger"}
        stores = (self.network.store, self._theirs)
        return left | {name for name in self.secrets for store in stores if await store.get_secret(name)}

    @property
    def _theirs(self) -> Store:
        assert self.network.partner_store is not None
        return self.network.partner_store


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of all that is put into a store from now on."""
    names, put = set[str](), SqliteStore.put_secret

    async def noted(store: SqliteStore, name: str, sealed: bytes) -> bytes:
        names.add(name)
        return await put(store, name, sealed)

    monkeypatch.setattr(SqliteStore, "put_secret", noted)
    return names


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    """One hand: the numbers are small."""
    small = Crew(1)
    yield small
    await small.close()


def asked_for(kind: str, folder: Path) -> tuple[Case, JobOptions]:
    """A job of this kind, in small."""
    if kind == "rounds":
        wishes = joint.wishes({"batch_rows": 10, "lessors": 1}, aligned=False)
        return joint.make_overlapping(folder, rows=60, shared=40), wishes
    return joint.make_wide(folder, rows=200, columns=4), joint.model_wishes("ridge", batch_rows=50, lessors=1)


@pytest.mark.parametrize("by", ["renter", "partner"])
@pytest.mark.parametrize("kind", STEPS)
async def test_whoever_ends_a_job_at_whatever_step_both_sides_say_who_and_erase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secrets: set[str], crew: Crew, kind: str, by: str
) -> None:
    key = paillier.generate(2048)
    monkeypatch.setattr(paillier, "generate", lambda *_, **__: key)
    monkeypatch.setattr(chunks, "IDS_PER_CHUNK", 13)
    case, asked = asked_for(kind, tmp_path)
    partner, steps = joint.local_partner(case, joint.policy(tmp_path), "move"), Steps(monkeypatch)
    async with (
        asyncio.timeout(SECONDS_MAX),
        MortalNetwork(tmp_path / "network", partner=partner, lessors=1, crew=crew) as network,
    ):
        ends = Ends(network, steps, secrets)
        for step, role in STEPS[kind].items():
            unknown = {"top": 'uncovered = "ask"', "programs": f'["{"0" * 64}"]'}
            joint.policy(tmp_path, **(unknown if step == "joint.deferred" else {}))
            await ends.at(step, role, by, case, asked)
