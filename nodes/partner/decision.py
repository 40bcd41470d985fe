"""What a person at a partner decides about a request, as its workers are told."""

from __future__ import annotations

from msgspec import Struct

from nodes.runtime.post import Post
from schemas.ids import derive_id
from schemas.joint import JointApproved, JointDeclined


async def publish_decision(post: Post, job: str, *, approved: bool, reason: str = "") -> None:
    """Publish `joint.approved` or `joint.declined` to the partner's own queue; any of its workers takes it.

    Raises:
        SubletError: the broker did not take it.
    """
    event_type, data = "joint.declined", JointDeclined(job=job, reason=reason)
    decided: tuple[str, Struct] = ("joint.approved", JointApproved(job=job)) if approved else (event_type, data)
    await post.send(decided[0], post.me, job, decided[1], event_id=derive_id("event", job, decided[0]))
