"""Packed Paillier computes exactly on what phe can read, and refuses what is not a ciphertext or a key."""

from __future__ import annotations

import gmpy2
import numpy as np
import phe
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nodes.homomorphic import packing
from nodes.homomorphic.costs import TABLES_AFTER
from nodes.homomorphic.errors import BadCiphertext, BadKey, Overflow
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.port import IntegerProgram, Noise
from schemas.errors import BadConfig, BadData, BadProgram

Ints = NDArray[np.int64]


def numbers(rows: int, width: int, seed: int = 1) -> Ints:
    return np.random.default_rng(seed).integers(-(2**40), 2**40, size=(rows, width), dtype=np.int64)


def ciphertexts(body: bytes, key: PaillierPublic) -> list[int]:
    size = key.ciphertext_bytes
    return [int.from_bytes(body[at : at + size], "big") for at in range(0, len(body), size)]


class TestWithPhe:
    def test_stock_phe_decrypts_our_ciphertext_to_the_same_integer(self, secret: PaillierSecret) -> None:
        values = numbers(31, 1)
        (ours,) = ciphertexts(secret.public.encrypt(values), secret.public)
        theirs = phe.PaillierPrivateKey(phe.PaillierPublicKey(int(secret.public.n)), int(secret.p), int(secret.q))
        expected = sum(int(value) * 2 ** (64 * slot) for slot, value in enumerate(values[:, 0]))
        assert theirs.raw_decrypt(ours) == expected % int(secret.public.n)
        assert theirs.decrypt(phe.EncryptedNumber(theirs.public_key, ours)) == expected

    def test_we_decrypt_a_ciphertext_of_stock_phe_to_the_same_integer(self, secret: PaillierSecret) -> None:
        for value in (0, 1, -1, 2**62, -(2**62)):
            theirs = secret.public.to_phe().encrypt(value)
            body = theirs.ciphertext().to_bytes(secret.public.ciphertext_bytes, "big")
            assert secret.decrypt(body, 1, 1).tolist() == [[value]]

    def test_phe_reads_a_result_that_we_computed_on_its_ciphertexts(self, secret: PaillierSecret) -> None:
        theirs = secret.to_phe()
        body = b"".join(
            theirs.public_key.encrypt(value).ciphertext().to_bytes(secret.public.ciphertext_bytes, "big")
            for value in (1000, -77)
        )
        result = secret.public.evaluate(body, 1, IntegerProgram(((3, -5),), (-4000,)))
        assert theirs.raw_decrypt(ciphertexts(result, secret.public)[0]) == 3 * 1000 + 5 * 77 - 4000 + int(
            theirs.public_key.n
        ) * (3 * 1000 + 5 * 77 - 4000 < 0)

    def test_a_key_made_by_phe_works_here_whatever_its_primes(self) -> None:
        _, theirs = phe.generate_paillier_keypair(n_length=2048)
        ours = PaillierSecret.from_phe(theirs)
        values = numbers(5, 2)
        assert ours.decrypt(ours.public.encrypt(values), 5, 2).tolist() == values.tolist()
        assert PaillierPublic.from_bytes(ours.public.to_bytes()) == ours.public


class TestComputing:
    @settings(max_examples=15, deadline=None)
    @given(data=st.data())
    def test_results_equal_exact_integer_arithmetic(self, secret: PaillierSecret, data: st.DataObject) -> None:
        rows, width_in, width_out = (data.draw(st.integers(1, top)) for top in (70, 4, 3))
        weights = data.draw(
            st.lists(
                st.lists(st.integers(-(2**16), 2**16), min_size=width_in, max_size=width_in),
                min_size=width_out,
                max_size=width_out,
            )
        )
        bias = data.draw(st.lists(st.integers(-(2**50), 2**50), min_size=width_out, max_size=width_out))
        sum_rows = data.draw(st.booleans())
        values = numbers(rows, width_in, data.draw(st.integers(0, 9))) >> 5
        program = IntegerProgram(tuple(map(tuple, weights)), tuple(bias), sum_rows, input_max=2**35)
        body = secret.public.evaluate(secret.public.encrypt(values), rows, program)
        summed = values.sum(axis=0, keepdims=True) if sum_rows else values
        expected = summed @ np.array(weights).T + np.array(bias)
        assert secret.decrypt(body, rows, width_out, sum_rows=sum_rows).tolist() == expected.tolist()

    @pytest.mark.parametrize("mode", ["fixed-base", "exact"])
    @pytest.mark.parametrize("rows", [1, 30, 31, 32, 62, 63])
    def test_every_row_count_around_a_block_comes_back(self, secret: PaillierSecret, rows: int, mode: Noise) -> None:
        values = numbers(rows, 2)
        body = secret.encrypt(values, noise=mode)
        assert len(body) == secret.public.body_bytes(rows, 2) == -(-rows // 31) * 2 * 512
        assert secret.decrypt(body, rows, 2).tolist() == values.tolist()

    def test_the_ends_of_a_slot_come_back(self, secret: PaillierSecret) -> None:
        values = np.array([[2**63 - 1], [-(2**63)], [-1], [0]] * 8, dtype=np.int64)[:31]
        assert secret.decrypt(secret.public.encrypt(values), 31, 1).tolist() == values.tolist()

    def test_results_use_the_whole_slot_up_to_the_proved_limit(self, secret: PaillierSecret) -> None:
        values = np.array([[2**31], [-(2**31)]], dtype=np.int64)
        program = IntegerProgram(((2**31,),), (2**62 - 1,), input_max=2**31)
        body = secret.public.evaluate(secret.public.encrypt(values), 2, program)
        assert secret.decrypt(body, 2, 1).tolist() == [[2**63 - 1], [-1]]

    @pytest.mark.parametrize("weights", [(0, 0), (5, 0), (0, -5), (-1, -1), (1, 1)])
    def test_weights_of_one_sign_or_none_work(self, secret: PaillierSecret, weights: tuple[int, int]) -> None:
        values = numbers(3, 2) >> 2
        program = IntegerProgram((weights,), (7,), input_max=2**39)
        body = secret.public.evaluate(secret.public.encrypt(values), 3, program)
        assert secret.decrypt(body, 3, 1)[:, 0].tolist() == (values @ np.array(weights) + 7).tolist()

    def test_bodies_before_and_after_the_noise_table_is_built_come_back(self) -> None:
        key = paillier.generate(2048)
        few, many = numbers(31, 1), numbers(31 * TABLES_AFTER[0], 1)
        for values in (few, many, few):
            assert key.decrypt(key.public.encrypt(values), len(values), 1).tolist() == values.tolist()


class TestHiding:
    def test_equal_values_get_different_ciphertexts(self, secret: PaillierSecret) -> None:
        same = np.zeros((31 * 70, 1), dtype=np.int64)
        assert len(set(ciphertexts(secret.public.encrypt(same), secret.public))) == 70
        assert len(set(ciphertexts(secret.encrypt(same[: 31 * 5], noise="exact"), secret.public))) == 5

    def test_a_result_is_not_the_plain_product_of_its_inputs(self, secret: PaillierSecret) -> None:
        body = secret.public.encrypt(numbers(31, 1))
        (sent,) = ciphertexts(body, secret.public)
        program = IntegerProgram(((3,),), (0,), input_max=2**40)
        first, second = (secret.public.evaluate(body, 31, program) for _ in range(2))
        plain = pow(sent, 3, int(secret.public.n_squared))
        assert len({plain, *ciphertexts(first, secret.public), *ciphertexts(second, secret.public)}) == 3
        assert secret.decrypt(first, 31, 1).tolist() == secret.decrypt(second, 31, 1).tolist()

    def test_the_repr_of_a_secret_key_shows_no_secret(self, secret: PaillierSecret) -> None:
        shown = repr(secret) + str(secret)
        assert not any(text in shown for text in (str(secret.p), str(secret.q), hex(secret.p), hex(secret.q)))

    def test_every_refusal_of_a_decryption_reads_the_same(self, secret: PaillierSecret) -> None:
        garbage = secret.public.n_squared // 3
        shifted = secret.public.to_phe().raw_encrypt(2 ** (64 * 31))
        reasons = set()
        for bad in (0, garbage, shifted):
            with pytest.raises(BadCiphertext) as caught:
                secret.decrypt(int(bad).to_bytes(512, "big"), 31, 1)
            reasons.add((str(caught.value), caught.value.code))
        assert len(reasons) == 1


class TestRefusals:
    @pytest.mark.parametrize("name", ["0", "n", "p * k", "n^2", "n^2 + 1", "1", "-1", "1 + n m", "-1 - n m"])
    def test_what_is_no_ciphertext_is_refused_by_both_sides(self, secret: PaillierSecret, name: str) -> None:
        n = secret.public.n
        bad = {"0": 0, "n": n, "p * k": secret.p * 12345, "n^2": n * n, "n^2 + 1": n * n + 1}
        bad |= {"1": 1, "-1": n * n - 1, "1 + n m": 1 + 77 * n, "-1 - n m": n * n - 1 - 77 * n}
        good = secret.public.encrypt(numbers(31, 1))
        body = good + int(bad[name]).to_bytes(secret.public.ciphertext_bytes, "big")
        for refuse in (
            lambda: secret.public.evaluate(body, 31, IntegerProgram(((1, 0),), (0,))),
            lambda: secret.decrypt(body, 31, 2),
            lambda: secret.public.rerandomise(body, 31, 2),
            lambda: secret.public.add(body, good + good, 31, 2),
            lambda: secret.public.add(good + good, body, 31, 2),
        ):
            with pytest.raises(BadCiphertext) as caught:
                refuse()
            assert caught.value.code == "ciphertext-invalid"

    @pytest.mark.parametrize("column", [0, 1, 2])
    def test_a_factor_of_the_modulus_is_refused_whatever_weight_it_meets(
        self, secret: PaillierSecret, column: int
    ) -> None:
        body = [secret.public.encrypt(numbers(31, 1)) for _ in range(3)]
        body[column] = int(secret.p * 12345).to_bytes(secret.public.ciphertext_bytes, "big")
        for sum_rows in (False, True):
            program = IntegerProgram(((3, -5, 0),), (0,), sum_rows, input_max=2**40)
            with pytest.raises(BadCiphertext) as caught:
                secret.public.evaluate(b"".join(body), 31, program)
            assert caught.value.code == "ciphertext-invalid"

    @pytest.mark.parametrize("cut", [0, 1, 511, 512, 1023])
    def test_a_truncated_body_is_refused(self, secret: PaillierSecret, cut: int) -> None:
        body = secret.public.encrypt(numbers(32, 1))[:cut]
        with pytest.raises(BadCiphertext) as caught:
            secret.public.evaluate(body, 32, IntegerProgram(((1,),), (0,)))
        assert caught.value.code == "ciphertext-length"

    def test_a_body_that_is_too_long_is_refused(self, secret: PaillierSecret) -> None:
        with pytest.raises(BadCiphertext):
            secret.decrypt(secret.public.encrypt(numbers(31, 1)) + b"\0", 31, 1)

    @pytest.mark.parametrize("rows", [0, -1])
    def test_no_rows_are_refused(self, secret: PaillierSecret, rows: int) -> None:
        with pytest.raises(BadCiphertext):
            secret.decrypt(b"", rows, 1)

    def test_ciphertexts_under_another_key_are_refused(self, secret: PaillierSecret, other: PaillierSecret) -> None:
        smaller, larger = sorted((secret, other), key=lambda key: key.public.n)
        with pytest.raises(BadCiphertext):
            larger.decrypt(smaller.public.encrypt(numbers(31, 1)), 31, 1)

    def test_a_value_in_a_spare_slot_is_refused(self, secret: PaillierSecret) -> None:
        body = secret.public.encrypt(numbers(3, 1))
        with pytest.raises(BadCiphertext):
            secret.decrypt(body, 2, 1)

    def test_a_result_that_left_its_slots_is_refused(self, secret: PaillierSecret) -> None:
        body = secret.public.encrypt(np.full((31, 1), 2**62, dtype=np.int64))
        lied = IntegerProgram(((8,),), (0,), input_max=1)
        with pytest.raises(BadCiphertext):
            secret.decrypt(secret.public.evaluate(body, 31, lied), 31, 1)

    @pytest.mark.parametrize(
        ("program", "rows"),
        [
            (IntegerProgram(((2**63,),), (0,)), 1),
            (IntegerProgram(((1,),), (2**63,)), 1),
            (IntegerProgram(((2**40, -(2**40)),), (0,), input_max=2**22), 1),
            (IntegerProgram(((2**40,),), (0,), sum_rows=True, input_max=2**13), 1024),
        ],
    )
    def test_a_program_that_could_overflow_is_refused_with_the_numbers(
        self, secret: PaillierSecret, program: IntegerProgram, rows: int
    ) -> None:
        with pytest.raises(Overflow) as caught:
            secret.public.evaluate(b"", rows, program)
        assert caught.value.reached >= caught.value.limit == 2**63
        assert f"{caught.value.reached:.3e}" in str(caught.value)

    def test_a_program_of_uneven_shape_is_refused(self) -> None:
        for weights, bias in (((), ()), (((),), (0,)), (((1, 2), (3,)), (0, 0)), (((1,),), (0, 0))):
            with pytest.raises(BadProgram):
                IntegerProgram(weights, bias)

    def test_a_body_of_another_width_than_the_program_is_refused(self, secret: PaillierSecret) -> None:
        with pytest.raises(BadCiphertext):
            secret.public.evaluate(secret.public.encrypt(numbers(31, 2)), 31, IntegerProgram(((1,),), (0,)))

    def test_only_integer_matrices_are_encrypted(self, secret: PaillierSecret) -> None:
        for values in (np.zeros((3, 1)), np.zeros(3, dtype=np.int64), np.zeros((0, 2), dtype=np.int64)):
            with pytest.raises(BadData):
                secret.public.encrypt(values)  # type: ignore[arg-type]


class TestKeys:
    def test_keys_survive_serialisation(self, secret: PaillierSecret) -> None:
        public = PaillierPublic.from_bytes(secret.public.to_bytes())
        again = PaillierSecret.from_bytes(secret.to_bytes())
        assert public == secret.public
        assert public.digest == secret.public.digest
        assert again == secret
        values = numbers(40, 1)
        assert again.decrypt(public.encrypt(values), 40, 1).tolist() == values.tolist()

    def test_3072_bits_are_the_default_and_carry_47_rows(self) -> None:
        key = paillier.generate()
        assert (key.public.bits, key.public.slots, key.public.ciphertext_bytes) == (3072, 47, 768)
        values = numbers(48, 1)
        assert key.decrypt(key.public.encrypt(values), 48, 1).tolist() == values.tolist()

    def test_2048_bits_carry_31_rows_with_room_below_a_third_of_n(self, secret: PaillierSecret) -> None:
        assert secret.public.slots == 31
        assert packing.ones(31) << 63 < secret.public.n // 3

    def test_a_new_key_is_a_blum_modulus(self, secret: PaillierSecret) -> None:
        assert (secret.p % 4, secret.q % 4) == (3, 3)

    @pytest.mark.parametrize("bits", [0, 512, 1024, 2047, 3000, 8192])
    def test_other_sizes_are_not_made(self, bits: int) -> None:
        with pytest.raises(BadConfig) as caught:
            paillier.generate(bits)
        assert caught.value.field == "key_bits"

    @pytest.mark.parametrize("fault", ["short", "long", "magic", "size", "even", "small", "square", "prime"])
    def test_a_public_key_with_a_bad_modulus_is_refused(self, secret: PaillierSecret, fault: str) -> None:
        data, n = secret.public.to_bytes(), int(secret.public.n)

        def with_modulus(modulus: int) -> bytes:
            return data[:6] + modulus.to_bytes(256, "big") + data[262:]

        square = int(gmpy2.isqrt(secret.public.n)) ** 2
        bad = {
            "short": data[:-1],
            "long": data + b"\0",
            "magic": b"XXXX" + data[4:],
            "size": data[:4] + (1024).to_bytes(2, "big") + data[6:],
            "even": with_modulus(n - 1),
            "small": with_modulus(n >> 1 | 1),
            "square": with_modulus(square),
            "prime": with_modulus(int(gmpy2.next_prime(2**2047))),
        }[fault]
        with pytest.raises(BadKey):
            PaillierPublic.from_bytes(bad)

    @pytest.mark.parametrize("base", ["0", "1", "-1", "1 + n", "n", "p", "n^2"])
    def test_a_noise_base_that_hides_nothing_is_refused(self, secret: PaillierSecret, base: str) -> None:
        n = int(secret.public.n)
        value = {"0": 0, "1": 1, "-1": n * n - 1, "1 + n": 1 + n, "n": n, "p": int(secret.p), "n^2": n * n}[base]
        with pytest.raises(BadKey):
            PaillierPublic.from_bytes(secret.public.to_bytes()[:262] + value.to_bytes(512, "big"))

    def test_a_noise_base_that_shows_the_parity_of_exponents_is_refused(self, secret: PaillierSecret) -> None:
        n = secret.public.n
        base = next(base for base in range(2, 100) if gmpy2.jacobi(base, n) == -1)
        residue = gmpy2.powmod(base, n, n * n)
        with pytest.raises(BadKey):
            PaillierPublic.from_bytes(secret.public.to_bytes()[:262] + residue.to_bytes(512, "big"))

    def test_a_secret_key_whose_factors_are_not_prime_is_refused(self, secret: PaillierSecret) -> None:
        data = secret.to_bytes()
        for bad in (data[:-1], data[:6] + data[6:134] * 2 + data[262:], data[:133] + b"\x02" + data[134:]):
            with pytest.raises(BadKey):
                PaillierSecret.from_bytes(bad)
        assert secret.public.to_bytes()[:4] != data[:4]
        with pytest.raises(BadKey):
            PaillierSecret.from_bytes(secret.public.to_bytes())
