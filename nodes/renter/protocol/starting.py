"""From submission to contracts: prepare, assess (A1, A2), order (R1), collect contracts (R4), split (S1). Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from nodes.contracts import verify_contract
from nodes.draft import data_of
from nodes.machine import CancelTimer, Perform, Refused
from nodes.renter.protocol import batches, ending, market
from nodes.renter.protocol.assess import NoProtection, assess
from nodes.renter.protocol.config import RenterConfig
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.records import LOCAL, ContractRecord, Facts, Job, JobPrepared, JobRejected, Subtask
from nodes.renter.protocol.split import batch_rows, split
from schemas.errors import BadInput, VerificationFailed
from schemas.events import (
    BuyOrderRefused,
    ContractsCompleted,
    ContractSigned,
    Event,
    JobSubmitted,
)
from schemas.ids import derive_id
from schemas.jobs import Assessment, JobSpec


def submitted(config: RenterConfig, draft: Draft, event: Event) -> None:
    """`job.submitted`: only the renter's own users may."""
    data = data_of(event, JobSubmitted)
    if event.source != config.me:
        raise Refused("not-a-user", "jobs are submitted with the renter's own identity")
    draft.put("job", Job(spec=data.spec, phase="preparing", submitted_at=draft.now))
    draft.do(Perform(activity="prepare", params={"spec": msgspec.to_builtins(data.spec)}))


def cancelled(config: RenterConfig, draft: Draft, event: Event) -> None:
    """`job.cancelled`."""
    ending.fail(config, draft, "cancelled", "the user took the job back")


def rejected(config: RenterConfig, draft: Draft, event: Event) -> None:
    """`job.rejected`: data, program or options cannot be used."""
    data = data_of(event, JobRejected)
    ending.fail(config, draft, data.code, data.reason)


def prepared(config: RenterConfig, draft: Draft, event: Event) -> None:
    """`job.prepared`: decide the protection, then order compute that accepts it."""
    facts = data_of(event, JobPrepared).facts
    try:
        assessment = assess(draft.job.spec, facts)
    except NoProtection as error:
        ending.fail(config, draft, error.code, str(error))
        return
    draft.change_job(facts=facts, assessment=assessment, phase="ordering")
    draft.note("assessment", assessment.reason, **msgspec.to_builtins(assessment))
    spec = draft.job.spec
    market.place_order(config, draft, lessors=spec.lessors, units=max(spec.units or spec.lessors, spec.lessors))


def contract_signed(config: RenterConfig, draft: Draft, event: Event) -> None:
    """`contract.signed`: verified offline before it counts."""
    contract = data_of(event, ContractSigned).contract
    if contract.renter != config.me or contract.renter_key != config.key:
        raise Refused("not-my-contract", f"{contract.id} does not rent for {config.me}")
    try:
        verify_contract(contract, config.hub_keys, draft.context.verify)
    except VerificationFailed as error:
        raise Refused(error.code, f"{event.source} sent a contract that does not verify: {error}") from error
    record = ContractRecord(contract=contract, order=contract.buy.id)
    if contract.buy.id != draft.job.order or draft.job.phase not in ("ordering", "running"):
        draft.note("late", f"contract {contract.id} of an order that is no longer wanted")
        market.end_contract(config, draft, record.contract, "not-wanted")
        return
    draft.put(f"contract/{contract.id}", record)
    _start_if_complete(config, draft)


def matched(config: RenterConfig, draft: Draft, event: Event) -> None:
    """`order.buy.matched`: all contracts of the order are signed; some may still be on their way."""
    data = data_of(event, ContractsCompleted)
    if data.order == draft.job.order:
        draft.change_job(expected_contracts=data.contracts)
        _start_if_complete(config, draft)


def order_refused(config: RenterConfig, draft: Draft, event: Event) -> None:
    """`order.buy.refused`: no match in time."""
    data = data_of(event, BuyOrderRefused)
    if data.order == draft.job.order:
        causes = draft.job.causes
        before = "".join(f"; before that, {text}" for _, text in causes)
        code = causes[0][0] if causes else data.code
        draft.change_job(order="")
        ending.fail(config, draft, code, f"no compute for this job: {data.reason}{before}")


def _start_if_complete(config: RenterConfig, draft: Draft) -> None:
    job = draft.job
    wanted = job.expected_contracts
    if not wanted or any(draft.find(ContractRecord, f"contract/{each}") is None for each in wanted):
        return
    draft.do(CancelTimer(name="match"))
    owners = [(derive_id("subtask", contract), draft.contract(contract)) for contract in wanted]
    queues: dict[str, tuple[tuple[int, int], ...]]
    if job.phase == "ordering":
        try:
            queues = _split(draft, owners)
        except BadInput as error:
            ending.fail(config, draft, "bad-split", str(error))
            return
    else:
        queues = _share_waiting(draft, [owner for owner, _ in owners])
    for owner, record in owners:
        subtask = Subtask(
            id=owner,
            contract=record.contract.id,
            lessor=record.contract.lessor,
            phase="running" if record.contract.protection == "homomorphic" else "keying",
            queue=queues[owner],
            started_at=draft.now,
            heard_at=draft.now,
        )
        draft.put(f"subtask/{owner}", subtask)
        batches.announce(config, draft, subtask)
        batches.dispatch(config, draft, owner)
    batches.compute_local(draft)
    ending.finish_if_done(config, draft)


def _split(draft: Draft, owners: list[tuple[str, ContractRecord]]) -> dict[str, tuple[tuple[int, int], ...]]:
    job = draft.job
    facts, assessment = job.facts, job.assessment
    assert facts is not None
    assert assessment is not None
    rows_each = job.spec.batch_rows or _batch_rows(job.spec, facts, assessment, len(owners))
    units = [(owner, record.contract.units) for owner, record in owners]
    parts = split(facts.rows, rows_each, units, job.spec.local_share)
    batches = sum(part.batches for part in parts)
    draft.change_job(phase="running", batch_rows=rows_each, batches=batches, parts=parts)
    shown = {part.owner: part.rows for part in parts}
    draft.note("split", f"{facts.rows} rows into {batches} batches", rows_by_owner=shown, batch_rows=rows_each)
    return {
        part.owner: ((part.first_batch, part.first_batch + part.batches),) if part.batches else ()
        for part in parts
        if part.owner != LOCAL
    }


def _batch_rows(spec: JobSpec, facts: Facts, assessment: Assessment, lessors: int) -> int:
    parts = lessors + (1 if spec.local_share else 0)
    width = max(facts.width_in, facts.width_out)
    if assessment.chosen == "homomorphic":
        scheme = facts.of(assessment.scheme)
        packed: dict[str, Any] = {"slots": scheme.slots, "ciphertext_bytes": scheme.ciphertext_bytes}
        return batch_rows(facts.rows, parts, width, **packed)
    return batch_rows(facts.rows, parts, width)


def _share_waiting(draft: Draft, owners: list[str]) -> dict[str, tuple[tuple[int, int], ...]]:
    waiting = draft.job.waiting
    draft.change_job(waiting=())
    return {
        owner: tuple((batch, batch + 1) for batch in waiting[index :: len(owners)])
        for index, owner in enumerate(owners)
    }
