"""A job that takes longer than a lease: contracts are renewed while there is work and money, and nobody is blamed."""

from __future__ import annotations

from itertools import pairwise

import pytest

from schemas.events import BatchFailed, ContractSigned
from schemas.ids import address
from schemas.jobs import Batch
from schemas.money import MICROS, cost_micros
from schemas.orders import BuyOrder
from tests.support.economy import RENTER, Economy

LEASE = 30.0
ONE, TWO = address("B11", "B12"), address("B11", "B13")
ROW_SECONDS = 0.1
"""One worker's, of a batch of ten rows a second."""


def ended_well(economy: Economy, job: str) -> None:
    done = economy.finish(job)
    assert (economy.progress(job).phase, done.reason) == ("completed", "")
    assert economy.progress(job).batches_done == done.batches
    assert [(refusal.code, event.type) for event, refusal in economy.refused] == []


def orders(economy: Economy) -> list[BuyOrder]:
    return [each.data for each in economy.wire("order.buy.placed") if isinstance(each.data, BuyOrder)]


def rented(economy: Economy) -> list[str]:
    """Lessors of the renter's contracts, in their order."""
    signed = [each.data for each in economy.wire("contract.signed") if each.to == RENTER]
    return [each.contract.lessor for each in signed if isinstance(each, ContractSigned)]


def test_a_job_of_three_leases_completes_and_its_receipts_add_up_to_its_time() -> None:
    economy = Economy()
    began = economy.now
    job = economy.submit(rows=800, lessors=1, lease_seconds=LEASE)
    ended_well(economy, job)
    receipts = economy.receipts()
    assert len(receipts) >= 3
    assert len({each.contract for each in receipts}) == len(receipts)
    for before, after in pairwise(receipts):
        assert after.started_at == before.ended_at
    assert sum(each.rows for each in receipts) == 800
    assert all(each.ended_at - each.started_at <= LEASE for each in receipts)
    time = economy.job(job).ended_at - began
    assert sum(each.ended_at - each.started_at for each in receipts) == pytest.approx(time, abs=1.0)
    assert sum(each.cost_micros for each in receipts) == pytest.approx(cost_micros(MICROS, 1, time), rel=0.02)


@pytest.mark.parametrize("workers", [1, 2])
def test_each_lessor_goes_on_with_what_it_had_and_no_unit_lies_idle(workers: int) -> None:
    economy = Economy(lessors=2, workers=workers)
    seconds = 80.0
    job = economy.submit(rows=int(2 * workers * seconds / ROW_SECONDS), units=2 * workers, lease_seconds=LEASE)
    began = economy.now
    ended_well(economy, job)
    assert rented(economy)[:4] == [ONE, TWO, ONE, TWO] or rented(economy)[:4] == [ONE, TWO, TWO, ONE]
    assert economy.job(job).ended_at - began == pytest.approx(seconds, rel=0.15)
    assert economy.job(job).avoid == ()
    for lessor in (ONE, TWO):
        mine = [each for each in economy.receipts() if each.subtask in _subtasks_of(economy, job, lessor)]
        for before, after in pairwise(mine):
            assert after.started_at == before.ended_at


def test_the_old_contract_serves_until_the_new_one_can_and_then_only_ends_what_it_has() -> None:
    """So no unit is idle while keys are agreed, and no batch is under a contract before its time begins."""
    economy = Economy(workers=2)
    job = economy.submit(rows=1600, lessors=1, units=2, lease_seconds=LEASE)
    seen = set()
    for _ in range(700):
        economy.run(seconds=0.05)
        known = {each.id: each for each in economy.subtasks(job)}
        for new, old in ((each, known[each.renews]) for each in known.values() if each.renews):
            seen.add((new.phase, old.phase))
            assert (new.phase, old.phase) != ("keying", "closing")
            assert not (new.under_way and old.under_way)
    assert seen >= {("keying", "running"), ("running", "closing"), ("running", "completed")}


def _subtasks_of(economy: Economy, job: str, lessor: str) -> set[str]:
    return {each.id for each in economy.subtasks(job) if each.lessor == lessor}


def test_contracts_that_end_together_are_renewed_by_one_order_at_their_price() -> None:
    economy = Economy(lessors=2, lessor={"price_micros": 2 * MICROS})
    ended_well(economy, economy.submit(rows=600, lease_seconds=LEASE))
    first, second = orders(economy)[:2]
    assert (first.renews, len(second.renews)) == ((), 2)
    assert (second.units, second.price_micros_max) == (2, 2 * MICROS)


def test_a_lease_that_nobody_renews_ends_without_blame_and_what_is_left_is_ordered_again() -> None:
    """The lessor asks more: its contract is not renewed at the old price, and made anew at the new one."""
    economy = Economy()
    job = economy.submit(rows=600, lessors=1, lease_seconds=LEASE)
    economy.run(seconds=15)
    economy.nodes[ONE][0].alive = False
    economy.start_worker(ONE, 1, price_micros=2 * MICROS)
    done = economy.finish(job)
    assert (economy.progress(job).phase, done.reason, done.avoid) == ("completed", "", ())
    assert [each.price_micros_max for each in orders(economy)[:3]] == [10 * MICROS, MICROS, 10 * MICROS]


def test_batches_under_way_when_the_lease_ends_are_answered_and_done_elsewhere() -> None:
    economy = Economy(lessors=2, batch_seconds=8.0)
    economy.drop = lambda event: event.type == "order.buy.placed" and bool(getattr(event.data, "renews", ()))
    job = economy.submit(rows=100, lessors=1, lease_seconds=LEASE)
    done = economy.finish(job)
    assert (economy.progress(job).phase, done.reason) == ("completed", "")
    assert (done.avoid, done.causes, done.replacements) == ((), (), 0)
    assert economy.noted("not-renewed") != []
    assert economy.noted("lease-over") != []


def test_a_batch_that_takes_longer_than_any_lease_ends_the_job() -> None:
    economy = Economy(batch_seconds=100.0, renter={"batch_deadline_seconds": 1e4})
    economy.drop = lambda event: event.type == "order.buy.placed" and bool(getattr(event.data, "renews", ()))
    done = economy.finish(economy.submit(rows=20, lessors=1, lease_seconds=LEASE, match_seconds=60.0))
    assert (done.code, "failed 10 times" in done.reason) == ("too-many-attempts", True)


def test_a_lessor_whose_clock_is_ahead_ends_its_contract_first_and_is_not_blamed() -> None:
    economy = Economy(lessors=2)

    def ended(lessor: str, batch: Batch) -> BatchFailed | None:
        late = economy.now > began + 25 and batch.contract == first
        return BatchFailed(batch=batch, code="contract-ended", reason="", final=False) if late else None

    economy.drop = lambda event: event.type == "order.buy.placed" and bool(getattr(event.data, "renews", ()))
    job = economy.submit(rows=400, lessors=1, lease_seconds=LEASE)
    began = economy.now
    economy.run(seconds=5)
    first = economy.subtasks(job)[0].contract
    economy.unfit = ended
    done = economy.finish(job)
    assert (economy.progress(job).phase, done.reason, done.avoid) == ("completed", "", ())


def test_a_lessor_that_ends_its_contract_long_before_its_time_is_lost() -> None:
    economy = Economy(lessors=2)
    economy.unfit = lambda lessor, batch: (
        BatchFailed(batch=batch, code="contract-ended", reason="", final=False) if lessor == ONE else None
    )
    job = economy.submit(rows=100, lease_seconds=3600.0)
    ended_well(economy, job)
    assert economy.job(job).avoid == (ONE,)


@pytest.mark.parametrize("dies_after", [20.5, 21.0, 21.8, 24.0, 26.0])
def test_a_lessor_that_dies_while_its_contract_is_renewed_is_lost_and_the_job_goes_on(dies_after: float) -> None:
    economy = Economy(lessors=2, renter={"batch_deadline_seconds": 6.0, "handshake_seconds_max": 5.0})
    job = economy.submit(rows=900, lease_seconds=LEASE)
    economy.run(seconds=dies_after)
    economy.nodes[TWO][0].alive = False
    done = economy.finish(job)
    assert (economy.progress(job).phase, done.reason) == ("completed", "")
    assert set(done.avoid) == {TWO}


# ---------------------------------------------------------------- money


def spent(economy: Economy) -> int:
    return sum(each.cost_micros for each in economy.receipts())


@pytest.mark.parametrize(("seconds", "completes"), [(150.0, True), (60.0, False)])
def test_contracts_are_renewed_while_the_budget_lasts_and_cost_no_more(seconds: float, completes: bool) -> None:
    economy = Economy()
    budget = cost_micros(MICROS, 1, seconds)
    job = economy.submit(rows=800, lessors=1, lease_seconds=LEASE, budget_micros=budget, price_micros_max=MICROS)
    done = economy.finish(job)
    assert spent(economy) <= budget
    if completes:
        assert economy.progress(job).phase == "completed", done.reason
    else:
        assert (economy.progress(job).phase, done.code) == ("failed", "over-budget")
        assert "is left, which does not pay for" in done.reason
        assert economy.progress(job).batches_done > 30


def test_a_budget_that_pays_for_no_lease_orders_nothing() -> None:
    economy = Economy()
    job = economy.submit(rows=100, budget_micros=1)
    done = economy.finish(job)
    assert (done.code, economy.wire("order.buy.placed")) == ("over-budget", [])


def test_the_first_lease_is_as_long_as_the_budget_pays_for() -> None:
    economy = Economy()
    budget = cost_micros(10 * MICROS, 2, 360.0)
    economy.submit(rows=100, budget_micros=budget)
    economy.run(seconds=2)
    assert orders(economy)[0].lease_seconds == pytest.approx(360.0)
