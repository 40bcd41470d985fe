"""Requests of renters (J1): examined, approved or refused, taken back; and how a part ends. Pure."""

from __future__ import annotations

import hashlib

from msgspec import structs

from nodes.draft import data_of
from nodes.introductions import verify_introduction
from nodes.ledger import Moments
from nodes.machine import ActivityFailed, CancelTimer, Perform, PublishFailed, Refused, SetTimer, TimerFired
from nodes.partner.protocol import aligning
from nodes.partner.protocol.draft import Draft
from nodes.partner.protocol.records import Part, RequestExamined
from nodes.partner.protocol.states import PART
from nodes.states import advance
from schemas.errors import VerificationFailed
from schemas.events import DeliveryFailed, Event, EventRefused
from schemas.joint import JOINT_VERSIONS, JointDeclined, JointDeferred, JointEnded, JointRequested


def requested(draft: Draft, event: Event) -> None:
    """`joint.requested`: by a renter for whom both hubs vouch."""
    data = data_of(event, JointRequested)
    if draft.phase != "new":
        _repeated(draft, event, data)
        return
    _check_introduction(draft, event, data)
    part = Part(
        job=data.job,
        renter=event.source,
        renter_key=data.introduction.renter_key,
        phase=advance(PART, "new", "requested"),
        dataset=data.dataset,
        columns=data.columns,
        program=hashlib.sha256(data.program).hexdigest() if data.program else "",
        algorithm=data.algorithm,
        score=data.score or "",
        rows=data.rows,
        received=data.received,
        rounds=data.rounds,
        asked_at=draft.now,
        heard_at=draft.now,
    )
    draft.put("part", part)
    draft.put("request", data)
    draft.note("requested", f"{event.source} asks for {data.dataset}", rows=data.rows, rounds=data.rounds)
    draft.heard()
    if data.version not in JOINT_VERSIONS:
        known = ", ".join(map(str, sorted(JOINT_VERSIONS)))
        reason = f"the renter computes jointly by version {data.version}, {draft.config.me} by {known}"
        draft.end("refused", code="other-version", reason=f"{reason}: upgrade whoever is behind")
        return
    if (data.ids is None) == (data.salt is None):
        draft.end("refused", code="bad-request", reason="the request says in no way, or in two, how rows are found")
        return
    draft.begin_work(Perform(activity="examine", params={"approved": False}))


def examined(draft: Draft, event: Event) -> None:
    """`request.examined`: what policy and data say."""
    data, part = data_of(event, RequestExamined), draft.part
    if data.code:
        draft.note("unfit", data.detail or data.reason, code=data.code)
        draft.end("refused", code=data.code, reason=data.reason)
        return
    draft.end_work()
    if data.undecided:
        draft.advance("undecided")
        draft.note("undecided", data.detail)
        draft.do(SetTimer(name="approval", at=draft.now + draft.config.approval_seconds_max))
        draft.do(CancelTimer(name="renter"))
        draft.send("joint.deferred", part.renter, part.job, JointDeferred(job=part.job))
        return
    draft.advance(
        "covered",
        columns=data.columns,
        texts=data.texts,
        omitted=data.omitted,
        outputs=data.outputs,
        rows_min=data.rows_min,
    )
    for each in data.omitted:
        draft.note("omitted", f"{each.column}: {each.reason}")
    draft.heard()
    accepted = aligning.begin(draft, data.rows)
    if isinstance(taught := draft.part.taught_by_rounds, Moments):
        draft.learn(*taught.agreed())
        accepted = structs.replace(accepted, columns=data.outputs)
    draft.send("joint.accepted", part.renter, part.job, accepted)


def approved(draft: Draft, event: Event) -> None:
    """`joint.approved`: a person here lets it go on; now the data is looked at."""
    _require_own(draft, event)
    draft.advance("approved")
    draft.do(CancelTimer(name="approval"))
    draft.begin_work(Perform(activity="examine", params={"approved": True}))


def declined(draft: Draft, event: Event) -> None:
    """`joint.declined`: a person here refuses, or withdraws."""
    _require_own(draft, event)
    reason = data_of(event, JointDeclined).reason
    code = "withdrawn" if draft.phase == "accepted" else "declined"
    draft.end("withdrawn", code=code, reason=f"{draft.config.me} {code}" + (f": {reason}" if reason else ""))


def ended(draft: Draft, event: Event) -> None:
    """`joint.ended`: the renter's job is over."""
    data, part = data_of(event, JointEnded), draft.part
    if event.source != part.renter:
        raise Refused("not-the-renter", f"{event.source} is not the renter of this job")
    draft.end("ended", code=data.code, reason=data.reason, tell=False)


def activity_failed(draft: Draft, event: Event) -> None:
    """`activity.failed`: this partner's own machine or files are at fault; what exactly stays in its own journal."""
    data = data_of(event, ActivityFailed)
    draft.note("activity-failed", data.error, activity=data.activity)
    draft.end("failed", code="partner-failed", reason=f"{draft.config.me} could not do its part: {data.activity}")


def undelivered(draft: Draft, event: Event) -> None:
    """`publish.failed`, `delivery.failed`: the renter's silence will show."""
    data = event.data
    if isinstance(data, PublishFailed | DeliveryFailed):
        draft.note("undelivered", f"{data.type} to {data.to}: {data.reason}")


def not_believed(draft: Draft, event: Event) -> None:
    """`event.refused`: people have to set a clock, or a key."""
    data = data_of(event, EventRefused)
    draft.note("not-believed", f"{event.source}: {data.reason}", type=data.type, code=data.code)


def timer_fired(draft: Draft, event: Event) -> None:
    """`timer.fired`: nobody approved in time, or nothing of the renter while this partner could hear."""
    fired, part = data_of(event, TimerFired), draft.part
    name = fired.name
    if name == "approval" and part.phase == "waiting":
        draft.end("withdrawn", code="not-approved", reason=f"nobody at {draft.config.me} approved the request in time")
    elif name == "work":
        draft.go_on()
    elif name == "renter" and part.phase in ("examining", "accepted"):
        since = max(part.heard_at, fired.hearing_since)
        seconds = draft.now - since
        if seconds < draft.config.renter_seconds_max:
            draft.do(SetTimer(name="renter", at=since + draft.config.renter_seconds_max))
        else:
            draft.end(
                "failed", code="renter-silent", reason=f"nothing from the renter {part.renter} for {seconds:.0f} s"
            )


def _check_introduction(draft: Draft, event: Event, data: JointRequested) -> None:
    made = data.introduction
    mine = made.partner == draft.config.me and made.partner_key in (draft.config.key, draft.config.newest)
    if not mine or (made.renter, made.job) != (event.source, data.job):
        raise Refused("not-my-introduction", f"{event.source} shows an introduction of {made.renter} to {made.partner}")
    try:
        verify_introduction(made, draft.config.hub_keys, draft.context.verify)
    except VerificationFailed as error:
        raise Refused(error.code, f"{event.source} shows an introduction that does not verify: {error}") from error


def _repeated(draft: Draft, event: Event, data: JointRequested) -> None:
    """One job has one request, and one key: a renter that sends a second one is told so, and the part is over."""
    known, part = draft.find(JointRequested, "request"), draft.part
    if known is None or known.public_key == data.public_key:
        draft.note("late", f"{event.source} asks again")
        return
    _check_introduction(draft, event, data)
    if (event.source, data.introduction.renter_key) != (part.renter, part.renter_key):
        raise Refused("not-the-renter", f"{event.source} is not the renter of this job")
    draft.end("failed", code="second-key", reason="a second public key came for one job")


def _require_own(draft: Draft, event: Event) -> None:
    if event.source != draft.config.me:
        raise Refused("not-a-user", "only this partner's own people decide")
