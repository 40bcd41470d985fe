"""What a joint job says to its partner, and what the partner owes it (J1, J6). Pure."""

from __future__ import annotations

from msgspec import structs

from nodes.joint.records import Alignment
from nodes.ledger import Intersection, Moments, Rounds, SameRows, Scores, Section, written
from nodes.machine import CancelTimer, Perform, Refused, SetTimer
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.records import Agreement, Ledger, Round
from schemas import limits
from schemas.contracts import Contract
from schemas.events import Event
from schemas.ids import hub_address, hub_of
from schemas.joint import ContractShown, IntroductionRequested, Joint, JointEnded, Learned


def ask(draft: Draft) -> None:
    """Ask the own hub who the partner is; with the hubs' word the request goes out."""
    joint = draft.job.spec.joint
    assert joint is not None
    draft.advance("asked")
    hub, job = hub_address(hub_of(draft.config.me)), draft.job.spec.id
    draft.send("introduction.requested", hub, job, IntroductionRequested(job=job, partner=joint.partner))
    draft.do(SetTimer(name="partner", at=draft.now + draft.config.partner_seconds_max))


def show(draft: Draft, contract: Contract) -> None:
    """The partner takes sealed results from lessors under contract only."""
    joint, job = draft.job.spec.joint, draft.job.spec.id
    if joint is not None:
        draft.send("contract.shown", joint.partner, job, ContractShown(job=job, contract=contract))


def plan(draft: Draft, number: int) -> None:
    """Find a round's parameters, and how large the enclaves' results can be."""
    if draft.job.spec.joint is not None:
        draft.put(f"round/{number}", Round(number=number, phase="planning"))
        draft.do(Perform(activity="plan-round", params={"round": number}))


def end(draft: Draft, code: str, reason: str) -> None:
    """Tell the partner, if one was asked, that the job is over: it erases what it has."""
    agreement = draft.find(Agreement, "agreement")
    if agreement is None or agreement.ended:
        return
    job, partner = draft.job.spec.id, draft.agreement.introduction.partner
    ended = JointEnded(job=job, code=code, reason=reason[: limits.REASON_CHARS_MAX])
    draft.send("joint.ended", partner, job, ended)
    draft.do(CancelTimer(name="partner"))


def owes(draft: Draft, something: bool, *, patience_seconds: float = 0.0) -> None:
    """From now on the partner owes an answer, or none: what it says in time starts its time anew."""
    since = draft.now + patience_seconds if something else 0.0
    draft.put("agreement", structs.replace(draft.agreement, owes_since=since, works_since=since))
    if something:
        remind(draft, since)
    else:
        draft.do(CancelTimer(name="partner"))


def works(draft: Draft) -> None:
    """The partner is at work on what it owes: its time begins anew, but not for ever."""
    agreement = draft.agreement
    if agreement.owes_since and draft.now - agreement.works_since < limits.WORK_SECONDS_MAX:
        since = max(agreement.owes_since, draft.now)  # a sign may come after word that a person has to approve
        draft.put("agreement", structs.replace(agreement, owes_since=since))
        remind(draft, since)


def remind(draft: Draft, since: float) -> None:
    """Look again when the partner's time, which began then, is over."""
    draft.do(SetTimer(name="partner", at=since + draft.config.partner_seconds_max))


def joint_of(draft: Draft) -> Joint:
    """The job's joint part; raises Refused."""
    joint = draft.job.spec.joint
    if joint is None:
        raise Refused("no-partner", "this job has no partner")
    return joint


def require_partner(draft: Draft, event: Event) -> None:
    """Raises Refused: somebody else speaks."""
    if event.source != joint_of(draft).partner:
        raise Refused("not-the-partner", f"{event.source} is not the partner of this job")


def learn(draft: Draft, lines: tuple[Learned, ...]) -> None:
    """Write the ledger as it happens; raises LedgerExceeded."""
    ledger = draft.find(Ledger, "ledger") or Ledger()
    draft.put("ledger", Ledger(lines=written(ledger.lines, lines, declared(draft))))
    for each in lines:
        draft.note("learned", f"{each.party}: {each.shape}", kind=each.kind, count=each.count, round=each.round)


def declared(draft: Draft) -> tuple[Section, ...]:
    """What the job may teach anybody, as far as it is known yet."""
    state = draft.find(Alignment, "alignment")
    rows = SameRows(draft.job.decided[0].rows) if state is None else Intersection(state.mine, state.others)
    return rows, taught_by_rounds(draft)


def taught_by_rounds(draft: Draft) -> Rounds | Moments | Scores:
    """What its rounds teach."""
    facts, joint = draft.job.decided[0], joint_of(draft)
    if joint.fitting is not None:
        coefficients = joint.fitting.algorithm.partner_coefficients
        return Moments(facts.rows, facts.width_out - 1, draft.agreement.columns, coefficients)
    if joint.score is not None:
        return Scores(facts.rows)
    return Rounds(rows=facts.rows, received=facts.width_out, outputs=joint.outputs, rounds=joint.rounds)
