"""What is said of a scheme before any key is made holds for its keys; what is not installed says so."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.homomorphic import schemes
from nodes.homomorphic.errors import BadKey, Overflow, TooCoarse
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.port import SLOT_BITS, SLOT_BITS_MIN, IntegerProgram
from schemas.jobs import Scheme
from tests.support import seal

PROGRAM: Final = IntegerProgram(((3,),), (0,), input_max=8)


@pytest.fixture(params=seal.each(sorted(schemes.ADAPTERS)))
def scheme(request: pytest.FixtureRequest) -> Scheme:
    named: Scheme = request.param
    return named


def test_a_shape_is_what_keys_then_have(scheme: Scheme) -> None:
    shape, public = schemes.shape(scheme), schemes.generate(scheme, PROGRAM).public
    assert (shape.key_bits, shape.slots) == (public.bits, public.slots)
    assert (shape.ciphertext_bytes, shape.relative_error) == (public.ciphertext_bytes, public.relative_error)
    assert shape.result_bytes == public.result_bytes(1, 1)


def test_keys_are_read_as_they_were_written(scheme: Scheme) -> None:
    secret = schemes.generate(scheme, PROGRAM)
    values = np.array([[3, -4]])
    body = schemes.read_public(scheme, secret.public.to_bytes()).encrypt(values)
    assert (schemes.read_secret(scheme, secret.to_bytes()).decrypt(body, 1, 2) == values).all()


def test_a_key_of_another_scheme_is_refused(scheme: Scheme, secret: PaillierSecret) -> None:
    with pytest.raises(BadKey):
        schemes.read_public(scheme, b"SPPX" + secret.public.to_bytes()[4:])
    with pytest.raises(BadKey):
        schemes.read_secret(scheme, secret.public.to_bytes())


def test_only_subgroup_keys_know_the_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    made = paillier.generate(2048)

    def generate(bits: int, *, subgroup: bool = False) -> PaillierSecret:
        asked.append(subgroup)
        return made

    monkeypatch.setattr(paillier, "generate", generate)
    schemes.generate("paillier")
    schemes.generate("paillier-subgroup")
    assert asked == [False, True]


@seal.needs_seal
@pytest.mark.parametrize("at", range(len(schemes.ADAPTERS["bfv"].shapes)))
def test_keys_have_the_shape_that_was_asked_for(at: int) -> None:
    shape, public = schemes.shape("bfv", at), schemes.generate("bfv", PROGRAM, at=at).public
    assert (shape.key_bits, shape.slots, shape.ciphertext_bytes) == (public.bits, public.slots, public.ciphertext_bytes)
    assert schemes.of_kind(schemes.kind_of("bfv", at)) == ("bfv", at)


def test_without_their_libraries_schemes_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(schemes, "find_spec", find_spec)
    assert "pip install 'sublet[ckks]'" in schemes.unavailable("ckks")
    assert "pip install 'sublet[bfv]'" in schemes.unavailable("bfv")
    assert not schemes.unavailable("paillier")
    assert not schemes.unavailable("paillier-subgroup")


def test_a_program_that_is_too_coarse_for_ckks_is_none_for_paillier() -> None:
    coarse = IntegerProgram(((2**40,),), (0,), input_max=2)
    schemes.require_accuracy("paillier", coarse, 1)
    with pytest.raises(TooCoarse, match="use Paillier"):
        schemes.require_accuracy("ckks", coarse, 1)


NARROW: Final = IntegerProgram(((2**20, -(2**20)), (1, 0)), (2**39, -5), input_max=2**18 + 2**17)
"""Reaches 2^40 + 2^38 + 2^39 = 2^40.8 at most."""


@pytest.mark.parametrize("asked", ["paillier", "paillier-subgroup"])
def test_both_sides_pack_by_the_program_that_they_know(asked: Scheme, secret: PaillierSecret) -> None:
    at = schemes.fitting(asked, NARROW, 1000)
    theirs = schemes.read_public(asked, secret.public.to_bytes()).laid_out(NARROW)
    ours = secret.laid_out(NARROW)
    assert schemes.shape(asked, at).slots == (schemes.KEY_BITS - 3) // 42
    assert ours.public.slots == theirs.slots == (secret.public.bits - 3) // 42
    assert schemes.kind_of(asked, at) == asked
    assert ours.to_bytes() == secret.to_bytes()
    assert ours.public.digest == secret.public.digest
    most = NARROW.input_max
    values = np.resize(np.array([[most, -most], [-most, most], [0, 1]]), (theirs.slots + 5, 2))
    body = theirs.evaluate(ours.encrypt(values), len(values), NARROW)
    expected = values @ np.array(NARROW.weights).T + np.array(NARROW.bias)
    assert np.abs(expected).max() == NARROW.largest(1)
    assert (ours.decrypt(body, len(values), 2) == expected).all()


@given(st.integers(1, 45), st.lists(st.integers(-(2**15), 2**15), min_size=1, max_size=4), st.integers(-(2**50), 2**50))
def test_slots_are_as_narrow_as_what_a_program_reaches(bits: int, weights: list[int], bias: int) -> None:
    program = IntegerProgram((tuple(weights),), (bias,), input_max=2**bits)
    reached, width = max(program.largest(1), program.input_max), program.slot_bits
    assert reached < 2 ** (width - 1)
    assert width == SLOT_BITS_MIN or reached >= 2 ** (width - 2)
    program.require_room(1, width)
    if width > SLOT_BITS_MIN:
        with pytest.raises(Overflow):
            program.require_room(1, width - 1)


def test_sums_over_rows_and_what_is_not_laid_out_keep_the_widest_slots(secret: PaillierSecret) -> None:
    summed = IntegerProgram(((1,),), (0,), sum_rows=True, input_max=1)
    assert summed.slot_bits == secret.public.slot_bits == secret.laid_out(summed).public.slot_bits == SLOT_BITS


def test_a_program_that_another_layout_has_no_room_for_is_refused(secret: PaillierSecret) -> None:
    public = secret.public.laid_out(PROGRAM)
    body = public.encrypt(np.array([[1, 1]]))
    with pytest.raises(Overflow, match=r"values below 2\^15"):
        public.evaluate(body, 1, NARROW)
    with pytest.raises(Overflow, match="does not fit a slot of 16 bits"):
        public.encrypt(np.array([[2**15]]))
