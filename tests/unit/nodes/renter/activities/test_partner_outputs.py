"""A partner's outputs at the renter's door, and what the update program makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from broker.names import routing_key
from broker.port import Message
from nodes.identity import Identity
from nodes.joint.updates import update
from nodes.programs.check import check
from nodes.renter.activities.answers import Answers
from nodes.renter.activities.collect import Collector
from nodes.renter.activities.services import Services
from nodes.renter.activities.table import Hands
from nodes.renter.protections.joint import JointProtection
from nodes.renter.protocol.records import Agreement, Progress, Round
from nodes.runtime.door import Door
from nodes.runtime.hearing import Hearing
from schemas import codec
from schemas.errors import VerificationFailed
from schemas.events import Event
from schemas.ids import address
from tests.support import together as joint
from tests.unit.nodes.renter.activities.conftest import ME
from tests.unit.nodes.renter.activities.records import JOB, put
from tests.unit.nodes.renter.activities.test_collect import BATCH, Arrived
from tests.unit.nodes.renter.protocol.test_rounds import introduction

PARTNER = Identity.from_seed(address("C11", "C12"), b"\x21" * 32)
OTHER = Identity.from_seed(address("C11", "C13"), b"\x22" * 32)


@dataclass
class Table:
    """A collector, and what it told the machine."""

    services: Services
    told: list[str] = field(default_factory=list)

    async def submit(self, event_type: str, data: Any, aggregate: str, *, event_id: str) -> None:
        self.told.append(event_type)

    async def give(self, by: Identity = PARTNER, **attributes: str) -> str:
        """Settle one output; how it was settled."""
        given = {"round": "1", "bits": "40"} | attributes
        event = Event(
            "e", "round.answered", by.address, ME, self.services.clock(), JOB, None, b"body", attributes=given
        )
        headers, raw = codec.encode(event, by.sign)
        arrived = Arrived(Message(routing_key(ME, by.address, "result"), raw, headers, "e"))
        hands, door = Hands.of(self.services, None), Door(ME, "renter", self.services.clock)  # type: ignore[arg-type]
        answers = Answers(self.services, hands.workbench)
        hearing = Hearing(None, ME, "result", wait_seconds=60.0, clock=self.services.clock)  # type: ignore[arg-type]
        collector = Collector(
            self.services,
            hands.workbench,
            None,  # type: ignore[arg-type]
            door,
            self.submit,
            answers,
            hands.aligner,
            hearing,
        )
        await collector._serve(arrived)
        (settled,) = arrived.settled
        return settled


@pytest.fixture
async def table(services: Services) -> Table:
    """A job whose first round is answered already, so that nothing has to be decrypted."""
    await put(
        services.store,
        {
            "progress": Progress(phase="running"),
            "agreement": Agreement(introduction=introduction(partner_key=PARTNER.public)),
            "round/1": Round(number=1, phase="answered"),
        },
    )
    return Table(services)


async def test_an_output_that_comes_again_is_done_with(table: Table) -> None:
    assert await table.give() == "ack"
    assert not table.told


@pytest.mark.parametrize(
    ("by", "attributes", "settled"),
    [
        (OTHER, {}, "not-the-partner"),
        (PARTNER, {"round": "2"}, "unknown-round"),
        (PARTNER, {"bits": "many"}, "bad-data"),
        (PARTNER, {"bits": "-99999"}, "bad-data"),
        (PARTNER, {"sizebits": "4097"}, "bad-data"),
    ],
    ids=["by another", "of a round that was not opened", "without its scale", "of no scale", "of no size"],
)
async def test_an_output_that_nobody_asked_for_is_set_aside(
    table: Table, by: Identity, attributes: dict[str, str], settled: str
) -> None:
    assert await table.give(by, **attributes) == settled


async def test_a_lessors_result_does_not_come_here() -> None:
    protection = JointProtection(None, b"", None, None, None, None)  # type: ignore[arg-type]
    with pytest.raises(VerificationFailed) as refusal:
        await protection.open(BATCH, b"")
    assert refusal.value.code == "not-for-renter"


def test_an_update_makes_the_next_parameters_and_may_end_the_rounds() -> None:
    output, before = np.array([[1.0, 2.0]]), np.array([0.5, 0.5, 0.5])
    made, done = update(check(joint.update_program()), output, before)
    assert np.abs(made - (before + joint.RATE * np.array([1.0, 2.0, -0.5]))).max() < 1e-6
    assert not done
    again, ended = update(check(joint.update_program(ends=True)), output, before)
    assert again.tolist() == made.tolist()
    assert ended
