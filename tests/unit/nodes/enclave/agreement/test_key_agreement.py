"""The key agreement: a vector, and each thing that must be refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from nodes.enclave.agreement import key_agreement
from nodes.enclave.agreement.confirmation import confirmation, is_confirmed
from nodes.enclave.agreement.key_agreement import KeyPair, Sealed, SealSpec
from nodes.enclave.attestation.envelope import decode, encode
from nodes.enclave.attestation.policy import Policy
from nodes.enclave.attestation.port import Evidence
from nodes.enclave.attestation.producers.software import SoftwareQuoter
from nodes.enclave.child.engine import Enclave
from nodes.enclave.errors import Code, Rejected
from nodes.enclave.offer import Challenge, VerifiedOffer, verify_offer
from tests.unit.nodes.enclave.enclaves import (
    CONTRACT,
    JOB,
    NOW,
    VERIFIERS,
    model,
    policy,
    quoter,
    renter,
    renter_public,
)

VECTOR = json.loads((Path(__file__).parent / "transcript-vector.json").read_text())


def raw(name: str) -> bytes:
    return bytes.fromhex(VECTOR[name])


def offered(
    *,
    nonce: bytes = bytes(range(32)),
    contract: str = CONTRACT,
    job: str = JOB,
    enclave: Enclave | None = None,
    service: SoftwareQuoter | None = None,
    debug: bool = False,
) -> bytes:
    """Evidence for an honest offer."""
    public, report_data = (enclave or Enclave()).offer(nonce, contract, job)
    return (service or quoter()).quote(report_data=report_data, pub=public, nonce=nonce, job=job, debug=debug)


def verified(evidence: bytes, *, accepted: Policy | None = None, age_seconds: float = 1.0) -> VerifiedOffer:
    challenge = Challenge(bytes(range(32)), CONTRACT, JOB, age_seconds)
    return verify_offer(
        challenge,
        evidence,
        verifiers=VERIFIERS,
        policy=accepted or policy(),
        renter_public=renter_public(),
        now=NOW,
    )


def accept(enclave: Enclave, offer: VerifiedOffer, sealed: Sealed, **changes: bytes) -> bytes:
    said = {
        "renter_public": renter_public(),
        "policy": offer.policy_digest,
        "claims": offer.claims.digest(),
        "program": PROGRAM,
    } | changes
    return enclave.accept(
        sealed,
        renter_public=said["renter_public"],
        policy=said["policy"],
        claims=said["claims"],
        program=said["program"],
        seal=None,
    )


PROGRAM = model(2, np.ones((2, 1)))


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as refused:
        action()
    return refused.value.code


# The transcript vector: fixed inputs, every derived value stored.


def test_vector_enclave_key() -> None:
    keys = KeyPair.from_seeds(raw("mlkem_seed"), raw("x25519_seed"))
    assert keys.public == raw("enclave_public")


def test_vector_report_data_and_offer() -> None:
    assert key_agreement.report_data(raw("nonce"), VECTOR["contract"], raw("enclave_public")) == raw("report_data")
    offer = key_agreement.offer_digest(
        nonce=raw("nonce"),
        contract=VECTOR["contract"],
        enclave_public=raw("enclave_public"),
        claims=raw("claims"),
        policy=raw("policy"),
        renter_public=raw("renter_public"),
    )
    assert offer == raw("offer")


def test_vector_seal_opens_to_the_secret_and_confirms() -> None:
    keys = KeyPair.from_seeds(raw("mlkem_seed"), raw("x25519_seed"))
    sealed = Sealed(raw("sealed"), raw("signature"))
    secret = key_agreement.open_seal(keys, sealed, raw("offer"), raw("renter_public"))
    assert secret == raw("secret")
    assert key_agreement.transcript(raw("offer"), sealed) == raw("transcript")
    mac = confirmation(secret, raw("transcript"))
    assert mac == raw("confirmation")
    assert is_confirmed(mac, VECTOR["confirmation_digest"])


def test_vector_signature_is_over_offer_and_seal() -> None:
    signer = Ed25519PrivateKey.from_private_bytes(raw("renter_seed"))
    assert signer.public_key().public_bytes_raw() == raw("renter_public")
    sealed = key_agreement.seal(raw("secret"), raw("enclave_public"), raw("offer"), signer.sign)
    assert len(sealed.sealed) == 1168
    key_agreement.verify_renter(raw("renter_public"), Sealed(raw("sealed"), raw("signature")), raw("offer"))


@pytest.mark.parametrize("name", sorted(VECTOR["data_keys"]))
def test_vector_data_keys(name: str) -> None:
    direction, epoch = name.split("/")
    key = key_agreement.data_key(raw("secret"), VECTOR["contract"], VECTOR["job"], direction, int(epoch))
    assert key.hex() == VECTOR["data_keys"][name]


def test_data_keys_differ_by_direction_epoch_contract_job_and_secret() -> None:
    secret = raw("secret")
    keys = {
        key_agreement.data_key(secret, "c", "j", "data", 0),
        key_agreement.data_key(secret, "c", "j", "result", 0),
        key_agreement.data_key(secret, "c", "j", "data", 1),
        key_agreement.data_key(secret, "d", "j", "data", 0),
        key_agreement.data_key(secret, "c", "k", "data", 0),
        key_agreement.data_key(key_agreement.new_secret(), "c", "j", "data", 0),
    }
    assert len(keys) == 6


# A whole handshake, and what must be refused.


def test_both_sides_agree_and_the_enclave_proves_it() -> None:
    enclave, secret = Enclave(), key_agreement.new_secret()
    offer = verified(offered(enclave=enclave))
    sealed = offer.seal(secret, renter().sign)
    mac = accept(enclave, offer, sealed)
    assert is_confirmed(mac, offer.confirmation_digest(secret, sealed))


def test_two_workers_of_one_lessor_share_data_keys_and_confirm_apart() -> None:
    secret, macs, digests = key_agreement.new_secret(), [], []
    for _ in range(2):
        enclave = Enclave()
        offer = verified(offered(enclave=enclave))
        sealed = offer.seal(secret, renter().sign)
        macs.append(accept(enclave, offer, sealed))
        digests.append(offer.confirmation_digest(secret, sealed))
    fits = [[is_confirmed(mac, digest) for digest in digests] for mac in macs]
    assert fits == [[True, False], [False, True]]


def test_software_claims_say_that_they_are_not_confidential() -> None:
    claims = verified(offered()).claims
    assert not claims.confidential
    assert claims.statement == "software, not confidential"


def test_software_is_refused_unless_accepted_by_name() -> None:
    strict = replace(policy(), accept_software=False, kinds=frozenset({"software", "snp"}))
    assert refusal(lambda: verified(offered(), accepted=strict)) == Code.SOFTWARE_NOT_ACCEPTED


def test_a_nonce_that_was_not_asked_is_refused() -> None:
    assert refusal(lambda: verified(offered(nonce=bytes(32)))) == Code.NONCE_MISMATCH


def test_an_old_nonce_is_refused() -> None:
    assert refusal(lambda: verified(offered(), age_seconds=301.0)) == Code.NONCE_EXPIRED
    assert refusal(lambda: verified(offered(), age_seconds=-1.0)) == Code.NONCE_EXPIRED


def test_an_enclave_does_not_answer_one_nonce_twice() -> None:
    enclave = Enclave()
    offered(enclave=enclave)
    assert refusal(lambda: offered(enclave=enclave)) == Code.NONCE_REUSED


def test_evidence_for_another_contract_is_refused() -> None:
    assert refusal(lambda: verified(offered(contract="contract-2"))) == Code.REPORT_DATA


def test_evidence_for_another_job_is_refused() -> None:
    assert refusal(lambda: verified(offered(job="job-2"))) == Code.JOB_MISMATCH


def changed(evidence: bytes, **changes: bytes) -> bytes:
    return encode(replace(decode(evidence), **changes))  # type: ignore[arg-type]


def test_a_swapped_enclave_key_is_refused() -> None:
    mine = KeyPair.generate().public
    assert refusal(lambda: verified(changed(offered(), pub=mine))) == Code.REPORT_DATA


def test_another_cipher_suite_is_refused_as_a_downgrade() -> None:
    weaker = bytes.fromhex("002000010001") + KeyPair.generate().public[6:]
    assert refusal(lambda: verified(changed(offered(), pub=weaker))) == Code.SUITE


def test_a_downgraded_suite_is_refused_even_when_attested() -> None:
    nonce, weaker = bytes(range(32)), bytes.fromhex("002000010001") + bytes(32)
    attested = quoter().quote(
        report_data=key_agreement.report_data(nonce, CONTRACT, weaker), pub=weaker, nonce=nonce, job=JOB, debug=False
    )
    assert refusal(lambda: verified(attested)) == Code.SUITE


@pytest.mark.parametrize(
    "public", [key_agreement.SUITE_ID, key_agreement.SUITE_ID + b"\xff" * 1216], ids=["short", "not-a-key"]
)
def test_a_malformed_enclave_key_is_refused(public: bytes) -> None:
    assert refusal(lambda: verified(changed(offered(), pub=public))) == Code.PUBLIC_KEY


def test_a_small_order_point_is_refused_when_sealing() -> None:
    public = KeyPair.generate().public[:-32] + bytes(32)
    assert (
        refusal(lambda: key_agreement.seal(key_agreement.new_secret(), public, bytes(64), renter().sign))
        == Code.PUBLIC_KEY
    )


def test_another_measurement_is_refused() -> None:
    other = SoftwareQuoter(Ed25519PrivateKey.generate(), bytes(64))
    assert refusal(lambda: verified(offered(service=other))) == Code.MEASUREMENT


def test_an_unlocked_enclave_is_refused_as_debug_unless_allowed() -> None:
    evidence = offered(debug=True)
    assert refusal(lambda: verified(evidence)) == Code.DEBUG
    assert verified(evidence, accepted=replace(policy(), allow_debug=True)).claims.debug


def test_a_signer_that_is_not_listed_is_refused() -> None:
    listed = replace(policy(), signers=frozenset({bytes(32)}))
    assert refusal(lambda: verified(offered(), accepted=listed)) == Code.SIGNER_NOT_ACCEPTED


def test_a_seal_opens_once() -> None:
    enclave = Enclave()
    offer = verified(offered(enclave=enclave))
    sealed = offer.seal(key_agreement.new_secret(), renter().sign)
    accept(enclave, offer, sealed)
    assert refusal(lambda: accept(enclave, offer, sealed)) == Code.SEAL_REPLAYED


def test_a_failed_seal_spends_the_offer_too() -> None:
    enclave = Enclave()
    offer = verified(offered(enclave=enclave))
    sealed = offer.seal(key_agreement.new_secret(), renter().sign)
    assert refusal(lambda: accept(enclave, offer, replace(sealed, signature=bytes(64)))) == Code.RENTER_SIGNATURE
    assert refusal(lambda: accept(enclave, offer, sealed)) == Code.SEAL_REPLAYED


def test_a_seal_for_an_older_offer_does_not_open() -> None:
    enclave = Enclave()
    first = verified(offered(enclave=enclave))
    sealed = first.seal(key_agreement.new_secret(), renter().sign)
    enclave.offer(bytes(32), CONTRACT, JOB)
    assert refusal(lambda: accept(enclave, first, sealed)) == Code.RENTER_SIGNATURE


def test_a_seal_for_another_enclave_does_not_open() -> None:
    enclave, other = Enclave(), Enclave()
    offer, elsewhere = verified(offered(enclave=enclave)), verified(offered(enclave=other))
    sealed = key_agreement.seal(key_agreement.new_secret(), elsewhere.enclave_public, offer.digest, renter().sign)
    assert refusal(lambda: accept(enclave, offer, sealed)) == Code.SEAL


@pytest.mark.parametrize("name", ["claims", "policy"])
def test_other_claims_or_another_policy_than_agreed_are_refused(name: str) -> None:
    enclave = Enclave()
    offer = verified(offered(enclave=enclave))
    sealed = offer.seal(key_agreement.new_secret(), renter().sign)
    assert refusal(lambda: accept(enclave, offer, sealed, **{name: bytes(64)})) == Code.RENTER_SIGNATURE


def test_somebody_elses_signature_is_refused() -> None:
    enclave = Enclave()
    offer = verified(offered(enclave=enclave))
    sealed = offer.seal(key_agreement.new_secret(), Ed25519PrivateKey.generate().sign)
    assert refusal(lambda: accept(enclave, offer, sealed)) == Code.RENTER_SIGNATURE


def test_an_enclave_with_a_session_offers_nothing_more() -> None:
    enclave = Enclave()
    offer = verified(offered(enclave=enclave))
    accept(enclave, offer, offer.seal(key_agreement.new_secret(), renter().sign))
    assert refusal(lambda: enclave.offer(bytes(32), CONTRACT, JOB)) == Code.SESSION


@pytest.mark.parametrize("part", ["secret", "offer", "sealed", "signature"])
def test_a_confirmation_fits_one_handshake_alone(part: str) -> None:
    secret, sealed = raw("secret"), Sealed(raw("sealed"), raw("signature"))
    said = {"secret": secret, "offer": raw("offer"), "sealed": sealed.sealed, "signature": sealed.signature}
    said[part] = bytes([said[part][0] ^ 1]) + said[part][1:]
    other = key_agreement.transcript(said["offer"], Sealed(said["sealed"], said["signature"]))
    assert not is_confirmed(confirmation(said["secret"], other), VECTOR["confirmation_digest"])


@pytest.mark.parametrize("bit", [0, 255, 511])
def test_every_bit_of_a_confirmation_counts(bit: int) -> None:
    mac = bytearray(raw("confirmation"))
    mac[bit // 8] ^= 1 << bit % 8
    assert not is_confirmed(bytes(mac), VECTOR["confirmation_digest"])


@pytest.mark.parametrize("mac", [b"", raw("confirmation")[:-1], raw("confirmation") + b"\0", b"\xff" * 1000])
def test_a_confirmation_of_another_length_confirms_nothing(mac: bytes) -> None:
    assert not is_confirmed(mac, VECTOR["confirmation_digest"])


def test_nothing_is_confirmed_before_there_is_a_digest() -> None:
    assert not is_confirmed(raw("confirmation"), "")


def test_the_schema_depends_on_program_sealing_key_and_scale() -> None:
    schemas = {
        key_agreement.schema_digest(b"p", None),
        key_agreement.schema_digest(b"q", None),
        key_agreement.schema_digest(b"p", SealSpec(b"k", 20)),
        key_agreement.schema_digest(b"p", SealSpec(b"l", 20)),
        key_agreement.schema_digest(b"p", SealSpec(b"k", 21)),
    }
    assert len(schemas) == 5


def test_no_repr_shows_a_secret() -> None:
    keys, secret = KeyPair.generate(), key_agreement.new_secret()
    enclave = Enclave()
    offer = verified(offered(enclave=enclave))
    accept(enclave, offer, offer.seal(secret, renter().sign))
    texts = [repr(value) for value in (keys, quoter(), enclave, vars(enclave), offer)]
    seed = quoter().key.private_bytes_raw()
    for text in texts:
        assert repr(secret)[2:-1] not in text
        assert secret.hex() not in text
        assert repr(seed)[2:-1] not in text


def test_evidence_envelope_is_opaque_to_repr() -> None:
    evidence = Evidence("software", b"blob-bytes", b"aux-bytes", b"pub-bytes", bytes(32), JOB)
    assert "blob-bytes" not in repr(evidence)
