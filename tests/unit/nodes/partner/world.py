"""One part's records in virtual time, and everything that the partner's machine asks for."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, structs

from nodes.hub.signing import make_contract, sign_as_lessor_hub, sign_as_renter_hub
from nodes.identity import Identity
from nodes.machine import TIMER_FIRED, Context, Note, Perform, Publish, Step, TimerFired
from nodes.partner.protocol.config import PartnerConfig
from nodes.partner.protocol.machine import PartnerMachine
from nodes.partner.protocol.records import Part, PartialTaken, RequestExamined, RoundAnswered
from schemas.contracts import Contract
from schemas.events import Event
from schemas.ids import Address, address, derive_id
from schemas.jobs import Batch
from schemas.joint import ContractShown, Introduction, JointRequested, RoundOpened
from schemas.orders import Offer
from schemas.signing import struct_bytes
from tests.unit.nodes.hub.world import START, buy_order, private_key, public_key, sell_order, signer, verify

ME, RENTER, LESSOR = address("C11", "C12"), address("A11", "A12"), address("B11", "B12")
IDENTITY = Identity(ME, private_key(ME))
JOB = derive_id("job", RENTER, 1)
"""As `buy_order` names it."""
HUB_KEYS = {hub: public_key(hub) for hub in ("A11.hub", "B11.hub", "C11.hub")}
ROWS, ROUNDS = 100, 2
RENTER_SECONDS, APPROVAL_SECONDS = 60.0, 300.0


def introduction(**changed: Any) -> Introduction:
    """Of RENTER to this partner; signed by both hubs as it is after the changes."""
    fields: dict[str, Any] = {
        "job": JOB,
        "renter": RENTER,
        "partner": ME,
        "renter_hub": "A11.hub",
        "partner_hub": "C11.hub",
        "renter_key": public_key(RENTER),
        "partner_key": public_key(ME),
        "made_at": START,
    } | changed
    made = Introduction(**fields)
    signed = struct_bytes(made)
    return structs.replace(
        made, renter_hub_signature=signer("A11.hub")(signed), partner_hub_signature=signer("C11.hub")(signed)
    )


def request(**changed: Any) -> JointRequested:
    """What RENTER asks."""
    fields: dict[str, Any] = {
        "introduction": introduction(),
        "job": JOB,
        "dataset": "claims",
        "columns": (),
        "program": b"program",
        "public_key": b"key",
        "modulus_proof": b"proof",
        "rows": ROWS,
        "received": 4,
        "rounds": ROUNDS,
        "ids": "0" * 64,
        "version": 1,
    } | changed
    return JointRequested(**fields)


def contract(order: int = 1) -> Contract:
    """Between RENTER and LESSOR for this job."""
    sell = sell_order(LESSOR)
    offer = Offer(sell=sell, lessor_key=public_key(LESSOR), units=2, placed_at=START, reserved_until=START + 15)
    buy = buy_order(RENTER, order, protection="sealed-result")
    made = make_contract(derive_id("contract", 1), buy, public_key(RENTER), offer, 2, START)
    return sign_as_lessor_hub(sign_as_renter_hub(made, signer("A11.hub")), signer("B11.hub"))


class World:
    """One part."""

    def __init__(self) -> None:
        config = PartnerConfig(
            me=ME,
            key=public_key(ME),
            hub_keys=HUB_KEYS,
            renter_seconds_max=RENTER_SECONDS,
            approval_seconds_max=APPROVAL_SECONDS,
        )
        self.machine = PartnerMachine(config)
        self.now = START
        self.records: dict[str, Struct] = {}
        self.step = Step()

    def handle(self, event_type: str, data: Struct, source: Address = ME) -> Step:
        """Handle one event and keep what changed; handling it twice gives the same."""
        event = Event(f"event-{self.now}-{event_type}", event_type, source, ME, self.now, JOB, data)
        assert self.machine.aggregate_of(event) == JOB
        context = Context(ME, self.now, b"\0" * 32, event.id, signer(ME), verify)
        self.step = self.machine.handle(self.records, event, context)
        assert self.machine.handle(self.records, event, context) == self.step
        self.records = {key: value for key, value in self.records.items() if key not in self.step.delete}
        self.records |= self.step.put
        self.now += 0.25
        return self.step

    def fire(self, name: str, hearing_since: float = 0.0) -> Step:
        return self.handle(TIMER_FIRED, TimerFired(name=name, at=self.now, hearing_since=hearing_since))

    def asked(self, **changed: Any) -> World:
        self.handle("joint.requested", request(**changed), RENTER)
        return self

    def examined(self, **fields: Any) -> World:
        found: dict[str, Any] = {"columns": ("premium", "claims"), "outputs": 2} | fields
        self.handle("request.examined", RequestExamined(**found))
        return self

    def opened(self, number: int = 1, rows: int = ROWS) -> World:
        opened = RoundOpened(job=JOB, round=number, rows=rows, value_bits=20, result_bits=18)
        self.handle("round.opened", opened, RENTER)
        return self

    def shown(self, of: Contract | None = None) -> World:
        self.handle("contract.shown", ContractShown(job=JOB, contract=of or contract()), RENTER)
        return self

    def taken(self, number: int, first_row: int, rows: int, current: int = 1) -> World:
        done = PartialTaken(batch=batch(number, first_row, rows, current), lessor=LESSOR, digest=f"{number:064d}")
        self.handle("partial.taken", done)
        return self

    def made(self, number: int = 1, **fields: Any) -> World:
        given: dict[str, Any] = {"round": number, "digest": "d" * 64, "outputs": 2, "bits": 40} | fields
        self.handle("round.made", RoundAnswered(**given))
        return self

    @property
    def part(self) -> Part:
        part = self.records["part"]
        assert isinstance(part, Part)
        return part

    def sent(self) -> list[Publish]:
        return [effect for effect in self.step.effects if isinstance(effect, Publish)]

    def performed(self) -> list[str]:
        return [effect.activity for effect in self.step.effects if isinstance(effect, Perform)]

    def notes(self) -> list[str]:
        return [effect.kind for effect in self.step.effects if isinstance(effect, Note)]


def accepted() -> World:
    """A part that goes on, with a contract shown and a round open."""
    return World().asked().examined().shown().opened()


def batch(number: int, first_row: int, rows: int, current: int = 1) -> Batch:
    return Batch(
        job=JOB,
        subtask=derive_id("subtask", 1),
        contract=contract().id,
        batch=number,
        attempt=1,
        first_row=first_row,
        rows=rows,
        round=current,
    )
