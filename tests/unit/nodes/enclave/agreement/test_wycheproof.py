"""The primitives under key agreement, signatures and key schedules, by all cases of Project Wycheproof."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from nodes.enclave.agreement.key_agreement import SUITE_ID, KeyPair, check_public_key, new_secret, seal
from nodes.enclave.errors import Code, Rejected
from nodes.identity import verify

COUNTS = {"hkdf_sha512": 83, "x25519": 518, "ed25519": 151, "mlkem_768": 193}
needs_vectors = pytest.mark.skipif(
    "SUBLET_TEST_VECTORS" not in os.environ, reason="SUBLET_TEST_VECTORS names no folder"
)


def groups(name: str) -> list[dict[str, Any]]:
    path = Path(os.environ["SUBLET_TEST_VECTORS"]) / "wycheproof" / f"{name}_test.json"
    found: list[dict[str, Any]] = json.loads(path.read_text())["testGroups"]
    return found


def cases(name: str) -> Iterator[dict[str, Any]]:
    """The cases of a file, hexadecimal values as bytes."""
    for group in groups(name):
        for case in group["tests"]:
            yield {key: _bytes(key, value) for key, value in case.items()}


def _bytes(key: str, value: Any) -> Any:
    return value if key in ("tcId", "comment", "flags", "size", "result") else bytes.fromhex(value)


@needs_vectors
@pytest.mark.parametrize("name", sorted(COUNTS))
def test_all_cases_are_there(name: str) -> None:
    assert len(list(cases(name))) == COUNTS[name]


@needs_vectors
def test_hkdf_sha512() -> None:
    for case in cases("hkdf_sha512"):
        prk = HKDF.extract(SHA512(), case["salt"] or None, case["ikm"])
        if case["result"] == "valid":
            okm = HKDFExpand(SHA512(), case["size"], case["info"]).derive(prk)
            assert okm == case["okm"], case["tcId"]
        else:
            with pytest.raises(ValueError, match="larger"):
                HKDFExpand(SHA512(), case["size"], case["info"]).derive(prk)


@needs_vectors
def test_x25519_agrees_or_refuses_where_nothing_is_agreed() -> None:
    refused = 0
    for case in cases("x25519"):
        private = X25519PrivateKey.from_private_bytes(case["private"])
        public = X25519PublicKey.from_public_bytes(case["public"])
        if "ZeroSharedSecret" in case["flags"]:
            with pytest.raises(ValueError, match="shared"):
                private.exchange(public)
            refused += 1
        else:
            assert private.exchange(public) == case["shared"], case["tcId"]
    assert refused == 31


@needs_vectors
def test_nothing_is_sealed_to_an_enclave_key_whose_x25519_half_agrees_on_nothing() -> None:
    honest = KeyPair.generate().public
    low = {case["public"] for case in cases("x25519") if "ZeroSharedSecret" in case["flags"]}
    assert len(low) > 5
    for point in low:
        with pytest.raises(Rejected) as refused:
            seal(new_secret(), honest[: -len(point)] + point, b"offer", lambda said: bytes(64))
        assert refused.value.code == Code.PUBLIC_KEY


@needs_vectors
def test_ed25519_signatures_of_identities() -> None:
    for group in groups("ed25519"):
        public = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            valid = verify(public, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            assert valid == (case["result"] == "valid"), case["tcId"]


@needs_vectors
def test_mlkem_768() -> None:
    seen = {"valid": 0, "invalid": 0}
    for case in cases("mlkem_768"):
        seen[case["result"]] += 1
        if case["result"] == "valid":
            key = MLKEM768PrivateKey.from_seed_bytes(case["seed"])
            assert key.public_key().public_bytes_raw() == case["ek"], case["tcId"]
            assert key.decapsulate(case["c"]) == case["K"], case["tcId"]
        else:
            with pytest.raises(ValueError, match=r"."):
                MLKEM768PrivateKey.from_seed_bytes(case["seed"]).decapsulate(case["c"])
    assert seen == {"valid": 153, "invalid": 40}


@needs_vectors
def test_keys_of_enclaves_are_made_of_seeds_as_the_vectors_make_them() -> None:
    x25519 = bytes(32)
    for case in cases("mlkem_768"):
        if case["result"] == "valid":
            public = KeyPair.from_seeds(case["seed"], x25519).public
            assert public[len(SUITE_ID) : -32] == case["ek"]
            check_public_key(public)
