"""What is said of a scheme before any key is made holds for its keys; what is not installed says so."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from typing import Final

import numpy as np
import pytest

from nodes.homomorphic import schemes
from nodes.homomorphic.errors import BadKey, TooCoarse
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.port import IntegerProgram
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
