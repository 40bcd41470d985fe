"""By which key a hub knows its participants: as its records say, else as its files do. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from nodes.hub.directory import HubConfig
from nodes.hub.draft import Draft
from nodes.hub.records import Member
from nodes.machine import Refused


def key_of(config: HubConfig, records: Mapping[str, Struct], participant: str) -> bytes | None:
    """By which key a participant of this subnet is known, be it gone; None where there never was one."""
    record = records.get(f"member/{participant}")
    return record.key if isinstance(record, Member) else config.participants.get(participant)


def attached_key(draft: Draft, participant: str) -> bytes | None:
    """The same of one that is attached now; None for others."""
    record = draft.member(participant)
    if record is None:
        return draft.config.participants.get(participant)
    return None if record.left else record.key


def require_key(draft: Draft, participant: str) -> bytes:
    """The same, for what only an attached participant may do.

    Raises:
        Refused: has-left.
    """
    key = attached_key(draft, participant)
    if key is None:
        raise Refused("has-left", f"{participant} is not attached to {draft.config.me} any more")
    return key
