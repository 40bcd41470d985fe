"""The texts of a new node's files: its settings, its broker's address, a partner's policy. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, Literal
from urllib.parse import quote

from broker.network import Role
from nodes.network import BrokerSite, NetworkFile, SubnetFile
from schemas.ids import Address

NETWORK: Final = "network.toml"
KEY: Final = "identity.pem"
AMQP_URL: Final = "amqp-url"
AUTHORITY: Final = "broker-ca.pem"
"""Who signed the broker's certificate, where no system knows it."""
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


def amqp_url(site: BrokerSite, user: str, password: str, *, authority: str = "") -> str:
    """The broker's address for one account (AMQP URI specification: the virtual host is one percent-encoded part).

    The broker's certificate is held against the file `authority` beside it; without, against the system's.
    """
    host = f"[{site.host}]" if ":" in site.host else site.host
    account = f"{quote(user, safe='')}:{quote(password, safe='')}"
    end = f"?cafile={authority}" if site.tls and authority else ""
    return f"amqp{'s' if site.tls else ''}://{account}@{host}:{site.port}/{quote(site.virtual_host, '')}{end}"


def network_toml(network: NetworkFile) -> str:
    """`network.toml` as text."""
    lines = [
        "# The network: its hubs, how they are linked, and their brokers. Public, and the same for every node.",
        *_fields(format=network.format, links=network.links),
    ]
    for name, site in network.brokers.items():
        where = _fields(host=site.host, port=site.port, virtual_host=site.virtual_host, tls=site.tls)
        lines += ["", f"[brokers.{name}]", *where]
    if network.founding is not None:
        lines += ["", "# Whose keys certify hubs that join or have another key, and how many of them have to."]
        lines += ["[founding]", *_fields(needed=network.founding.needed, founders=network.founding.founders)]
    for name, hub in network.hubs.items():
        later = [*(_fields(version=hub.version) if hub.version else []), *(_fields(leaf=True) if hub.leaf else [])]
        lines += ["", f"[hubs.{name}]", *_fields(broker=hub.broker, public_key=hub.public_key), *later]
    return "\n".join(lines) + "\n"


def subnet_toml(subnet: SubnetFile) -> str:
    """`subnet.toml` as text."""
    lines = [f"# The participants of hub {subnet.hub}. Lies at this hub only.", "format = 1", *_fields(hub=subnet.hub)]
    for name, entry in subnet.participants.items():
        fields = _fields(role=entry.role, public_key=entry.public_key, lanes=entry.lanes)
        lines += ["", f"[participants.{name}]", *fields]
    return "\n".join(lines) + "\n"


def node_toml(node: Address, role: Role | Literal["hub"], lanes: int) -> str:
    """`node.toml` as text, with the settings that people change."""
    lines = [
        f"# {node}: a {role}. Paths are relative to this file; SUBLET_* variables win over it.",
        *_fields(role=role, address=node, network=NETWORK, key_file=KEY, amqp_url_file=AMQP_URL),
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
        lines += ["", "[lessor]", *_fields(units=2, price=1.0, lanes=lanes)]
    return "\n".join(lines) + "\n"


def _fields(**values: str | float | Sequence[Sequence[str]] | Sequence[str]) -> list[str]:
    """Lines `name = value`. JSON's strings, numbers and lists of them are TOML's too."""
    return [f"{name} = {json.dumps(value)}" for name, value in values.items()]
