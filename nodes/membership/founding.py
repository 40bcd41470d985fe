"""A hub whose operator alone has its keys, in a network that several operators found together.

    new_hub   identity.pem, link-password-*  ─► NAME.hub.json, which goes to all other operators
    found     everybody's NAME.hub.json      ─► network.toml, the same at everybody; this hub's files; definitions

Two hubs are linked when each names the other. Whoever founds again, with more hubs, keeps what it has; a hub that joins
later, or has another key, brings a certificate (`certifying.py`), so that those far away need not found again.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from msgspec import structs

from broker.definitions import SALT_BYTES, definitions, password_hash
from broker.names import link_account, operator_account
from broker.network import check_network, far_neighbours
from broker.topology import topology
from nodes.config import CERTIFICATE, MANAGEMENT_URL, link_file
from nodes.identity import Identity, verify
from nodes.membership.certifying import require_certified
from nodes.membership.organisation import NODE, PASSWORD_BYTES, SECRET_MODE, make_folder, new_password
from nodes.membership.papers import put_file, read_paper, write_paper
from nodes.membership.settings import AMQP_URL, AUTHORITY, KEY, NETWORK, amqp_url, network_toml, node_toml, subnet_toml
from nodes.network import (
    BrokerSite,
    HubEntry,
    NetworkFile,
    SubnetFile,
    described,
    founded_by,
    founding_file,
    read_network,
)
from schemas.errors import BadConfig, VerificationFailed
from schemas.hubs import CertifiedHub
from schemas.ids import Address, address, hub_address
from schemas.membership import HubPaper
from schemas.signing import struct_bytes

SUBNET: Final = "subnet.toml"
DEFINITIONS: Final = "definitions.json"
_SECRET_CHARS_MAX: Final = 4096


class PaperRefused(VerificationFailed):
    """A hub's paper is not what it signed, or does not fit the others. `code` says which part is wrong."""


def new_hub(
    folder: Path,
    name: str,
    site: BrokerSite,
    *,
    authority: str = "",
    links: Sequence[str] = (),
    leaf: bool = False,
    now: float,
) -> Path:
    """A new hub's key and passwords for its links, for their owner alone; the paper that goes to the other operators.

    Made again it keeps key and links, and adds those that are new.

    Raises:
        BadConfig: a name is none, a leaf gets a second link, or there is another hub's key in the folder already.
    """
    me, path = hub_address(name), folder / f"{name}.hub.json"
    for link in links:
        address(link, "hub")
    make_folder(folder)
    identity, before = _own_key(folder, me, path)
    named = sorted({*before, *links})
    if leaf and len(named) > 1:
        raise BadConfig(f"{name} has the links {', '.join(named)}: a leaf has one, so leave out --leaf", field="leaf")
    paper = HubPaper(
        name=name,
        public_key=identity.public,
        host=site.host,
        port=site.port,
        virtual_host=site.virtual_host,
        tls=site.tls,
        authority=authority,
        links=before | {each: new_password(folder / _link_password(each)) for each in links if each not in before},
        leaf=leaf,
        made_at=now,
    )
    write_paper(path, structs.replace(paper, signature=identity.sign(struct_bytes(paper))))
    return path


def _own_key(folder: Path, me: Address, paper: Path) -> tuple[Identity, dict[str, str]]:
    """The hub's key, a new one where it is lost; and the hashes of its passwords for links, where there are some."""
    links = dict(read_paper(paper, HubPaper).links) if paper.exists() else {}
    if (folder / KEY).exists() and paper.exists():
        return Identity.load(me, folder / KEY), links
    identity = Identity.generate(me)
    identity.save(folder / KEY)
    return identity, links


def found(
    folder: Path,
    papers: Sequence[HubPaper],
    management_port: int,
    *,
    needed: int = 0,
    certified: CertifiedHub | None = None,
) -> NetworkFile:
    """This hub's files for the network of these hubs, its own among them.

    The founding document of a network that is there is kept; a hub that joins one has it from its certificate. Else
    these hubs are the founders, of whom so many are `needed` to certify others, by default most.

    Raises:
        PaperRefused: paper-signature, two-papers, not-my-paper, one-sided-link or not-my-certificate.
        NotCertified: hub-certificate.
        BadConfig: they are no network, or a file cannot be read or written.
    """
    by_name = _checked(papers)
    mine = _own(folder, by_name)
    _check_links(by_name, mine, joins=certified is not None or (folder / CERTIFICATE).exists())
    network, me = _founded(folder, joined(by_name), mine, needed, certified), hub_address(mine.name)
    check_network(described(network))
    hashes: dict[str, str] = {}
    authority = AUTHORITY if mine.authority else ""
    site = network.brokers[mine.name]
    if mine.authority:
        put_file(folder / AUTHORITY, mine.authority.encode(), 0o644)
    password = _account(folder / AMQP_URL, me, hashes)
    _put_secret(folder / AMQP_URL, amqp_url(site, me, password, authority=authority))
    operator = operator_account(mine.name)
    password = _account(folder / MANAGEMENT_URL, operator, hashes)
    _put_secret(folder / MANAGEMENT_URL, f"http://{quote(operator, safe='')}:{password}@127.0.0.1:{management_port}")
    _write_links(folder, mine, by_name, network)
    hashes |= {link_account(each.name, mine.name): each.links.get(mine.name, "") for each in papers}
    put_file(folder / DEFINITIONS, _definitions(network, mine.name, hashes, operator), 0o644)
    for name, text in ((NODE, node_toml(me, "hub", 0)), (SUBNET, subnet_toml(SubnetFile(hub=mine.name)))):
        if not (folder / name).exists():
            put_file(folder / name, text.encode(), 0o644)
    if certified is not None:
        write_paper(folder / CERTIFICATE, certified)
    put_file(folder / NETWORK, network_toml(network).encode(), 0o644)
    return network


def _founded(
    folder: Path, network: NetworkFile, mine: HubPaper, needed: int, certified: CertifiedHub | None
) -> NetworkFile:
    """The network with its founding document, and the versions of keys."""
    before = read_network(folder / NETWORK) if (folder / NETWORK).exists() else None
    founding = before.founding if before is not None else None
    hubs = {name: structs.replace(hub, version=_version(before, name, hub)) for name, hub in network.hubs.items()}
    if certified is not None:
        certificate = certified.certificate
        if (certificate.hub, certificate.public_key) != (mine.name, mine.public_key):
            raise PaperRefused(f"the certificate is not of {mine.name} with its key", code="not-my-certificate")
        require_certified(certified, verify)
        founding = founding_file(certified.founding)
        hubs[mine.name] = structs.replace(hubs[mine.name], version=certificate.version)
    if founding is None:
        founding = founded_by((bytes.fromhex(each.public_key) for each in hubs.values()), needed)
    return structs.replace(network, hubs=hubs, founding=founding)


def _version(before: NetworkFile | None, name: str, hub: HubEntry) -> int:
    known = None if before is None else before.hubs.get(name)
    return known.version if known is not None and known.public_key == hub.public_key else 0


def joined(papers: Mapping[str, HubPaper]) -> NetworkFile:
    """The network of these hubs: the same for whoever has the same papers."""
    names = sorted(papers)
    links = tuple((one, two) for one in names for two in names if one < two and two in papers[one].links)
    return NetworkFile(
        brokers={name: _site(papers[name]) for name in names},
        hubs={
            name: HubEntry(broker=name, public_key=papers[name].public_key.hex(), leaf=papers[name].leaf)
            for name in names
        },
        links=links,
    )


def _checked(papers: Sequence[HubPaper]) -> dict[str, HubPaper]:
    by_name: dict[str, HubPaper] = {}
    for paper in papers:
        if not verify(paper.public_key, struct_bytes(paper), paper.signature):
            raise PaperRefused(f"the paper of hub {paper.name} is not as it signed it", code="paper-signature")
        if by_name.setdefault(paper.name, paper) != paper:
            raise PaperRefused(f"there are two papers of a hub {paper.name}: ask which is right", code="two-papers")
    return by_name


def _check_links(papers: Mapping[str, HubPaper], mine: HubPaper, *, joins: bool) -> None:
    """That both ends of each link name it. Who joined later needs no papers of hubs that only others are linked to."""
    for paper in papers.values():
        for link in sorted(paper.links):
            elsewhere = joins and paper is not mine and link not in papers
            if not elsewhere and (link not in papers or paper.name not in papers[link].links):
                reason = f"hub {paper.name} wants a link to {link}, which names none to {paper.name}"
                raise PaperRefused(f"{reason}: let both make their papers so", code="one-sided-link")


def _own(folder: Path, papers: Mapping[str, HubPaper]) -> HubPaper:
    for paper in papers.values():
        if Identity.load(hub_address(paper.name), folder / KEY).newest == paper.public_key:
            return paper
    raise PaperRefused(f"none of the papers is of the hub whose key lies in {folder}", code="not-my-paper")


def _write_links(folder: Path, mine: HubPaper, papers: Mapping[str, HubPaper], network: NetworkFile) -> None:
    for far in far_neighbours(described(network), mine.name):
        theirs, path = papers[far], folder / link_file(far)
        fresh = folder / _link_password(far)  # of a paper that was made again
        password = _read(fresh) if fresh.exists() else _password_in(path)
        authority = f"authority-{far}.pem" if theirs.authority else ""
        if theirs.authority:
            put_file(folder / authority, theirs.authority.encode(), 0o644)
        url = amqp_url(_site(theirs), link_account(mine.name, far), password, authority=authority)
        _put_secret(path, url)
        (folder / _link_password(far)).unlink(missing_ok=True)


def _definitions(network: NetworkFile, name: str, hashes: Mapping[str, str], operator: str) -> bytes:
    known = {Address(user): hashed for user, hashed in hashes.items() if hashed}
    administrators = {operator: hashes[operator]}
    made = topology(described(network), name)
    vhost = network.brokers[name].virtual_host
    return json.dumps(definitions(made, known, vhost=vhost, administrators=administrators), indent=1).encode() + b"\n"


def _account(path: Path, user: str, hashes: dict[str, str]) -> str:
    """This hub's password for one of its own accounts, kept if there is one; its hash goes into `hashes`."""
    password = _password_in(path) or secrets.token_urlsafe(PASSWORD_BYTES)
    hashes[user] = password_hash(password, secrets.token_bytes(SALT_BYTES))
    return password


def _password_in(path: Path) -> str:
    return unquote(urlsplit(_read(path)).password or "") if path.exists() else ""


def _site(paper: HubPaper) -> BrokerSite:
    return BrokerSite(host=paper.host, port=paper.port, virtual_host=paper.virtual_host, tls=paper.tls)


def _link_password(neighbour: str) -> str:
    return f"link-password-{neighbour}"


def _put_secret(path: Path, url: str) -> None:
    put_file(path, f"{url}\n".encode(), SECRET_MODE)


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_SECRET_CHARS_MAX).strip()
    except OSError as error:
        raise BadConfig(f"cannot read {path}: {error.strerror or error}", field="folder") from error
