"""A contract verifies offline, and each way of tampering with it is refused with its own code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from nodes.contracts import verify_contract, verify_proposal
from nodes.hub.signing import make_contract, sign_as_lessor_hub, sign_as_renter_hub
from schemas.codec import decode_data, encode_data
from schemas.contracts import Contract
from schemas.errors import VerificationFailed
from schemas.ids import derive_id
from schemas.orders import Offer
from schemas.signing import struct_bytes
from tests.unit.nodes.hub.world import START, buy_order, public_key, sell_order, signer, verify

HUB_KEYS = {hub: public_key(hub) for hub in ("A11.hub", "B11.hub")}


def resigned(contract: Contract) -> Contract:
    """Signed anew by both hubs, as if both had been deceived or deceive."""
    by_renter_hub = sign_as_renter_hub(contract, signer("A11.hub"))
    return sign_as_lessor_hub(by_renter_hub, signer("B11.hub"))


def contract(buy: dict[str, Any] | None = None, sell: dict[str, Any] | None = None) -> Contract:
    offer = Offer(
        sell=sell_order("B11.B12", **(sell or {})),
        lessor_key=public_key("B11.B12"),
        units=2,
        placed_at=START,
        reserved_until=START + 15,
    )
    bought = buy_order("A11.A12", **(buy or {}))
    return resigned(make_contract(derive_id("contract", 1), bought, public_key("A11.A12"), offer, 2, START))


def code_of(tampered: Contract) -> str:
    with pytest.raises(VerificationFailed) as failure:
        verify_contract(tampered, HUB_KEYS, verify)
    return failure.value.code


def test_a_contract_verifies_with_nothing_but_the_hubs_keys() -> None:
    verify_contract(contract(), HUB_KEYS, verify)


def test_a_contract_still_verifies_after_its_journey_as_json() -> None:
    verify_contract(decode_data(Contract, encode_data(contract())), HUB_KEYS, verify)


def test_a_proposal_verifies_before_the_lessors_hub_has_signed() -> None:
    proposal = structs.replace(contract(), lessor_hub_signature=b"")
    verify_proposal(proposal, HUB_KEYS, verify)
    assert code_of(proposal) == "lessor-hub-signature"


def test_a_hub_that_serves_both_parties_signs_twice() -> None:
    offer = Offer(
        sell=sell_order("A11.B12"),
        lessor_key=public_key("A11.B12"),
        units=1,
        placed_at=START,
        reserved_until=START,
    )
    made = make_contract(derive_id("contract", 2), buy_order("A11.A12"), public_key("A11.A12"), offer, 1, START)
    by_hub = signer("A11.hub")
    verify_contract(sign_as_lessor_hub(sign_as_renter_hub(made, by_hub), by_hub), HUB_KEYS, verify)


UNSIGNED: list[tuple[str, Callable[[Contract], Contract]]] = [
    ("renter-hub-signature", lambda c: structs.replace(c, units=1)),
    ("renter-hub-signature", lambda c: structs.replace(c, price_micros=101)),
    ("renter-hub-signature", lambda c: structs.replace(c, ends_at=c.ends_at - 1)),
    ("renter-hub-signature", lambda c: structs.replace(c, id=derive_id("contract", 9))),
    ("renter-hub-signature", lambda c: structs.replace(c, renter_hub_signature=b"")),
    ("renter-hub-signature", lambda c: structs.replace(c, renter_hub_signature=c.lessor_hub_signature)),
    ("lessor-hub-signature", lambda c: structs.replace(c, lessor_hub_signature=c.renter_hub_signature)),
    ("wrong-hub", lambda c: structs.replace(c, renter_hub="B11.hub")),
    ("wrong-hub", lambda c: structs.replace(c, lessor_hub="A11.hub")),
]


@pytest.mark.parametrize(("code", "tamper"), UNSIGNED)
def test_what_the_hubs_did_not_sign_is_refused(code: str, tamper: Callable[[Contract], Contract]) -> None:
    assert code_of(tamper(contract())) == code


def _buy(tampered: Contract, **fields: Any) -> Contract:
    return structs.replace(tampered, buy=structs.replace(tampered.buy, **fields))


def _sell(tampered: Contract, **fields: Any) -> Contract:
    return structs.replace(tampered, sell=structs.replace(tampered.sell, **fields))


RESIGNED: list[tuple[str, Callable[[Contract], Contract]]] = [
    ("buy-order-signature", lambda c: _buy(c, price_micros_max=10**6)),
    ("buy-order-signature", lambda c: structs.replace(c, renter_key=public_key("A11.X"))),
    ("sell-order-signature", lambda c: _sell(c, units=64)),
    ("sell-order-signature", lambda c: structs.replace(c, lessor_key=public_key("B11.X"))),
    ("protection", lambda c: structs.replace(c, protection="homomorphic")),
    ("price", lambda c: structs.replace(c, price_micros=99)),
    ("price", lambda c: structs.replace(c, price_micros=1001)),
    ("price", lambda c: structs.replace(c, price_micros=c.buy.price_micros_max)),
    ("units", lambda c: structs.replace(c, units=3)),
    ("lease", lambda c: structs.replace(c, ends_at=c.ends_at + 1)),
    ("lease", lambda c: structs.replace(c, ends_at=c.starts_at)),
    ("lease", lambda c: structs.replace(c, starts_at=START + 60, ends_at=START + 600)),
]


@pytest.mark.parametrize(("code", "tamper"), RESIGNED)
def test_what_the_parties_did_not_sign_is_refused_although_both_hubs_sign_it(
    code: str, tamper: Callable[[Contract], Contract]
) -> None:
    assert code_of(resigned(tamper(contract()))) == code


@pytest.mark.parametrize(
    ("code", "buy", "sell"),
    [
        ("price", {"price_micros_max": 99}, {}),
        ("protection", {}, {"protections": ("homomorphic",)}),
        ("memory", {"memory_mib": 2048}, {}),
        ("avoided", {"avoid": ("B11.B12",)}, {}),
        ("units", {}, {"units": 1}),
        ("lease", {}, {"expires_at": START - 1}),
    ],
)
def test_orders_that_do_not_fit_each_other_make_no_contract(
    code: str, buy: dict[str, Any], sell: dict[str, Any]
) -> None:
    assert code_of(contract(buy, sell)) == code


def test_nobody_rents_from_itself() -> None:
    own = sell_order("A11.A12")
    made = structs.replace(contract(), sell=own, lessor_key=public_key("A11.A12"), lessor_hub="A11.hub")
    by_hub = signer("A11.hub")
    assert code_of(sign_as_lessor_hub(sign_as_renter_hub(made, by_hub), by_hub)) == "same-party"


def test_a_hub_that_is_not_known_here_is_named() -> None:
    with pytest.raises(VerificationFailed, match=r"B11\.hub") as failure:
        verify_contract(contract(), {"A11.hub": public_key("A11.hub")}, verify)
    assert failure.value.code == "unknown-hub"


def test_an_order_signature_does_not_pass_for_a_hub_signature() -> None:
    made = contract()
    forged = structs.replace(made, renter_hub_signature=signer("A11.hub")(struct_bytes(made.buy)))
    assert code_of(forged) == "renter-hub-signature"
