"""Contracts (R4) as everybody checks them, offline: hubs, renter and lessor alike. Pure.

A contract carries both orders with their authors' signatures and keys, and both hubs' signatures over the whole. So
whoever knows the hubs' public keys, or the founders' whose certificates it carries, can verify it without asking
anybody. Where both parties are attached to one hub, that hub signs twice. Hubs make and sign them in
`nodes/hub/signing.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeVar

from nodes.hub_keys import certified
from nodes.machine import Verify
from schemas import codec
from schemas.contracts import Contract, Settlement
from schemas.errors import VerificationFailed
from schemas.ids import Address, derive_id, hub_address, hub_of
from schemas.money import cost_micros
from schemas.signing import struct_bytes

P = TypeVar("P", Contract, Settlement)

LEASE_ROUNDING_SECONDS = 0.001
"""Timestamps near 2·10⁹ keep about 10⁻⁷ s in a float64."""
TIMING_SECONDS = 1.0
"""By which two clocks may tell the same duration apart."""


class ContractInvalid(VerificationFailed):
    """The contract is not what both hubs and both parties signed. `code` says which part is wrong."""


class ReceiptInvalid(VerificationFailed):
    """The receipt is not what both parties signed, or not what its contract says. `code` says which part is wrong."""


def verify_contract(contract: Contract, hub_keys: Mapping[str, bytes], verify: Verify) -> None:
    """Check everything that a contract claims, offline.

    Args:
        contract: with all four signatures.
        hub_keys: Ed25519 public keys (32 bytes) by hub address (`A11.hub`), both hubs' among them.
        verify: (public key, bytes, signature) -> whether the signature is right.

    Raises:
        ContractInvalid: code wrong-hub, unknown-hub, renter-hub-signature, lessor-hub-signature, or one of
            `verify_proposal`'s.
    """
    verify_proposal(contract, hub_keys, verify)
    key = _hub_key(contract, contract.lessor_hub, hub_keys, verify)
    if not verify(key, struct_bytes(contract), contract.lessor_hub_signature):
        raise _invalid(contract, "lessor-hub-signature", f"{contract.lessor_hub} has not signed it so")


def verify_proposal(contract: Contract, hub_keys: Mapping[str, bytes], verify: Verify) -> None:
    """Check a contract that the lessor's hub has yet to sign: all but its signature.

    Raises:
        ContractInvalid: code wrong-hub, unknown-hub, renter-hub-signature, buy-order-signature,
            sell-order-signature, or one of `check_terms`'s.
    """
    homes = ((contract.renter_hub, contract.renter), (contract.lessor_hub, contract.lessor))
    for hub, party in homes:
        if hub != hub_address(hub_of(Address(party))):
            raise _invalid(contract, "wrong-hub", f"{hub} is not the hub of {party}")
    key = _hub_key(contract, contract.renter_hub, hub_keys, verify)
    if not verify(key, struct_bytes(contract), contract.renter_hub_signature):
        raise _invalid(contract, "renter-hub-signature", f"{contract.renter_hub} has not signed it so")
    if not verify(contract.renter_key, struct_bytes(contract.buy), contract.buy.signature):
        raise _invalid(contract, "buy-order-signature", f"{contract.renter} has not signed this buy order")
    if not verify(contract.lessor_key, struct_bytes(contract.sell), contract.sell.signature):
        raise _invalid(contract, "sell-order-signature", f"{contract.lessor} has not signed this sell order")
    check_terms(contract)


def verify_settlement(settlement: Settlement, hub_keys: Mapping[str, bytes], verify: Verify) -> None:
    """Check a contract and its receipt, offline; arguments as in `verify_contract`.

    Raises:
        ContractInvalid: of the contract, as `verify_contract`.
        ReceiptInvalid: code other-contract, receipt-time, receipt-cost, renter-signature or lessor-signature.
    """
    contract, receipt = settlement.contract, settlement.receipt
    verify_contract(contract, hub_keys, verify)
    signed = struct_bytes(receipt)
    of = (receipt.contract, receipt.job, receipt.subtask)
    lease, cost = contract.ends_at - contract.starts_at, charge_micros(contract, receipt.seconds)
    rules = (
        ("renter-signature", verify(contract.renter_key, signed, receipt.renter_signature), _unsigned(contract.renter)),
        ("lessor-signature", verify(contract.lessor_key, signed, receipt.lessor_signature), _unsigned(contract.lessor)),
        ("other-contract", of == (contract.id, contract.buy.job, derive_id("subtask", contract.id)), "is of another"),
        (
            "receipt-time",
            0 <= receipt.seconds <= lease + TIMING_SECONDS,
            f"says {receipt.seconds:.1f} s of {lease:.1f} s",
        ),
        ("receipt-cost", receipt.cost_micros == cost, f"says {receipt.cost_micros} millionths; its time costs {cost}"),
    )
    for code, holds, why in rules:
        if not holds:
            raise ReceiptInvalid(f"the receipt of {contract.id} does not hold: {why}", code=code)


def to_file(paper: Contract | Settlement) -> bytes:
    """As JSON (RFC 8259), to be kept or shown to others."""
    return codec.encode_data(paper) + b"\n"


def read_file(kind: type[P], raw: bytes) -> P:
    """What `to_file` wrote. Nothing in it is verified.

    Raises:
        MalformedEvent: bad-json, or bad-data: it has fields that nobody signed, or lacks some.
    """
    paper = codec.decode_data(kind, raw)
    if json.loads(codec.encode_data(paper)) != json.loads(raw):
        raise codec.MalformedEvent(f"{kind.__name__}: it says more than what was signed", code="bad-data")
    return paper


def charge_micros(contract: Contract, seconds: float) -> int:
    """What so many seconds under the contract cost: at least what its sell order says, at most the lease."""
    lease = contract.ends_at - contract.starts_at
    least = 0.0 if contract.buy.renews else contract.sell.charged_seconds_min
    return cost_micros(contract.price_micros, contract.units, min(max(seconds, least), lease))


def check_terms(contract: Contract) -> None:
    """Check that the contract lies within what both orders allow.

    Raises:
        ContractInvalid: code same-party, avoided, protection, memory, price, units or lease.
    """
    buy, sell = contract.buy, contract.sell
    lease_seconds = contract.ends_at - contract.starts_at
    rules = (
        ("same-party", buy.renter != sell.lessor, "renter and lessor are one"),
        ("avoided", sell.lessor not in buy.avoid, "the renter does not want this lessor"),
        ("protection", contract.protection == buy.protection in sell.protections, "not the protection of both orders"),
        ("memory", buy.memory_mib <= sell.memory_mib, "the lessor offers less memory than the renter needs"),
        ("price", contract.price_micros == sell.price_micros, "not the price that the lessor asks"),
        ("price", contract.price_micros <= buy.price_micros_max, "dearer than the renter pays at most"),
        ("units", contract.units <= min(buy.units, sell.units), "more units than an order has"),
        ("lease", 0 < lease_seconds <= buy.lease_seconds + LEASE_ROUNDING_SECONDS, "not the lease asked for"),
        ("lease", contract.starts_at <= min(sell.expires_at, buy.match_by), "starts after an order's time"),
    )
    for code, holds, why in rules:
        if not holds:
            raise _invalid(contract, code, why)


def _hub_key(contract: Contract, hub: str, hub_keys: Mapping[str, bytes], verify: Verify) -> bytes:
    key = certified(hub_keys, contract.hub_certificates, contract.starts_at, verify).get(hub)
    if key is None:
        raise ContractInvalid(f"no public key of {hub} is known here; add it to the network", code="unknown-hub")
    return key


def _unsigned(party: str) -> str:
    return f"{party} has not signed it so"


def _invalid(contract: Contract, code: str, why: str) -> ContractInvalid:
    return ContractInvalid(f"contract {contract.id} does not hold: {why}", code=code)
