"""What every verifier of attestation evidence must do, whatever the platform. Adapters are listed in `ADAPTERS`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.enclave.attestation.description import describe
from nodes.enclave.attestation.envelope import EVIDENCE_BYTES_MAX, decode, encode
from nodes.enclave.attestation.policy import Policy
from nodes.enclave.attestation.port import HARDWARE, KINDS, SOFTWARE, Claims, Evidence, Tier
from nodes.enclave.attestation.verifiers import all_verifiers
from nodes.enclave.errors import Code, Rejected
from tests.unit.nodes.enclave.attestation import forge
from tests.unit.nodes.enclave.attestation.forge import Forged


@dataclass(frozen=True)
class Adapter:
    """A verifier and genuine evidence for it, and how far that may be bent.

    `refused_kind` is the code for evidence of a kind that the policy does not accept. `loose` are the fields with bytes
    that nothing covers, such as line ends of certificates: a change there is refused or changes no claim. `debuggable`
    says whether a policy may allow debug at all.
    """

    forged: Forged
    loose: frozenset[str] = frozenset()
    refused_kind: Code = Code.KIND_NOT_ACCEPTED
    debuggable: bool = True

    @property
    def evidence(self) -> Evidence:
        return self.forged.evidence

    @property
    def policy(self) -> Policy:
        return self.forged.policy

    @property
    def report_data(self) -> bytes:
        return self.forged.report_data

    def verify(
        self, evidence: Evidence | None = None, *, policy: Policy | None = None, report: bytes | None = None
    ) -> Claims:
        shown = replace(self.forged, evidence=evidence or self.evidence)
        return shown.judged(policy=policy, report_data=report)

    def refuses_or_says_the_same(self, evidence: Evidence, *, loose: bool) -> None:
        if not loose:
            refusal(lambda: self.verify(evidence))
            return
        with suppress(Rejected):
            assert self.verify(evidence) == self.verify()


def software(*, debug: bool = False) -> Adapter:
    return Adapter(forge.software(debug=debug), refused_kind=Code.SOFTWARE_NOT_ACCEPTED)


def snp(*, debug: bool = False) -> Adapter:
    return Adapter(forge.snp(debug=debug), frozenset({"aux"}))


def tdx(*, debug: bool = False) -> Adapter:
    return Adapter(forge.tdx(debug=debug), frozenset({"blob", "aux"}), debuggable=False)


def sgx(*, debug: bool = False) -> Adapter:
    return Adapter(forge.sgx(debug=debug), frozenset({"blob", "aux"}), debuggable=False)


def nitro(*, debug: bool = False) -> Adapter:
    return Adapter(forge.nitro(debug=debug))


ADAPTERS: dict[str, Callable[..., Adapter]] = {
    "software": software,
    "snp": snp,
    "tdx": tdx,
    "sgx": sgx,
    "nitro": nitro,
}
MUTANTS_MAX = 500
"""Of one field; the bytes between them are left out. Every byte of what a vendor signs is tried in its own tests."""


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


def test_a_verifier_says_what_is_signed_and_judges_nothing(make: Callable[..., Adapter]) -> None:
    forged = make().forged
    found = forged.verifier.verify(forged.evidence, now=forged.now, collateral={})
    assert found.tier is Tier.NONE
    assert replace(found, tier=forged.judged().tier) == forged.judged()


def test_what_genuine_evidence_says_of_itself_is_what_is_verified(make: Callable[..., Adapter]) -> None:
    adapter = make()
    claims, said = adapter.verify(), describe(adapter.evidence)
    assert said.report_data == claims.report_data
    assert said.said["measurement"] == claims.measurement.hex()
    assert said.said["debug"] == "no"


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
    allowed = replace(adapter.policy, allow_debug=True)
    if adapter.debuggable:
        assert adapter.verify(policy=allowed).debug
    else:
        assert refusal(lambda: adapter.verify(policy=allowed)) == Code.DEBUG


def test_an_unlisted_signer_is_refused_and_a_listed_one_accepted(make: Callable[..., Adapter]) -> None:
    adapter = make()
    signer = adapter.verify().signer
    assert adapter.verify(policy=replace(adapter.policy, signers=frozenset({signer}))).signer == signer
    others = replace(adapter.policy, signers=frozenset({bytes(32)}))
    assert refusal(lambda: adapter.verify(policy=others)) == Code.SIGNER_NOT_ACCEPTED


@pytest.mark.parametrize("field", ["blob", "aux"])
def test_flipped_bits_are_refused_or_change_no_claim(make: Callable[..., Adapter], field: str) -> None:
    adapter = make()
    raw = getattr(adapter.evidence, field)
    step = len(raw) * 8 // MUTANTS_MAX | 1  # an odd step meets every bit of a byte
    for position in range(0, len(raw) * 8, step):
        changed = bytearray(raw)
        changed[position // 8] ^= 1 << position % 8
        evidence = with_field(adapter.evidence, field, bytes(changed))
        adapter.refuses_or_says_the_same(evidence, loose=field in adapter.loose)


@pytest.mark.parametrize("field", ["blob", "aux"])
def test_truncated_and_extended_evidence_is_refused_or_says_the_same(make: Callable[..., Adapter], field: str) -> None:
    adapter = make()
    raw = getattr(adapter.evidence, field)
    for changed in {b"", raw[:-1], raw + b"\0", raw * 2, raw[: len(raw) // 2]} - {raw}:
        evidence = with_field(adapter.evidence, field, changed)
        adapter.refuses_or_says_the_same(evidence, loose=field in adapter.loose and changed != b"")


@pytest.mark.parametrize("kind", sorted(HARDWARE))
def test_evidence_under_another_vendors_root_is_refused(kind: str) -> None:
    adapter = ADAPTERS[kind]()
    genuine = replace(adapter, forged=replace(adapter.forged, verifier=all_verifiers()[adapter.evidence.kind]))
    assert refusal(genuine.verify) == Code.EVIDENCE_ROOT


def test_evidence_of_another_kind_is_refused(make: Callable[..., Adapter]) -> None:
    adapter = make()
    for kind in KINDS - {adapter.evidence.kind}:
        policy = replace(adapter.policy, kinds=HARDWARE, accept_software=True)
        other = replace(adapter.evidence, kind=kind)
        assert refusal(partial(adapter.verify, other, policy=policy)) == Code.EVIDENCE_MALFORMED


def test_a_tier_says_how_far_the_enclave_is_to_be_trusted(make: Callable[..., Adapter]) -> None:
    adapter = make()
    software = adapter.evidence.kind == SOFTWARE
    assert (adapter.verify().tier == Tier.NONE) == software
    debugged = make(debug=True)
    if not debugged.debuggable:
        return
    tier = debugged.verify(policy=replace(debugged.policy, allow_debug=True)).tier
    assert tier == (Tier.NONE if software else Tier.CONTRAINDICATED)


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
