"""Makes a new network's files: description, keys, passwords, RabbitMQ definitions.

    DIR/network.toml                 public; written last, so a folder that has it is complete
    DIR/definitions.json             for RabbitMQ, password hashes only; of several brokers definitions-<name>.json
    DIR/nodes/<address>/             one node's own folder (mode 0700), to be moved to where the node runs
        node.toml network.toml identity.pem amqp-url        at participants welcome.json
        subnet.toml management-url link-<neighbour on another broker>                          at hubs

Secrets (`identity.pem`, `amqp-url`, `management-url`, `link-*`) have mode 0600 and are new for every network.
Participants ask for admission and are welcome here as they would be from elsewhere (`nodes.membership`); but whoever
runs this has held all keys.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from broker.definitions import SALT_BYTES, definitions, password_hash
from broker.names import link_account, operator_account
from broker.network import LANES_DEFAULT, Network, Role, check_network, far_neighbours
from broker.topology import topology
from nodes.config import MANAGEMENT_URL, link_file
from nodes.hub.registry import founded
from nodes.identity import Identity
from nodes.membership import organisation
from nodes.membership.papers import read_paper
from nodes.membership.settings import AMQP_URL, KEY, NETWORK, amqp_url, network_toml, node_toml, subnet_toml
from nodes.membership.welcoming import make_welcome
from nodes.network import (
    BrokerSite,
    HubEntry,
    NetworkFile,
    ParticipantEntry,
    SubnetFile,
    described,
    founded_by,
)
from schemas.errors import BadConfig
from schemas.hubs import FOUNDERS_MAX
from schemas.ids import HUB_NAME, Address, address, hub_address, hub_of, name_of, parse_address
from schemas.membership import JoinRequest

BROKER: Final = "main"
PASSWORD_BYTES: Final = 32
_STAGING: Final = ".new-network"


@dataclass(frozen=True, slots=True)
class Plan:
    """Who shall be in the network. Without `links`, every hub is linked to every other."""

    hubs: tuple[str, ...]
    renters: tuple[Address, ...]
    lessors: tuple[Address, ...]
    links: tuple[tuple[str, str], ...] = ()
    partners: tuple[Address, ...] = ()
    lanes: int = LANES_DEFAULT
    site: BrokerSite = field(default_factory=lambda: BrokerSite(host="127.0.0.1"))
    own_sites: Mapping[str, BrokerSite] = field(default_factory=dict)
    """Brokers of single hubs, by hub; the others share `site`."""
    management_port: int = 15672
    """Of the management API of every broker."""
    leaves: tuple[str, ...] = ()
    """Hubs with one link, each with a broker of its own."""

    def checked(self) -> Plan:
        """Itself.

        Raises:
            BadConfig: a name, address or link that does not fit.
        """
        for hub in self.hubs:
            address(hub, HUB_NAME)
        _no_repeats(self.hubs)
        _no_repeats(self.participants)
        if unknown := set(self.own_sites) - set(self.hubs):
            raise BadConfig(f"a broker is given for {min(unknown)}, which is no hub", field="brokers")
        if unknown := set(self.leaves) - set(self.hubs):
            raise BadConfig(f"{min(unknown)} is to be a leaf and is no hub: add it to --hubs", field="leaf")
        for participant in self.participants:
            parse_address(participant)
            if hub_of(participant) not in self.hubs:
                raise BadConfig(f"{participant} needs a hub {hub_of(participant)}: add it to --hubs", field="hubs")
        return self

    @property
    def participants(self) -> tuple[Address, ...]:
        """All of them."""
        return (*self.renters, *self.lessors, *self.partners)

    def role_of(self, participant: Address) -> Role:
        """Of one of them."""
        return "renter" if participant in self.renters else "partner" if participant in self.partners else "lessor"

    def broker_of(self, hub: str) -> str:
        """The name of the one that carries it."""
        return hub if hub in self.own_sites else BROKER

    @property
    def sites(self) -> Mapping[str, BrokerSite]:
        """Every broker by name."""
        shared = {BROKER: self.site} if set(self.hubs) - set(self.own_sites) else {}
        return shared | dict(self.own_sites)

    @property
    def linked(self) -> tuple[tuple[str, str], ...]:
        """All links."""
        return self.links or tuple(itertools.combinations(self.hubs, 2))


def is_complete(folder: Path) -> bool:
    """Whether a whole network lies there."""
    return (folder / NETWORK).is_file()


def create(folder: Path, plan: Plan) -> list[Address]:
    """Write a new network into `folder`; the addresses of its nodes.

    Raises:
        BadConfig: the plan does not fit together, or there is something in the folder already.
    """
    plan = plan.checked()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / _STAGING, ignore_errors=True)
        if any(folder.iterdir()):
            raise BadConfig(f"{folder} is not empty: nothing is overwritten; choose another folder", field="folder")
        staging = folder / _STAGING
        staging.mkdir(mode=0o700)
        try:
            nodes = _write_all(staging, folder, plan)
            for entry in sorted(staging.iterdir(), key=lambda path: path.name == NETWORK):
                entry.rename(folder / entry.name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise BadConfig(f"cannot write the network to {folder}: {error.strerror or error}", field="folder") from error
    return nodes


def _write_all(staging: Path, folder: Path, plan: Plan) -> list[Address]:
    hubs = {hub: Identity.generate(hub_address(hub)) for hub in plan.hubs}
    network = _network(plan, hubs)
    (staging / "nodes").mkdir(mode=0o700)
    requests = {node: _ask(staging / "nodes" / node, node, plan) for node in plan.participants}
    subnets = {hub: _subnet(hub, requests) for hub in plan.hubs}
    layout = described(network, subnets.values())
    check_network(layout)
    accounts = _Accounts({node: request.password_hash for node, request in requests.items()})
    for hub, identity in hubs.items():
        own = staging / "nodes" / identity.address
        _write_hub(own, identity, plan, subnets[hub], accounts)
        _write_links(own, hub, layout, plan, accounts)
        _write(own / NETWORK, network_toml(network), 0o644)
    for node, request in requests.items():
        _welcome(staging / "nodes" / node, request, network, hubs[hub_of(node)])
    for name, site in plan.sites.items():
        end = "" if len(plan.sites) == 1 else f"-{name}"
        _write(staging / f"definitions{end}.json", _definitions(layout, name, accounts, site.virtual_host), 0o644)
    _write(staging / NETWORK, network_toml(network), 0o644)
    return [*(identity.address for identity in hubs.values()), *requests]


@dataclass(slots=True)
class _Accounts:
    """Password hashes by the broker's users; passwords of hubs, links and operators are made here."""

    hashes: dict[str, str]
    operators: dict[str, str] = field(default_factory=dict)
    """Passwords by broker."""

    def new(self, user: str) -> str:
        """A fresh password for this user."""
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        self.hashes[user] = password_hash(password, secrets.token_bytes(SALT_BYTES))
        return password

    def operator(self, broker: str) -> str:
        """The password of this broker's operators."""
        if broker not in self.operators:
            self.operators[broker] = self.new(operator_account(broker))
        return self.operators[broker]


def _ask(own: Path, node: Address, plan: Plan) -> JoinRequest:
    return read_paper(organisation.new(own, node, plan.role_of(node), plan.lanes, time.time()), JoinRequest)


def _welcome(own: Path, request: JoinRequest, network: NetworkFile, hub: Identity) -> None:
    address, member = Address(request.address), founded(request)
    paper = make_welcome(address, member, network, authority="", now=time.time(), sign=hub.sign)
    organisation.welcome(own, paper)


def _write_hub(own: Path, identity: Identity, plan: Plan, subnet: SubnetFile, accounts: _Accounts) -> None:
    own.mkdir(mode=0o700)
    identity.save(own / KEY)
    broker = plan.broker_of(subnet.hub)
    site = plan.sites[broker]
    url = amqp_url(site, identity.address, accounts.new(identity.address))
    _write(own / AMQP_URL, f"{url}\n", 0o600)
    operator = f"{quote(operator_account(broker), safe='')}:{accounts.operator(broker)}"
    host = f"[{site.host}]" if ":" in site.host else site.host
    _write(own / MANAGEMENT_URL, f"http://{operator}@{host}:{plan.management_port}\n", 0o600)
    _write(own / "node.toml", node_toml(identity.address, "hub", 0), 0o644)
    _write(own / "subnet.toml", subnet_toml(subnet), 0o644)


def _write_links(own: Path, hub: str, layout: Network, plan: Plan, accounts: _Accounts) -> None:
    for far in far_neighbours(layout, hub):
        user = link_account(hub, far)
        url = amqp_url(plan.sites[plan.broker_of(far)], user, accounts.new(user))
        _write(own / link_file(far), f"{url}\n", 0o600)


def _definitions(layout: Network, broker: str, accounts: _Accounts, virtual_host: str) -> str:
    """RabbitMQ's definitions. Anybody may read them: hashes of 256 random bits cannot be turned round."""
    hashes = {Address(user): hashed for user, hashed in accounts.hashes.items()}
    operator = operator_account(broker)
    administrators = {operator: accounts.hashes[operator]}
    made = definitions(topology(layout, broker), hashes, vhost=virtual_host, administrators=administrators)
    return json.dumps(made, indent=1) + "\n"


def _network(plan: Plan, identities: Mapping[str, Identity]) -> NetworkFile:
    keys = {hub: identity.public.hex() for hub, identity in identities.items()}
    hubs = {
        hub: HubEntry(broker=plan.broker_of(hub), public_key=key, leaf=hub in plan.leaves) for hub, key in keys.items()
    }
    founding = founded_by(bytes.fromhex(key) for key in [*keys.values()][:FOUNDERS_MAX])
    return NetworkFile(brokers=dict(plan.sites), hubs=hubs, links=plan.linked, founding=founding)


def _subnet(hub: str, requests: Mapping[Address, JoinRequest]) -> SubnetFile:
    entries = {
        name_of(node): ParticipantEntry(role=each.role, public_key=each.public_key.hex(), lanes=each.lanes)
        for node, each in requests.items()
        if hub_of(node) == hub
    }
    return SubnetFile(hub=hub, participants=entries)


def _write(path: Path, text: str, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _no_repeats(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BadConfig(f"{name} is given twice", field="address")
        seen.add(name)
