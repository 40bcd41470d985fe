"""Measuring finds the units of a stand-in whose every operation has a known price, on a clock that only it moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from nodes.homomorphic import measure
from nodes.homomorphic.costs import TABLES_AFTER, Units, products, steps
from nodes.homomorphic.packing import blocks_of
from nodes.homomorphic.port import IntegerProgram, Noise
from schemas.jobs import PAILLIER, Scheme
from tests.support.seal import needs_seal

PRICES = Units(
    start=70.0,
    encrypt=(4.0, 0.5, 0.25),
    tables=(20.0, 300.0),
    encrypt_exact=8.0,
    read_key=3.0,
    receive=0.25,
    step=0.125,
    output=2.0,
    decrypt=1.0,
    product=40.0,
    open=1.5,
)
DECRYPT_ORDINARY = 6.0
DRAWN = (3.75, 0.25, 0.0)
"""What a draw takes longer than one from the last table."""


@dataclass(slots=True)
class Clock:
    """Process time in seconds, which operations spend."""

    now: float = 0.0
    slow_until: float = 0.0
    """Everything takes three times as long before."""

    def process_time(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds * (3.0 if self.now < self.slow_until else 1.0)


@dataclass
class PricedPublic:
    """A public key that only spends."""

    clock: Clock
    scheme: Scheme
    slots: int = 5
    n: int = 1
    base: int = 1
    drawn: int = 0

    def encrypt(self, values: NDArray[np.int64]) -> bytes:
        """Paillier's ciphertexts draw from the first table here, the others need none."""
        count = blocks_of(len(values), self.slots) * values.shape[1]
        self.drawn += count
        self.clock.spend(count * PRICES.encrypt[self.stage])
        return bytes(count)

    @property
    def stage(self) -> int:
        assert self.drawn < TABLES_AFTER[1]
        return 1 if self.scheme in PAILLIER else 0

    def evaluate(self, body: bytes, rows: int, program: IntegerProgram) -> bytes:
        blocks = blocks_of(rows, self.slots)
        multiplied, returned = blocks * steps(self.scheme, program), blocks * program.width_out
        self.clock.spend(len(body) * PRICES.receive + multiplied * PRICES.step)
        self.clock.spend(returned * (PRICES.output + DRAWN[self.stage]))
        self.clock.spend(blocks * products(program) * PRICES.product)
        return bytes(returned)

    def to_bytes(self) -> bytes:
        return b"key"


@dataclass
class PricedSecret:
    """A secret key that only spends; without `orders` it decrypts as ordinary keys do."""

    public: PricedPublic
    orders: tuple[int, int] | None = (1, 2)

    def encrypt(self, values: NDArray[np.int64], *, noise: Noise = "fixed-base") -> bytes:
        if noise == "fixed-base":
            return self.public.encrypt(values)
        count = blocks_of(len(values), self.public.slots) * values.shape[1]
        self.public.clock.spend(count * PRICES.encrypt_exact)
        return bytes(count)

    def decrypt(self, body: bytes, rows: int, width: int) -> None:
        self.public.clock.spend(PRICES.open + len(body) * (PRICES.decrypt if self.orders else DECRYPT_ORDINARY))


class PricedNoise:
    """Noise that only spends; its tables are numbered by their digits."""

    DIGIT_BITS = (6, 10)

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def exponent_bits(self, n: int) -> int:
        return 60

    def digits_for(self, n: int, digit_bits: int) -> int:
        return 60 // digit_bits

    def random_exponents(self, count: int, digits: int, digit_bits: int) -> list[list[int]]:
        assert digits * digit_bits == 60
        return [[0] * digits] * count

    def direct(self, n: int, base: int, exponent: int) -> None:
        self.clock.spend(DRAWN[0])

    def build_table(self, n: int, base: int, digit_bits: int) -> PricedTable:
        at = self.DIGIT_BITS.index(digit_bits)
        self.clock.spend(PRICES.tables[at])
        return PricedTable(self.clock, 60 // digit_bits, DRAWN[at + 1])


@dataclass(slots=True)
class PricedTable:
    """Of exponents with so many digits."""

    clock: Clock
    digits: int
    price: float

    def draw(self, exponent: list[int]) -> None:
        assert len(exponent) == self.digits
        self.clock.spend(self.price)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Nothing takes time but what the stand-ins spend, and probes, each a second."""
    clock = Clock()

    def read_public(scheme: Scheme, data: bytes) -> None:
        clock.spend(PRICES.read_key)

    monkeypatch.setattr(measure, "time", clock)
    monkeypatch.setattr(measure, "read_public", read_public)
    monkeypatch.setattr(measure, "gmpy2", SimpleNamespace(powmod=lambda *of: clock.spend(1.0), mpz=int))
    return clock


@pytest.mark.parametrize("slow_until", [0.0, 2000.0])
def test_the_units_of_paillier_are_its_prices_even_on_a_machine_that_is_slow_for_a_while(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, slow_until: float
) -> None:
    def generate(bits: int, *, subgroup: bool) -> PricedSecret:
        assert subgroup
        return PricedSecret(PricedPublic(clock, "paillier"))

    clock.slow_until = slow_until
    monkeypatch.setattr(measure, "paillier", SimpleNamespace(generate=generate))
    monkeypatch.setattr(measure, "noise", PricedNoise(clock))
    units = measure.measure_paillier(None)
    expected = structs.replace(PRICES, start=0.0, product=0.0)
    assert clock.now > slow_until
    assert units.keys() == {"paillier", "paillier-subgroup"}
    assert close(units["paillier-subgroup"], expected)
    assert close(units["paillier"], structs.replace(expected, decrypt=DECRYPT_ORDINARY))


@pytest.mark.parametrize("wanted", ["ckks", "ckks-degree-2", "ckks-degree-4"])
def test_the_units_of_ckks_are_its_prices_and_the_first_use_is_a_start(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, wanted: Scheme
) -> None:
    made: list[int] = []

    def generate(scheme: Scheme, program: IntegerProgram) -> PricedSecret:
        assert scheme == wanted
        clock.spend(10.0 if made else 10.0 + PRICES.start)
        made.append(program.input_max)
        return PricedSecret(PricedPublic(clock, scheme))

    monkeypatch.setattr(measure, "generate", generate)
    each = PRICES.encrypt[0]
    without_tables = structs.replace(
        PRICES, encrypt=(each,), tables=(), encrypt_exact=each, output=PRICES.output + DRAWN[0]
    )
    expected = structs.replace(without_tables, product=0.0) if wanted == "ckks" else without_tables
    assert close(measure.measure_ckks(None, wanted)[wanted], expected)


@pytest.mark.parametrize("at", [0, 6])
def test_the_units_of_bfv_are_kept_by_the_shape_of_the_key(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    made: list[int] = []

    def generate(scheme: Scheme, program: IntegerProgram, *, at: int) -> PricedSecret:
        clock.spend(10.0 if made else 10.0 + PRICES.start)
        made.append(at)
        return PricedSecret(PricedPublic(clock, scheme))

    monkeypatch.setattr(measure, "generate", generate)
    each = PRICES.encrypt[0]
    expected = structs.replace(
        PRICES, encrypt=(each,), tables=(), encrypt_exact=each, output=PRICES.output + DRAWN[0], product=0.0
    )
    (kind, units), *others = measure.measure_bfv(None, at).items()
    assert (kind, others, made) == (f"bfv/{at}", [], [at, at])
    assert close(units, expected)


def test_a_disturbed_probe_does_not_count(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    prices = cycle([7.0, 0.125, 0.125, 0.0625, 0.125])
    monkeypatch.setattr(measure, "gmpy2", SimpleNamespace(powmod=lambda *of: clock.spend(next(prices)), mpz=int))
    assert measure.probe(None) == 0.125


@pytest.mark.parametrize("task", [measure.probe, measure.measure_paillier])
def test_real_work_has_real_units(task: Callable[[None], object]) -> None:
    """No more than that can be said of them: the machine may be anything."""
    found = task(None)
    if isinstance(found, float):
        assert found > 0
        return
    assert isinstance(found, dict)
    for units in found.values():
        numbers = {name: getattr(units, name) for name in Units.__struct_fields__}
        made = [*numbers.pop("encrypt"), *numbers.pop("tables")]
        assert len(made) == 2 * len(TABLES_AFTER) + 1
        assert min(numbers.values()) >= 0
        assert min(*made, *(numbers[name] for name in ("encrypt_exact", "decrypt", "read_key"))) > 0


@needs_seal
@pytest.mark.parametrize("at", [0, 4])
def test_real_keys_of_bfv_have_room_for_what_is_measured(at: int) -> None:
    (units,) = measure.measure_bfv(None, at).values()
    assert min(*units.encrypt, units.decrypt, units.read_key) > 0


def close(found: Units, expected: Units) -> bool:
    pairs = [(getattr(found, name), getattr(expected, name)) for name in Units.__struct_fields__]
    return all(one == pytest.approx(other) for one, other in pairs)
