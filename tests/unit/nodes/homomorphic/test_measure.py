"""Measuring finds the units of a stand-in whose every operation has a known price, on a clock that only it moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from nodes.homomorphic import measure
from nodes.homomorphic.costs import TABLE_AFTER, Units, products, steps
from nodes.homomorphic.packing import blocks_of
from nodes.homomorphic.scheme import IntegerProgram, Noise
from schemas.jobs import APPROXIMATE, Scheme

PRICES = Units(
    start=70.0,
    encrypt=0.5,
    encrypt_first=4.0,
    tables=200.0,
    encrypt_exact=8.0,
    read_key=3.0,
    receive=0.25,
    step=0.125,
    output=2.0,
    decrypt=1.0,
    product=40.0,
)
DECRYPT_ORDINARY = 6.0


@dataclass(slots=True)
class Clock:
    """Process time in seconds, which operations spend."""

    now: float = 0.0

    def process_time(self) -> float:
        return self.now


@dataclass
class PricedPublic:
    """A public key that only spends."""

    clock: Clock
    scheme: Scheme
    slots: int = 5
    drawn: int = 0
    tabled: bool = False

    def encrypt(self, values: NDArray[np.int64]) -> bytes:
        count = blocks_of(len(values), self.slots) * values.shape[1]
        self.drawn += count
        if self.drawn >= TABLE_AFTER and not self.tabled and self.scheme not in APPROXIMATE:
            self.tabled = True
            self.clock.now += PRICES.tables
        tabled = self.tabled or self.scheme in APPROXIMATE
        self.clock.now += count * (PRICES.encrypt if tabled else PRICES.encrypt_first)
        return bytes(count)

    def evaluate(self, body: bytes, rows: int, program: IntegerProgram) -> bytes:
        blocks = blocks_of(rows, self.slots)
        multiplied, returned = blocks * steps(self.scheme, program), blocks * program.width_out
        self.clock.now += len(body) * PRICES.receive + multiplied * PRICES.step + returned * PRICES.output
        self.clock.now += blocks * products(program) * PRICES.product
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
        self.public.clock.now += count * PRICES.encrypt_exact
        return bytes(count)

    def decrypt(self, body: bytes, rows: int, width: int) -> None:
        self.public.clock.now += len(body) * (PRICES.decrypt if self.orders else DECRYPT_ORDINARY)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Nothing takes time but what the stand-ins spend."""
    clock = Clock()

    def read_public(scheme: Scheme, data: bytes) -> None:
        clock.now += PRICES.read_key

    monkeypatch.setattr(measure, "time", clock)
    monkeypatch.setattr(measure, "read_public", read_public)
    return clock


def test_the_units_of_paillier_are_its_prices(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def generate(bits: int, *, subgroup: bool) -> PricedSecret:
        assert subgroup
        return PricedSecret(PricedPublic(clock, "paillier"))

    monkeypatch.setattr(measure, "paillier", SimpleNamespace(generate=generate))
    units = measure.measure_paillier(None)
    expected = structs.replace(PRICES, start=0.0, product=0.0)
    assert units.keys() == {"paillier", "paillier-subgroup"}
    assert close(units["paillier-subgroup"], expected)
    assert close(units["paillier"], structs.replace(expected, decrypt=DECRYPT_ORDINARY))


@pytest.mark.parametrize("wanted", ["ckks", "ckks-degree-2", "ckks-degree-4"])
def test_the_units_of_ckks_are_its_prices_and_the_first_use_is_a_start(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, wanted: Scheme
) -> None:
    made: list[int] = []

    def generate(scheme: Scheme, input_bits: int) -> PricedSecret:
        assert scheme == wanted
        clock.now += 10.0 if made else 10.0 + PRICES.start
        made.append(input_bits)
        return PricedSecret(PricedPublic(clock, scheme))

    monkeypatch.setattr(measure, "generate", generate)
    same = {"encrypt_first": PRICES.encrypt, "encrypt_exact": PRICES.encrypt, "tables": 0.0}
    if wanted == "ckks":
        same["product"] = 0.0
    assert close(measure.measure_ckks(None, wanted)[wanted], structs.replace(PRICES, **same))


def test_a_disturbed_round_does_not_make_a_unit_longer(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    prices = iter([5.0, 0.125, 7.0, 9.0, 0.5])

    def powmod(base: object, exponent: object, modulus: object) -> None:
        clock.now += next(prices)

    monkeypatch.setattr(measure, "gmpy2", SimpleNamespace(powmod=powmod, mpz=int))
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
        assert all(number >= 0 for number in numbers.values())
        assert min(numbers[name] for name in ("encrypt", "encrypt_first", "encrypt_exact", "decrypt", "read_key")) > 0


def close(found: Units, expected: Units) -> bool:
    pairs = [(getattr(found, name), getattr(expected, name)) for name in Units.__struct_fields__]
    return all(one == pytest.approx(other) for one, other in pairs)
