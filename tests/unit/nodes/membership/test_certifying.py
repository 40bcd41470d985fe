"""Founders certify a hub one after the other: what each signs, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from nodes.hub_keys import HubKeys, believed
from nodes.identity import Identity, verify
from nodes.membership import certifying, founding
from nodes.membership.certifying import NotCertified
from nodes.membership.founding import PaperRefused
from nodes.membership.papers import read_paper, write_paper
from nodes.network import BrokerSite, founded_by, read_network
from schemas.errors import BadConfig
from schemas.hubs import FOUNDERS_MAX, CertifiedHub, Founding
from schemas.ids import hub_address
from schemas.membership import HubPaper

NOW = 1_800_000_000.0
UNTIL = NOW + 1e6
NAMES = ("A11", "B11", "C11")
FOUNDERS = {name: Identity.from_seed(hub_address(name), name.encode().ljust(32)) for name in NAMES}
FOUNDING = Founding(founders=tuple(each.public for each in FOUNDERS.values()), needed=2)


@pytest.fixture
def paper(tmp_path: Path) -> HubPaper:
    """Of a hub that joins."""
    site = BrokerSite(host="d11.example")
    return read_paper(founding.new_hub(tmp_path / "D11", "D11", site, links=("A11",), now=NOW), HubPaper)


def signed(paper: HubPaper, *by: str, asked: CertifiedHub | None = None) -> CertifiedHub:
    certified = asked or certifying.ask(paper, FOUNDING, version=1, valid_until=UNTIL)
    for name in by:
        who = FOUNDERS[name]
        certified = certifying.sign(certified, paper, FOUNDING, who.public, who.sign, verify)
    return certified


def test_it_counts_as_soon_as_enough_founders_signed_it_in_whatever_order(paper: HubPaper, tmp_path: Path) -> None:
    keys = HubKeys({}, FOUNDING)
    for by, lacks in (((), 2), (("B11",), 1), (("B11", "B11"), 1), (("C11", "A11"), 0), (NAMES, 0)):
        certified = signed(paper, *by)
        assert certifying.lacking(certified, verify) == lacks, by
        assert believed(keys, certified.certificate, NOW, verify) == (not lacks), by
        write_paper(tmp_path / "file", certified)
        assert read_paper(tmp_path / "file", CertifiedHub) == certified


def test_it_is_valid_until_its_time_in_its_network_and_no_younger_key_is_known(paper: HubPaper) -> None:
    certificate = signed(paper, "A11", "B11").certificate
    assert believed(HubKeys({}, FOUNDING), certificate, UNTIL, verify)
    assert not believed(HubKeys({}, FOUNDING), certificate, UNTIL + 1, verify)
    assert not believed(HubKeys({}, structs.replace(FOUNDING, needed=1)), certificate, NOW, verify)
    assert not believed(HubKeys({hub_address("D11"): bytes(32)}, FOUNDING, {"D11.hub": 1}), certificate, NOW, verify)
    assert believed(HubKeys({hub_address("D11"): bytes(32)}, FOUNDING), certificate, NOW, verify)
    assert not believed({}, certificate, NOW, verify)


@pytest.mark.parametrize("code", ["paper-signature", "other-network", "other-hub"])
def test_a_founder_signs_nothing_else(paper: HubPaper, code: str) -> None:
    asked, other = signed(paper, "A11"), structs.replace(FOUNDING, needed=1)
    changed = {
        "paper-signature": (structs.replace(paper, host="evil.example"), asked),
        "other-network": (paper, structs.replace(asked, founding=other)),
        "other-hub": (paper, structs.replace(asked, certificate=structs.replace(asked.certificate, hub="E11"))),
    }
    with pytest.raises(NotCertified) as refused:
        signed(changed[code][0], "B11", asked=changed[code][1])
    assert refused.value.code == code


def test_who_is_no_founder_certifies_nobody(paper: HubPaper) -> None:
    stranger, asked = Identity.generate(hub_address("D11")), signed(paper)
    with pytest.raises(BadConfig, match="no founder"):
        certifying.sign(asked, paper, FOUNDING, stranger.public, stranger.sign, verify)


@pytest.mark.parametrize(("hubs", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_by_default_most_founders_have_to_agree(hubs: int, needed: int) -> None:
    assert founded_by(bytes([number]) * 32 for number in range(hubs)).needed == needed


def test_more_founders_than_a_document_holds_are_refused() -> None:
    with pytest.raises(BadConfig, match=f"found the network with up to {FOUNDERS_MAX}, then let the others join"):
        founded_by(bytes([number]) * 32 for number in range(FOUNDERS_MAX + 1))


def test_more_founders_than_there_are_cannot_be_needed(tmp_path: Path) -> None:
    alone = founding.new_hub(tmp_path / "E11", "E11", BrokerSite(host="e11.example"), now=NOW)
    with pytest.raises(BadConfig, match="2 founders are needed, and there are 1"):
        founding.found(tmp_path / "E11", [read_paper(alone, HubPaper)], 15672, needed=2)


# ---------------------------------------------------------------- a hub that joins


@pytest.fixture
def papers(tmp_path: Path, paper: HubPaper) -> list[HubPaper]:
    """Of three hubs that found a network, the first of which is to be linked with the fourth; and of that."""
    made = []
    for name in NAMES:
        folder, links = tmp_path / name, ("B11", "C11") if name == "A11" else ("A11",)
        folder.mkdir()
        site = BrokerSite(host=f"{name}.example")
        made.append(read_paper(founding.new_hub(folder, name, site, links=links, now=NOW), HubPaper))
    for name in NAMES:
        founding.found(tmp_path / name, made, 15672)
    again = founding.new_hub(tmp_path / "A11", "A11", BrokerSite(host="A11.example"), links=("D11",), now=NOW + 1)
    assert read_paper(again, HubPaper).public_key == made[0].public_key
    assert made[0].links.items() < read_paper(again, HubPaper).links.items()
    return [read_paper(again, HubPaper), *made[1:], paper]


def by_founders(papers: list[HubPaper], tmp_path: Path) -> CertifiedHub:
    network = read_network(tmp_path / "B11" / "network.toml")
    assert network.founded is not None
    certified = certifying.ask(papers[-1], network.founded, version=1, valid_until=UNTIL)
    for name in ("A11", "C11"):
        who = Identity.load(hub_address(name), tmp_path / name / "identity.pem")
        certified = certifying.sign(certified, papers[-1], network.founded, who.public, who.sign, verify)
    return certified


def test_it_has_the_networks_founding_document_and_a_later_key_of_its_own(
    papers: list[HubPaper], tmp_path: Path
) -> None:
    certified = by_founders(papers, tmp_path)
    network = founding.found(tmp_path / "D11", papers, 15672, certified=certified)
    linked = founding.found(tmp_path / "A11", papers, 15672)
    assert network.founding == linked.founding == read_network(tmp_path / "B11" / "network.toml").founding
    assert {name: hub.version for name, hub in network.hubs.items()} == {"A11": 0, "B11": 0, "C11": 0, "D11": 1}
    assert read_paper(tmp_path / "D11" / "certificate.json", CertifiedHub) == certified
    assert set(linked.hubs) == {*NAMES, "D11"}
    again = founding.found(tmp_path / "D11", papers, 15672)
    assert again == network


def test_who_joins_needs_no_papers_of_those_whom_only_others_are_linked_to(
    papers: list[HubPaper], tmp_path: Path
) -> None:
    """Nothing at a leaf grows with the network, nor what its operator has to gather."""
    certified = by_founders(papers, tmp_path)
    founders, paper = papers[:-1], papers[-1]
    more = founding.new_hub(tmp_path / "B11", "B11", BrokerSite(host="B11.example"), links=("Z11",), now=NOW + 1)
    papers = [founders[0], read_paper(more, HubPaper), founders[2], paper]
    for certificate in (certified, None):
        network = founding.found(tmp_path / "D11", papers, 15672, certified=certificate)
        assert set(network.hubs) == {*NAMES, "D11"}
        assert network.links == (("A11", "B11"), ("A11", "C11"), ("A11", "D11"))
    with pytest.raises(PaperRefused) as refused:
        founding.found(tmp_path / "A11", papers, 15672)
    assert refused.value.code == "one-sided-link"
    site = BrokerSite(host="D11.example")
    own = read_paper(founding.new_hub(tmp_path / "D11", "D11", site, links=("Y11",), now=NOW + 2), HubPaper)
    with pytest.raises(PaperRefused) as refused:
        founding.found(tmp_path / "D11", [*papers[:-1], own], 15672)
    assert refused.value.code == "one-sided-link"


@pytest.mark.parametrize("code", ["not-my-certificate", "hub-certificate"])
def test_a_certificate_that_is_not_right_changes_nothing(papers: list[HubPaper], tmp_path: Path, code: str) -> None:
    good = by_founders(papers, tmp_path)
    one = structs.replace(good.certificate, signatures=good.certificate.signatures[:1])
    others = structs.replace(good.certificate, hub="E11")
    wrong = {"not-my-certificate": others, "hub-certificate": one}[code]
    before = {path.name for path in (tmp_path / "D11").iterdir()}
    with pytest.raises((PaperRefused, NotCertified)) as refused:
        founding.found(tmp_path / "D11", papers, 15672, certified=structs.replace(good, certificate=wrong))
    assert refused.value.code == code
    assert {path.name for path in (tmp_path / "D11").iterdir()} == before
