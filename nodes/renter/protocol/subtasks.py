"""A subtask as its lessor sees it: the terms that its workers must know, and their announcement. Pure."""

from __future__ import annotations

from nodes.machine import SetTimer
from nodes.protections import traits_of
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.records import Subtask
from schemas.events import SubtaskAnnounced
from schemas.jobs import SubtaskTerms


def terms_of(draft: Draft, subtask: Subtask) -> SubtaskTerms:
    """What a lessor's worker must know of this subtask."""
    spec, (facts, assessment) = draft.job.spec, draft.job.decided
    contract = draft.contract(subtask.contract).contract
    traits = traits_of(contract.protection)
    scheme = facts.of(assessment.scheme) if traits.on_ciphertext else None
    return SubtaskTerms(
        job=spec.id,
        subtask=subtask.id,
        contract=contract,
        protection=contract.protection,
        program=draft.job.computed,
        width_in=facts.width_in,
        width_out=facts.width_out,
        scheme=scheme.scheme if scheme else None,
        fixed_point=scheme.fixed_point if scheme else None,
        computation=scheme.computation if scheme else None,
        result_bits=facts.result_bits if traits.sealed else None,
        public_key=facts.public_key if traits.homomorphic_key else None,
        partner=None if spec.joint is None else spec.joint.partner,
        by_row=facts.by_row,
    )


def announce(draft: Draft, subtask: Subtask) -> None:
    """Tell the lessor what is coming; for enclaves a worker answers by asking for its half of the handshake."""
    draft.send("subtask.announced", subtask.lessor, subtask.id, SubtaskAnnounced(terms=terms_of(draft, subtask)))
    if subtask.phase == "keying":
        draft.do(SetTimer(name=f"key/{subtask.id}", at=draft.now + draft.config.handshake_seconds_max))
