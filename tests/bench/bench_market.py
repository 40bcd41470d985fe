"""market.*: what a hub's book costs, without signatures, shell and store; seconds are the processor's.

    market.match   buy orders per second whose units are found and taken in a book of 100,000 sell orders, against a
                   book of 1,000: how many there are must not show
    market.order   the same through the hub's machine: placed, matched with an own lessor, contracts and notices made

A ratio near 1 is the promise; the rates themselves stand beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from random import Random
from typing import Any, Final

from nodes.hub.book import Book
from nodes.hub.directory import HubConfig
from nodes.hub.draft import Draft
from nodes.hub.machine import HubMachine
from nodes.hub.matching import pick
from nodes.hub.records import SellRecord
from nodes.machine import Context, Step
from nodes.records import RecordSet
from schemas import limits
from schemas.events import Event
from schemas.ids import Address, address, derive_id, hub_address
from schemas.orders import BuyOrder, Need, SellOrder
from tests.bench.harness import Result, interleave, more

MANY, FEW, ORDERS = 100_000, 1_000, 400
NOW: Final = 1_800_000_000.0
ME, RENTER = hub_address("A11"), address("A11", "A12")
LESSORS: Final = 1_000
CHARGED: Final = Context(ME, NOW, bytes(32), "event-1", lambda _: bytes(64), lambda *_: True)


class Market:
    """A book of so many sell orders, and buy orders that take two units each. What they take is given back aside."""

    def __init__(self, orders: int) -> None:
        random = Random(1)
        lessors = [address("A11", f"L{number}") for number in range(LESSORS)]
        self._config = HubConfig(ME, {ME: bytes(32)}, dict.fromkeys([RENTER, *lessors], bytes(32)))
        self._machine = HubMachine(self._config)
        self._records = RecordSet()
        self._numbers = count()
        for number in range(orders):
            self._records.put(*_sell(random, lessors[number % LESSORS], number))
        self.match()

    def match(self) -> float:
        """Orders per second, as `market.match`."""
        return self._rate(self._match)

    def order(self) -> float:
        """Orders per second, as `market.order`."""
        return self._rate(self._place)

    def _rate(self, serve: Callable[[BuyOrder], Step]) -> float:
        buys = [_buy(next(self._numbers)) for _ in range(ORDERS)]
        before: dict[str, Any] = {}
        begun = time.process_time()
        for buy in buys:
            step = serve(buy)
            for key, record in step.put.items():
                before.setdefault(key, self._records.get(key))
                self._records.put(key, record)
        seconds = time.process_time() - begun
        for key, record in before.items():
            if record is not None:
                self._records.put(key, record)
            else:
                self._records.drop(key)
        return ORDERS / seconds

    def _match(self, buy: BuyOrder) -> Step:
        book = Book(Draft(self._config, self._records, CHARGED))
        picked = pick(Need(units=buy.units, lessors_min=1, lessors_max=1), book.candidates(buy, frozenset()))
        assert picked.complete
        for part in picked.parts:
            book.hold(part.candidate.offer.sell.id, f"buy/{buy.id}", part.units)
        return book.draft.step()

    def _place(self, buy: BuyOrder) -> Step:
        event = Event(buy.id, "order.buy.placed", RENTER, ME, NOW, buy.id, buy)
        step = self._machine.handle(self._records, event, CHARGED)
        assert any(record for key, record in step.put.items() if key.startswith("contract/"))
        return step


def _sell(random: Random, lessor: Address, number: int) -> tuple[str, SellRecord]:
    order = SellOrder(
        id=derive_id("sell", number),
        lessor=lessor,
        units=4,
        price_micros=random.randrange(500_000, 2_000_000, 1_000),
        protections=("homomorphic", "enclave", "sealed-result"),
        expires_at=NOW + 3600,
    )
    return f"sell/{order.id}", SellRecord(order=order, lessor_key=bytes(32), placed_at=NOW + number, said_at=NOW)


def _buy(number: int) -> BuyOrder:
    return BuyOrder(
        id=derive_id("order", number),
        renter=RENTER,
        job=derive_id("job", number),
        units=2,
        price_micros_max=limits.PRICE_MICROS_MAX_DEFAULT,
        protection="enclave",
        lease_seconds=600.0,
        match_by=NOW + 30,
    )


def run(only: str) -> Iterator[Result]:
    """Measures the names that start with `only`."""
    names = [name for name in ("market.match", "market.order") if name.startswith(only)]
    if not names:
        return
    many, few = Market(MANY), Market(FEW)
    for name in names:
        kind = name.partition(".")[2]
        ours, peer = interleave(getattr(many, kind), getattr(few, kind))
        yield more(name, ours, peer, f"a book of {FEW:,}", "orders/s")
