"""Whether a contract binds this lessor, and whether a subtask's terms fit it. Pure."""

from __future__ import annotations

from nodes.contracts import verify_contract
from nodes.lessor.protocol.config import LessorConfig
from nodes.lessor.protocol.draft import Draft
from nodes.lessor.protocol.market import sell_order
from nodes.machine import Context, Refused
from nodes.protections import traits_of
from schemas import limits
from schemas.contracts import Contract
from schemas.errors import VerificationFailed
from schemas.ids import Address, derive_id
from schemas.jobs import SubtaskTerms
from schemas.signing import struct_bytes


def check_contract(contract: Contract, source: Address, config: LessorConfig, context: Context) -> None:
    """Verify offline that a contract binds this lessor to the renter who sent it.

    Raises:
        Refused: not-my-contract, wrong-sender, or one of `nodes.contracts`' codes.
    """
    try:
        verify_contract(contract, config.hub_keys, context.verify)
    except VerificationFailed as error:
        raise Refused(error.code, f"{source}: {error}") from error
    # Both hubs vouch for it, and still it must hold an order that this very key has signed.
    own = context.verify(config.key, struct_bytes(contract.sell), contract.sell.signature)
    if contract.lessor != config.me or not own:
        raise Refused("not-my-contract", f"{contract.id} does not bind {config.me}")
    if contract.renter != source:
        raise Refused("wrong-sender", f"{contract.id} does not rent to {source}")


def check_current(contract: Contract, draft: Draft) -> None:
    """Hold a contract against what this lessor offers now.

    Raises:
        Refused: order-replaced: it began when other terms had taken the place of its own.
    """
    sell, since = contract.sell, draft.offered_since
    if sell.since >= since or sell.has_terms_of(sell_order(draft.config, since, draft.now, _unsigned)):
        return
    if contract.starts_at > since + limits.QUOTE_LEASE_SECONDS:
        raise Refused("order-replaced", f"{contract.id} began on terms that {draft.config.me} had ceased to offer")


def _unsigned(_: bytes) -> bytes:
    return b""


def check_running(contract: Contract, draft: Draft) -> None:
    """Raises Refused (contract-ended) when its lease is over, or it ended before."""
    if contract.ends_at <= draft.now or draft.closed(contract.id) is not None:
        raise Refused("contract-ended", f"{contract.id} has ended")


def check_terms(terms: SubtaskTerms, config: LessorConfig) -> None:
    """Whether terms are of their contract, for what is offered here, and say all that their protection needs.

    Raises:
        Refused: bad-terms, or not-offered.
    """
    contract = terms.contract
    if (terms.subtask, terms.job) != (derive_id("subtask", contract.id), contract.buy.job):
        raise Refused("bad-terms", f"{contract.id} is for another subtask, or another job, than {terms.subtask}")
    if terms.protection not in config.protections:
        raise Refused("not-offered", f"{config.me} does not offer {terms.protection}")
    if terms.protection != terms.contract.protection:
        raise Refused("bad-terms", f"{terms.contract.id} is for {terms.contract.protection}, not {terms.protection}")
    traits = traits_of(terms.protection)
    if traits.on_ciphertext and (terms.scheme is None or terms.fixed_point is None):
        raise Refused("bad-terms", "computing on ciphertext needs a scheme and a fixed point")
    if traits.sealed and terms.result_bits is None:
        raise Refused("bad-terms", "sealed results need their fixed-point bits")
    if terms.partner is not None and not traits.sealed:
        raise Refused("bad-terms", "only sealed results go to a partner")
    if traits.homomorphic_key and not terms.public_key:
        raise Refused("bad-terms", f"{terms.protection} needs the renter's public key")
