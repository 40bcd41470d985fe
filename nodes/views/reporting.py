"""Makes a job's report of its records and of what lies in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from broker.network import Network, route_of
from nodes.data import manifest
from nodes.protections import traits_of
from nodes.renter.files import outputs
from nodes.renter.files.fits import read_fit
from nodes.renter.files.folder import JobFolder
from nodes.renter.protocol import runs
from nodes.renter.protocol.records import Agreement, ContractRecord, Job, Ledger, Progress, Round, Subtask, Worker
from nodes.views.report import JobReport, Joining, Proof, Rental
from schemas.contracts import Contract
from schemas.errors import BadData, JobFailed
from schemas.ids import Address, hub_of
from schemas.jobs import APPROXIMATE, CutNote

KINDS: Final = ("job", "progress", "contract", "subtask", "agreement", "ledger", "round", "worker")
"""Of the records that a report is made of: all but those of single batches."""
CONFIDENTIAL: Final = "yes"
"""What claims say of an enclave that its host cannot look into."""
SOFTWARE_NOTE: Final = "not confidential: software enclaves protect nothing from the owner of their host"


def report_of(records: Mapping[str, Struct], folder: JobFolder, network: Network | None = None) -> JobReport | None:
    """What these records (of `KINDS`) say; None where they are of no job. `network` says which hubs lie on the way."""
    job, progress = records.get("job"), records.get("progress")
    if not isinstance(job, Job) or not isinstance(progress, Progress):
        return None
    contracts = [each.contract for each in _rented(records)]
    columns, decided = _columns(folder)
    proofs = _proofs(records)
    on_ciphertext = job.assessment is not None and traits_of(job.assessment.chosen).on_ciphertext
    return JobReport(
        id=job.spec.id,
        phase=progress.phase,
        asked=job.spec.protection,
        protection=job.assessment.chosen if job.assessment else None,
        columns=columns,
        columns_by=decided,
        rows=job.facts.rows if job.facts else 0,
        rows_done=progress.rows_done,
        batches=job.batches,
        batches_done=progress.batches_done,
        submitted_at=job.submitted_at,
        ended_at=job.ended_at,
        code=job.code,
        reason=job.reason,
        assessment=job.assessment,
        price_micros_max=job.spec.price_micros_max,
        cut=_cut(folder) if on_ciphertext else None,
        spent=progress.spent if progress.spent.encrypt_seconds else None,
        contracts=_rentals(records),
        route=_routes(contracts, job, network),
        confidential=_confidential(job, proofs),
        proofs=proofs,
        finishes=job.spec.local_program is not None,
        output=folder.output if progress.phase == "completed" else None,
        id_column=job.spec.id_column,
        sum_rows=job.facts is not None and job.facts.sum_rows,
        joint=_joining(job, progress, records, folder),
        renter=contracts[0].renter if contracts else "",
        ordered_at=job.ordered_at if _is_pending(job, records) else 0.0,
        unowned=runs.count(progress.waiting),
        here=None if progress.here is None else runs.count(progress.here),
        lost_links=progress.lost_links,
        causes=job.causes,
    )


def route(contract: Contract) -> str:
    """The hops between the parties, as N2 numbers them."""
    renter, lessor = Address(contract.renter), Address(contract.lessor)
    hubs = dict.fromkeys((hub_of(renter), hub_of(lessor)))
    return " → ".join((renter, *hubs, lessor))


def way_to_partner(lessor: Address, partner: Address, network: Network | None) -> str:
    """The hops of sealed results (N3); those between the hubs of both are left open where no network says them."""
    first, last = hub_of(lessor), hub_of(partner)
    hubs: tuple[str, ...] = (first, "…", last)
    if network is not None and {first, last} <= {hub.name for hub in network.hubs}:
        hubs = route_of(network, first, last)
    return " → ".join((lessor, *hubs, partner))


def _routes(contracts: Sequence[Contract], job: Job, network: Network | None) -> tuple[str, ...]:
    ways, joint = [route(each) for each in contracts], job.spec.joint
    if joint is not None:
        ways += [way_to_partner(Address(each.lessor), Address(joint.partner), network) for each in contracts]
    return tuple(dict.fromkeys(ways))


def _columns(folder: JobFolder) -> tuple[tuple[str, ...], str]:
    """What the job's table says of its columns, as long as it is there."""
    try:
        known, _ = manifest.read(folder.table)
    except (OSError, BadData):
        return (), ""
    return known.taken or known.numbers, known.by


def _cut(folder: JobFolder) -> CutNote | None:
    """Where the job's program is cut for ciphertext, as long as its folder is there."""
    try:
        return outputs.read(folder.path).cut
    except JobFailed:
        return None


def _is_pending(job: Job, records: Mapping[str, Struct]) -> bool:
    started = {each.contract for each in records.values() if isinstance(each, Subtask)}
    return bool(job.order) and not (job.expected_contracts and started.issuperset(job.expected_contracts))


def _joining(job: Job, progress: Progress, records: Mapping[str, Struct], folder: JobFolder) -> Joining | None:
    joint, ledger = job.spec.joint, records.get("ledger")
    round_, agreement = records.get(f"round/{progress.round}"), records.get("agreement")
    if joint is None:
        return None
    return Joining(
        partner=joint.partner,
        dataset=joint.dataset,
        round=progress.round,
        rounds=joint.rounds,
        fits=joint.fitting is not None,
        fit=None if joint.fitting is None and joint.score is None else read_fit(folder),
        ledger=ledger.lines if isinstance(ledger, Ledger) else (),
        round_phase=round_.phase if isinstance(round_, Round) else "",
        accepted=isinstance(agreement, Agreement) and agreement.accepted,
        owes_since=agreement.owes_since if isinstance(agreement, Agreement) else 0.0,
    )


def _rentals(records: Mapping[str, Struct]) -> tuple[Rental, ...]:
    subtasks = {each.contract: each for each in records.values() if isinstance(each, Subtask)}
    return tuple(_rental(each, subtasks.get(each.contract.id)) for each in _rented(records))


def _rented(records: Mapping[str, Struct]) -> list[ContractRecord]:
    """By lessor, and then by time."""
    found = (each for each in records.values() if isinstance(each, ContractRecord))
    return sorted(found, key=lambda each: (each.contract.lessor, each.contract.starts_at, each.contract.id))


def _rental(record: ContractRecord, subtask: Subtask | None) -> Rental:
    contract = record.contract
    return Rental(
        id=contract.id,
        lessor=contract.lessor,
        renter_hub=contract.renter_hub,
        lessor_hub=contract.lessor_hub,
        protection=contract.protection,
        units=contract.units,
        price_micros=contract.price_micros,
        state="ended" if record.ended else "running",
        subtask=subtask.phase if subtask else "",
        rows=subtask.rows_done if subtask else 0,
        batches=subtask.batches_done if subtask else 0,
        under_way=len(subtask.under_way) if subtask else 0,
        waiting=runs.count(subtask.queue) if subtask else 0,
        core_seconds=subtask.core_seconds if subtask else 0.0,
        heard_at=subtask.heard_at if subtask else 0.0,
        cost_micros=subtask.cost_micros if subtask else 0,
        route=route(contract),
        seconds=max(0.0, subtask.heard_at - subtask.started_at) if subtask else 0.0,
    )


def _proofs(records: Mapping[str, Struct]) -> tuple[Proof, ...]:
    lessors = {each.id: each.lessor for each in records.values() if isinstance(each, Subtask)}
    found = (
        Proof(
            lessor=lessors.get(key.split("/")[1], ""),
            kind=record.claims["kind"],
            measurement=record.claims["measurement"],
            confidential=record.claims["confidential"] == CONFIDENTIAL,
        )
        for key, record in records.items()
        if isinstance(record, Worker) and record.claims
    )
    return tuple(sorted(dict.fromkeys(found), key=lambda each: each.lessor))


def _confidential(job: Job, proofs: Sequence[Proof]) -> str:
    if job.assessment is None:
        return ""
    if traits_of(job.assessment.chosen).on_ciphertext:
        stays = "; show the results to nobody" if job.assessment.scheme in APPROXIMATE else ""
        return f"lessors saw ciphertext only and had no key{stays}"
    proved = all(each.confidential for each in proofs) if proofs else not job.spec.accept_software_enclave
    return "lessors' enclaves proved themselves" if proved else SOFTWARE_NOTE
