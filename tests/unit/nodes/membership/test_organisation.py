"""An organisation's folder: keys are made in it, requests leave it, and welcomes come into it that are right."""

from __future__ import annotations

import base64
import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from msgspec import structs

from broker.definitions import password_hash
from nodes.config import read_config
from nodes.hub.records import Member
from nodes.identity import Identity, verify
from nodes.membership import organisation
from nodes.membership.organisation import WelcomeRefused
from nodes.membership.papers import read_paper, write_paper
from nodes.membership.settings import network_toml
from nodes.membership.welcoming import make_welcome
from nodes.network import BrokerSite, HubEntry, NetworkFile, founding_file
from schemas.certifying import certificate_bytes
from schemas.errors import BadConfig
from schemas.hubs import FounderSignature, Founding, HubCertificate
from schemas.ids import Address, hub_address
from schemas.membership import JoinRequest, Welcome
from schemas.signing import struct_bytes

ME = Address("B11.B14")
HUB = Identity.from_seed(hub_address("B11"), b"\x07" * 32)
NOW = 1_800_000_000.0
SITE = BrokerSite(host="b.example", port=5671, tls=True)


def network(hub: Identity = HUB) -> NetworkFile:
    return NetworkFile(brokers={"main": SITE}, hubs={"B11": HubEntry(broker="main", public_key=hub.public.hex())})


def asked(folder: Path) -> JoinRequest:
    return read_paper(folder / f"{ME}.join.json", JoinRequest)


def welcome(request: JoinRequest, *, version: int = 1, account: int = 0, hub: Identity = HUB) -> Welcome:
    member = Member(role=request.role, lanes=request.lanes, key=request.public_key, version=version, account=account)
    now = NOW + version
    return make_welcome(ME, member, network(hub), authority="PEM", now=now, sign=hub.sign)


@pytest.fixture
def joined(tmp_path: Path) -> Path:
    """A node that its hub has welcomed."""
    folder = tmp_path / "node"
    organisation.new(folder, ME, "lessor", 3, NOW)
    organisation.welcome(folder, welcome(asked(folder)))
    return folder


def test_a_request_is_signed_by_a_key_that_stays(tmp_path: Path) -> None:
    organisation.new(tmp_path, ME, "lessor", 3, NOW)
    request, password = asked(tmp_path), (tmp_path / "password").read_text()
    assert verify(request.public_key, struct_bytes(request), request.signature)
    assert request.public_key == Identity.load(ME, tmp_path / "identity.pem").public
    salt = base64.b64decode(request.password_hash)[:4]
    assert request.password_hash == password_hash(password, salt)
    for secret in ("identity.pem", "password"):
        assert stat.S_IMODE((tmp_path / secret).stat().st_mode) == 0o600
        assert (tmp_path / secret).read_text().strip() not in (tmp_path / f"{ME}.join.json").read_text()


def test_a_key_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    organisation.new(tmp_path, ME, "renter", None, NOW)
    before = (tmp_path / "identity.pem").read_bytes()
    with pytest.raises(BadConfig, match="exists"):
        organisation.new(tmp_path, ME, "renter", None, NOW)
    assert (tmp_path / "identity.pem").read_bytes() == before


def test_a_welcome_makes_the_folder_a_nodes(joined: Path) -> None:
    config = read_config(joined / "node.toml", {}, role="lessor")
    url = urlsplit(config.amqp_url)
    assert (config.address, config.network) == (ME, network())
    assert (url.scheme, url.hostname, url.port, url.path) == ("amqps", "b.example", 5671, "/sublet")
    assert (unquote(url.username or ""), url.query) == (ME, f"cafile={joined}/broker-ca.pem")
    assert (joined / "broker-ca.pem").read_text() == "PEM"
    assert config.lessor is not None
    assert config.lessor.lanes == 3
    assert not (joined / "password").exists()


def test_nothing_changes_before_the_welcome_and_then_both_keys_count(joined: Path) -> None:
    before, config = (joined / "amqp-url").read_text(), read_config(joined / "node.toml", {})
    former = config.identity()
    organisation.renew(config, NOW + 10, key=True, password=True)
    request = asked(joined)
    assert (config.identity().newest, (joined / "amqp-url").read_text()) == (former.newest, before)
    assert request.former_key == former.newest
    assert verify(former.newest, struct_bytes(request), request.former_signature)
    assert verify(request.public_key, struct_bytes(request), request.signature)
    organisation.welcome(joined, welcome(request, version=2, account=1))
    assert (config.identity().public, config.identity().newest) == (former.newest, request.public_key)
    now = urlsplit(config.current_amqp_url())
    assert unquote(now.username or "") == f"{ME}~2"
    assert now.password != urlsplit(before.strip()).password
    assert not (joined / "next").exists()


def test_a_new_password_alone_leaves_the_key(joined: Path) -> None:
    config = read_config(joined / "node.toml", {})
    organisation.renew(config, NOW + 10, key=False, password=True)
    request = asked(joined)
    assert (request.public_key, request.former_key) == (config.identity().newest, b"")
    organisation.welcome(joined, welcome(request, version=2, account=1))
    assert not (joined / "former-identity.pem").exists()
    assert config.current_amqp_url() != config.amqp_url


def test_a_new_key_alone_leaves_the_password(joined: Path) -> None:
    config = read_config(joined / "node.toml", {})
    organisation.renew(config, NOW + 10, key=True, password=False)
    organisation.welcome(joined, welcome(asked(joined), version=2))
    assert config.current_amqp_url() == config.amqp_url
    assert (joined / "former-identity.pem").exists()


def test_a_second_change_waits_for_the_first_ones_welcome(joined: Path) -> None:
    config = read_config(joined / "node.toml", {})
    organisation.renew(config, NOW, key=True, password=False)
    with pytest.raises(BadConfig, match="exists"):
        organisation.renew(config, NOW, key=True, password=False)


def test_something_has_to_be_renewed(joined: Path) -> None:
    with pytest.raises(BadConfig, match="--key"):
        organisation.renew(read_config(joined / "node.toml", {}), NOW, key=False, password=False)


def test_a_node_that_made_no_request_cannot_renew(joined: Path) -> None:
    (joined / "welcome.json").unlink()
    with pytest.raises(BadConfig, match=r"welcome\.json"):
        organisation.renew(read_config(joined / "node.toml", {}), NOW, key=True, password=False)


@pytest.mark.parametrize("code", ["wrong-key", "wrong-hub-key", "welcome-signature", "stale-welcome"])
def test_a_welcome_that_is_not_right_changes_nothing(joined: Path, code: str) -> None:
    request = read_paper(joined / "welcome.json", Welcome)
    good = structs.replace(request, version=3, made_at=NOW + 3, signature=b"")
    good = structs.replace(good, signature=HUB.sign(struct_bytes(good)))
    thief = Identity.generate(HUB.address)
    forged = structs.replace(good, hub_key=thief.public, host="evil.example", signature=b"")
    papers = {
        "wrong-key": structs.replace(good, public_key=thief.public),
        "wrong-hub-key": structs.replace(forged, signature=thief.sign(struct_bytes(forged))),
        "welcome-signature": structs.replace(good, host="evil.example"),
        "stale-welcome": request,
    }
    organisation.welcome(joined, good)
    before = {path.name: path.read_bytes() for path in joined.iterdir()}
    with pytest.raises(WelcomeRefused) as refused:
        organisation.welcome(joined, papers[code])
    assert refused.value.code == code
    assert {path.name: path.read_bytes() for path in joined.iterdir()} == before


def test_the_hubs_key_can_be_known_before_the_first_welcome(tmp_path: Path) -> None:
    organisation.new(tmp_path, ME, "lessor", None, NOW)
    paper, other = welcome(asked(tmp_path)), Identity.generate(HUB.address)
    with pytest.raises(WelcomeRefused) as refused:
        organisation.welcome(tmp_path, paper, other.public)
    assert refused.value.code == "wrong-hub-key"
    organisation.welcome(tmp_path, paper, HUB.public)
    assert (tmp_path / "node.toml").exists()


def test_a_hub_that_lost_its_key_is_believed_by_the_founders_certificate_and_else_not(joined: Path) -> None:
    founder, new = Identity.generate(hub_address("A11")), Identity.generate(HUB.address)
    founding = Founding(founders=(founder.public,))
    described = structs.replace(network(), founding=founding_file(founding))
    (joined / "network.toml").write_text(network_toml(described))
    before = read_paper(joined / "welcome.json", Welcome)
    bare = HubCertificate("B11", new.public, 1, NOW + 1000)
    by = {who: FounderSignature(0, who.sign(certificate_bytes(bare, founding))) for who in (founder, HUB)}
    certificates = {who: HubCertificate("B11", new.public, 1, NOW + 1000, (each,)) for who, each in by.items()}

    def paper(certificate: HubCertificate | None) -> Welcome:
        bare = structs.replace(
            before, version=9, made_at=NOW + 9, hub_key=new.public, certificate=certificate, signature=b""
        )
        return structs.replace(bare, signature=new.sign(struct_bytes(bare)))

    for certificate in (None, certificates[HUB], structs.replace(certificates[founder], hub="A11")):
        with pytest.raises(WelcomeRefused) as refused:
            organisation.welcome(joined, paper(certificate))
        assert refused.value.code == "wrong-hub-key"
    organisation.welcome(joined, paper(certificates[founder]))


@pytest.mark.parametrize(
    ("raw", "why"), [(b"{", "is not a welcome"), (b'{"address": "x"}', "is not a welcome"), (None, "cannot read")]
)
def test_a_file_that_is_no_welcome_is_named(tmp_path: Path, raw: bytes | None, why: str) -> None:
    path = tmp_path / "welcome.json"
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(BadConfig, match=why):
        read_paper(path, Welcome)


def test_a_paper_is_read_as_it_was_written(joined: Path, tmp_path: Path) -> None:
    paper = read_paper(joined / "welcome.json", Welcome)
    write_paper(tmp_path / "again.json", paper)
    assert read_paper(tmp_path / "again.json", Welcome) == paper
