"""What no honest node sends, in the middle of a joint job: it is refused by name, and the job ends or goes on."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from msgspec import structs

from broker.port import DEAD_REASON
from nodes.homomorphic.paillier import secret as paillier
from nodes.local import LOCAL_PARTNER, LOCAL_RENTER, LocalNetwork
from nodes.runtime.post import Post
from nodes.views import parts
from schemas import codec
from schemas.events import BatchRejected, batch_attributes
from schemas.ids import Address, address
from schemas.joint import JointRequested, RoundOpened
from tests.e2e.test_joint_local import ended, outputs, submit, until
from tests.support import together as joint
from tests.support.adversary import Wiretap
from tests.support.together import Case

FIRST, SECOND = address("B11", "B12"), address("B11", "B13")
ROUNDS: Final = 3
LONG: Final = {"batch_rows": 10, "lessors": 1}
"""The job is under way when somebody acts, on its first round; the other lessor has no contract."""


@dataclass(frozen=True)
class Attack:
    """A job on the wire, and what its attackers may send."""

    network: LocalNetwork
    tap: Wiretap
    job: str

    async def send(self, of: Address, event_type: str, data: Any = None, **more: Any) -> None:
        """As a node itself would, signed by its key."""
        broker = self.network.server.connect(of)
        post = Post(self.network.identity(of), broker, time.time)
        await post.send(event_type, LOCAL_PARTNER, self.job, data, event_id=f"hostile-{event_type}", **more)
        await broker.close()

    async def second_key(self) -> None:
        """A request like the first, with another key."""
        (asked,) = [event.data for event, _ in self.tap.events("joint.requested")]
        assert isinstance(asked, JointRequested)
        other = paillier.generate(2048).public.to_bytes()
        await self.send(LOCAL_RENTER, "joint.requested", structs.replace(asked, public_key=other))

    async def round_after_the_last(self) -> None:
        """One more than were agreed."""
        opened = RoundOpened(job=self.job, round=ROUNDS + 1, rows=joint.ROWS, value_bits=20, result_bits=20)
        await self.send(LOCAL_RENTER, "round.opened", opened)


ENDING: Final[dict[str, Callable[[Attack], Awaitable[None]]]] = {
    "second-key": Attack.second_key,
    "too-many-rounds": Attack.round_after_the_last,
}


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return joint.make_case(tmp_path_factory.mktemp("case"))


async def under_way(tap: Wiretap) -> None:
    """Return when the partner has the first sealed result."""

    async def taken() -> bool:
        return any(True for _ in tap.events("batch.taken"))

    await until(taken)


def require_right(found: np.ndarray, case: Case) -> None:
    expected = case.expected(ROUNDS)
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


def require_nothing_told(reason: str) -> None:
    told = reason.replace(LOCAL_PARTNER, "")
    assert not [word for word in ("premium", "insurer", "person", str(joint.ROWS)) if word in told], told


async def test_a_renter_that_breaks_what_was_agreed_is_told_by_code_and_both_sides_end(
    tmp_path: Path, case: Case
) -> None:
    partner = joint.local_partner(case, joint.policy(tmp_path))
    async with LocalNetwork(tmp_path / "network", partner=partner) as network:
        assert network.partner_store is not None
        for code, act in ENDING.items():
            tap = Wiretap()
            tap.install(network.server)
            job = await submit(network, case, LONG)
            await under_way(tap)
            await act(Attack(network, tap, job))
            report = await ended(network, job)
            assert (report.phase, report.code) == ("failed", code), report.reason
            require_nothing_told(report.reason)
            part = await parts.part(network.partner_store, job)
            assert (part.phase, part.code) == ("failed", code)


async def test_a_sealed_result_of_a_lessor_without_a_contract_is_set_aside_and_the_job_goes_on(
    tmp_path: Path, case: Case
) -> None:
    """It is of rows that the lessor under contract has yet to send."""
    partner = joint.local_partner(case, joint.policy(tmp_path))
    async with LocalNetwork(tmp_path / "network", partner=partner) as network:
        tap = Wiretap()
        tap.install(network.server)
        job = await submit(network, case, LONG)

        async def set_aside() -> bool:
            return any(each.headers.get(DEAD_REASON) == "no-contract" for each in tap.messages)

        await under_way(tap)
        event, body = next(tap.events("batch.sealed"))
        last = structs.replace(codec.batch_of(event), batch=joint.ROWS // 10 - 1, first_row=joint.ROWS - 10)
        other = SECOND if event.source == FIRST else FIRST
        await Attack(network, tap, job).send(other, "batch.sealed", body=body, attributes=batch_attributes(last))
        await until(set_aside)
        done = await ended(network, job)
        assert done.phase == "completed", done.reason
    require_right(outputs(done), case)


async def test_an_invalid_ciphertext_costs_its_lessor_the_contract_and_the_other_one_goes_on(
    tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is told says that a result was not accepted, and no more; the renter's journal says why."""
    lies, send = list[str](), Post.send

    async def lying(post: Post, event_type: str, to: str, subject: str, data: Any = None, **more: Any) -> None:
        if event_type == "batch.sealed" and (not lies or post.me in lies):
            lies.append(post.me)
            more["body"] = bytes(len(more["body"]))
        await send(post, event_type, to, subject, data, **more)

    monkeypatch.setattr(Post, "send", lying)
    partner = joint.local_partner(case, joint.policy(tmp_path))
    async with LocalNetwork(tmp_path / "network", partner=partner) as network:
        tap = Wiretap()
        tap.install(network.server)
        done = await ended(network, await submit(network, case, LONG))
        assert done.phase == "completed", done.reason
        require_right(outputs(done), case)
        told = [event.data for event, _ in tap.events("batch.rejected")]
        rejected = [each for each in told if isinstance(each, BatchRejected)]
        assert {each.code for each in rejected} == {"ciphertext-invalid"}
        for each in rejected:
            require_nothing_told(each.reason)
        notes = [note["details"] for line in await network.explain(done.id) for note in line["notes"]]
        assert any(note.get("code") == "ciphertext-invalid" for note in notes)
        assert {each.lessor for each in done.contracts} == {FIRST, SECOND}
        elsewhere = [each for each in tap.messages if each.headers.get("ce-type") != "batch.rejected"]
        assert not any(b"ciphertext-invalid" in each.body for each in elsewhere)
