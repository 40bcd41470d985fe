"""What goes wrong while a job runs: lessors that err or fall silent are lost and their batches go elsewhere; what no
lessor can mend ends the job. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from msgspec import structs

from nodes.draft import data_of
from nodes.enclave.errors import Code
from nodes.machine import ActivityFailed, PublishFailed, SetTimer, TimerFired
from nodes.renter.protocol import ending, market, runs, windows
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.outcomes import BatchUnsent, ResultRefused
from nodes.renter.protocol.records import BatchRecord, Subtask
from nodes.renter.protocol.runs import Runs
from nodes.renter.protocol.states import OPEN, SERVING
from nodes.renter.protocol.subtasks import announce, terms_of
from schemas import limits
from schemas.events import BatchFailed, DeliveryFailed, Event, EventRefused
from schemas.jobs import ONE_REFUSAL

WANTED: Final[Mapping[str, str]] = MappingProxyType(
    {"ordering": "order.buy.placed", "agreeing": "introduction.requested"}
)
"""What was asked of it, by the job's phase."""

CUT_OFF: Final = "cut-off"
"""The code of lessors behind a link that is lost: they may serve this job again."""

NOT_ACCEPTED: Final = ("result-not-accepted", "a result was not accepted")
"""All that a lessor, and everybody on the way to it, is told of any such result. Which check it failed depends on
what it decrypts to: whoever chooses ciphertexts and learns that, learns of the plaintext."""


def result_refused(draft: Draft, event: Event) -> None:
    """`result.refused`: the lessor erred; its work goes elsewhere and it is not used again for this job."""
    data = data_of(event, ResultRefused)
    draft.note("incident", f"{data.owner}: {data.reason}", code=data.code, batch=data.batch, evidence=data.evidence)
    _, assessment = draft.job.decided
    if assessment.scheme in ONE_REFUSAL and draft.progress.here is None:
        _finish_here(draft)
    lose(draft, data.owner, data.code, data.reason, told=NOT_ACCEPTED)


def batch_failed(draft: Draft, event: Event) -> None:
    """`batch.failed`: tried again, elsewhere if there is elsewhere; what two lessors call final ends the job."""
    data = data_of(event, BatchFailed)
    subtask, number = draft.subtask_from(event, data.batch.subtask), data.batch.batch
    if number not in subtask.under_way:
        draft.note("late", f"batch {number} failed at {event.source} but is not under way there")
        return
    draft.note("batch-failed", data.reason, code=data.code, batch=number, lessor=event.source)
    windows.drop(draft, subtask.id, number)
    if data.final:
        _called_final(draft, draft.subtask(subtask.id), data)
        windows.fill(draft, subtask.id)
        return
    record = draft.batch(number)
    if record is not None and record.rows_at:
        draft.put(f"batch/{number}", structs.replace(record, rows_at=""))
    if data.code == Code.NO_ROWS:  # between rounds they went with their enclave; they come again
        queue = draft.subtask(subtask.id).queue
        draft.change_subtask(subtask.id, queue=(*runs.single([number]), *queue))
    else:
        hand_over(draft, runs.single([number]), last=subtask.id)
    windows.fill(draft, subtask.id)


def refuted(draft: Draft, record: BatchRecord) -> None:
    """A batch that a lessor called final was computed, elsewhere or here: it erred, and is not used again."""
    for subtask in draft.subtasks() if record.refused_by else ():
        if subtask.phase in OPEN and subtask.lessor in record.refused_by:
            reason = f"says that batch {record.number} cannot be computed, which it can"
            lose(draft, subtask.id, "wrong-verdict", reason)


def batch_unsent(draft: Draft, event: Event) -> None:
    """`batch.unsent`: whoever filled its queue, nothing reaches this lessor now: others take its batches, if there are
    any others; it is not to blame, and is tried again."""
    data = data_of(event, BatchUnsent)
    record = draft.batch(data.batch)
    if record is None or record.attempt != data.attempt or record.digest:
        return
    subtask = draft.subtask(record.owner)
    draft.put(f"batch/{data.batch}", structs.replace(record, attempt=record.attempt - 1))
    waiting = (*runs.single([data.batch]), *subtask.queue)
    under_way = tuple(number for number in subtask.under_way if number != data.batch)
    draft.change_subtask(subtask.id, under_way=under_way, queue=waiting, full_at=draft.now)
    draft.do(SetTimer(name=f"full/{subtask.id}", at=draft.now + windows.FULL_SECONDS))
    if any(each.phase in SERVING and not windows.is_full(draft, each) for each in draft.subtasks()):
        draft.note("queue-full", f"{subtask.lessor}: its queue is full, others take over", batches=runs.count(waiting))
        draft.change_subtask(subtask.id, queue=())
        hand_over(draft, waiting, last=subtask.id)


def activity_failed(draft: Draft, event: Event) -> None:
    """`activity.failed`: the renter's own machine or files are at fault."""
    data = data_of(event, ActivityFailed)
    ending.fail(draft, "activity-failed", f"{data.activity}: {data.error}")


def publish_failed(draft: Draft, event: Event) -> None:
    """`publish.failed`: nobody has this address; a lane whose worker is gone is no news."""
    data = data_of(event, PublishFailed)
    draft.note("unroutable", f"{data.type} to {data.to}: {data.reason}")


def delivery_failed(draft: Draft, event: Event) -> None:
    """`delivery.failed`: a hub on the way knows nobody at the address."""
    draft.note("undelivered", "a hub could not route a message", **structs.asdict(data_of(event, DeliveryFailed)))


def not_believed(draft: Draft, event: Event) -> None:
    """`event.refused`: a job that waits for its hub's answer to what the hub does not believe waits for nothing."""
    data = data_of(event, EventRefused)
    draft.note("not-believed", f"{event.source}: {data.reason}", type=data.type, code=data.code)
    if data.type == WANTED.get(draft.phase):
        ending.fail(draft, "not-believed", f"{event.source} does not believe {draft.config.me}: {data.reason}")


def timer_fired(draft: Draft, event: Event) -> None:
    """`timer.fired`: no answer from the hub, no key from an enclave, or silence of a lessor."""
    data = data_of(event, TimerFired)
    kind, _, subtask_id = data.name.partition("/")
    if kind == "match":
        if not draft.job.expected_contracts or draft.phase == "ordering":
            _check_match(draft, data.hearing_since)
    elif kind == "key" and draft.subtask(subtask_id).phase == "keying":
        _check_key(draft, draft.subtask(subtask_id), data.hearing_since)
    elif kind == "full":
        windows.fill(draft, subtask_id)
    elif kind == "silent" and draft.subtask(subtask_id).phase in ("running", "closing"):
        _check_silence(draft, draft.subtask(subtask_id), data.hearing_since)


def lose(draft: Draft, subtask_id: str, code: str, reason: str, *, told: tuple[str, str] | None = None) -> None:
    """End a subtask's contract; its batches go to the other subtasks, or wait for a replacement contract.

    Code and reason stay here where something else is `told` of it.
    """
    subtask, job = draft.subtask(subtask_id), draft.job
    if subtask.phase not in OPEN:
        return
    rest = (*runs.single(subtask.under_way), *subtask.queue)
    draft.advance_subtask(subtask_id, "lost", queue=(), under_way=())
    avoid = job.avoid if code == CUT_OFF else (*job.avoid, subtask.lessor)
    draft.change_job(avoid=avoid, causes=(*job.causes, (code, f"{subtask.lessor}: {reason}")))
    draft.note("subtask-lost", reason, code=code, lessor=subtask.lessor, batches=runs.count(rest))
    contract = draft.contract(subtask.contract).contract
    outward_code, outward_reason = told or (code, reason)
    market.end_contract(draft, contract, outward_code, reason=outward_reason)
    hand_over(draft, rest, last="")


def hand_over(draft: Draft, batches: Runs, *, last: str, faulty: bool = True) -> None:
    """Share batches among live subtasks; `last` is preferred least. Without any, order a replacement.

    `faulty` says whether it is for a lessor's fault: such orders are few.
    """
    if not batches:
        return
    if (here := draft.progress.here) is not None:
        draft.change_progress(here=(*here, *batches))
        return
    live = [each for each in draft.subtasks() if each.phase in SERVING]
    others = [each for each in live if each.id != last and not windows.is_full(draft, each)] or live
    if not others:
        _order_replacement(draft, batches, faulty)
        return
    for subtask, share in zip(others, runs.shares(batches, len(others)), strict=True):
        if share:
            draft.change_subtask(subtask.id, queue=(*share, *subtask.queue))
            windows.fill(draft, subtask.id)


def _finish_here(draft: Draft) -> None:
    """The job's key decrypts nothing more: the renter computes what is left itself, and the others are not sent to.

    Each refusal tells who chose the ciphertext a bit of the key. Of one refusal, no more can be told than which batch
    it was, and that there was one.
    """
    draft.change_progress(here=draft.progress.waiting, waiting=())
    draft.note("key-retired", "after a refused result nothing more is decrypted under the job's key")
    for subtask in draft.subtasks():
        if subtask.phase in OPEN:
            rest = (*runs.single(subtask.under_way), *subtask.queue)
            draft.change_subtask(subtask.id, queue=(), under_way=())
            hand_over(draft, rest, last=subtask.id)
    windows.compute_here(draft)


def _called_final(draft: Draft, subtask: Subtask, data: BatchFailed) -> None:
    """One lessor's word that a batch fails everywhere ends no job: another is asked, or the batch computed here.

    What only an enclave can fail at (its limits) another lessor's has to confirm, rented for that if need be.
    """
    number = data.batch.batch
    record = draft.batch(number)
    assert record is not None  # it is under way
    said = tuple(dict.fromkeys((*record.refused_by, subtask.lessor)))
    if len(said) > 1:
        ending.fail(draft, data.code, f"batch {number} cannot be computed, {' and '.join(said)} say: {data.reason}")
        return
    draft.put(f"batch/{number}", structs.replace(record, refused_by=said, rows_at=""))
    other = next((each for each in draft.subtasks() if each.phase in SERVING and each.lessor not in said), None)
    first = runs.single([number])
    if other is not None:
        draft.change_subtask(other.id, queue=(*first, *other.queue))
        windows.fill(draft, other.id)
    elif draft.job.spec.joint is not None or data.code.startswith("enclave-"):
        draft.change_subtask(subtask.id, queue=(*first, *subtask.queue))
        lose(draft, subtask.id, data.code, data.reason)
    else:
        windows.check_here(draft, number)


def _order_replacement(draft: Draft, batches: Runs, faulty: bool) -> None:
    draft.change_progress(waiting=(*draft.progress.waiting, *batches))
    if market.is_pending(draft):
        return
    replacements = draft.job.replacements + faulty
    if replacements > market.REPLACEMENTS_PER_JOB_MAX:
        ending.fail(draft, "no-lessor-left", "every lessor was lost and no more may be ordered")
        return
    draft.change_job(replacements=replacements)
    market.place_order(draft, lessors=1, units=1)


def _check_match(draft: Draft, hearing_since: float) -> None:
    until = hearing_since + draft.job.spec.match_seconds + market.MATCH_GRACE_SECONDS
    if draft.now < until:
        draft.do(SetTimer(name="match", at=until))
    else:
        ending.fail(draft, "hub-silent", "the hub did not answer the buy order in time; `sublet check` says why")


def _check_key(draft: Draft, subtask: Subtask, hearing_since: float) -> None:
    """Whoever is heard of gets more time, as much as the files may take over a slow link and to be loaded."""
    files = sum(manifest.size for _, manifest in terms_of(draft, subtask).files())
    latest = subtask.started_at + files / limits.LINK_BYTES_PER_SECOND_MIN
    loading = files / limits.LOAD_BYTES_PER_SECOND_MIN
    heard_at = max(min(subtask.heard_at, latest), hearing_since)
    until = heard_at + draft.config.handshake_seconds_max + loading
    if draft.now < until:
        draft.do(SetTimer(name=f"key/{subtask.id}", at=until))
    elif max(subtask.heard_at, subtask.started_at) < hearing_since:  # as in _ask_again
        draft.note("unheard", f"{subtask.lessor} may have offered a key when nobody listened")
        draft.change_subtask(subtask.id, heard_at=draft.now)
        announce(draft, subtask)
    elif market.cut_off(draft, subtask):
        _wait_or_replace(draft, subtask, f"key/{subtask.id}", draft.config.handshake_seconds_max)
    else:
        lose(draft, subtask.id, "no-key", "no enclave of this lessor proved itself in time")


def _check_silence(draft: Draft, subtask: Subtask, hearing_since: float) -> None:
    if not subtask.under_way:
        return
    records = [record for record in map(draft.batch, subtask.under_way) if record is not None and record.sent_at]
    since = max(min((each.sent_at for each in records), default=draft.now), subtask.heard_at, hearing_since)
    seconds = draft.now - since
    if seconds < draft.config.batch_deadline_seconds:
        windows.watch(draft, subtask.id, since)
    elif unheard := [each for each in records if each.sent_at < hearing_since]:
        _ask_again(draft, subtask, unheard)
    elif market.cut_off(draft, subtask):
        _wait_or_replace(draft, subtask, f"silent/{subtask.id}", draft.config.batch_deadline_seconds)
    else:
        lose(draft, subtask.id, "silent", f"nothing from {subtask.lessor} for {seconds:.0f} s")


def _wait_or_replace(draft: Draft, subtask: Subtask, timer: str, seconds: float) -> None:
    """Whoever is behind a lost link is not to blame. Others that can be reached take its batches; without any, what is
    on its way is waited for until the link carries again, or the lease is over."""
    if any(each.phase in SERVING and not market.cut_off(draft, each) for each in draft.subtasks()):
        lose(draft, subtask.id, "cut-off", f"the link to {subtask.lessor} is lost")
    else:
        draft.do(SetTimer(name=timer, at=draft.now + seconds))


def _ask_again(draft: Draft, subtask: Subtask, unheard: Sequence[BatchRecord]) -> None:
    """Send batches once more whose results may have come while nobody here listened: to a process whose store is no
    more, where this one is a copy made before. Whoever answers then was never silent."""
    batches = runs.single([each.number for each in unheard])
    draft.note("unheard", f"{subtask.lessor} may have answered when nobody listened", batches=runs.count(batches))
    for each in unheard:
        draft.put(f"batch/{each.number}", structs.replace(each, excused=each.excused + 1))
    numbers = {each.number for each in unheard}
    under_way = tuple(number for number in subtask.under_way if number not in numbers)
    serves = subtask.phase == "running"
    queue = (*batches, *subtask.queue) if serves else subtask.queue
    draft.change_subtask(subtask.id, under_way=under_way, queue=queue, heard_at=draft.now)
    windows.watch(draft, subtask.id, draft.now)
    if not serves:
        hand_over(draft, batches, last=subtask.id, faulty=False)
    windows.fill(draft, subtask.id)
