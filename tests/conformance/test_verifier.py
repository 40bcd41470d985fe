"""What every verifier of attestation evidence must do, whatever the platform. Adapters are listed in `ADAPTERS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from nodes.enclave.attestation.port import (
    EVIDENCE_BYTES_MAX,
    KINDS,
    Claims,
    Evidence,
    Policy,
    Verifier,
    decode,
    encode,
)
from nodes.enclave.attestation.software import SoftwareQuoter, SoftwareVerifier
from nodes.enclave.errors import Code, Rejected
from nodes.enclave.labels import H


@dataclass(frozen=True)
class Adapter:
    """A verifier, genuine evidence, what it reports, and when and under which policy it is good.

    `refused_kind` is the code for evidence of a kind that the policy does not accept.
    """

    verifier: Verifier
    evidence: Evidence
    report_data: bytes
    policy: Policy
    now: datetime
    collateral: dict[str, bytes] | None
    refused_kind: Code

    def verify(self, evidence: Evidence | None = None, *, policy: Policy | None = None, report: bytes = b"") -> Claims:
        return self.verifier.verify(
            evidence or self.evidence,
            expected_report_data=report or self.report_data,
            now=self.now,
            collateral=self.collateral,
            policy=policy or self.policy,
        )


def software(*, debug: bool = False) -> Adapter:
    measured, report_data = H("test-measurement"), H("test-report")
    quoter = SoftwareQuoter(Ed25519PrivateKey.from_private_bytes(bytes(range(32))), measured)
    raw = quoter.quote(report_data=report_data, pub=b"enclave key", nonce=bytes(32), job="job-1", debug=debug)
    return Adapter(
        verifier=SoftwareVerifier(),
        evidence=decode(raw),
        report_data=report_data,
        policy=Policy(accept_software=True, measurements=frozenset({measured})),
        now=datetime(2026, 3, 1, tzinfo=UTC),
        collateral=None,
        refused_kind=Code.SOFTWARE_NOT_ACCEPTED,
    )


ADAPTERS: dict[str, Callable[..., Adapter]] = {"software": software}


@pytest.fixture(params=sorted(ADAPTERS))
def make(request: pytest.FixtureRequest) -> Callable[..., Adapter]:
    return ADAPTERS[request.param]


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as refused:
        action()
    return refused.value.code


def with_field(evidence: Evidence, field: str, raw: bytes) -> Evidence:
    return replace(evidence, blob=raw) if field == "blob" else replace(evidence, aux=raw)


def test_genuine_evidence_is_accepted_with_its_claims(make: Callable[..., Adapter]) -> None:
    adapter = make()
    claims = adapter.verify()
    assert claims.kind == adapter.evidence.kind
    assert claims.report_data == adapter.report_data
    assert claims.measurement in adapter.policy.measurements
    assert not claims.debug


def test_only_hardware_is_called_confidential(make: Callable[..., Adapter]) -> None:
    claims = make().verify()
    assert claims.confidential == (claims.kind != "software")
    assert claims.statement


def test_verifying_twice_gives_the_same_claims(make: Callable[..., Adapter]) -> None:
    assert make().verify().digest() == make().verify().digest()


def test_a_kind_that_the_policy_does_not_accept_is_refused(make: Callable[..., Adapter]) -> None:
    adapter = make()
    nothing = replace(adapter.policy, kinds=frozenset(), accept_software=False)
    assert refusal(lambda: adapter.verify(policy=nothing)) == adapter.refused_kind


def test_an_empty_policy_accepts_nothing(make: Callable[..., Adapter]) -> None:
    adapter = make()
    assert refusal(lambda: adapter.verify(policy=Policy())) == adapter.refused_kind


def test_other_report_data_are_refused(make: Callable[..., Adapter]) -> None:
    adapter = make()
    assert refusal(lambda: adapter.verify(report=bytes(64))) == Code.REPORT_DATA
    assert refusal(lambda: adapter.verify(report=adapter.report_data[:-1])) == Code.REPORT_DATA


def test_an_unlisted_measurement_is_refused(make: Callable[..., Adapter]) -> None:
    adapter = make()
    for listed in (frozenset[bytes](), frozenset({bytes(64)})):
        policy = replace(adapter.policy, measurements=listed)
        assert refusal(partial(adapter.verify, policy=policy)) == Code.MEASUREMENT


def test_debug_is_refused_unless_allowed(make: Callable[..., Adapter]) -> None:
    adapter = make(debug=True)
    assert refusal(adapter.verify) == Code.DEBUG
    assert adapter.verify(policy=replace(adapter.policy, allow_debug=True)).debug


def test_an_unlisted_signer_is_refused_and_a_listed_one_accepted(make: Callable[..., Adapter]) -> None:
    adapter = make()
    signer = adapter.verify().signer
    assert adapter.verify(policy=replace(adapter.policy, signers=frozenset({signer}))).signer == signer
    others = replace(adapter.policy, signers=frozenset({bytes(32)}))
    assert refusal(lambda: adapter.verify(policy=others)) == Code.SIGNER_NOT_ACCEPTED


@pytest.mark.parametrize("field", ["blob", "aux"])
def test_every_flipped_bit_is_refused(make: Callable[..., Adapter], field: str) -> None:
    adapter = make()
    raw = getattr(adapter.evidence, field)
    for position in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[position // 8] ^= 1 << position % 8
        evidence = with_field(adapter.evidence, field, bytes(changed))
        refusal(partial(adapter.verify, evidence))


@pytest.mark.parametrize("field", ["blob", "aux"])
def test_truncated_and_extended_evidence_is_refused(make: Callable[..., Adapter], field: str) -> None:
    adapter = make()
    raw = getattr(adapter.evidence, field)
    for changed in (b"", raw[:-1], raw + b"\0", raw * 2):
        evidence = with_field(adapter.evidence, field, changed)
        refusal(partial(adapter.verify, evidence))


@pytest.mark.parametrize("name", sorted(ADAPTERS))
@given(blob=st.binary(max_size=400), aux=st.binary(max_size=100), kind=st.sampled_from(sorted(KINDS)))
def test_noise_is_rejected_and_nothing_else_is_raised(name: str, blob: bytes, aux: bytes, kind: str) -> None:
    adapter = ADAPTERS[name]()
    evidence = replace(adapter.evidence, blob=blob, aux=aux, kind=kind)
    refusal(lambda: adapter.verify(evidence))


# The envelope is the same for all kinds.


def envelope() -> bytes:
    return encode(software().evidence)


def test_an_envelope_decodes_to_what_was_encoded() -> None:
    assert decode(envelope()) == software().evidence


def test_an_envelope_over_the_limit_is_refused_before_it_is_parsed() -> None:
    assert refusal(lambda: decode(b"\xff" * (EVIDENCE_BYTES_MAX + 1))) == Code.EVIDENCE_SIZE


def cbor(**changes: object) -> bytes:
    fields = cbor2.loads(envelope()) | changes
    return cbor2.dumps({name: value for name, value in fields.items() if value is not None}, canonical=True)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", Code.EVIDENCE_MALFORMED),
        (envelope()[:-1], Code.EVIDENCE_MALFORMED),
        (envelope() + b"\0", Code.EVIDENCE_MALFORMED),
        (b"\x80", Code.EVIDENCE_MALFORMED),
        (b"\x81" * 1000 + b"\x00", Code.EVIDENCE_MALFORMED),
        (b"\xbf" + envelope()[1:] + b"\xff", Code.EVIDENCE_MALFORMED),
        (cbor(extra=1), Code.EVIDENCE_MALFORMED),
        (cbor(nonce=None), Code.EVIDENCE_MALFORMED),
        (cbor(nonce=bytes(8)), Code.EVIDENCE_MALFORMED),
        (cbor(nonce=bytes(65)), Code.EVIDENCE_MALFORMED),
        (cbor(blob="text"), Code.EVIDENCE_MALFORMED),
        (cbor(job=b"bytes"), Code.EVIDENCE_MALFORMED),
        (cbor(job="x" * 200), Code.EVIDENCE_MALFORMED),
        (cbor(pub=bytes(5000)), Code.EVIDENCE_MALFORMED),
        (cbor(kind="abacus"), Code.EVIDENCE_MALFORMED),
        (cbor(kind=["software"]), Code.EVIDENCE_MALFORMED),
        (cbor(v=2), Code.EVIDENCE_VERSION),
        (cbor(v=1.0), Code.EVIDENCE_MALFORMED),
        (cbor(v=True), Code.EVIDENCE_MALFORMED),
        (cbor(v=None), Code.EVIDENCE_VERSION),
    ],
)
def test_a_bad_envelope_is_refused(raw: bytes, code: Code) -> None:
    assert refusal(lambda: decode(raw)) == code


@given(st.binary(max_size=300))
def test_noise_is_no_envelope(raw: bytes) -> None:
    refusal(lambda: decode(raw))


@given(st.data())
def test_a_mutated_envelope_is_refused_or_says_something_else(data: st.DataObject) -> None:
    raw = bytearray(envelope())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        evidence = decode(bytes(raw))
    except Rejected:
        return
    assert evidence != software().evidence
