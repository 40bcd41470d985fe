"""What one event changes at a worker, beside what the worker was told from outside. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import Struct, structs

from broker.names import lane
from nodes import draft
from nodes.lessor.protocol.config import LessorConfig
from nodes.lessor.protocol.records import OFFERED, Blob, Closed, Offered, Session
from nodes.lessor.protocol.states import SESSION
from nodes.machine import Context, Perform, Records
from nodes.states import advance


@dataclass(frozen=True, slots=True)
class Worker:
    """One process of a lessor: its name, and the lane of which it is the only consumer."""

    config: LessorConfig
    name: str
    lane: str


class Draft(draft.Draft[LessorConfig]):
    """A draft over the worker's one aggregate."""

    def __init__(self, worker: Worker, records: Records, context: Context) -> None:
        super().__init__(worker.config, records, context)
        self.worker = worker

    def session(self, subtask: str) -> Session | None:
        """The session with this subtask, or None."""
        return self.find(Session, f"session/{subtask}")

    def closed(self, contract: str) -> Closed | None:
        """What is known of an ended contract; None while it runs, as far as is known."""
        return self.find(Closed, f"closed/{contract}")

    @property
    def offered_since(self) -> float:
        """Since when this worker offers its terms, seconds since 1970."""
        offered = self.find(Offered, OFFERED)
        return self.now if offered is None else offered.since

    def advance(self, session: Session, happened: str, **fields: Any) -> Session:
        """Take a session to the phase that follows, with these fields changed; raises IllegalTransition."""
        changed = structs.replace(session, phase=advance(SESSION, session.phase, happened), **fields)
        if changed.phase == "gone":
            self.delete(f"session/{session.subtask}")
        else:
            self.put(f"session/{session.subtask}", changed)
        return changed

    def perform(self, activity: str, session: Session, **params: Any) -> None:
        """Append a `Perform` for a session."""
        self.do(Perform(activity=activity, params={"subtask": session.subtask, **params}))

    def tell_others(self, event_type: str, contract: str, news: Struct) -> None:
        """Send it to the other workers of this lessor, each on its lane."""
        for each in map(lane, range(1, self.config.lanes + 1)):
            if each != self.worker.lane:
                self.send(event_type, self.config.me, contract, news, lane=each)

    def blob(self, digest: str) -> bytes | None:
        """The piece of this digest, if it is here."""
        blob = self.find(Blob, f"blob/{digest}")
        return None if blob is None else blob.raw
