"""Makes a new network's files: description, keys, passwords, RabbitMQ definitions.

    DIR/network.toml                 public; written last, so a folder that has it is complete
    DIR/definitions.json             for RabbitMQ, password hashes only; of several brokers definitions-<name>.json
    DIR/rabbitmq.conf                tells RabbitMQ to load them; likewise
    DIR/nodes/<address>/             one node's own folder (mode 0700), to be moved to where the node runs
        node.toml network.toml identity.pem amqp-url        and at hubs subnet.toml, link-<neighbour on another broker>

Secrets (`identity.pem`, `amqp-url`, `link-*`) have mode 0600 and are new for every network.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from broker.definitions import SALT_BYTES, definitions, password_hash
from broker.names import link_account
from broker.network import LANES_DEFAULT, Network, Role, check_network, far_neighbours
from broker.topology import topology
from nodes.config import link_file
from nodes.identity import Identity
from nodes.network import (
    BrokerSite,
    HubEntry,
    NetworkFile,
    ParticipantEntry,
    SubnetFile,
    described,
)
from schemas.errors import BadConfig
from schemas.ids import HUB_NAME, Address, address, hub_address, hub_of, name_of, parse_address

NETWORK: Final = "network.toml"
BROKER: Final = "main"
PASSWORD_BYTES: Final = 32
_STAGING: Final = ".new-network"
POLICY: Final = """# Who may ask what of this partner's data. Without a rule nobody may.
uncovered = "refuse"                 # or "ask": a person decides, by `sublet joint approve|refuse JOB`

# [[allow]]
# renters = ["A11.A12"]
# datasets = ["NAME"]
# columns = ["COLUMN"]               # left out: all
# programs = ["*"]                   # or SHA-256 digests; "*" is any that gives sums over rows
# algorithms = ["*"]                 # of models to fit: ridge, ols, logistic, poisson; "*" is any
# per_row = true                     # rows may be scored with a model that was fitted here
# rows_min = 20                      # the fewest rows that an output may rest on
# rounds_max = 10
# alignment = ["digest", "psi"]      # how rows may be found; psi shows the renter which of its ids are here
# ids_max = 1000000                  # ids of the renter in one psi: each may be a guess
# until = 2030-01-01T00:00:00Z
"""


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
    hubs = [hub_address(hub) for hub in plan.hubs]
    identities = {node: Identity.generate(node) for node in (*hubs, *plan.participants)}
    network = _network(plan, identities)
    subnets = {hub: _subnet(hub, plan, identities) for hub in plan.hubs}
    layout = described(network, subnets.values())
    check_network(layout)
    ways = [(hub, far) for hub in plan.hubs for far in far_neighbours(layout, hub)]
    users = (*identities, *(Address(link_account(*way)) for way in ways))
    passwords = {user: secrets.token_urlsafe(PASSWORD_BYTES) for user in users}
    (staging / "nodes").mkdir(mode=0o700)
    for node, identity in identities.items():
        own = staging / "nodes" / node
        own.mkdir(mode=0o700)
        identity.save(own / "identity.pem")
        site = plan.sites[plan.broker_of(hub_of(node))]
        _write(own / "amqp-url", amqp_url(site, node, passwords[node]) + "\n", 0o600)
        _write(own / NETWORK, network_toml(network), 0o644)
        _write(own / "node.toml", node_toml(node, plan), 0o644)
        if node in plan.partners:
            _write(own / "policy.toml", POLICY, 0o644)
        if node in hubs:
            _write(own / "subnet.toml", subnet_toml(subnets[hub_of(node)]), 0o644)
    for hub, far in ways:
        user = link_account(hub, far)
        url = amqp_url(plan.sites[plan.broker_of(far)], user, passwords[Address(user)])
        _write(staging / "nodes" / hub_address(hub) / link_file(far), f"{url}\n", 0o600)
    for name, site in plan.sites.items():
        end = "" if len(plan.sites) == 1 else f"-{name}"
        _write(staging / f"definitions{end}.json", _definitions(layout, name, passwords, site.virtual_host), 0o644)
        where = folder.resolve() / f"definitions{end}.json"
        load = f"# RabbitMQ reads this file at its start.\nload_definitions = {where}\n"
        _write(staging / f"rabbitmq{end}.conf", load, 0o644)
    _write(staging / NETWORK, network_toml(network), 0o644)
    return list(identities)


def _definitions(layout: Network, broker: str, passwords: Mapping[Address, str], virtual_host: str) -> str:
    """RabbitMQ's definitions. Anybody may read them: hashes of 256 random bits cannot be turned round."""
    made = topology(layout, broker)
    hashes = {row.user: password_hash(passwords[row.user], secrets.token_bytes(SALT_BYTES)) for row in made.permissions}
    return json.dumps(definitions(made, hashes, vhost=virtual_host), indent=1) + "\n"


def amqp_url(site: BrokerSite, user: str, password: str) -> str:
    """The broker's address for one account (AMQP URI specification: the virtual host is one percent-encoded part)."""
    host = f"[{site.host}]" if ":" in site.host else site.host
    return f"amqp://{quote(user, safe='')}:{quote(password, safe='')}@{host}:{site.port}/{quote(site.virtual_host, '')}"


def network_toml(network: NetworkFile) -> str:
    """`network.toml` as text."""
    lines = [
        "# The network: its hubs, how they are linked, and their brokers. Public, and the same for every node.",
        *_fields(format=network.format, links=network.links),
    ]
    for name, site in network.brokers.items():
        lines += ["", f"[brokers.{name}]", *_fields(host=site.host, port=site.port, virtual_host=site.virtual_host)]
    for name, hub in network.hubs.items():
        lines += ["", f"[hubs.{name}]", *_fields(broker=hub.broker, public_key=hub.public_key)]
    return "\n".join(lines) + "\n"


def subnet_toml(subnet: SubnetFile) -> str:
    """`subnet.toml` as text."""
    lines = [f"# The participants of hub {subnet.hub}. Lies at this hub only.", "format = 1", *_fields(hub=subnet.hub)]
    for name, entry in subnet.participants.items():
        fields = _fields(role=entry.role, public_key=entry.public_key, lanes=entry.lanes)
        lines += ["", f"[participants.{name}]", *fields]
    return "\n".join(lines) + "\n"


def node_toml(node: Address, plan: Plan) -> str:
    """`node.toml` as text, with the settings that people change."""
    role = "hub" if name_of(node) == HUB_NAME else plan.role_of(node)
    lines = [
        f"# {node}: a {role}. Paths are relative to this file; SUBLET_* variables win over it.",
        *_fields(role=role, address=node, network=NETWORK, key_file="identity.pem", amqp_url_file="amqp-url"),
        *_fields(data_dir="data"),
    ]
    if role == "hub":
        lines += _fields(subnet="subnet.toml")
    elif role == "renter":
        lines += ["", "[renter]", "# cores = 0                        # 0: all"]
        lines += ["# allow_software_enclaves = true   # whether a job may opt in to what is not confidential"]
    elif role == "partner":
        lines += ["", "[partner]", *_fields(policy_file="policy.toml")]
        lines += ["", "# [partner.datasets.NAME]           # any table: text, Parquet or Arrow"]
        lines += ['# file = "table.csv"', '# id_column = "id"']
        lines += ['# missing = "mean"               # of models: the mean instead of a missing value; else refused']
        lines += ['# outliers = "move"              # rows that stand alone, towards the mean; else refused']
    else:
        lines += ["", "[lessor]", *_fields(units=2, price=1.0, lanes=plan.lanes)]
    return "\n".join(lines) + "\n"


def _network(plan: Plan, identities: Mapping[Address, Identity]) -> NetworkFile:
    keys = {hub: identities[hub_address(hub)].public.hex() for hub in plan.hubs}
    hubs = {hub: HubEntry(broker=plan.broker_of(hub), public_key=key) for hub, key in keys.items()}
    return NetworkFile(brokers=dict(plan.sites), hubs=hubs, links=plan.linked)


def _subnet(hub: str, plan: Plan, identities: Mapping[Address, Identity]) -> SubnetFile:
    def entry(node: Address, role: Role, lanes: int) -> ParticipantEntry:
        return ParticipantEntry(role=role, public_key=identities[node].public.hex(), lanes=lanes)

    here = [node for node in plan.participants if hub_of(node) == hub]
    lanes = {"lessor": plan.lanes}
    entries = {name_of(node): entry(node, role := plan.role_of(node), lanes.get(role, 0)) for node in here}
    return SubnetFile(hub=hub, participants=entries)


def _fields(**values: str | float | Sequence[Sequence[str]]) -> list[str]:
    """Lines `name = value`. JSON's strings, numbers and lists of them are TOML's too."""
    return [f"{name} = {json.dumps(value)}" for name, value in values.items()]


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
