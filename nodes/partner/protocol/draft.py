"""What one event changes of a partner's part in a job. Pure."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from nodes import draft
from nodes.joint import exchange
from nodes.joint.records import Alignment
from nodes.ledger import Intersection, SameRows, Section, written
from nodes.machine import CancelTimer, Perform, Refused, SetTimer
from nodes.partner.protocol import states
from nodes.partner.protocol.config import PartnerConfig
from nodes.partner.protocol.records import ContractRecord, Ledger, Part, Round, Summed, Taken
from nodes.partner.protocol.states import PartPhase
from nodes.states import advance
from schemas import limits
from schemas.joint import JointEnded, Learned, WorkContinued


class Draft(draft.Draft[PartnerConfig]):
    """A draft over one part's aggregate."""

    @property
    def part(self) -> Part:
        """The part of this aggregate; raises Refused where there is none."""
        part = self.find(Part, "part")
        if part is None:
            raise Refused("unknown-job", "no such job here")
        return part

    @property
    def phase(self) -> PartPhase:
        """The part's; `new` when there is none."""
        part = self.find(Part, "part")
        return "new" if part is None else part.phase

    def advance(self, happened: str, **fields: Any) -> Part:
        """Take the part to the phase that follows, with these fields changed; raises IllegalTransition."""
        part = self.part
        changed = structs.replace(part, phase=advance(states.PART, part.phase, happened), **fields)
        self.put("part", changed)
        return changed

    def round(self, number: int) -> Round | None:
        """A round that was opened, or None."""
        return self.find(Round, f"round/{number}")

    def heard(self) -> None:
        """The renter's side was heard of: its time begins anew."""
        self.put("part", structs.replace(self.part, heard_at=self.now))
        self.do(SetTimer(name="renter", at=self.now + self.config.renter_seconds_max))

    def begin_work(self, *activities: Perform) -> None:
        """Have what the renter waits for done; meanwhile it hears that this goes on."""
        self.put("part", structs.replace(self.part, working_since=self.now))
        self.do(SetTimer(name="work", at=self.now + limits.WORK_SIGN_SECONDS), *activities)

    def go_on(self) -> None:
        """The time for a sign has come. Work that never ends is none: the renter then hears no more of it."""
        part = self.part
        if part.working_since and self.now - part.working_since < limits.WORK_SECONDS_MAX:
            self.send("work.continued", part.renter, part.job, WorkContinued(job=part.job))
            self.do(SetTimer(name="work", at=self.now + limits.WORK_SIGN_SECONDS))

    def end_work(self) -> None:
        """It is done."""
        self.put("part", structs.replace(self.part, working_since=0.0))
        self.do(CancelTimer(name="work"))

    def learn(self, *lines: Learned) -> None:
        """Write the ledger as it happens; raises LedgerExceeded."""
        ledger = self.find(Ledger, "ledger") or Ledger()
        self.put("ledger", Ledger(lines=written(ledger.lines, lines, self._declared)))
        for each in lines:
            self.note("learned", f"{each.party}: {each.shape}", kind=each.kind, count=each.count, round=each.round)

    @property
    def _declared(self) -> tuple[Section, ...]:
        """What the job may teach anybody, as far as it is known yet."""
        part, state = self.part, self.find(Alignment, "alignment")
        rows = SameRows(part.rows) if state is None else Intersection(state.others, state.mine)
        return rows, part.taught_by_rounds

    def end(self, happened: str, *, code: str, reason: str, tell: bool = True) -> None:
        """The part is over: the renter learns why, and what was made of the data for it is erased."""
        text = reason[: limits.REASON_CHARS_MAX]
        part = self.advance(happened, code=code, reason=text, ended_at=self.now, working_since=0.0)
        self.note(f"part-{part.phase}", text, code=code)
        if tell:
            self.send("joint.ended", part.renter, part.job, JointEnded(job=part.job, code=code, reason=text))
        outputs = [each.output for _, each in self.each(Round, "round") if each.output]
        self.delete("request")
        exchange.close(self)
        self.delete("alignment")
        for prefix, kind in (("contract", ContractRecord), ("round", Round), ("taken", Taken), ("unit", Summed)):
            for key, _ in list(self.each(kind, prefix)):
                self.delete(key)
        self.do(CancelTimer(name="renter"), CancelTimer(name="approval"), CancelTimer(name="work"))
        self.erase(*outputs)

    def erase(self, *outputs: str) -> None:
        """Have the files of a part that is over removed, and the outputs of these digests."""
        self.do(Perform(activity="erase", params={"outputs": [each for each in outputs if each]}))
