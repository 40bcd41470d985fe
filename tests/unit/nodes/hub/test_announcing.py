"""Hubs are known, and reached, everywhere by what neighbours tell (N3, N4)."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import replace
from random import Random

import msgspec
import pytest
from msgspec import structs

from nodes.contracts import ContractInvalid, verify_contract
from nodes.hub import telling
from nodes.hub.records import KnownHub
from nodes.hub_keys import HubKeys
from nodes.introductions import verify_introduction
from schemas import limits
from schemas.certifying import announcement_bytes
from schemas.events import MarketRequested, QuoteReleased
from schemas.hubs import HubAnnouncement, HubCertificate, HubsAnnounced
from schemas.ids import hub_address
from schemas.joint import IntroductionRequested
from tests.unit.nodes.hub.announced import FOUNDERS, FOUNDING, SMALL, Growing, certify
from tests.unit.nodes.hub.world import START, private_key, public_key, signer, verify


def test_a_new_hub_that_links_with_one_neighbour_is_known_and_reached_far_away() -> None:
    world = Growing("A11-B11 B11-C11 C11-D11")
    world.start()
    world.run(60)
    assert not world.codes()
    assert world.ways("D11") == {"A11": "B11 C11 D11", "B11": "C11 D11", "C11": "D11"}
    assert world.ways("A11") == {"B11": "A11", "C11": "B11 A11", "D11": "C11 B11 A11"}


def test_a_cut_link_is_gone_round_and_the_shorter_way_comes_back_with_it() -> None:
    world = Growing("A11-B11 B11-C11 C11-D11 D11-A11")
    world.start()
    world.run(60)
    assert world.way("A11", "D11") == "D11"
    world.cut("A11", "D11")
    world.run(60)
    assert world.ways("D11") == {"A11": "B11 C11 D11", "B11": "C11 D11", "C11": "D11"}
    assert world.ways("A11") == {"B11": "A11", "C11": "B11 A11", "D11": "C11 B11 A11"}
    assert not world.noted("no-way")
    world.mend("A11", "D11")
    world.run(60)
    assert world.ways("D11")["A11"] == "D11"
    assert world.ways("A11")["D11"] == "A11"
    assert not world.codes()


def test_another_way_is_found_within_seconds() -> None:
    world = Growing("A11-B11 B11-C11 C11-D11 D11-A11")
    world.start()
    world.run(60)
    world.cut("A11", "D11")
    world.run(2 * limits.ANNOUNCE_SECONDS)
    assert world.way("A11", "D11") == "B11 C11 D11"


def test_where_no_way_is_left_nothing_counts_to_infinity_and_the_hub_says_so() -> None:
    """A triangle that loses its only link to a fourth hub: the classic case of distance vectors."""
    world = Growing("A11-B11 B11-C11 C11-A11 C11-D11")
    world.start()
    world.run(60)
    before = len(world.wire("hubs.announced"))
    world.cut("C11", "D11")
    world.run(600)
    assert set(world.ways("D11").values()) == {"none"}
    assert "no link leads from A11.hub to D11" in world.noted("no-way")
    assert len(world.wire("hubs.announced")) - before < 20
    assert all(len(set(path)) == len(path) for path in world.paths())


def test_every_network_settles_on_shortest_ways_whatever_is_cut_and_in_whatever_order_word_comes() -> None:
    for seed in range(20):
        random = Random(seed)
        names = [f"{letter}11" for letter in "ABCDEFGH"]
        pairs = {tuple(sorted(pair)) for pair in itertools.pairwise([*random.sample(names, len(names)), names[0]])}
        pairs |= {tuple(sorted(random.sample(names, 2))) for _ in range(4)}
        pairs = {pair for pair in pairs if len(set(pair)) == 2}
        world = Growing(" ".join("-".join(pair) for pair in sorted(pairs)))
        world.choose = random.randrange
        world.start()
        world.run(120)
        for _ in range(3):
            gone = random.choice(sorted(pairs))
            pairs.discard(gone)
            world.cut(*gone)
            world.run(random.choice((0.0, 1.0, 120.0)))
        world.run(300)
        assert not world.codes(), seed
        for one, two in itertools.permutations(names, 2):
            hops = len(world.way(one, two).split()) if world.way(one, two) != "none" else None
            assert hops == distance(pairs, one, two), (seed, one, two)


def distance(pairs: Collection[tuple[str, ...]], one: str, two: str) -> int | None:
    """Links on the shortest way."""
    reached, hops = {one}, 0
    while two not in reached:
        further = reached | {each for pair in pairs if set(pair) & reached for each in pair}
        if further == reached:
            return None
        reached, hops = further, hops + 1
    return hops


def test_a_neighbour_is_told_at_once_then_every_few_seconds_and_only_of_what_changed() -> None:
    world = Growing("A11-B11 B11-C11")
    world.start()
    world.run(60)
    sent = len(world.wire("hubs.announced"))
    world.run(3600)
    assert len(world.wire("hubs.announced")) == sent
    for _ in range(50):
        world.cut("B11", "C11")
        world.mend("B11", "C11")
        world.run(0.1)
    told = [each for each in world.wire("hubs.announced")[sent:] if (each.source, each.to) == ("B11.hub", "A11.hub")]
    assert len(told) <= 1 + 5 / limits.ANNOUNCE_SECONDS + 1


def test_a_directory_entry_takes_at_most_300_bytes_in_the_store() -> None:
    world = Growing("A11-B11 B11-C11 C11-D11 D11-E11 E11-F11 F11-G11 G11-H11", SMALL)
    for hub in "DEFGH":
        world.configure(f"{hub}11", certify(f"{hub}11", by=FOUNDERS[:1], founding=SMALL))
    world.start()
    world.run(300)
    assert world.way("A11", "H11") == "B11 C11 D11 E11 F11 G11 H11"
    assert max(len(msgspec.msgpack.encode(each)) for each in world.all("A11", KnownHub)) <= 300


def test_a_large_directory_is_told_in_several_rounds() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(telling, "HUBS_TOLD_MAX", 2)
        world = Growing("A11-B11 B11-C11 C11-D11 D11-E11 E11-F11")
        world.start()
        world.run(200)
    assert max(len(each.data.announced) for each in world.wire("hubs.announced")) == 2  # type: ignore[union-attr]
    assert world.way("A11", "F11") == "B11 C11 D11 E11 F11"
    assert world.way("F11", "A11") == "E11 D11 C11 B11 A11"


def test_a_hub_that_lost_its_store_is_told_everything_again() -> None:
    world = Growing("A11-B11 B11-C11 C11-D11")
    world.start()
    world.run(60)
    world.records["B11.hub"].clear()
    world.now += 1
    world.start("B11")
    world.run(60)
    assert world.way("B11", "D11") == "C11 D11"
    assert world.way("B11", "A11") == "A11"
    assert not world.codes()


def test_word_that_was_on_its_way_when_its_link_was_lost_leads_nowhere() -> None:
    world = Growing("A11-B11 B11-C11 C11-D11 D11-A11 D11-E11")
    world.start()
    world.run(60)
    world.cut_off.add("A11.hub")
    world.cut("D11", "E11")
    world.run(60)
    world.mend("D11", "E11")
    world.run(60)
    late = [each for each in world.queue if each.source == "D11.hub"]
    assert late
    world.queue = [each for each in world.queue if each not in late]
    world.cut_off.clear()
    world.cut("A11", "D11")
    world.settle()
    world.queue += late
    world.run(60)
    assert world.way("A11", "D11") == "B11 C11 D11"
    assert world.way("A11", "E11") == "B11 C11 D11 E11"
    assert "link-lost" in world.passed_over()
    world.mend("A11", "D11")
    world.run(60)
    assert world.way("A11", "E11") == "D11 E11"


def test_what_came_over_a_link_that_only_one_end_thought_lost_is_asked_for() -> None:
    world = Growing("A11-B11 B11-C11 C11-D11")
    world.start("A11", "B11", "C11")
    world.run(60)
    world.link("B11", "C11", "nothing has come")
    world.settle()
    world.start("D11")
    world.run(60)
    assert (world.way("B11", "D11"), world.way("B11", "C11")) == ("", "none")
    world.link("B11", "C11", "")
    world.run(60)
    assert world.way("B11", "D11") == "C11 D11"
    assert world.way("A11", "D11") == "B11 C11 D11"


def test_word_that_others_overtook_is_passed_over_and_all_is_asked_for_anew() -> None:
    world = Growing("A11-B11 B11-C11 C11-D11")
    world.start()
    world.run(60)
    world.cut_off.add("A11.hub")
    world.cut("C11", "D11")
    world.run(60)
    world.mend("C11", "D11")
    world.run(60)
    late, *younger = (each for each in world.queue if each.type == "hubs.announced")
    assert [getattr(late.data, "lost", ()), len(younger)] == [("D11",), 1]
    world.queue = [each for each in world.queue if each != late]
    world.cut_off.clear()
    world.settle()
    world.queue.append(late)
    world.run(60)
    assert world.way("A11", "D11") == "B11 C11 D11"
    assert world.passed_over() == ["old-number"]
    assert [each.data.asks for each in world.wire("hubs.announced") if each.source == "A11.hub"][-1]  # type: ignore[union-attr]


def test_what_a_neighbour_never_heard_it_asks_for() -> None:
    world = Growing("A11-B11 B11-C11 C11-D11 B11-E11")
    world.start()
    world.run(60)
    world.cut_off.add("A11.hub")
    world.cut("C11", "D11")
    world.run(60)
    world.queue.clear()
    world.cut_off.clear()
    assert world.way("A11", "D11") == "B11 C11 D11"
    world.cut("B11", "E11")
    world.run(60)
    assert world.way("A11", "D11") == "none"


# ---------------------------------------------------------------- neighbours that lie


def announcement(
    hub: str = "D11",
    path: str = "D11 B11",
    *,
    sequence: int = int(START) + 9,
    certificate: HubCertificate | None = None,
    by: str = "",
) -> HubAnnouncement:
    certificate = certificate or certify(hub)
    bare = HubAnnouncement(hub, sequence, tuple(path.split()), certificate)
    signature = signer(by or hub_address(hub))(announcement_bytes(bare, certificate.public_key))
    return structs.replace(bare, signature=signature)


LATE = int(START) + 1_000_000
"""A number that no honest neighbour of these has come to."""
FORGED = certify("D11", by=FOUNDERS[:1])
LIES: dict[str, tuple[HubAnnouncement, str]] = {
    "its own name is missing": (announcement(path="D11 C11"), "wrong-path"),
    "no path at all": (announcement(path=""), "wrong-path"),
    "not from its origin": (announcement(path="E11 B11"), "wrong-path"),
    "in a circle": (announcement(path="D11 B11 C11 B11"), "wrong-path"),
    "signed by another": (announcement(by="B11.hub"), "origin-signature"),
    "an invented sequence": (structs.replace(announcement(), sequence=int(START) + 10), "origin-signature"),
    "another hub's certificate": (
        announcement(certificate=certify("E11", key=public_key("D11.hub"))),
        "hub-certificate",
    ),
    "one founder too few": (announcement(certificate=FORGED), "hub-certificate"),
    "one founder twice": (announcement(certificate=certify("D11", by=("A11.hub", "A11.hub"))), "hub-certificate"),
    "of another network": (announcement(certificate=certify("D11", founding=SMALL)), "hub-certificate"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_with_all_that_comes_with_it(lie: str) -> None:
    world = Growing("A11-B11 B11-C11 C11-D11")
    told, code = LIES[lie]
    honest = announcement(path="D11 B11")
    for data in (HubsAnnounced(number=1, announced=(honest, told)), HubsAnnounced(number=1, announced=(told,))):
        world.start("A11")
        world.send("hubs.announced", "B11.hub", data, to="A11.hub")
        world.settle()
        assert world.codes().pop() == code
        assert world.way("A11", "D11") == ""


PASSED_OVER: dict[str, HubAnnouncement] = {
    "old-sequence": announcement(sequence=int(START) - 1),
    "old-certificate": announcement(sequence=int(START) + 99),
    "expired": announcement(certificate=certify("D11", version=9, until=START - 1)),
}


@pytest.mark.parametrize("code", PASSED_OVER)
def test_what_is_late_or_of_no_use_changes_nothing(code: str) -> None:
    world = Growing("A11-B11 A11-C11 C11-D11")
    told = PASSED_OVER[code]
    version = 2 if code == "old-certificate" else 1
    known = announcement(path="D11 E11 C11", certificate=certify("D11", version=version))
    world.start("A11")
    world.send("hubs.announced", "C11.hub", HubsAnnounced(number=1, announced=(known,)), to="A11.hub")
    world.send("hubs.announced", "B11.hub", HubsAnnounced(number=1, announced=(told,)), to="A11.hub")
    world.settle()
    assert world.way("A11", "D11") == "C11 E11 D11"
    assert world.passed_over() == [code]
    assert not world.codes()


def test_a_hub_that_no_founder_certified_is_passed_over_and_told_to_nobody() -> None:
    world = Growing("A11-B11 B11-C11")
    bare = structs.replace(announcement(path="D11 B11"), certificate=None)
    world.start("A11")
    world.send("hubs.announced", "B11.hub", HubsAnnounced(number=1, announced=(bare,)), to="A11.hub")
    world.settle()
    assert world.way("A11", "D11") == ""
    assert world.passed_over() == ["uncertified"]


def test_only_neighbours_tell_of_hubs() -> None:
    world = Growing("A11-B11 B11-C11")
    told = HubsAnnounced(number=1, announced=(announcement(path="D11 C11"),))
    world.send("hubs.announced", "C11.hub", told, to="A11.hub")
    world.settle()
    assert world.codes() == ["not-a-neighbour"]


# ---------------------------------------------------------------- keys


def test_a_lost_key_is_replaced_everywhere_and_the_old_one_is_refused() -> None:
    world = Growing("A11-B11 B11-C11 C11-D11")
    world.start()
    world.run(60)
    new = private_key("D11's new key")
    renewed = certify("D11", key=new.public_key().public_bytes_raw(), version=2)
    world.signers["D11.hub"] = new.sign
    world.configure("D11", renewed)
    world.now += 10
    world.start("D11")
    world.run(60)
    for hub in ("A11", "B11", "C11"):
        (known,) = [world.records[f"{hub}.hub"]["known/D11"]]
        assert isinstance(known, KnownHub)
        assert known.certificate == renewed
    machine, records = world.machines["A11.hub"], world.records["A11.hub"]
    event = world.send("quote.released", "D11.hub", QuoteReleased(quote="quote-" + "0" * 24, order="x"), to="A11.hub")
    assert machine.key_of(records, event) == renewed.public_key
    stolen = announcement(path="D11 C11", sequence=int(world.now) + 1000)
    world.send("hubs.announced", "C11.hub", HubsAnnounced(number=LATE, announced=(stolen,)), to="B11.hub")
    world.settle()
    assert world.records["B11.hub"]["known/D11"].certificate == renewed  # type: ignore[attr-defined]
    assert world.passed_over()[0] == "old-certificate"


def test_a_neighbour_believes_an_event_by_the_new_key_for_the_certificate_in_it() -> None:
    world = Growing("A11-B11 B11-C11 C11-D11")
    world.start()
    world.run(60)
    machine, records = world.machines["C11.hub"], world.records["C11.hub"]
    new = public_key("another")
    for certificate, expected in (
        (certify("D11", key=new, version=2), new),
        (certify("D11", key=new, version=1), public_key("D11.hub")),
        (certify("D11", key=new, version=2, by=FOUNDERS[:1]), public_key("D11.hub")),
        (certify("D11", key=new, version=2, until=START - 1), public_key("D11.hub")),
        (certify("E11", key=new, version=2), public_key("D11.hub")),
    ):
        told = HubsAnnounced(number=1, announced=(announcement(path="D11", certificate=certificate),))
        event = world.send("hubs.announced", "D11.hub", told, to="C11.hub")
        assert machine.key_of(records, event) == expected


def test_a_hubs_certificate_is_no_key_of_its_participants() -> None:
    world = Growing("A11-B11 B11-C11 C11-D11")
    world.start()
    world.run(60)
    for hub, key in (("D11", public_key("D11.D12")), ("A11", None)):
        event = world.send("market.requested", "D11.D12", MarketRequested(lane="w0"), to=f"{hub}.hub")
        machine, records = world.machines[f"{hub}.hub"], world.records[f"{hub}.hub"]
        assert machine.key_of(records, event) == key


def test_a_younger_key_in_the_files_counts_before_what_was_announced() -> None:
    world = Growing("A11-B11 B11-C11 C11-D11")
    world.start()
    world.run(60)
    machine, records, newest = world.machines["A11.hub"], world.records["A11.hub"], public_key("in the files")
    event = world.send("quote.released", "D11.hub", QuoteReleased(quote="quote-" + "0" * 24, order="x"), to="A11.hub")
    for version, key in ((1, newest), (0, public_key("D11.hub"))):
        filed = HubKeys({**machine.config.hub_keys, "D11.hub": newest}, FOUNDING, {"D11.hub": version})
        machine.config = replace(machine.config, hub_keys=filed)
        assert machine.key_of(records, event) == key


def test_an_expired_certificate_is_no_key() -> None:
    world = Growing("A11-B11 B11-C11 C11-D11")
    world.configure("D11", certify("D11", until=START + 100))
    world.start()
    world.run(60)
    machine, records = world.machines["A11.hub"], world.records["A11.hub"]
    released = QuoteReleased(quote="quote-" + "0" * 24, order="x")
    for at, key in ((START + 99, public_key("D11.hub")), (START + 101, None)):
        event = world.send("quote.released", "D11.hub", released, to="A11.hub", time=at)
        assert machine.key_of(records, event) == key


def test_a_contract_with_a_new_hub_verifies_by_the_founders_keys_alone() -> None:
    world = Growing("A11-B11 B11-C11 C11-D11")
    world.start()
    world.run(60)
    world.sell("D11.D12")
    world.run(60)
    world.buy("A11.A12")
    world.run(30)
    (contract,) = world.contracts("A11.A12")
    assert contract.lessor == "D11.D12"
    founders = HubKeys({each: public_key(each) for each in FOUNDERS}, FOUNDING)
    verify_contract(contract, founders, verify)
    with pytest.raises(ContractInvalid) as without:
        verify_contract(contract, dict(founders), verify)
    assert without.value.code == "unknown-hub"
    younger = HubKeys({**founders, "D11.hub": public_key("another")}, FOUNDING, {"D11.hub": 2})
    with pytest.raises(ContractInvalid) as old:
        verify_contract(contract, younger, verify)
    assert old.value.code == "lessor-hub-signature"


def test_an_introduction_is_refused_while_no_way_leads_to_the_partners_hub() -> None:
    world = Growing("A11-B11 B11-C11 C11-D11")
    world.start()
    world.run(60)
    asked = IntroductionRequested(job="job-" + "0" * 24, partner="D11.D12")
    world.send("introduction.requested", "A11.A12", asked)
    world.run(1)
    (made,) = world.got("A11.A12", "introduction.made")
    founders = HubKeys({each: public_key(each) for each in FOUNDERS}, FOUNDING)
    verify_introduction(made.introduction, founders, verify)
    world.cut("C11", "D11")
    world.run(60)
    world.send("introduction.requested", "A11.A12", asked)
    world.run(1)
    (refused,) = world.got("A11.A12", "introduction.refused")
    assert refused.code == "no-way"
