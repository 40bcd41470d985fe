"""The assessment chooses by predicted cost, free cores and what the program allows (A1, A2)."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.renter.protocol.assess import NoProtection, assess
from nodes.renter.protocol.records import Facts, SchemeFacts
from schemas.jobs import Costs, JobSpec
from schemas.manifest import cut

DIGEST = "0" * 64


def spec(**changes: Any) -> JobSpec:
    fields: dict[str, Any] = {"id": "job-" + "0" * 24, "data": DIGEST, "program": DIGEST, "local_share": 0.0}
    return JobSpec(**(fields | changes))


def costs(encrypt: float, decrypt: float = 1.0, **more: int) -> Costs:
    return Costs(encrypt_seconds=encrypt, lessor_seconds=1.0, decrypt_seconds=decrypt, **more)


def scheme(name: Any = "paillier", cost: Costs | None = None, refused: str = "") -> SchemeFacts:
    return SchemeFacts(
        scheme=name, key_bits=3072, slots=47, ciphertext_bytes=768, refused=refused, costs=cost or costs(47.0)
    )


def facts(**changes: Any) -> Facts:
    fields: dict[str, Any] = {
        "rows": 4700,
        "width_in": 10,
        "width_out": 1,
        "sum_rows": False,
        "program": cut(b"a program")[0],
        "schemes": (scheme(),),
        "enclave": costs(0.1, 0.1),
        "sealed_result": costs(0.1, 3.0),
        "cores": 2,
        "free_cores": 2.0,
    }
    return Facts(**(fields | changes))


def test_enough_compute_means_homomorphic() -> None:
    decided = assess(spec(encrypt_seconds_max=23.5), facts())
    assert (decided.chosen, decided.scheme) == ("homomorphic", "paillier")
    assert decided.encrypt_seconds == pytest.approx(23.5)


def test_too_little_compute_means_enclave_and_says_so() -> None:
    decided = assess(spec(encrypt_seconds_max=23.4), facts())
    assert (decided.chosen, decided.scheme) == ("enclave", None)
    assert "23.5 s to encrypt, at most 23.4 s allowed: too long" in decided.reason


def test_a_busy_core_halves_what_the_renter_affords() -> None:
    assert assess(spec(encrypt_seconds_max=30), facts(free_cores=1.0)).chosen == "enclave"


def test_a_budget_for_decryption_seals_results_where_data_is_too_dear_to_encrypt() -> None:
    decided = assess(spec(encrypt_seconds_max=0, decrypt_seconds_max=1.5), facts())
    assert (decided.chosen, decided.scheme) == ("sealed-result", "paillier")
    assert decided.costs == costs(0.1, 3.0)


def test_a_budget_for_decryption_that_is_too_small_leaves_the_enclave() -> None:
    decided = assess(spec(encrypt_seconds_max=0, decrypt_seconds_max=1.4), facts())
    assert decided.chosen == "enclave"
    sealed = decided.candidates[-1]
    assert not sealed.possible
    assert sealed.reason.endswith("1.5 s to decrypt, at most 1.4 s allowed: too long")


def test_a_budget_for_decryption_holds_for_homomorphic_too() -> None:
    decided = assess(spec(decrypt_seconds_max=0.4), facts())
    assert decided.chosen == "enclave"
    assert "0.5 s to decrypt, at most 0.4 s allowed" in decided.reason


def test_of_two_schemes_the_cheaper_is_taken() -> None:
    offered = (scheme(), scheme("ckks", costs(20.0)))
    assert assess(spec(), facts(schemes=offered)).scheme == "ckks"


def test_bytes_through_the_hubs_are_part_of_the_price() -> None:
    offered = (scheme(), scheme("ckks", costs(20.0, bytes_sent=10**9)))
    assert assess(spec(), facts(schemes=offered)).scheme == "paillier"


def test_a_scheme_that_cannot_do_the_job_is_left_out_and_says_why() -> None:
    offered = (scheme(), scheme("ckks", costs(1.0), refused="its own error may reach 1"))
    decided = assess(spec(), facts(schemes=offered))
    assert decided.scheme == "paillier"
    assert [(each.scheme, each.possible, each.reason) for each in decided.candidates[1:2]] == [
        ("ckks", False, "its own error may reach 1")
    ]


def test_asked_for_the_encryption_may_take_longer_than_the_budget() -> None:
    decided = assess(spec(protection="homomorphic", encrypt_seconds_max=0), facts())
    assert (decided.chosen, decided.reason) == ("homomorphic", "asked for by the job")


def test_the_local_part_needs_no_encryption() -> None:
    assert assess(spec(local_share=0.5), facts()).rows == 2350


def test_a_program_that_is_not_linear_goes_to_the_enclave() -> None:
    decided = assess(spec(), facts(needs_enclave="Sigmoid is not linear", schemes=()))
    assert decided.chosen == "enclave"
    assert "Sigmoid is not linear" in decided.reason


def test_without_any_accepted_enclave_there_is_only_homomorphic() -> None:
    refused = facts(no_enclave="no kind of enclave is accepted")
    assert assess(spec(), refused).chosen == "homomorphic"
    with pytest.raises(NoProtection, match="no kind of enclave is accepted"):
        assess(spec(encrypt_seconds_max=0), refused)
    with pytest.raises(NoProtection, match="no kind of enclave is accepted"):
        assess(spec(protection="sealed-result"), refused)


def test_asked_for_what_the_program_does_not_allow_is_refused() -> None:
    with pytest.raises(NoProtection, match="Sigmoid is not linear") as refused:
        assess(spec(protection="homomorphic"), facts(needs_enclave="Sigmoid is not linear", schemes=()))
    assert refused.value.code == "not-linear"


def test_what_was_asked_for_is_done_though_it_takes_long() -> None:
    assert assess(spec(protection="homomorphic", encrypt_seconds_max=0.0), facts()).chosen == "homomorphic"
    late = spec(protection="sealed-result", decrypt_seconds_max=0.0)
    assert assess(late, facts()).chosen == "sealed-result"
