"""`sublet network`: what is written, with which modes, when nothing is; and what a node shows of it."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from nodes.cli.main import main
from nodes.config import read_config
from nodes.network_init import is_complete
from schemas.hubs import FOUNDERS_MAX

NODES = ("A11.hub", "B11.hub", "A11.A12", "B11.B12", "B11.B13")


def test_init_writes_the_default_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "network"
    assert main(["network", "init", str(folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"folder": str(folder), "created": True, "nodes": list(NODES)}
    assert {path.name for path in folder.iterdir()} == {"network.toml", "definitions.json", "nodes"}


def test_a_network_may_have_more_hubs_than_founders(tmp_path: Path) -> None:
    hubs = [f"H{number}" for number in range(FOUNDERS_MAX + 2)]
    links = ",".join("-".join(pair) for pair in pairwise(hubs))
    wishes = ("--hubs", ",".join(hubs), "--links", links, "--renter", "H0.A12", "--lessor", "H1.B12")
    assert main(["network", "init", str(tmp_path), *wishes]) == 0
    network = read_config(tmp_path / "nodes" / "H0.A12" / "node.toml", {}).network
    assert network.founding is not None
    assert (len(network.hub_keys), len(network.founding.founders)) == (len(hubs), FOUNDERS_MAX)


def test_secrets_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    main(["network", "init", str(tmp_path)])
    for node in NODES:
        own = tmp_path / "nodes" / node
        assert stat.S_IMODE(own.stat().st_mode) == 0o700
        for secret in ("identity.pem", "amqp-url"):
            assert stat.S_IMODE((own / secret).stat().st_mode) == 0o600


def test_the_definitions_hold_hashes_of_the_nodes_passwords(tmp_path: Path) -> None:
    main(["network", "init", str(tmp_path), "--amqp-host", "rabbitmq", "--amqp-port", "5673"])
    text = (tmp_path / "definitions.json").read_text()
    definitions = json.loads(text)
    users = {user["name"]: user["password_hash"] for user in definitions["users"]}
    assert set(users) == {*NODES, "operator~main"}
    for node in NODES:
        config = read_config(tmp_path / "nodes" / node / "node.toml", {})
        url = urlsplit(config.amqp_url)
        assert (url.hostname, url.port, url.username) == ("rabbitmq", 5673, node)
        assert url.path == f"/{definitions['vhosts'][0]['name']}"
        assert url.password
        assert url.password not in text
        raw = base64.b64decode(users[node])
        assert raw[4:] == hashlib.sha256(raw[:4] + url.password.encode()).digest()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["network", "init", str(tmp_path)])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(["network", "init", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main(["network", "init", str(tmp_path), "--if-missing"]) == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_of_something_else_is_refused_even_if_missing(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    assert main(["network", "init", str(tmp_path), "--if-missing"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_what_an_interrupted_init_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".new-network" / "nodes").mkdir(parents=True)
    assert not is_complete(tmp_path)
    assert main(["network", "init", str(tmp_path), "--if-missing"]) == 0
    assert is_complete(tmp_path)
    assert not (tmp_path / ".new-network").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--renter", "C11.C12"], "needs a hub C11"),
        (["--lessor", "B11.B12", "--lessor", "B11.B12"], "given twice"),
        (["--hubs", "A11,A11"], "given twice"),
        (["--lessor", "B11"], "not an address"),
        (["--lessor", "B11.hub"], "cannot be a participant's name"),
        (["--hubs", "A11,B11,C11", "--links", "A11-B11"], "no link leads"),
        (["--links", "A11"], "is not a link"),
    ],
)
def test_a_plan_that_does_not_fit_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["network", "init", str(tmp_path / "new"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.*"))
    assert main(["network", "init", str(tmp_path / "new"), "--if-missing"]) == 0


def test_a_node_shows_the_network_that_it_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["network", "init", str(tmp_path), "--hubs", "A11,B11,C11", "--links", "A11-B11,B11-C11"])
    capsys.readouterr()
    config = ["--config", str(tmp_path / "nodes" / "B11.hub" / "node.toml")]
    assert main(["network", "show", *config, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["node"], shown["role"]) == ("B11.hub", "hub")
    links = {hub["name"]: hub["links"] for hub in shown["hubs"]}
    assert links == {"A11": ["B11"], "B11": ["A11", "C11"], "C11": ["B11"]}
    participants = {each["address"]: (each["role"], each["lanes"]) for each in shown["participants"]}
    assert participants == {"B11.B12": ("lessor", 8), "B11.B13": ("lessor", 8)}
    assert main(["network", "show", *config]) == 0
    said = capsys.readouterr().out
    for part in ("B11.hub, a hub", "A11, C11", "127.0.0.1:5672/sublet", "B11.B13"):
        assert part in said


def test_only_a_hub_knows_its_participants(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["network", "init", str(tmp_path)])
    capsys.readouterr()
    assert main(["network", "show", "--config", str(tmp_path / "nodes" / "A11.A12" / "node.toml"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["node"], shown["role"], shown["participants"]) == ("A11.A12", "renter", [])


def test_hubs_may_have_brokers_of_their_own_with_an_account_for_each_link(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ("--broker", "A11=a.example:5672", "--broker", "B11=[::1]:5673/own")
    assert main(["network", "init", str(tmp_path), "--hubs", "A11,B11,C11", *own]) == 0
    assert {path.name for path in tmp_path.glob("*.json")} == {
        "definitions-A11.json",
        "definitions-B11.json",
        "definitions-main.json",
    }
    hub = read_config(tmp_path / "nodes" / "A11.hub" / "node.toml", {})
    assert {name: urlsplit(url).username for name, url in hub.links.items()} == {
        "B11": "A11.link.B11",
        "C11": "A11.link.C11",
    }
    url = urlsplit(hub.links["B11"])
    assert (url.hostname, url.port, url.path) == ("::1", 5673, "/own")
    assert str(url.password) not in repr(hub)
    assert stat.S_IMODE((tmp_path / "nodes" / "A11.hub" / "link-B11").stat().st_mode) == 0o600
    there = json.loads((tmp_path / "definitions-B11.json").read_text())
    assert {user["name"] for user in there["users"]} == {
        "B11.hub",
        "B11.B12",
        "B11.B13",
        "A11.link.B11",
        "C11.link.B11",
        "operator~B11",
    }
    assert not read_config(tmp_path / "nodes" / "B11.B12" / "node.toml", {}).links


@pytest.mark.parametrize("given", ["A11", "A11=host", "A11=host:many", "A11=host:0", "=host:5672", "Z11=host:5672"])
def test_a_broker_that_is_none_is_refused(tmp_path: Path, given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["network", "init", str(tmp_path), "--broker", given]) == 2
    assert ("write A11=host:5672" in (said := capsys.readouterr().err)) or "Z11, which is no hub" in said


def test_a_hub_without_neighbours_on_other_brokers_has_nothing_to_carry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["network", "init", str(tmp_path)])
    assert main(["bridge", "--config", str(tmp_path / "nodes" / "A11.hub" / "node.toml")]) == 2
    assert "no neighbour on another broker" in capsys.readouterr().err


class Applied:
    """The management API, as far as it is asked."""

    def __init__(self, _: str) -> None:
        self.made: dict[str, Any] = {}

    def apply(self, made: dict[str, Any]) -> None:
        self.made = made

    def unbind_others(self, vhost: str, exchange: str, bound: set[tuple[str, str]]) -> list[tuple[str, str]]:
        """That the hub was no leaf before."""
        assert self.made["vhosts"] == [{"name": vhost}]
        assert (exchange, bound) == ("unroutable.B11", {("out.B11.A11", "#"), ("q.B11.unroutable", "B11.#")})
        return [("q.B11.unroutable", "#")]


def test_a_broker_is_brought_to_what_a_hub_that_became_a_leaf_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.rabbitmq.management.Management", Applied)
    folder = tmp_path / "B11"
    for name, more in (("A11", ["--link", "B11"]), ("B11", ["--link", "A11", "--leaf"])):
        assert main(["key", "hub", str(tmp_path / name), "--name", name, "--broker", f"{name}:5672/x", *more]) == 0
    papers = [str(tmp_path / name / f"{name}.hub.json") for name in ("A11", "B11")]
    assert main(["network", "found", str(folder), *papers]) == 0
    capsys.readouterr()
    own = ["--config", str(folder / "node.toml")]
    assert main(["network", "apply", *own, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unbound"] == [["q.B11.unroutable", "#"]]
    for text, why in (("{}", "is not of the broker of B11.hub"), ("[]", "has no definitions"), ("{", "is no JSON")):
        (folder / "definitions.json").write_text(text)
        assert main(["network", "apply", *own]) == 2
        assert why in capsys.readouterr().err
    (folder / "definitions.json").unlink()
    assert main(["network", "apply", *own]) == 2
    assert "`sublet network found` writes it" in capsys.readouterr().err


def test_init_makes_leaves_and_says_why_it_cannot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wishes = ["--broker", "B11=b11.example:5672/sublet", "--leaf", "B11"]
    assert main(["network", "init", str(tmp_path / "one"), *wishes]) == 0
    network = read_config(tmp_path / "one" / "nodes" / "B11.hub" / "node.toml", {}).network
    assert (network.is_leaf("A11"), network.is_leaf("B11")) == (False, True)
    assert main(["network", "init", str(tmp_path / "two"), "--leaf", "B11"]) == 2
    assert "B11 is a leaf on the broker of A11" in capsys.readouterr().err
    assert main(["network", "init", str(tmp_path / "two"), "--leaf", "Z11"]) == 2
    assert "Z11 is to be a leaf and is no hub" in capsys.readouterr().err


def test_founders_certify_a_hub_that_joins_one_after_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    links = {"A11": ("B11",), "B11": ("A11",), "D11": ("B11",)}
    for name, others in links.items():
        wanted = [part for other in others for part in ("--link", other)]
        assert main(["key", "hub", str(tmp_path / name), "--name", name, "--broker", f"{name}:5672/x", *wanted]) == 0
    papers = {name: str(tmp_path / name / f"{name}.hub.json") for name in links}
    for name in ("A11", "B11"):
        assert main(["network", "found", str(tmp_path / name), papers["A11"], papers["B11"]]) == 0
    certificate, lacking = str(tmp_path / "D11.certificate.json"), []
    for name, more in (("A11", []), ("B11", [certificate])):
        own = ["--config", str(tmp_path / name / "node.toml"), "--out", certificate, "--json"]
        capsys.readouterr()
        assert main(["network", "certify", papers["D11"], *more, *own]) == 0
        said = json.loads(capsys.readouterr().out)
        lacking.append(said["lacking"])
    assert lacking == [1, 0]
    assert main(["key", "hub", str(tmp_path / "B11"), "--name", "B11", "--broker", "B11:5672/x", "--link", "D11"]) == 0
    for name, options in (("B11", []), ("D11", ["--certificate", certificate])):
        assert main(["network", "found", str(tmp_path / name), *papers.values(), *options]) == 0
    joined, linked = (read_config(tmp_path / name / "node.toml", {}) for name in ("D11", "B11"))
    assert joined.network.founded == linked.network.founded
    assert joined.certificate is not None
    assert joined.certificate.public_key == joined.identity().public
    assert set(linked.links) == {"A11", "D11"}
    assert main(["network", "certify", papers["D11"], "--config", str(tmp_path / "D11" / "node.toml")]) == 2
    assert "no founder" in capsys.readouterr().err


def test_a_founder_that_is_a_leaf_does_not_guess_which_key_it_certifies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, more in (("A11", ["--link", "B11"]), ("B11", ["--link", "A11", "--leaf"]), ("D11", [])):
        assert main(["key", "hub", str(tmp_path / name), "--name", name, "--broker", f"{name}:5672/x", *more]) == 0
    papers = {name: str(tmp_path / name / f"{name}.hub.json") for name in ("A11", "B11", "D11")}
    assert main(["network", "found", str(tmp_path / "B11"), papers["A11"], papers["B11"]]) == 0
    own = ["--config", str(tmp_path / "B11" / "node.toml"), "--out", str(tmp_path / "made.json")]
    assert main(["network", "certify", papers["D11"], *own]) == 2
    assert "give --version" in capsys.readouterr().err
    assert main(["network", "certify", papers["D11"], *own, "--version", "3"]) == 0
