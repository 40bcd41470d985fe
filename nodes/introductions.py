"""Introductions (N4): renter and partner, who share no contract, know each other by their hubs' word. Pure.

The partner's hub signs first, then the renter's: what either of them signs is the whole. Hubs make them in
`nodes/hub/introducing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from nodes.hub_keys import certified
from nodes.machine import Verify
from schemas.errors import VerificationFailed
from schemas.ids import Address, hub_address, hub_of
from schemas.joint import Introduction
from schemas.signing import struct_bytes


class IntroductionInvalid(VerificationFailed):
    """The introduction is not what both hubs signed. `code` says which part is wrong."""


def verify_introduction(introduction: Introduction, hub_keys: Mapping[str, bytes], verify: Verify) -> None:
    """Check both hubs' word, offline.

    Args:
        introduction: with both signatures.
        hub_keys: Ed25519 public keys (32 bytes) by hub address, both hubs' among them.
        verify: (public key, bytes, signature) -> whether the signature is right.

    Raises:
        IntroductionInvalid: code wrong-hub, unknown-hub, renter-hub-signature or partner-hub-signature.
    """
    signed = struct_bytes(introduction)
    hub_keys = certified(hub_keys, introduction.hub_certificates, introduction.made_at, verify)
    for side, hub, party, signature in (
        ("renter", introduction.renter_hub, introduction.renter, introduction.renter_hub_signature),
        ("partner", introduction.partner_hub, introduction.partner, introduction.partner_hub_signature),
    ):
        if hub != hub_address(hub_of(Address(party))):
            raise IntroductionInvalid(f"{hub} is not the hub of {party}", code="wrong-hub")
        key = hub_keys.get(hub)
        if key is None:
            raise IntroductionInvalid(
                f"no public key of {hub} is known here; add it to the network", code="unknown-hub"
            )
        if not verify(key, signed, signature):
            raise IntroductionInvalid(f"{hub} has not signed who {party} is", code=f"{side}-hub-signature")
