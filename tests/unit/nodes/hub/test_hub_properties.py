"""Whatever is ordered, cancelled, ended and delayed, in whatever order it arrives: what must always hold."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.contracts import verify_contract
from nodes.hub.records import BuyRecord, ContractRecord, QuoteRecord, SellRecord
from nodes.hub.states import BUY, CONTRACT, QUOTE
from schemas.events import ContractEnded, OrderCancelled
from schemas.orders import BuyOrder, SellOrder
from tests.unit.nodes.hub.world import World, verify

SUBNETS = {"A11": ["A12", "A13"], "B11": ["B12", "B13", "B14"], "C11": ["C12", "C13"]}
RENTERS = ("A11.A12", "B11.B14", "C11.C13")
LESSORS = ("A11.A13", "B11.B12", "B11.B13", "C11.C12")
LEASE_SECONDS = 120.0


def assert_nothing_is_oversold(world: World) -> None:
    """Each unit is held once at most, and each hold belongs to something that is kept."""
    for hub in SUBNETS:
        records = world.records[f"{hub}.hub"]
        holds: Counter[tuple[str, str]] = Counter()
        for record in records.values():
            if isinstance(record, SellRecord):
                assert sum(record.held.values()) <= record.order.units
                assert all(units > 0 for units in record.held.values())
                holds.update({(holder, record.order.id): units for holder, units in record.held.items()})
        owed: Counter[tuple[str, str]] = Counter()
        for key, record in records.items():
            if isinstance(record, QuoteRecord):
                owed.update({(key, offer.sell.id): offer.units for offer in record.offers})
            elif isinstance(record, ContractRecord) and record.contract.lessor_hub == f"{hub}.hub":
                owed[key, record.contract.sell.id] += record.contract.units
            elif isinstance(record, BuyRecord):
                for sell in record.reserved:
                    owed[key, sell] = holds[key, sell]
        assert holds == owed


def assert_orders_ended_well(world: World, orders: list[BuyOrder], cancelled: set[str]) -> None:
    """Each order was matched as it asked, or refused, or cancelled: one of them, once."""
    for order in orders:
        matched = [each for each in world.got(order.renter, "order.buy.matched") if each.order == order.id]
        refused = [each for each in world.got(order.renter, "order.buy.refused") if each.order == order.id]
        assert len(matched) + len(refused) == 1 or order.id in cancelled
        assert len(matched) + len(refused) <= 1
        contracts = [each for each in world.contracts(order.renter) if each.buy.id == order.id]
        assert bool(contracts) == bool(matched)
        if matched:
            lessors = {each.lessor for each in contracts}
            assert (order.units_min or order.units) <= sum(each.units for each in contracts) <= order.units
            assert order.lessors_min <= len(lessors) == len(contracts) <= order.lessors_max
            assert {each.id for each in contracts} == set(matched[0].contracts)


def assert_contracts_reached_both_parties(world: World) -> None:
    for renter in RENTERS:
        for contract in world.contracts(renter):
            verify_contract(contract, world.hub_keys, verify)
            assert contract in world.contracts(contract.lessor)


class Life:
    """One random life of the network, drawn from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.world = World(SUBNETS)
        self.world.choose = self.random.randrange
        self.orders: list[BuyOrder] = []
        self.sells: list[SellOrder] = []
        self.cancelled: set[str] = set()

    def step(self) -> None:
        acts = (self.sell, self.sell, self.buy, self.buy, self.cancel_buy, self.cancel_sell, self.end, self.cut)
        self.random.choice(acts)()
        for _ in range(self.random.randrange(6)):
            ready = [event for event in self.world.queue if event.to not in self.world.cut_off]
            if ready:
                event = self.random.choice(ready)
                self.world.queue.remove(event)
                self.world.deliver(event)
                assert_nothing_is_oversold(self.world)
        if self.random.random() < 0.4:
            self.world.run(self.random.choice((0.0, 0.5, 4.0, 20.0)))
            assert_nothing_is_oversold(self.world)

    def sell(self) -> None:
        lessor, number = self.random.choice(LESSORS), self.random.randrange(2)
        expires_at = self.world.now + self.random.choice((30.0, 600.0))
        price = self.random.choice((100, 200, 300))
        self.sells.append(self.world.sell(lessor, number, units=3 + number, price_micros=price, expires_at=expires_at))

    def buy(self) -> None:
        units = self.random.randint(1, 5)
        lessors_max = self.random.randint(1, 3)
        self.orders.append(
            self.world.buy(
                self.random.choice(RENTERS),
                len(self.orders),
                units=units,
                units_min=self.random.choice((None, 1, units)),
                lessors_min=self.random.randint(1, min(units, lessors_max)),
                lessors_max=lessors_max,
                price_micros_max=self.random.choice((150, 500)),
                lease_seconds=LEASE_SECONDS,
            )
        )

    def cancel_buy(self) -> None:
        if self.orders:
            order = self.random.choice(self.orders)
            self.cancelled.add(order.id)
            self.world.send("order.buy.cancelled", order.renter, OrderCancelled(order=order.id))

    def cancel_sell(self) -> None:
        if self.sells:
            order = self.random.choice(self.sells)
            self.world.send("order.sell.cancelled", order.lessor, OrderCancelled(order=order.id))

    def end(self) -> None:
        running = [contract for renter in RENTERS for contract in self.world.contracts(renter)]
        if running:
            contract = self.random.choice(running)
            code = self.random.choice(("completed", "silent"))
            self.world.send("contract.ended", contract.renter, ContractEnded(contract=contract.id, code=code))

    def cut(self) -> None:
        self.world.cut_off = {f"{hub}.hub" for hub in SUBNETS if self.random.random() < 0.2}

    def come_to_rest(self) -> None:
        self.world.cut_off = set()
        self.world.run(60.0)
        assert_nothing_is_oversold(self.world)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_no_unit_is_sold_twice_and_every_order_ends_once_however_events_arrive(seed: int) -> None:
    life = Life(seed)
    for _ in range(30):
        life.step()
    life.come_to_rest()
    assert_orders_ended_well(life.world, life.orders, life.cancelled)
    assert_contracts_reached_both_parties(life.world)
    unexpected = {refusal.code for refusal in life.world.refusals} - {"unknown-order", "expired"}
    assert not unexpected


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_a_hub_keeps_nothing_of_orders_and_contracts_that_are_over(seed: int) -> None:
    life = Life(seed)
    for _ in range(20):
        life.step()
    life.come_to_rest()
    life.world.run(LEASE_SECONDS + 700.0)
    for hub in SUBNETS:
        assert life.world.kinds(hub) <= {"hub", "heard"}
    timers = {name.partition("/")[0] for _, name in life.world.timers}
    assert timers <= {"sell"}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_the_same_life_is_lived_twice_the_same(seed: int) -> None:
    lives = [Life(seed), Life(seed)]
    for life in lives:
        for _ in range(10):
            life.step()
        life.come_to_rest()
    assert lives[0].world.sent == lives[1].world.sent
    assert lives[0].world.records == lives[1].world.records


def test_every_state_of_the_tables_can_be_reached_and_left() -> None:
    for table in (BUY, QUOTE, CONTRACT):
        rows = {(str(before), str(after)) for (before, _), after in table.items()}
        states = {before for before, _ in rows} | {after for _, after in rows}
        reached = {"gone"}
        for _ in rows:
            reached |= {after for before, after in rows if before in reached}
        ending = {"gone"}
        for _ in rows:
            ending |= {before for before, after in rows if after in ending}
        assert reached == ending == states
