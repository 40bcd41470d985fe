"""Which contracts a worker ends for want of use, and whom it believes that they are over."""

from __future__ import annotations

import pytest

from nodes.machine import Refused
from schemas.events import ContractEnded, ContractSigned, ContractUsed
from schemas.limits import CONTRACT_IDLE_SECONDS_MAX
from tests.unit.nodes.lessor.protocol.desk import NOW, Desk, rented
from tests.unit.nodes.lessor.rentals import HUB_B, LESSOR, RENTER

LONG = rented(ends_at=NOW + 10 * CONTRACT_IDLE_SECONDS_MAX)
USED = ContractUsed(contract=LONG.id, until=LONG.ends_at)


def signed() -> Desk:
    return Desk().handle("contract.signed", ContractSigned(contract=LONG), HUB_B)


@pytest.mark.parametrize(("seconds", "sent"), [(-1, []), (1, ["contract.ended"])])
def test_a_contract_is_ended_when_nothing_was_asked_for_long(seconds: float, sent: list[str]) -> None:
    desk = signed()
    desk.now += CONTRACT_IDLE_SECONDS_MAX + seconds
    assert [each for each in desk.timer("sweep").sent if each == "contract.ended"] == sent


def test_what_another_worker_serves_is_not_ended() -> None:
    desk = signed()
    desk.now += CONTRACT_IDLE_SECONDS_MAX - 1
    desk.handle("contract.used", USED, LESSOR).now += 2
    assert desk.timer("sweep").sent == []


def test_the_others_are_told_a_few_times_per_deadline_and_not_with_every_batch() -> None:
    desk = Desk().open()
    told = []
    for _ in range(8):
        told.append("contract.used" in desk.batch().sent)
        desk.now += 5
    assert told == [True] + [False] * 7


def test_nobody_but_the_own_hub_ends_a_contract() -> None:
    with pytest.raises(Refused) as refused:
        Desk().open().handle("contract.ended", ContractEnded(contract=LONG.id, code="idle"), RENTER)
    assert refused.value.code == "not-the-hub"


def test_a_worker_that_is_called_silent_places_its_order_at_once() -> None:
    ended = ContractEnded(contract=LONG.id, code="silent")
    assert "order.sell.placed" in signed().handle("contract.ended", ended, HUB_B).sent
