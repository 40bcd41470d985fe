"""Units are not held for nothing: a contract has a least charge, and its lessor ends it when nothing is asked."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.contracts import charge_micros
from nodes.hub.records import SellRecord
from schemas.events import ContractEnded, ContractSigned
from schemas.ids import address, hub_address
from schemas.money import MICROS, cost_micros
from tests.support.economy import RENTER, Economy

ONE = address("B11", "B12")
IDLE = 60.0


def quiet(**more: Any) -> tuple[Economy, str]:
    """A network whose renter rents and then says nothing more."""
    economy = Economy(lessor={"idle_seconds_max": IDLE}, renter={"handshake_seconds_max": 1000.0}, **more)
    economy.drop = lambda event: event.type == "subtask.announced"
    job = economy.submit(lessors=len(economy.lessors), rows=100, lease_seconds=7 * 24 * 3600.0)
    economy.run(seconds=2)
    assert economy.wire("subtask.announced")
    return economy, job


def kept(economy: Economy, contract_id: str) -> list[str]:
    """Hubs that keep the contract, and sell orders of which it holds units."""
    hubs = {hub: economy.nodes[hub_address(hub)][0].records["hub"] for hub in ("A11", "B11")}
    keeping = [hub for hub, records in hubs.items() if f"contract/{contract_id}" in records]
    orders = [each for each in hubs["B11"].values() if isinstance(each, SellRecord)]
    return keeping + [each.order.id for each in orders if f"contract/{contract_id}" in each.held]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_contract_under_which_nothing_is_asked_is_ended_and_its_units_are_free(workers: int) -> None:
    economy, _ = quiet(workers=workers)
    first = contract(economy).id
    assert len(kept(economy, first)) == 3
    economy.run(seconds=IDLE + 15)
    assert kept(economy, first) == []
    told = [each.data for each in economy.wire("contract.ended") if each.to == RENTER]
    assert {each.code for each in told if isinstance(each, ContractEnded)} == {"idle"}


def test_a_renter_that_came_to_ask_nothing_pays_and_goes_on_with_others() -> None:
    economy = Economy(lessors=2, lessor={"idle_seconds_max": IDLE}, renter={"handshake_seconds_max": 1000.0})
    economy.drop = lambda event: event.type == "subtask.announced" and event.to == ONE
    job = economy.submit(rows=2000)
    done = economy.finish(job)
    assert (economy.progress(job).phase, done.reason, done.avoid) == ("completed", "", ())
    (idle,) = [each for each in economy.receipts() if each.rows == 0]
    assert idle.ended_at - idle.started_at > IDLE


def test_a_lessor_that_ends_its_contract_in_the_middle_of_work_is_lost() -> None:
    economy = Economy(lessors=2)
    job = economy.submit(rows=400)
    economy.run(seconds=5)
    lessor = economy.subtasks(job)[0]
    ended = ContractEnded(contract=lessor.contract, code="idle", reason="a lie")
    node = economy.nodes[address("B11", lessor.lessor[4:])][0]
    economy.send(node, "contract.ended", hub_address("B11"), lessor.contract, ended)
    done = economy.finish(job)
    assert (economy.progress(job).phase, done.avoid) == ("completed", (lessor.lessor,))


def test_a_worker_that_serves_keeps_the_others_from_ending_the_contract() -> None:
    """The first is told that the contract is signed, and gets no batch."""
    economy = Economy(workers=3, lessor={"idle_seconds_max": IDLE})
    economy.nodes[ONE][0].free_at = float("inf")
    job = economy.submit(lessors=1, rows=4000, lease_seconds=3600.0)
    economy.run(seconds=5)
    economy.finish(job)
    assert economy.progress(job).phase == "completed"
    assert economy.job(job).ended_at - economy.job(job).submitted_at > 2 * IDLE
    assert [each for each in economy.wire("contract.ended") if each.to == RENTER] == []


# ---------------------------------------------------------------- what is paid


def contract(economy: Economy) -> Any:
    return next(each.data.contract for each in economy.wire("contract.signed") if isinstance(each.data, ContractSigned))


def test_a_contract_costs_a_least_charge_however_short_but_not_more_than_its_lease() -> None:
    economy = Economy(lessor={"charged_seconds_min": 60.0})
    economy.finish(economy.submit(lessors=1, rows=10))
    (receipt,) = economy.receipts()
    assert receipt.ended_at - receipt.started_at < 5
    assert receipt.cost_micros == cost_micros(MICROS, 1, 60.0)
    economy.finish(economy.submit(lessors=1, rows=10, lease_seconds=30.0))
    assert economy.receipts()[-1].cost_micros == cost_micros(MICROS, 1, 30.0)
    assert economy.refused == []


def test_a_renewal_is_not_charged_the_least_again() -> None:
    economy = Economy(lessor={"charged_seconds_min": 25.0})
    economy.finish(economy.submit(lessors=1, rows=500, lease_seconds=30.0))
    first, *renewals = economy.receipts()
    assert first.cost_micros == cost_micros(MICROS, 1, 25.0)
    for each in renewals:
        assert each.cost_micros == cost_micros(MICROS, 1, each.ended_at - each.started_at)
    assert economy.refused == []


def test_a_job_that_fails_or_is_taken_back_pays_for_the_time_that_it_had() -> None:
    economy = Economy()
    job = economy.submit(lessors=1, rows=1000)
    economy.run(seconds=30)
    economy.cancel(job)
    economy.run(seconds=2)
    assert economy.progress(job).phase == "failed"
    (receipt,) = economy.receipts()
    assert receipt.ended_at - receipt.started_at == pytest.approx(30, abs=1)
    assert receipt.cost_micros == charge_micros(contract(economy), receipt.ended_at - receipt.started_at)
    assert economy.refused == []


# ---------------------------------------------------------------- silence


def test_who_is_called_silent_without_being_so_is_matched_again_at_once() -> None:
    economy = Economy()
    job = economy.submit(lessors=1, rows=10_000)
    economy.run(seconds=3)
    rented = contract(economy)
    said = ContractEnded(contract=rented.id, code="silent", reason="a lie")
    economy.send(economy.renter, "contract.ended", hub_address("A11"), job, said)
    economy.run(seconds=0.2)
    records = economy.nodes[hub_address("B11")][0].records["hub"].values()
    assert [each.silent for each in records if isinstance(each, SellRecord)] == [False]


def test_only_the_hub_of_a_party_tells_it_that_its_contract_ended() -> None:
    economy = Economy(lessors=2)
    job = economy.submit(rows=10_000)
    economy.run(seconds=3)
    ended = ContractEnded(contract=contract(economy).id, code="idle")
    economy.send(economy.nodes[ONE][0], "contract.ended", RENTER, job, ended)
    economy.run(seconds=1)
    assert [(refusal.code, event.source) for event, refusal in economy.refused] == [("not-the-hub", ONE)]
