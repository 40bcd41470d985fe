"""Who is attached to a hub: joining, changes of key and password, leaving, and every way in which a hub says no."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import structs

from broker.names import Key
from nodes.hub.members import key_of
from nodes.hub.records import ContractRecord, Member, SellRecord
from nodes.machine import Refused
from nodes.runtime.checks import Receiver, check_event
from schemas.ids import Address
from schemas.joint import IntroductionRequested
from schemas.membership import JoinRequest, ParticipantAdmitted, ParticipantRemoved, ParticipantSettled
from schemas.signing import struct_bytes
from tests.unit.nodes.hub.subnets import RENTER, B, rented, shares
from tests.unit.nodes.hub.world import START, World, placed, private_key, public_key, sell_order

NEW = "B11.B14"
HASH = "A" * 48
FIRST, SECOND, THIRD = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3))


def request(key: Ed25519PrivateKey, former: Ed25519PrivateKey | None = None, **fields: Any) -> JoinRequest:
    """Signed by the key, and by the former one if there is one."""
    said: dict[str, Any] = {"address": NEW, "role": "lessor", "lanes": 2, "password_hash": HASH, "made_at": START}
    made = JoinRequest(
        **(
            said
            | {
                "public_key": key.public_key().public_bytes_raw(),
                "former_key": b"" if former is None else former.public_key().public_bytes_raw(),
            }
            | fields
        )
    )
    signed = struct_bytes(made)
    by_former = b"" if former is None else former.sign(signed)
    return structs.replace(made, signature=key.sign(signed), former_signature=by_former)


def admit(world: World, asked: JoinRequest, *, until: float = 0.0, lost: bool = False) -> None:
    data = ParticipantAdmitted(request=asked, by="operator", until=until, lost=lost)
    world.send("participant.admitted", B, data, to=B)
    world.settle()


def joined(world: World) -> None:
    admit(world, request(private_key(NEW)))


def member(world: World, participant: str = NEW) -> Member:
    found = world.records[B][f"member/{participant}"]
    assert isinstance(found, Member)
    return found


def known(world: World, participant: str = NEW) -> bytes | None:
    return key_of(world.machines[B].config, world.records[B], participant)


def refusal(world: World) -> str:
    (refused,) = world.refusals
    return refused.code


def test_a_newcomers_orders_are_matched_and_its_contract_is_verified_elsewhere(world: World) -> None:
    joined(world)
    world.sell(NEW, price_micros=1)
    world.buy(RENTER)
    world.settle()
    assert known(world) == public_key(NEW)
    assert shares(world.contracts(RENTER)) == [(NEW, 2)]
    assert world.contracts(RENTER)[0].lessor_key == public_key(NEW)
    assert [note.text for _, note in world.notes if note.kind == "admitted"] == [f"{NEW}, by operator"]


def test_nobody_is_known_who_was_not_admitted(world: World) -> None:
    assert known(world) is None


def test_a_request_that_comes_twice_is_admitted_once(world: World) -> None:
    joined(world)
    joined(world)
    assert member(world).version == 1
    assert not world.refusals


def test_both_keys_count_until_the_overlap_is_over(world: World) -> None:
    admit(world, request(FIRST))
    admit(world, request(SECOND, FIRST, made_at=START + 1), until=START + 100)
    first, second = FIRST.public_key().public_bytes_raw(), SECOND.public_key().public_bytes_raw()
    assert (known(world), member(world).newest) == (first, second)
    world.run(101)
    assert (known(world), member(world).newest) == (second, b"")


def test_an_operator_ends_the_overlap(world: World) -> None:
    admit(world, request(FIRST))
    admit(world, request(SECOND, FIRST, made_at=START + 1), until=START + 100)
    assert (member(world).account, member(world).retiring) == (1, True)
    world.send("participant.settled", B, ParticipantSettled(address=NEW, by="operator"), to=B)
    world.settle()
    assert known(world) == SECOND.public_key().public_bytes_raw()
    assert (member(world).account, member(world).retiring) == (1, False)
    world.run(200)
    assert not world.refusals


def test_a_password_alone_leaves_the_key_and_takes_the_other_account(world: World) -> None:
    admit(world, request(FIRST))
    admit(world, request(FIRST, made_at=START + 1), until=START + 100)
    assert known(world) == FIRST.public_key().public_bytes_raw()
    assert (member(world).newest, member(world).account, member(world).version) == (b"", 1, 2)


def test_who_was_there_from_the_beginning_changes_its_key_like_others(world: World) -> None:
    former = private_key("B11.B12")
    admit(world, request(SECOND, former, address="B11.B12"))
    assert known(world, "B11.B12") == SECOND.public_key().public_bytes_raw()


def test_for_a_lost_key_the_operator_answers(world: World) -> None:
    admit(world, request(FIRST))
    admit(world, request(SECOND, made_at=START + 1), lost=True)
    assert (known(world), member(world).newest) == (SECOND.public_key().public_bytes_raw(), b"")


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (request(FIRST, address="A11.B14"), "wrong-hub"),
        (request(FIRST, address="B11.dead"), "reserved-name"),
        (structs.replace(request(FIRST), lanes=9), "request-signature"),
        (structs.replace(request(SECOND, FIRST), former_signature=bytes(64)), "former-signature"),
        (request(FIRST, password_hash=""), "no-password"),
        (request(SECOND, FIRST), "not-attached"),
        (request(FIRST, address="B11.B12"), "name-taken"),
    ],
)
def test_a_request_that_is_not_right_admits_nobody(world: World, asked: JoinRequest, code: str) -> None:
    admit(world, asked)
    assert refusal(world) == code
    assert "member" not in world.kinds("B11")


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (request(FIRST, lanes=3), "stale-request"),
        (request(SECOND, THIRD, made_at=START + 5), "name-taken"),
        (request(THIRD, FIRST, made_at=START + 5), "change-under-way"),
    ],
)
def test_a_change_that_is_not_right_changes_nothing(world: World, asked: JoinRequest, code: str) -> None:
    admit(world, request(FIRST))
    admit(world, request(SECOND, FIRST, made_at=START + 1), until=START + 100)
    before = member(world)
    admit(world, asked, until=START + 200)
    assert refusal(world) == code
    assert member(world) == before


@pytest.mark.parametrize("source", [NEW, "A11.hub", "A11.A12"])
def test_only_the_hubs_own_people_admit(world: World, source: str) -> None:
    for data in (
        ParticipantAdmitted(request=request(FIRST), by="me"),
        ParticipantSettled(address=NEW, by="me"),
        ParticipantRemoved(address=NEW, by="me"),
    ):
        what = {ParticipantAdmitted: "admitted", ParticipantSettled: "settled", ParticipantRemoved: "removed"}[
            type(data)
        ]
        event = world.send(f"participant.{what}", source, data, to=B)
        route = Key(Address(B), Address(source), "control")
        with pytest.raises(Refused) as refused:
            check_event(event, route, Receiver(Address(B), "hub"), world.now)
        assert refused.value.code == "wrong-role"


# ---------------------------------------------------------------- leaving


def remove(world: World, participant: str, *, ends: bool) -> None:
    data = ParticipantRemoved(address=participant, by="operator", ends=ends)
    world.send("participant.removed", B, data, to=B)
    world.settle()


def test_who_leaves_is_not_matched_any_more_while_its_contracts_go_on(world: World) -> None:
    contract = rented(world)
    remove(world, "B11.B12", ends=False)
    world.buy("A11.A14")
    world.run(10)
    assert not world.contracts("A11.A14")
    assert [record.contract for record in world.all("B11", ContractRecord)] == [contract]
    world.send("order.sell.placed", "B11.B12", placed(sell_order("B11.B12")))
    world.settle()
    assert refusal(world) == "has-left"


def test_both_sides_hear_that_contracts_end_with_a_participant(world: World) -> None:
    contract = rented(world)
    remove(world, "B11.B12", ends=True)
    for party in (RENTER, "B11.B12"):
        assert [(each.contract, each.code) for each in world.got(party, "contract.ended")] == [
            (contract.id, "participant-left")
        ]
    assert not world.all("A11", ContractRecord) + world.all("B11", ContractRecord)
    assert not world.all("B11", SellRecord)


def test_a_renter_that_leaves_takes_back_its_orders(world: World) -> None:
    world.buy(RENTER)
    world.settle()
    data = ParticipantRemoved(address=RENTER, by="operator")
    world.send("participant.removed", "A11.hub", data, to="A11.hub")
    world.settle()
    world.sell("B11.B12")
    world.run(40)
    assert not world.contracts(RENTER)
    world.buy(RENTER, 2)
    world.settle()
    assert refusal(world) == "has-left"


def test_nobody_introduces_who_has_left(world: World) -> None:
    remove(world, "B11.B13", ends=False)
    asked = IntroductionRequested(job=rented(world).buy.job, partner="B11.B13")
    world.send("introduction.requested", RENTER, asked)
    world.settle()
    assert [each.code for each in world.got(RENTER, "introduction.refused")] == ["unknown-partner"]


def test_who_was_never_there_cannot_be_removed(world: World) -> None:
    remove(world, NEW, ends=False)
    assert refusal(world) == "not-attached"


def test_who_left_joins_again_by_a_younger_request_only(world: World) -> None:
    joined(world)
    world.run(10)
    remove(world, NEW, ends=True)
    admit(world, request(FIRST, made_at=START + 1))
    assert refusal(world) == "stale-request"
    world.refusals.clear()
    admit(world, request(FIRST, made_at=START + 20))
    assert (member(world).left, known(world)) == (False, FIRST.public_key().public_bytes_raw())
