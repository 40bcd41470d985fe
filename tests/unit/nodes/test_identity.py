"""Identities: signing, key files that only their owner may read, sealing at rest."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from nodes.identity import BadKeyFile, Identity, UnsealFailed, former_file, verify
from schemas.ids import Address
from schemas.succession import succession_bytes

ME = Address("A11.A12")


def test_signs_as_rfc_8032_test_2() -> None:
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    me = Identity.from_seed(ME, seed)
    assert me.public.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = me.sign(b"\x72")
    assert signature.hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert verify(me.public, b"\x72", signature)


@pytest.mark.parametrize("broken", ["data", "signature", "short signature", "key", "short key"])
def test_a_signature_that_does_not_fit_is_false_and_never_an_error(broken: str) -> None:
    me, other = Identity.generate(ME), Identity.generate(ME)
    signature = me.sign(b"data")
    arguments = {
        "data": (me.public, b"other", signature),
        "signature": (me.public, b"data", other.sign(b"data")),
        "short signature": (me.public, b"data", signature[:63]),
        "key": (other.public, b"data", signature),
        "short key": (me.public[:31], b"data", signature),
    }
    assert verify(*arguments[broken]) is False


def test_a_saved_key_has_mode_0600_and_loads_as_the_same_identity(tmp_path: Path) -> None:
    me, path = Identity.generate(ME), tmp_path / "key.pem"
    me.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Identity.load(ME, path).public == me.public


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    me, path = Identity.generate(ME), tmp_path / "key.pem"
    me.save(path)
    with pytest.raises(BadKeyFile, match="exists"):
        Identity.generate(ME).save(path)
    assert Identity.load(ME, path).public == me.public


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_file_that_others_can_get_at_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.pem"
    Identity.generate(ME).save(path)
    path.chmod(mode)
    with pytest.raises(BadKeyFile, match=f"0{mode:o}.*chmod 600"):
        Identity.load(ME, path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadKeyFile, match=r"nowhere\.pem"):
        Identity.load(ME, tmp_path / "nowhere.pem")


def test_a_file_with_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    pem = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.touch(0o600)
    path.write_bytes(pem)
    with pytest.raises(BadKeyFile, match="not an Ed25519 key"):
        Identity.load(ME, path)
    path.write_bytes(b"no key at all")
    with pytest.raises(BadKeyFile, match="no unencrypted PEM"):
        Identity.load(ME, path)


def test_nothing_shows_the_private_key() -> None:
    seed = bytes(range(32))
    me = Identity.from_seed(ME, seed)
    assert seed.hex() not in repr(me)
    assert me.public.hex() in repr(me)
    for leak in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            leak(me)


@given(secret=st.binary(max_size=200), label=st.text(max_size=30))
def test_sealed_secrets_open_again_and_do_not_show(secret: bytes, label: str) -> None:
    me = Identity.from_seed(ME, bytes(32))
    sealed = me.seal(secret, label)
    assert me.unseal(sealed, label) == secret
    assert len(sealed) == len(secret) + 12 + 16
    assert sealed != me.seal(secret, label)


@pytest.mark.parametrize("broken", ["label", "node", "nonce", "body", "tag", "truncated", "empty"])
def test_what_was_not_sealed_here_under_this_label_does_not_open(broken: str) -> None:
    me = Identity.from_seed(ME, bytes(32))
    sealed = me.seal(b"secret", "job/1")

    def flipped(place: int) -> bytes:
        changed = bytearray(sealed)
        changed[place] ^= 1
        return bytes(changed)

    opener = Identity.from_seed(ME, b"\x01" * 32) if broken == "node" else me
    cases = {"nonce": flipped(0), "body": flipped(12), "tag": flipped(-1), "truncated": sealed[:-1], "empty": b""}
    with pytest.raises(UnsealFailed) as caught:
        opener.unseal(cases.get(broken, sealed), "job/2" if broken == "label" else "job/1")
    assert caught.value.code == "unseal-failed"


def test_a_successor_is_believed_by_whoever_knows_the_former_key_and_by_whoever_knows_its_own(tmp_path: Path) -> None:
    former, successor = Identity.generate(ME), Identity.generate(ME)
    both = former.succeeded_by(successor)
    signature = both.sign(b"data")
    assert (both.public, both.newest) == (former.public, successor.public)
    for known in (former.public, successor.public):
        assert verify(known, b"data", signature)
        assert not verify(known, b"other", signature)
    assert not verify(Identity.generate(ME).public, b"data", signature)


def test_only_the_known_key_names_its_successor() -> None:
    known, thief = Identity.generate(ME), Identity.generate(ME)
    signature = thief.sign(b"data") + thief.public
    named_by_itself = signature + thief.sign(succession_bytes(known.public, thief.public))
    for_another = signature + known.sign(succession_bytes(known.public, Identity.generate(ME).public))
    signed_as_data = signature + known.sign(thief.public)
    for forged in (named_by_itself, for_another, signed_as_data):
        assert not verify(known.public, b"data", forged)


def test_a_successors_successor_is_not_believed_by_whoever_knows_the_first_key() -> None:
    first, second, third = (Identity.generate(ME) for _ in range(3))
    signature = second.succeeded_by(third).sign(b"data")
    assert verify(second.public, b"data", signature)
    assert not verify(first.public, b"data", signature)


def test_a_key_that_lies_beside_another_is_its_former_one_and_opens_what_it_sealed(tmp_path: Path) -> None:
    former, key = Identity.generate(ME), tmp_path / "key.pem"
    former.save(key)
    sealed = former.seal(b"secret", "label")
    key.rename(former_file(key))
    Identity.generate(ME).save(key)
    both = Identity.load(ME, key)
    assert both.public == former.public != both.newest
    assert both.unseal(sealed, "label") == both.unseal(both.seal(b"secret", "label"), "label") == b"secret"


def test_an_identity_takes_up_new_keys_while_it_is_in_use() -> None:
    me = Identity.generate(ME)
    known = me.public
    both = me.succeeded_by(Identity.generate(ME))
    assert me.renew(both)
    assert not me.renew(both)
    assert verify(known, b"data", me.sign(b"data"))
    assert verify(both.newest, b"data", me.sign(b"data"))
