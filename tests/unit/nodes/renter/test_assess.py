"""The assessment chooses by measured rate, free cores and what the program allows (A1, A2)."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.renter.assess import NoProtection, assess
from nodes.renter.records import Facts
from schemas.jobs import JobSpec

DIGEST = "0" * 64


def spec(**changes: Any) -> JobSpec:
    fields: dict[str, Any] = {"id": "job-" + "0" * 24, "data": DIGEST, "program": DIGEST, "local_share": 0.0}
    return JobSpec(**(fields | changes))


def facts(**changes: Any) -> Facts:
    fields: dict[str, Any] = {
        "rows": 4700,
        "columns": ("x",) * 10,
        "width_in": 10,
        "width_out": 1,
        "sum_rows": False,
        "key_bits": 3072,
        "slots": 47,
        "ciphertext_bytes": 768,
        "public_key": DIGEST,
        "encrypt_values_per_second": 1000.0,
        "cores": 2,
        "free_cores": 2.0,
    }
    return Facts(**(fields | changes))


def test_enough_compute_means_homomorphic() -> None:
    decided = assess(spec(encrypt_seconds_max=23.5), facts())
    assert decided.chosen == "homomorphic"
    assert decided.encrypt_seconds == pytest.approx(23.5)


def test_too_little_compute_means_enclave_and_says_so() -> None:
    decided = assess(spec(encrypt_seconds_max=23.4), facts())
    assert decided.chosen == "enclave"
    assert "23.5 s to encrypt, at most 23.4 s allowed: too long" in decided.reason


def test_a_busy_core_halves_what_the_renter_affords() -> None:
    assert assess(spec(encrypt_seconds_max=30), facts(free_cores=1.0)).chosen == "enclave"


def test_a_started_ciphertext_counts_whole() -> None:
    one_more = assess(spec(), facts(rows=4701))
    assert one_more.encrypt_seconds == pytest.approx(4747 * 10 / 2000)


def test_the_local_part_needs_no_encryption() -> None:
    decided = assess(spec(local_share=0.5), facts())
    assert decided.rows == 2350
    assert decided.encrypt_seconds == pytest.approx(11.75)


def test_a_program_that_is_not_linear_goes_to_the_enclave() -> None:
    decided = assess(spec(), facts(needs_enclave="Sigmoid is not linear", encrypt_values_per_second=0.0))
    assert decided.chosen == "enclave"
    assert "Sigmoid is not linear" in decided.reason


def test_without_any_accepted_enclave_there_is_only_homomorphic() -> None:
    refused = facts(no_enclave="no kind of enclave is accepted")
    assert assess(spec(), refused).chosen == "homomorphic"
    with pytest.raises(NoProtection, match="no kind of enclave is accepted"):
        assess(spec(encrypt_seconds_max=0), refused)
    with pytest.raises(NoProtection, match="no kind of enclave is accepted"):
        assess(spec(protection="sealed-result"), refused)


def test_what_was_asked_for_is_done_though_it_takes_long() -> None:
    assert assess(spec(protection="homomorphic", encrypt_seconds_max=0.0), facts()).chosen == "homomorphic"
    assert assess(spec(protection="sealed-result"), facts()).chosen == "sealed-result"


def test_what_cannot_be_done_is_refused_with_the_reason() -> None:
    with pytest.raises(NoProtection, match="Sigmoid is not linear"):
        assess(spec(protection="homomorphic"), facts(needs_enclave="Sigmoid is not linear"))
