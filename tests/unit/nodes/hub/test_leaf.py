"""A leaf knows those hubs alone that it deals with, looks up the others, and hears of what changes (N4)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from nodes.contracts import verify_contract
from nodes.hub import introducing, leaf
from nodes.hub.records import Seeking, Sought, Telling
from nodes.introductions import verify_introduction
from schemas.errors import BadConfig
from schemas.events import QuoteReleased, QuoteRequested
from schemas.hubs import HUBS_SOUGHT_MAX, HubsAnnounced
from schemas.ids import derive_id, hub_address
from schemas.joint import IntroductionRequested
from schemas.orders import Need
from tests.unit.nodes.hub.announced import FOUNDERS, Growing, certify
from tests.unit.nodes.hub.test_announcing import LATE, LIES, announcement
from tests.unit.nodes.hub.world import START, buy_order, capacity, private_key, public_key, verify

LINE = "A11-B11 B11-C11 C11-D11 D11-E11 A11-L11"
"""L11 is a leaf at A11; D11 and E11 are of no founder's files, nor L11."""
RELEASED = QuoteReleased(quote=derive_id("quote", 1), order=derive_id("order", 1))


def world_of(links: str = LINE, *, run: float = 60.0, leaves: tuple[str, ...] = ("L11",)) -> Growing:
    world = Growing(links, leaves=leaves)
    world.start()
    world.run(run)
    return world


def known(world: Growing, hub: str = "L11") -> set[str]:
    return {key.partition("/")[2] for key in world.records[hub_address(hub)] if key.startswith("known/")}


def sought(world: Growing) -> set[str]:
    return {key.partition("/")[2] for key in world.records["L11.hub"] if key.startswith("sought/")}


def introduce(world: Growing, partner: str) -> None:
    job = derive_id("job", partner)
    world.send("introduction.requested", "L11.L12", IntroductionRequested(job=job, partner=partner))
    world.run(0.1)


def refusals(world: Growing, party: str = "L11.L12") -> list[str]:
    return [each.code for each in world.got(party, "introduction.refused")]


def test_a_leaf_knows_itself_and_its_neighbour_and_everybody_knows_the_leaf() -> None:
    world = world_of()
    assert known(world) == {"A11", "L11"}
    assert world.ways("L11")["E11"] == "D11 C11 B11 A11 L11"
    assert world.way("A11", "E11") == "B11 C11 D11 E11"
    assert not world.codes()


def test_what_a_leaf_keeps_and_is_told_does_not_grow_with_the_network() -> None:
    def at(links: str) -> tuple[set[str], int]:
        world = world_of(links)
        told = [event.data for event in world.wire("hubs.announced") if event.to == "L11.hub"]
        return known(world), sum(len(each.announced) for each in told if isinstance(each, HubsAnnounced))

    assert at("A11-B11 B11-C11 A11-L11") == at(LINE + " E11-F11 F11-G11 G11-H11 H11-I11")


def test_a_leafs_renter_rents_from_a_hub_that_its_files_never_named() -> None:
    world = world_of()
    world.sell("E11.E12")
    world.run(30)
    assert "E11" in known(world)
    world.buy("L11.L12", protection="enclave")
    world.run(10)
    (contract,) = world.contracts("L11.L12")
    assert contract.lessor_hub == "E11.hub"
    founders = world.machines["L11.hub"].config.hub_keys
    verify_contract(contract, founders, verify)
    assert not world.codes()


def test_a_leafs_lessor_is_rented_by_a_hub_that_it_never_heard_of_and_believes_for_its_certificate() -> None:
    world = world_of()
    world.sell("L11.L12")
    world.run(30)
    assert "E11" not in known(world)
    world.buy("E11.E12", protection="enclave")
    world.run(10)
    (contract,) = world.contracts("L11.L12")
    assert contract.renter_hub == "E11.hub"
    assert "E11" in known(world)
    assert not world.codes()


def test_two_leaves_rent_from_each_other() -> None:
    world = world_of("A11-B11 B11-C11 C11-D11 A11-L11 D11-M11", leaves=("L11", "M11"))
    world.sell("M11.M12")
    world.run(30)
    world.buy("L11.L12", protection="enclave")
    world.run(10)
    assert [each.lessor for each in world.contracts("L11.L12")] == ["M11.M12"]
    assert not world.codes()


# ---------------------------------------------------------------- looking up


def test_a_partner_behind_an_unknown_hub_is_introduced_once_that_is_looked_up() -> None:
    world = world_of()
    introduce(world, "E11.E13")
    world.run(1)
    (made,) = world.got("L11.L12", "introduction.made")
    verify_introduction(made.introduction, world.machines["L11.hub"].config.hub_keys, verify)
    assert {each.hub for each in made.introduction.hub_certificates} == {"L11", "E11"}
    assert not [key for key in world.records["L11.hub"] if key.startswith("stranger/")]
    assert not [name for hub, name in world.timers if hub == "L11.hub" and name.startswith("stranger")]


def test_a_hub_that_there_is_not_is_refused_as_soon_as_the_neighbour_says_so_and_not_kept() -> None:
    world = world_of()
    introduce(world, "Z11.Z12")
    world.run(2)
    assert refusals(world) == ["unknown-hub"]
    assert sought(world) == {"A11"}


def test_nobody_waits_longer_for_a_neighbour_that_does_not_answer() -> None:
    world = world_of()
    world.cut_off.add("A11.hub")
    introduce(world, "E11.E13")
    world.run(introducing.LOOK_UP_SECONDS - 1)
    assert not refusals(world)
    world.run(2)
    assert refusals(world) == ["unknown-hub"]
    world.cut_off.clear()
    introduce(world, "D11.D13")
    world.run(2)
    assert world.got("L11.L12", "introduction.made")


def test_while_the_link_is_lost_nobody_is_looked_up() -> None:
    world = world_of()
    world.cut("L11", "A11")
    world.run(1)
    introduce(world, "E11.E13")
    (refused,) = world.got("L11.L12", "introduction.refused")
    assert refused.code == "unknown-hub"
    assert "the link from L11.hub to A11.hub is down" in refused.reason
    world.mend("L11", "A11")
    world.run(2)
    introduce(world, "D11.D13")
    world.run(2)
    assert world.got("L11.L12", "introduction.made")


def test_a_renter_that_leaves_while_its_partners_hub_is_looked_up_takes_nothing_along() -> None:
    world = world_of()
    introduce(world, "L11.L13")  # of its own hub: nothing to look up
    world.cut_off.add("A11.hub")
    introduce(world, "E11.E13")
    machine = world.machines["L11.hub"]
    machine.config = replace(machine.config, participants={})
    world.cut_off.clear()
    world.run(2)
    assert "E11" in known(world), "the neighbour's answer counts"
    assert not world.codes()
    assert len(world.got("L11.L12", "introduction.made")) == 1
    assert not [key for key in world.records["L11.hub"] if key.startswith("stranger/")]


def test_only_so_many_wait_for_a_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introducing, "STRANGERS_MAX", 2)
    world = world_of()
    world.cut_off.add("A11.hub")
    for number in range(3):
        introduce(world, f"Z{number}.Z12")
    assert refusals(world) == ["unknown-hub"]


# ---------------------------------------------------------------- what changes


def test_a_key_renewal_reaches_the_leaf_and_what_the_old_one_signs_is_refused() -> None:
    world = world_of()
    introduce(world, "E11.E13")
    world.run(1)
    new = private_key("E11's new key")
    renewed = certify("E11", key=new.public_key().public_bytes_raw(), version=2)
    world.signers["E11.hub"] = new.sign
    world.configure("E11", renewed)
    world.now += 10
    world.start("E11")
    world.run(60)
    assert world.records["L11.hub"]["known/E11"].certificate == renewed  # type: ignore[attr-defined]
    asked = QuoteRequested(
        quote=derive_id("quote", 2),
        buy=buy_order("E11.E12"),
        need=Need(units=1, lessors_min=1, lessors_max=1),
        certificate=certify("E11"),
    )
    machine, records = world.machines["L11.hub"], world.records["L11.hub"]
    for data in (RELEASED, asked):
        event = world.send("quote.released", "E11.hub", data, to="L11.hub")
        assert machine.key_of(records, event) == renewed.public_key


def test_lost_ways_are_told_to_the_leaf_that_deals_with_their_hubs_and_others_are_not() -> None:
    world = world_of()
    introduce(world, "E11.E13")
    world.run(5)
    told = len([event for event in world.wire("hubs.announced") if event.to == "L11.hub"])
    world.cut("B11", "C11")
    world.run(60)
    assert world.way("L11", "E11") == "none"
    (news,) = [event for event in world.wire("hubs.announced") if event.to == "L11.hub"][told:]
    assert isinstance(news.data, HubsAnnounced)
    assert (news.data.announced, news.data.lost) == ((), ("E11",))
    world.mend("B11", "C11")
    world.run(60)
    assert world.way("L11", "E11") == "A11 B11 C11 D11 E11"


def test_a_lost_link_is_known_and_ways_come_back_with_it() -> None:
    world = world_of()
    introduce(world, "E11.E13")
    world.run(5)
    world.cut("A11", "L11")
    world.run(60)
    assert world.way("L11", "E11") == world.way("E11", "L11") == "none"
    world.mend("A11", "L11")
    world.run(60)
    assert world.way("L11", "E11") == "A11 B11 C11 D11 E11"
    assert world.way("E11", "L11") == "D11 C11 B11 A11 L11"


@pytest.mark.parametrize("hub", ["A11", "L11"])
def test_either_end_may_lose_its_store(hub: str) -> None:
    world = world_of()
    introduce(world, "E11.E13")
    world.run(5)
    world.records[hub_address(hub)].clear()
    world.now += 1
    world.start(hub)
    world.run(60)
    assert known(world) == ({"A11", "E11", "L11"} if hub == "A11" else {"A11", "L11"})
    introduce(world, "D11.D13")
    world.run(5)
    assert len(world.got("L11.L12", "introduction.made")) == 2
    assert not world.codes()


def test_a_leaf_that_gets_a_second_link_becomes_an_ordinary_hub_and_back() -> None:
    world = world_of()
    world.leaves.clear()
    for one, other in (("L11", "E11"), ("E11", "L11")):
        world.configure(one, None, other)
        world.now += 1
        world.start(one)
    world.run(60)
    assert known(world) == {"A11", "B11", "C11", "D11", "E11", "L11"}
    assert (world.way("L11", "D11"), world.way("A11", "E11")) == ("E11 D11", "L11 E11")
    assert not [key for key in world.records["A11.hub"] if key.startswith("seeking/")]
    assert not sought(world)
    world.leaves.add("L11")
    for one, other in (("L11", "E11"), ("E11", "L11")):
        world.links[one].discard(hub_address(other))
        world.configure(one)
        world.now += 1
        world.start(one)
    world.run(60)
    assert known(world) == {"A11", "L11"}
    assert world.way("E11", "L11") == "D11 C11 B11 A11 L11"
    assert not world.codes()


# ---------------------------------------------------------------- bounds


def test_the_longest_unused_give_way_but_none_that_a_contract_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaf, "HUBS_SOUGHT_MAX", 3)
    world = world_of()
    world.sell("L11.L12")
    world.run(30)
    world.buy("E11.E12", protection="enclave")
    world.run(10)
    for number, hub in enumerate("DCBD"):
        world.now += leaf.USED_SECONDS
        introduce(world, f"{hub}11.{hub}13")
        world.run(2)
        assert len(world.all("L11", Sought)) <= 3, number
        assert {"A11", "E11"} < known(world)
    assert sought(world) == {"A11", "E11", "D11"}
    assert known(world) == {"A11", "E11", "D11", "L11"}
    (told,) = world.all("A11", Seeking)
    assert set(told.hubs) == sought(world)


def test_a_neighbours_flood_of_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaf, "HUBS_SOUGHT_MAX", 8)
    world = world_of()
    for turn in range(5):
        words = [capacity(f"W{turn}x{number}.hub", units=1, memory_mib=1, at=world.now) for number in range(60)]
        world.tell("A11.hub", "L11.hub", *words)
        world.run(61)
    assert len(sought(world)) <= 8
    assert "A11" in sought(world)


def test_whom_the_leaf_did_not_seek_is_passed_over_however_many_the_neighbour_tells_of() -> None:
    world = world_of()
    for number in range(20):
        flood = tuple(announcement(f"F{number}x{each}", f"F{number}x{each} A11") for each in range(8))
        world.send("hubs.announced", "A11.hub", HubsAnnounced(number=LATE + number, announced=flood), to="L11.hub")
    world.run(5)
    assert known(world) == {"A11", "L11"}
    notes = [note for hub, note in world.notes if hub == "L11.hub" and note.kind == "passed-over"]
    assert [note.details["code"] for note in notes].count("unsought") in (20, 21)


@pytest.mark.parametrize("lie", LIES)
def test_a_neighbours_lie_about_a_hub_that_is_sought_is_refused_with_all_that_comes_with_it(lie: str) -> None:
    world = Growing("A11-B11 B11-C11 C11-D11 B11-L11", leaves=("L11",))
    told, code = LIES[lie]
    world.start("L11")
    world.settle()
    world.cut_off.add("B11.hub")
    introduce(world, "D11.D12")
    honest = announcement(path="D11 B11")
    for data in (HubsAnnounced(number=1, announced=(honest, told)), HubsAnnounced(number=1, announced=(told,))):
        world.send("hubs.announced", "B11.hub", data, to="L11.hub")
        world.settle()
        assert world.codes().pop() == code
        assert world.way("L11", "D11") == ""


def test_an_older_word_of_what_is_sought_changes_nothing() -> None:
    world = world_of()
    introduce(world, "E11.E13")
    world.run(5)
    for seeks in ((), None):
        world.send("hubs.announced", "L11.hub", HubsAnnounced(number=1, seeks=seeks), to="A11.hub", time=START)
    world.settle()
    (kept,) = world.all("A11", Seeking)
    assert kept.hubs == ("A11", "E11")


def test_a_leaf_that_seeks_others_again_and_again_fills_no_neighbour() -> None:
    world = world_of()
    for turn in range(20):
        seeks = tuple(f"T{turn}x{number}" for number in range(HUBS_SOUGHT_MAX))
        world.send("hubs.announced", "L11.hub", HubsAnnounced(number=LATE + turn, seeks=seeks), to="A11.hub")
        world.settle()
    (kept,) = world.all("A11", Seeking)
    assert len(kept.hubs) == HUBS_SOUGHT_MAX
    assert max(len(each.hubs) for each in world.all("A11", Telling)) <= HUBS_SOUGHT_MAX + 1


def test_only_founders_word_makes_a_stranger_believed() -> None:
    world = world_of()
    machine, records = world.machines["L11.hub"], world.records["L11.hub"]
    for certificate, key in (
        (certify("E11"), public_key("E11.hub")),
        (certify("E11", by=FOUNDERS[:1]), None),
        (certify("D11"), None),
        (certify("E11", until=START - 1), None),
        (None, None),
    ):
        data = QuoteRequested(
            quote=derive_id("quote", 2),
            buy=buy_order("E11.E12"),
            need=Need(units=1, lessors_min=1, lessors_max=1),
            certificate=certificate,
        )
        event = world.send("quote.requested", "E11.hub", data, to="L11.hub")
        assert machine.key_of(records, event) == key


def test_every_event_by_which_hubs_begin_to_talk_brings_its_senders_certificate() -> None:
    world = world_of()
    for seller, buyer in (("L11", "E11"), ("E11", "L11")):
        world.sell(f"{seller}.{seller[0]}12", units=2)
        world.run(30)
        world.buy(f"{buyer}.{buyer[0]}13", protection="enclave")
        world.run(10)
    for renter, partner in (("E11.E12", "L11.L13"), ("L11.L12", "E11.E13")):
        asked = IntroductionRequested(job=derive_id("job", renter), partner=partner)
        world.send("introduction.requested", renter, asked)
        world.run(5)
    machine, kinds = world.machines["L11.hub"], set[str]()
    for event in world.sent:
        if (event.source, event.to) == ("E11.hub", "L11.hub") and machine.key_of({}, event):
            assert machine.key_of({}, event) == public_key("E11.hub")
            kinds.add(event.type)
    assert kinds == {
        "quote.requested",
        "quote.offered",
        "contract.proposed",
        "contract.countersigned",
        "introduction.proposed",
        "introduction.countersigned",
    }


def test_a_leaf_with_two_links_is_refused() -> None:
    config = world_of().machines["L11.hub"].config
    with pytest.raises(BadConfig, match="is a leaf and has 2 links"):
        replace(config, linked=("A11.hub", "B11.hub"))


def test_more_are_not_sought_than_one_event_takes() -> None:
    draft = world_of().draft(hub_address("L11"))
    leaf.mark(draft, (f"H{number}" for number in range(2 * HUBS_SOUGHT_MAX)))
    assert len(leaf.sought(draft)) == HUBS_SOUGHT_MAX
    assert structs.replace(HubsAnnounced(number=1), seeks=leaf.sought(draft))
    assert leaf.is_sought(draft, "A11")
