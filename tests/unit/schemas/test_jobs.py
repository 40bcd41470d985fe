"""Records outlive the release that wrote them: what was added since must not keep a node from reading its jobs."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from schemas.jobs import Assessment

BEFORE_SCHEMES: Final[dict[str, Any]] = {
    "asked": "auto",
    "chosen": "homomorphic",
    "rows": 512,
    "columns": 30,
    "key_bits": 3072,
    "values_per_ciphertext": 47,
    "encrypt_values_per_second": 2e5,
    "cores": 2,
    "free_cores": 1.5,
    "encrypt_seconds": 0.1,
    "encrypt_seconds_max": 60.0,
    "error_bound": 1e-5,
    "max_error": 1e-4,
    "candidates": [{"protection": "homomorphic", "possible": True, "reason": "affordable", "encrypt_seconds": 0.1}],
    "reason": "local compute affords it",
}


def test_an_assessment_from_before_schemes_had_names_is_still_read() -> None:
    read = msgspec.convert(BEFORE_SCHEMES, Assessment)
    assert (read.chosen, read.scheme, read.rows) == ("homomorphic", None, 512)
    assert read.candidates[0].costs is None
