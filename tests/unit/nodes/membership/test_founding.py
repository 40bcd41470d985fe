"""Hubs whose operators keep their keys to themselves found a network: what each gets, and what papers are refused."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from msgspec import structs

from nodes.config import read_config
from nodes.identity import Identity
from nodes.membership import founding
from nodes.membership.founding import PaperRefused
from nodes.membership.papers import read_paper
from nodes.network import BrokerSite
from schemas.errors import BadConfig
from schemas.ids import hub_address
from schemas.membership import HubPaper
from schemas.signing import struct_bytes

NOW = 1_800_000_000.0
LINKS = {"A11": ("B11", "C11"), "B11": ("A11",), "C11": ("A11",)}


@pytest.fixture
def papers(tmp_path: Path) -> dict[str, HubPaper]:
    """Of three hubs, each with a folder and a broker of its own; B11 and C11 are linked with A11 only."""
    made = {}
    for name, links in LINKS.items():
        site = BrokerSite(host=f"{name.lower()}.example", port=5671, tls=True)
        path = founding.new_hub(tmp_path / name, name, site, authority=f"PEM of {name}", links=links, now=NOW)
        made[name] = read_paper(path, HubPaper)
    return made


def defined(folder: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((folder / "definitions.json").read_text())
    return made


def opens(password: str | None, hashed: str) -> bool:
    raw = base64.b64decode(hashed)
    return raw[4:] == hashlib.sha256(raw[:4] + str(password).encode()).digest()


def test_everybody_has_the_same_network_whatever_the_order_of_papers(
    papers: dict[str, HubPaper], tmp_path: Path
) -> None:
    for name in LINKS:
        founding.found(tmp_path / name, sorted(papers.values(), key=lambda each: each.name != name), 15672)
    (text,) = {(tmp_path / name / "network.toml").read_text() for name in LINKS}
    network = read_config(tmp_path / "A11" / "node.toml", {}, role="hub").network
    assert network.links == (("A11", "B11"), ("A11", "C11"))
    assert network.hub_keys == {hub_address(name): paper.public_key for name, paper in papers.items()}
    assert "PRIVATE" not in text


def test_each_hubs_accounts_open_where_they_should(papers: dict[str, HubPaper], tmp_path: Path) -> None:
    for name in LINKS:
        founding.found(tmp_path / name, list(papers.values()), 15672)
    users = {name: {row["name"]: row["password_hash"] for row in defined(tmp_path / name)["users"]} for name in LINKS}
    assert set(users["A11"]) == {"A11.hub", "B11.link.A11", "C11.link.A11", "operator~A11"}
    assert set(users["B11"]) == {"B11.hub", "A11.link.B11", "operator~B11"}
    for name, links in LINKS.items():
        config = read_config(tmp_path / name / "node.toml", {}, role="hub")
        own = urlsplit(config.amqp_url)
        assert opens(own.password, users[name][f"{name}.hub"])
        assert own.query == f"cafile={tmp_path}/{name}/broker-ca.pem"
        assert set(config.links) == set(links)
        for far, url in config.links.items():
            link = urlsplit(url)
            assert (link.hostname, unquote(link.username or "")) == (f"{far.lower()}.example", f"{name}.link.{far}")
            assert opens(link.password, users[far][f"{name}.link.{far}"])
            assert Path(link.query.removeprefix("cafile=")).read_text() == f"PEM of {far}"
        management = tmp_path / name / "management-url"
        assert opens(urlsplit(management.read_text().strip()).password, users[name][f"operator~{name}"])
        assert stat.S_IMODE(management.stat().st_mode) == 0o600
        assert not list((tmp_path / name).glob("link-password-*"))


def test_no_secret_of_a_hub_is_in_what_it_sends(papers: dict[str, HubPaper], tmp_path: Path) -> None:
    for name, links in LINKS.items():
        sent, folder = (tmp_path / name / f"{name}.hub.json").read_text(), tmp_path / name
        secrets = [path.read_text().strip() for path in folder.glob("link-password-*")]
        secrets.append((folder / "identity.pem").read_text().splitlines()[1])
        assert len(secrets) == len(links) + 1
        assert not any(secret in sent for secret in secrets)


def test_a_network_grows_and_nobody_gets_other_secrets(papers: dict[str, HubPaper], tmp_path: Path) -> None:
    old = founding.new_hub(tmp_path / "D11", "D11", BrokerSite(host="d"), links=(), now=NOW)
    folder = tmp_path / "A11"
    founding.found(folder, list(papers.values()), 15672)
    kept = {name: (folder / name).read_text() for name in ("amqp-url", "management-url", "link-B11", "identity.pem")}
    (folder / "subnet.toml").write_text((folder / "subnet.toml").read_text() + "# mine\n")
    third, fourth = (linked(papers["C11"], "D11", tmp_path), linked(read_paper(old, HubPaper), "C11", tmp_path))
    network = founding.found(folder, [papers["A11"], papers["B11"], third, fourth], 15672)
    assert set(network.hubs) == {*LINKS, "D11"}
    assert {name: (folder / name).read_text() for name in kept} == kept
    assert "# mine" in (folder / "subnet.toml").read_text()


def test_a_hub_whose_key_is_lost_has_another_when_all_found_again(papers: dict[str, HubPaper], tmp_path: Path) -> None:
    for name in LINKS:
        founding.found(tmp_path / name, list(papers.values()), 15672)
    lost = tmp_path / "B11"
    before = (lost / "amqp-url").read_text()
    (lost / "identity.pem").unlink()
    site = BrokerSite(host="b11.example", port=5671, tls=True)
    path = founding.new_hub(lost, "B11", site, authority="PEM of B11", links=LINKS["B11"], now=NOW + 1)
    again = papers | {"B11": read_paper(path, HubPaper)}
    networks = [founding.found(tmp_path / name, list(again.values()), 15672) for name in LINKS]
    assert {each.hub_keys[hub_address("B11")] for each in networks} == {again["B11"].public_key}
    assert again["B11"].public_key != papers["B11"].public_key
    assert (lost / "amqp-url").read_text() == before
    link = read_config(lost / "node.toml", {}).links["A11"]
    users = {row["name"]: row["password_hash"] for row in defined(tmp_path / "A11")["users"]}
    assert opens(urlsplit(link).password, users["B11.link.A11"])


def linked(paper: HubPaper, to: str, folder: Path) -> HubPaper:
    """Made anew by its operator, with one link more."""
    more = structs.replace(paper, links=dict(paper.links) | {to: "A" * 48})
    key = Identity.load(hub_address(paper.name), folder / paper.name / "identity.pem")
    return structs.replace(more, signature=key.sign(struct_bytes(more)))


def renamed(paper: HubPaper) -> list[HubPaper]:
    return [structs.replace(paper, host="evil.example")]


CHANGES: Mapping[str, Callable[[dict[str, HubPaper]], list[HubPaper]]] = {
    "paper-signature": lambda papers: [*renamed(papers["B11"]), papers["A11"]],
    "two-papers": lambda papers: [*papers.values(), other(papers["B11"])],
    "not-my-paper": lambda papers: [other(papers["A11"]), papers["B11"], papers["C11"]],
    "one-sided-link": lambda papers: [papers["A11"], papers["B11"]],
}


def other(paper: HubPaper) -> HubPaper:
    """Of the same name, by somebody else."""
    thief = Identity.generate(hub_address(paper.name))
    forged = structs.replace(paper, public_key=thief.public)
    return structs.replace(forged, signature=thief.sign(struct_bytes(forged)))


@pytest.mark.parametrize("code", CHANGES)
def test_papers_that_do_not_fit_found_nothing(papers: dict[str, HubPaper], tmp_path: Path, code: str) -> None:
    with pytest.raises(PaperRefused) as refused:
        founding.found(tmp_path / "A11", CHANGES[code](papers), 15672)
    assert refused.value.code == code
    assert not (tmp_path / "A11" / "network.toml").exists()


def test_a_paper_says_that_its_hub_is_a_leaf_to_everybody_until_it_gets_a_second_link(
    papers: dict[str, HubPaper], tmp_path: Path
) -> None:
    site = BrokerSite(host="b11.example", port=5671, tls=True)
    path = founding.new_hub(tmp_path / "B11", "B11", site, links=LINKS["B11"], leaf=True, now=NOW)
    with_leaf = papers | {"B11": read_paper(path, HubPaper)}
    for name in LINKS:
        network = founding.found(tmp_path / name, list(with_leaf.values()), 15672)
        assert {hub for hub in network.hubs if network.is_leaf(hub)} == {"B11"}
        assert read_config(tmp_path / name / "node.toml", {}, role="hub").network == network
    bound = [row for row in defined(tmp_path / "B11")["bindings"] if row["source"] == "unroutable.B11"]
    assert {(row["routing_key"], row["destination"]) for row in bound} == {
        ("#", "out.B11.A11"),
        ("B11.#", "q.B11.unroutable"),
    }
    with pytest.raises(BadConfig, match="a leaf has one, so leave out --leaf") as refused:
        founding.new_hub(tmp_path / "B11", "B11", site, links=("C11",), leaf=True, now=NOW)
    assert refused.value.field == "leaf"
    founding.new_hub(tmp_path / "B11", "B11", site, links=("C11",), now=NOW)
    assert read_paper(path, HubPaper).leaf is False


def test_hubs_that_do_not_reach_each_other_are_no_network(tmp_path: Path) -> None:
    alone = [
        read_paper(founding.new_hub(tmp_path / name, name, BrokerSite(host=name), now=NOW), HubPaper)
        for name in ("A11", "B11")
    ]
    with pytest.raises(BadConfig, match="no link leads"):
        founding.found(tmp_path / "A11", alone, 15672)
