"""Hubs introduce a renter to a partner: each vouches for its own, and what they sign verifies offline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct, convert, structs

from nodes.hub.directory import HubConfig
from nodes.hub.machine import HubMachine
from nodes.introductions import IntroductionInvalid, verify_introduction
from nodes.machine import Context, Publish, Refused
from schemas.events import CATALOGUE, Event
from schemas.ids import Address, derive_id
from schemas.joint import Introduction, IntroductionProposed, IntroductionRefused, IntroductionRequested
from schemas.signing import struct_bytes
from tests.unit.nodes.hub.world import START, public_key, signer, verify

A, C, RENTER, PARTNER = "A11.hub", "C11.hub", "A11.A12", "C11.C12"
JOB = derive_id("job", 1)
HUB_KEYS = {hub: public_key(hub) for hub in (A, C)}


def hub(name: str, *participants: str) -> HubMachine:
    return HubMachine(HubConfig(Address(name), HUB_KEYS, {each: public_key(each) for each in participants}))


HUBS = {A: hub(A, RENTER, "A11.A14"), C: hub(C, PARTNER)}


def given(at: str, event_type: str, source: str, data: Struct) -> list[Publish]:
    """What the hub sends when it is given this."""
    event = Event("event-1", event_type, Address(source), Address(at), START, JOB, data)
    context = Context(Address(at), START, b"\0" * 32, event.id, signer(at), verify)
    step = HUBS[at].handle({}, event, context)
    assert not step.put
    return [effect for effect in step.effects if isinstance(effect, Publish)]


def travel(partner: str = PARTNER) -> Publish:
    """From the request to what the renter hears."""
    request = IntroductionRequested(job=JOB, partner=partner)
    (sent,) = given(A, "introduction.requested", RENTER, request)
    source = A
    while sent.to in HUBS:
        kind = CATALOGUE[sent.type].data
        assert kind is not None
        (following,) = given(sent.to, sent.type, source, convert(sent.data, kind))
        source, sent = sent.to, following
    return sent


def introduced() -> Introduction:
    return convert(travel().data, IntroductionProposed).introduction


def test_a_renter_hears_from_its_own_hub_who_a_partner_is() -> None:
    sent = travel()
    made = introduced()
    assert (sent.type, sent.to) == ("introduction.made", RENTER)
    assert (made.renter_key, made.partner_key) == (public_key(RENTER), public_key(PARTNER))
    verify_introduction(made, HUB_KEYS, verify)


def test_a_hub_introduces_two_of_its_own_alone() -> None:
    sent = travel("A11.A14")
    assert sent.type == "introduction.made"
    verify_introduction(convert(sent.data, IntroductionProposed).introduction, HUB_KEYS, verify)


@pytest.mark.parametrize(("partner", "code"), [("C11.C13", "unknown-partner"), ("D11.D12", "unknown-hub")])
def test_a_partner_that_nobody_knows_is_refused_to_the_renter(partner: str, code: str) -> None:
    sent = travel(partner)
    refusal = convert(sent.data, IntroductionRefused)
    assert (sent.to, refusal.code) == (RENTER, code)
    assert partner.split(".", maxsplit=1)[0] in refusal.reason


CHANGES: dict[str, tuple[Callable[[Introduction], dict[str, Any]], str]] = {
    "another key of the renter": (lambda _: {"renter_key": public_key("A11.A14")}, "renter-hub-signature"),
    "no word of the renter's hub": (lambda _: {"renter_hub_signature": b""}, "renter-hub-signature"),
    "no word of the partner's hub": (lambda _: {"partner_hub_signature": b""}, "partner-hub-signature"),
    "a hub that is not the partner's": (lambda _: {"partner_hub": A}, "wrong-hub"),
    "a hub that nobody knows": (lambda _: {"partner": "D11.D12", "partner_hub": "D11.hub"}, "unknown-hub"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_introduction_that_was_tampered_with_does_not_verify(change: str) -> None:
    fields, code = CHANGES[change]
    tampered = structs.replace(introduced(), **fields(introduced()))
    if code in ("wrong-hub", "unknown-hub"):
        tampered = structs.replace(tampered, renter_hub_signature=signer(A)(struct_bytes(tampered)))
    with pytest.raises(IntroductionInvalid) as failure:
        verify_introduction(tampered, HUB_KEYS, verify)
    assert failure.value.code == code


def test_a_hub_vouches_only_for_its_own_and_for_the_keys_that_it_knows() -> None:
    made = introduced()
    cases: list[tuple[str, str, str, Introduction, str]] = [
        (C, "introduction.proposed", "B11.hub", made, "wrong-hub"),
        (A, "introduction.proposed", A, made, "wrong-hub"),
        (C, "introduction.proposed", A, structs.replace(made, renter_hub="B11.hub"), "wrong-hub"),
        (A, "introduction.countersigned", "B11.hub", made, "wrong-hub"),
        (A, "introduction.countersigned", C, structs.replace(made, renter_key=b"\1" * 32), "wrong-key"),
        (A, "introduction.countersigned", C, structs.replace(made, renter="A11.A19"), "unknown-renter"),
        (A, "introduction.countersigned", C, structs.replace(made, made_at=START - 1), "partner-hub-signature"),
    ]
    for at, event_type, source, introduction, code in cases:
        with pytest.raises(Refused) as refusal:
            given(at, event_type, source, IntroductionProposed(introduction=introduction))
        assert refusal.value.code == code, (event_type, code)


def test_a_hub_hands_on_a_refusal_of_the_partners_hub_alone() -> None:
    data = IntroductionRefused(job=JOB, renter=RENTER, partner=PARTNER, code="unknown-partner", reason="no")
    foreign = structs.replace(data, renter="B11.B12")
    for source, refused, code in (("B11.hub", data, "wrong-hub"), (C, foreign, "unknown-renter")):
        with pytest.raises(Refused) as refusal:
            given(A, "introduction.refused", source, refused)
        assert refusal.value.code == code
