"""Evidence that is wrong in one way, signed by vendors of our own: each is refused with the code of that way."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from nodes.enclave.attestation.policy import Policy
from nodes.enclave.attestation.port import SGX, SNP, TDX, Tier
from nodes.enclave.errors import Code, Rejected
from tests.unit.nodes.enclave.attestation import forge
from tests.unit.nodes.enclave.attestation.forge import DAY, Authority, Forged, issue


def refusal(forged: Forged, *, policy: Policy | None = None, later: timedelta = timedelta()) -> str:
    with pytest.raises(Rejected) as refused:
        forged.judged(policy=policy, later=later)
    return refused.value.code


def setting(place: int, value: bytes) -> forge.Edit:
    def edit(raw: bytearray) -> None:
        raw[place : place + len(value)] = value

    return edit


# ---------------------------------------------------------------- SNP


def vcek(**changes: Any) -> tuple[Authority, Authority, Authority]:
    _, ask, ark = forge.amd()
    given: dict[str, Any] = {"curve": ec.SECP384R1(), "ca": False, "extensions": forge.vcek_extensions()} | changes
    return issue("SEV-VCEK", ask, **given), ask, ark


def test_an_snp_report_says_its_firmware_and_its_chip() -> None:
    claims = forge.snp().judged()
    assert dict(claims.tcb) == forge.SNP_TCB
    assert claims.signer == forge.CHIP


def test_an_snp_report_with_a_masked_chip_is_known_by_its_key() -> None:
    assert forge.snp(edit=setting(0x1A0, bytes(64))).judged().signer == forge.CHIP


def test_every_byte_of_an_snp_report_counts() -> None:
    forged = forge.snp()
    for position in range(len(forged.evidence.blob)):
        changed = bytearray(forged.evidence.blob)
        changed[position] ^= 0xFF
        refusal(replace(forged, evidence=replace(forged.evidence, blob=bytes(changed))))


SNP_REPORTS: dict[str, tuple[forge.Edit, Code]] = {
    "an unknown version": (setting(0, struct.pack("<I", 9)), Code.EVIDENCE_VERSION),
    "a policy whose reserved bit is not set": (setting(8, struct.pack("<Q", 0)), Code.EVIDENCE_MALFORMED),
    "a migration agent": (setting(8, struct.pack("<Q", 0x60000)), Code.MIGRATION),
    "a lower privilege level": (setting(0x30, struct.pack("<I", 2)), Code.PRIVILEGE),
    "another signature algorithm": (setting(0x34, struct.pack("<I", 2)), Code.EVIDENCE_SIGNATURE),
    "a provider's key": (setting(0x48, struct.pack("<I", 1 << 2)), Code.SIGNING_KEY),
    "other report data": (setting(0x50, bytes(64)), Code.REPORT_DATA),
    "another measurement": (setting(0x90, bytes(48)), Code.MEASUREMENT),
    "another firmware than its key's": (setting(0x187, b"\xff"), Code.PLATFORM_MISMATCH),
    "another chip than its key's": (setting(0x1A0, b"\xff"), Code.PLATFORM_MISMATCH),
}


@pytest.mark.parametrize("name", SNP_REPORTS)
def test_an_snp_report_is_refused_for(name: str) -> None:
    edit, code = SNP_REPORTS[name]
    assert refusal(forge.snp(edit=edit)) == code


def test_an_snp_report_below_the_least_firmware_is_refused() -> None:
    forged = forge.snp()
    for number, code in ((209, None), (210, Code.TCB_LOW)):
        policy = replace(forged.policy, tcb_min=((SNP, "microcode", number),))
        if code:
            assert refusal(forged, policy=policy) == code
        else:
            assert forged.judged(policy=policy).tier == Tier.AFFIRMING


def test_a_firmware_that_nobody_judged_is_worth_a_warning() -> None:
    assert forge.snp().judged().tier == Tier.WARNING


def test_a_minimum_for_a_part_that_is_not_said_refuses() -> None:
    forged = forge.snp()
    assert refusal(forged, policy=replace(forged.policy, tcb_min=((SNP, "fmc", 0),))) == Code.TCB_LOW
    others = replace(forged.policy, tcb_min=((TDX, "evaluation", 99),))
    assert forged.judged(policy=others).kind == SNP


def other_vendor() -> tuple[Authority, Authority, Authority]:
    ark = issue("ARK-Other", None, curve=ec.SECP384R1())
    ask = issue("SEV-Other", ark, curve=ec.SECP384R1())
    return issue("SEV-VCEK", ask, curve=ec.SECP384R1(), ca=False, extensions=forge.vcek_extensions()), ask, ark


def pems(*authorities: Authority) -> bytes:
    return b"".join(each.pem for each in authorities)


SNP_CHAINS: dict[str, tuple[Callable[[], bytes], Code]] = {
    "no certificates": (lambda: b"", Code.EVIDENCE_CHAIN),
    "no chip": (lambda: pems(*forge.amd()[1:]), Code.EVIDENCE_CHAIN),
    "two chips": (lambda: pems(vcek()[0], *forge.amd()), Code.EVIDENCE_CHAIN),
    "no intermediate": (lambda: pems(forge.amd()[0], forge.amd()[2]), Code.EVIDENCE_CHAIN),
    "no root": (lambda: pems(*forge.amd()[:2]), Code.EVIDENCE_CHAIN),
    "another root": (lambda: pems(*other_vendor()), Code.EVIDENCE_ROOT),
    "a root of the right name and another key": (
        lambda: pems(*forge.amd()[:2], issue("ARK-Test", None, curve=ec.SECP384R1())),
        Code.EVIDENCE_ROOT,
    ),
    "another chip's key": (lambda: pems(*vcek()), Code.EVIDENCE_SIGNATURE),
    "what is no certificate": (
        lambda: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        Code.EVIDENCE_CHAIN,
    ),
    "too many certificates": (lambda: pems(*forge.amd()) * 3, Code.EVIDENCE_CHAIN),
}


@pytest.mark.parametrize("name", SNP_CHAINS)
def test_an_snp_report_is_refused_with(name: str) -> None:
    bundle, code = SNP_CHAINS[name]
    assert refusal(forge.with_aux(forge.snp(), bundle())) == code


def forged_intermediate() -> tuple[Authority, Authority, Authority]:
    """An ASK of the right name that the root did not sign."""
    _, _, ark = forge.amd()
    other = issue("ARK-Test", None, curve=ec.SECP384R1())
    ask = issue("SEV-Test", other, curve=ec.SECP384R1())
    return issue("SEV-VCEK", ask, curve=ec.SECP384R1(), ca=False, extensions=forge.vcek_extensions()), ask, ark


def leaf_as_authority() -> tuple[Authority, ...]:
    """A chip's key that certifies another chip's key."""
    first, ask, ark = forge.amd()
    second = issue("SEV-VCEK", first, curve=ec.SECP384R1(), ca=False, extensions=forge.vcek_extensions())
    return second, first, ask, ark


def test_an_intermediate_that_the_root_did_not_sign_is_refused() -> None:
    assert refusal(forge.snp(chain=forged_intermediate())) == Code.EVIDENCE_CHAIN


def test_a_chip_is_no_authority() -> None:
    second, first, ask, ark = leaf_as_authority()
    renamed = issue("SEV-Leaf", ask, curve=ec.SECP384R1(), ca=False, extensions=forge.vcek_extensions())
    under = issue("SEV-VCEK", renamed, curve=ec.SECP384R1(), ca=False, extensions=forge.vcek_extensions())
    assert refusal(forge.snp(chain=(under, renamed, ask, ark))) == Code.EVIDENCE_CHAIN
    assert refusal(forge.snp(chain=(second, first, ask, ark))) == Code.EVIDENCE_CHAIN


@pytest.mark.parametrize("days", [(-30, -1), (1, 30)])
def test_a_chip_certificate_outside_its_time_is_refused(days: tuple[int, int]) -> None:
    assert refusal(forge.snp(chain=vcek(days=days))) == Code.CERTIFICATE_EXPIRED


@pytest.mark.parametrize(
    "extensions",
    [
        {},
        forge.vcek_extensions(chip=bytes(8)),
        forge.vcek_extensions(tcb={"snp": 7}),
        forge.vcek_extensions() | {"1.3.6.1.4.1.3704.1.3.3": b"\x02\x01\x88"},
        forge.vcek_extensions() | {"1.3.6.1.4.1.3704.1.3.3": b""},
    ],
    ids=["none", "short chip", "other firmware", "negative firmware", "empty firmware"],
)
def test_a_chip_certificate_that_says_something_else_is_refused(extensions: dict[str, bytes]) -> None:
    assert refusal(forge.snp(chain=vcek(extensions=extensions))) == Code.PLATFORM_MISMATCH


def test_the_table_of_a_hypervisor_is_read_like_pem() -> None:
    ders = [each.der for each in forge.amd()]
    assert forge.snp(aux=forge.certificate_table(*ders)).judged() == forge.snp().judged()


@pytest.mark.parametrize("offset", [0, 5000, 2**32 - 1])
def test_a_table_that_points_outside_itself_is_refused(offset: int) -> None:
    table = bytearray(forge.certificate_table(forge.amd()[0].der))
    struct.pack_into("<II", table, 16, offset, 4096)
    assert refusal(forge.snp(aux=bytes(table))) == Code.EVIDENCE_CHAIN


def test_certificates_of_the_renters_own_replace_those_of_the_evidence() -> None:
    forged = forge.with_aux(forge.snp(), b"")
    assert forged.judged(collateral={"snp-certificates": pems(*forge.amd())}).signer == forge.CHIP


# ---------------------------------------------------------------- Nitro


def test_a_nitro_document_names_its_instance() -> None:
    assert forge.nitro().judged().signer == b"i-0123"


NITRO_DOCUMENTS: dict[str, tuple[dict[str, Any], Code]] = {
    "other user data": ({"user_data": bytes(64)}, Code.REPORT_DATA),
    "no user data": ({"user_data": None}, Code.REPORT_DATA),
    "one zero register": ({"pcrs": forge.PCRS | {2: bytes(48)}}, Code.DEBUG),
    "no registers": ({"pcrs": {}}, Code.EVIDENCE_MALFORMED),
    "short registers": ({"pcrs": forge.PCRS | {0: bytes(32)}}, Code.EVIDENCE_MALFORMED),
    "another digest": ({"digest": "SHA256"}, Code.EVIDENCE_MALFORMED),
    "a number for a name": ({"module_id": 5}, Code.EVIDENCE_MALFORMED),
    "a long name": ({"module_id": "i" * 200}, Code.EVIDENCE_MALFORMED),
    "no authorities": ({"cabundle": []}, Code.EVIDENCE_ROOT),
    "authorities that are none": ({"cabundle": [b"none"]}, Code.EVIDENCE_CHAIN),
    "too many authorities": ({"cabundle": [b"none"] * 9}, Code.EVIDENCE_CHAIN),
    "a certificate that is none": ({"certificate": b"none"}, Code.EVIDENCE_CHAIN),
}


@pytest.mark.parametrize("name", NITRO_DOCUMENTS)
def test_a_nitro_document_is_refused_for(name: str) -> None:
    changes, code = NITRO_DOCUMENTS[name]
    assert refusal(forge.nitro(changes=changes)) == code


def test_an_old_nitro_document_is_refused() -> None:
    _, zone, root = forge.aws()
    old = issue("i-0123-enc4567", zone, curve=ec.SECP384R1(), ca=False, days=(-2, -1))
    assert refusal(forge.nitro(chain=(old, zone, root))) == Code.CERTIFICATE_EXPIRED
    assert refusal(forge.nitro(), later=400 * DAY) == Code.CERTIFICATE_EXPIRED


def test_a_nitro_document_under_another_key_than_the_certified_one_is_refused() -> None:
    other = issue("i-0123-enc4567", None, curve=ec.SECP384R1())
    assert refusal(forge.nitro(key=other)) == Code.EVIDENCE_SIGNATURE
    small = issue("i-0123-enc4567", forge.aws()[1], curve=ec.SECP256R1(), ca=False)
    assert refusal(forge.nitro(chain=(small, *forge.aws()[1:]), key=forge.aws()[0])) == Code.EVIDENCE_CHAIN


def test_an_unfinished_nitro_chain_is_refused() -> None:
    leaf, _, root = forge.aws()
    assert refusal(forge.nitro(chain=(leaf, root))) == Code.EVIDENCE_CHAIN


def nitro_blob(change: Callable[[list[Any]], object]) -> Forged:
    forged = forge.nitro()
    parts = cbor2.loads(forged.evidence.blob)
    change(parts)
    return replace(forged, evidence=replace(forged.evidence, blob=cbor2.dumps(parts)))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda parts: parts.append(0), Code.EVIDENCE_MALFORMED),
        (lambda parts: parts.__setitem__(0, cbor2.dumps({1: -7})), Code.EVIDENCE_MALFORMED),
        (lambda parts: parts.__setitem__(1, {4: b"unsigned"}), Code.EVIDENCE_MALFORMED),
        (lambda parts: parts.__setitem__(2, b""), Code.EVIDENCE_MALFORMED),
        (lambda parts: parts.__setitem__(3, bytes(95)), Code.EVIDENCE_MALFORMED),
        (lambda parts: parts.__setitem__(3, bytes(96)), Code.EVIDENCE_SIGNATURE),
    ],
    ids=["a fifth part", "another algorithm", "an unsigned header", "no payload", "short signature", "zero signature"],
)
def test_a_nitro_envelope_is_refused_for(change: Callable[[list[Any]], object], code: Code) -> None:
    assert refusal(nitro_blob(change)) == code


def test_deep_and_large_nitro_documents_are_refused_early() -> None:
    forged = forge.nitro()
    deep = replace(forged, evidence=replace(forged.evidence, blob=b"\x81" * 10_000 + b"\x00"))
    assert refusal(deep) == Code.EVIDENCE_MALFORMED
    large = replace(forged, evidence=replace(forged.evidence, blob=bytes(17 * 1024)))
    assert refusal(large) == Code.EVIDENCE_SIZE


# ---------------------------------------------------------------- Intel


@pytest.mark.parametrize("kind", [SGX, TDX])
def test_an_intel_quote_says_its_status_and_its_platform(kind: str) -> None:
    claims = forge.intel_forged(kind).judged()
    assert (claims.tcb_status, claims.advisories, claims.tcb) == ("UpToDate", (), (("evaluation", 17),))
    assert claims.signer == forge.PPID
    assert claims.tier == Tier.AFFIRMING


@pytest.mark.parametrize("kind", [SGX, TDX])
def test_a_platform_that_needs_hardening_is_refused_or_warned_of(kind: str) -> None:
    said = forge.collateral(kind, edit_levels=forge.hardening_needed)
    forged = forge.intel_forged(kind, said=said)
    assert refusal(forged) == Code.TCB_STATUS
    lenient = replace(forged.policy, tcb_statuses=frozenset({"UpToDate", "SWHardeningNeeded"}))
    claims = forged.judged(policy=lenient)
    assert (claims.tier, claims.advisories) == (Tier.WARNING, ("INTEL-SA-00001",))
    strict = replace(lenient, rejected_advisories=frozenset({"INTEL-SA-00001"}))
    assert refusal(forged, policy=strict) == Code.ADVISORY


@pytest.mark.parametrize("kind", [SGX, TDX])
def test_a_platform_judged_by_old_levels_is_refused(kind: str) -> None:
    forged = forge.intel_forged(kind)
    assert refusal(forged, policy=replace(forged.policy, tcb_min=((kind, "evaluation", 18),))) == Code.TCB_LOW


def test_a_domain_that_may_move_is_refused() -> None:
    assert refusal(forge.intel_forged(TDX, edit=setting(120, struct.pack("<Q", 3 << 28)))) == Code.MIGRATION


def test_every_way_to_debug_a_domain_is_debug() -> None:
    for bit in range(8):
        assert refusal(forge.intel_forged(TDX, edit=setting(120, struct.pack("<Q", 1 << bit)))) == Code.DEBUG


@pytest.mark.parametrize("place", [136, 328, 376, 424, 472])
def test_every_register_of_a_domain_is_measured(place: int) -> None:
    forged = forge.intel_forged(TDX, edit=setting(place, b"\xff"))
    assert refusal(forged, policy=forge.intel_forged(TDX).policy) == Code.MEASUREMENT


def changed_collateral(**changes: object) -> bytes:
    return json.dumps(forge.collateral(SGX) | changes).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in forge.collateral(SGX).items() if key != name}).encode()


def dated(issued: str, ends: str) -> forge.EditSaid:
    def edit(said: dict[str, Any]) -> None:
        said.update(issueDate=issued, nextUpdate=ends)

    return edit


def edited(*, edit_levels: forge.EditSaid = forge.unchanged, edit_identity: forge.EditSaid = forge.unchanged) -> bytes:
    return json.dumps(forge.collateral(SGX, edit_levels=edit_levels, edit_identity=edit_identity)).encode()


PAST = dated("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
FUTURE = dated("2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z")
OTHER = Authority(ec.generate_private_key(ec.SECP256R1()), forge.intel().root.certificate)

COLLATERALS: dict[str, tuple[Callable[[], bytes], Code]] = {
    "nothing": (lambda: b"", Code.COLLATERAL_MISSING),
    "no JSON": (lambda: b"{", Code.COLLATERAL_MALFORMED),
    "a field too few": (lambda: without("pck_crl"), Code.COLLATERAL_MALFORMED),
    "a field too many": (lambda: changed_collateral(extra=1), Code.COLLATERAL_MALFORMED),
    "too much": (lambda: changed_collateral(tcb_info="x" * 70_000), Code.COLLATERAL_MALFORMED),
    "levels that are not signed": (lambda: changed_collateral(tcb_info="{}"), Code.COLLATERAL_SIGNATURE),
    "a short signature": (lambda: changed_collateral(tcb_info_signature="00"), Code.COLLATERAL_SIGNATURE),
    "an identity that is not signed": (lambda: changed_collateral(qe_identity="{}"), Code.COLLATERAL_SIGNATURE),
    "expired levels": (lambda: edited(edit_levels=PAST), Code.COLLATERAL_EXPIRED),
    "levels of the future": (lambda: edited(edit_levels=FUTURE), Code.COLLATERAL_EXPIRED),
    "an expired identity": (lambda: edited(edit_identity=PAST), Code.COLLATERAL_EXPIRED),
    "another platform's levels": (
        lambda: edited(edit_levels=lambda said: said.update(fmspc="00" * 6)),
        Code.COLLATERAL_MISMATCH,
    ),
    "another quoting enclave": (lambda: edited(edit_identity=lambda said: said.update(mrsigner="00" * 32)), Code.QUOTE),
    "no level for this platform": (lambda: edited(edit_levels=lambda said: said.update(tcbLevels=[])), Code.QUOTE),
    "levels of another kind": (lambda: json.dumps(forge.collateral(TDX)).encode(), Code.QUOTE),
    "a root's list by another key": (
        lambda: changed_collateral(root_ca_crl=forge.revocations(OTHER)),
        Code.COLLATERAL_SIGNATURE,
    ),
    "another authority's list": (
        lambda: changed_collateral(pck_crl=forge.revocations(forge.intel().root)),
        Code.COLLATERAL_SIGNATURE,
    ),
    "an expired list": (
        lambda: changed_collateral(pck_crl=forge.revocations(forge.intel().platform, days=(-9, -1))),
        Code.COLLATERAL_EXPIRED,
    ),
    "a list that is none": (lambda: changed_collateral(pck_crl="00"), Code.COLLATERAL_MALFORMED),
    "a revoked platform": (
        lambda: changed_collateral(pck_crl=forge.revocations(forge.intel().platform, 10)),
        Code.CERTIFICATE_REVOKED,
    ),
    "a revoked authority": (
        lambda: changed_collateral(root_ca_crl=forge.revocations(forge.intel().root, 8)),
        Code.CERTIFICATE_REVOKED,
    ),
    "a revoked signer of levels": (
        lambda: changed_collateral(root_ca_crl=forge.revocations(forge.intel().root, 9)),
        Code.CERTIFICATE_REVOKED,
    ),
}


@pytest.mark.parametrize("name", COLLATERALS)
def test_a_quote_is_refused_with_collateral_that_is(name: str) -> None:
    make, code = COLLATERALS[name]
    assert refusal(forge.with_aux(forge.sgx(), make())) == code


def test_a_quote_is_refused_when_its_collateral_is_too_old_by_now() -> None:
    forged = forge.sgx()
    assert forged.judged(later=18 * DAY).kind == SGX
    assert refusal(forged, later=20 * DAY) == Code.COLLATERAL_EXPIRED
    assert refusal(forged, later=-10 * DAY) == Code.COLLATERAL_EXPIRED
    assert refusal(forged, later=400 * DAY) == Code.CERTIFICATE_EXPIRED


def test_collateral_of_another_vendor_is_refused() -> None:
    genuine = forge.intel()
    root = issue("Intel SGX Root CA", None, curve=ec.SECP256R1())
    tcb = issue("Intel SGX TCB Signing", root, curve=ec.SECP256R1(), ca=False)
    other = forge.Intel(genuine.pck, genuine.platform, tcb, root)
    said = json.dumps(forge.collateral(SGX, vendor=other)).encode()
    assert refusal(forge.with_aux(forge.sgx(), said)) == Code.EVIDENCE_ROOT


def test_collateral_that_another_platforms_key_signed_is_refused() -> None:
    """A key that somebody extracted from a platform proves that platform, and nothing about levels."""
    by = forge.intel()
    extracted = forge.Intel(by.pck, by.platform, by.pck, by.root)
    said = forge.collateral(SGX, vendor=extracted)
    chain = (by.pck.pem + by.platform.pem + by.root.pem).decode()
    said |= {"tcb_info_issuer_chain": chain, "qe_identity_issuer_chain": chain}
    assert refusal(forge.intel_forged(SGX, said=said)) == Code.EVIDENCE_CHAIN


def test_a_quote_under_the_key_that_signs_collateral_is_refused() -> None:
    by = forge.intel()
    confused = forge.Intel(by.tcb, by.platform, by.tcb, by.root)
    assert refusal(forge.intel_forged(SGX, vendor=confused, said=forge.collateral(SGX))) == Code.EVIDENCE_CHAIN


@pytest.mark.parametrize("kind", [SGX, TDX])
@pytest.mark.parametrize("part", ["signed", "attestation_key", "qe_report", "qe_signature", "signature"])
def test_every_signed_part_of_a_quote_counts(kind: str, part: str) -> None:
    forged = forge.intel_forged(kind)
    blob = forged.evidence.blob
    base = 436 if kind == SGX else 636
    inner = base + 128 + (0 if kind == SGX else 6)
    starts = {"signed": 0, "signature": base, "attestation_key": base + 64}
    start = (starts | {"qe_report": inner, "qe_signature": inner + 384})[part]
    length = {"signed": base - 4, "qe_report": 384}.get(part, 64)
    for position in range(start, start + length, 7):
        changed = bytearray(blob)
        changed[position] ^= 0x10
        code = refusal(replace(forged, evidence=replace(forged.evidence, blob=bytes(changed))))
        assert code in {Code.EVIDENCE_SIGNATURE, Code.EVIDENCE_MALFORMED, Code.EVIDENCE_VERSION}


def test_behind_a_quote_may_stand_zeros_and_nothing_else() -> None:
    forged = forge.sgx()
    blob = forged.evidence.blob
    padded = replace(forged, evidence=replace(forged.evidence, blob=blob + bytes(70)))
    assert padded.judged() == forged.judged()
    trailing = replace(forged, evidence=replace(forged.evidence, blob=blob + b"\x01"))
    assert refusal(trailing) == Code.EVIDENCE_MALFORMED
    assert refusal(replace(forged, evidence=replace(forged.evidence, blob=blob + bytes(20_000)))) == Code.EVIDENCE_SIZE


# ---------------------------------------------------------------- all


def test_cancelling_is_not_a_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    forged = forge.snp()
    monkeypatch.setattr("nodes.enclave.attestation.adapters.certificates.read_bundle", interrupted)
    with pytest.raises(KeyboardInterrupt):
        forged.judged()


def test_a_panic_below_python_is_a_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    panic = type("PanicException", (BaseException,), {})

    def panicking(*_: object) -> None:
        raise panic

    forged = forge.snp()
    monkeypatch.setattr("nodes.enclave.attestation.adapters.certificates.read_bundle", panicking)
    assert refusal(forged) == Code.EVIDENCE_MALFORMED


def test_claims_and_policies_that_differ_have_other_digests() -> None:
    forged = forge.intel_forged(SGX)
    claims, policy = forged.judged(), forged.policy
    changed_claims = [
        replace(claims, tcb=(("evaluation", 18),)),
        replace(claims, tcb_status="OutOfDate"),
        replace(claims, advisories=("INTEL-SA-00001",)),
        replace(claims, tier=Tier.WARNING),
    ]
    assert len({each.digest() for each in [claims, *changed_claims]}) == len(changed_claims) + 1
    changed_policies = [
        replace(policy, tcb_min=((SGX, "evaluation", 17),)),
        replace(policy, tcb_statuses=frozenset({"OutOfDate"})),
        replace(policy, rejected_advisories=frozenset({"INTEL-SA-00001"})),
    ]
    assert len({each.digest() for each in [policy, *changed_policies]}) == len(changed_policies) + 1
