"""What a node is told from outside: one TOML file, and `SUBLET_*` variables, which win over it.

Paths in the file are relative to it, so a node's folder can be moved as a whole. The broker's address holds a password:
it comes from a file of its own or a variable, and never appears in a `repr`, a log line or an error.

    SUBLET_ADDRESS, SUBLET_DATA_DIR, …           a field of the file
    SUBLET_LESSOR_UNITS, SUBLET_RENTER_CORES, …  a field of a table
    SUBLET_AMQP_URL or SUBLET_AMQP_URL_FILE      the secret, or the file that holds it
    SUBLET_CONFIG                                the file itself (read by the command line)

A field or variable that does not exist is an error that names it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
from msgspec import Meta, Struct

from broker.network import LANES_DEFAULT, LANES_MAX, far_neighbours
from nodes.identity import Identity
from nodes.network import NetworkFile, SubnetFile, convert, described, read_network, read_subnet, read_toml
from nodes.roles import ROLES, Role
from schemas import limits
from schemas.errors import BadConfig
from schemas.hubs import CertifiedHub, HubCertificate
from schemas.ids import HUB_NAME, Address, AddressField, hub_of, name_of, parse_address
from schemas.joint import Outliers
from schemas.money import MICROS
from schemas.orders import PROTECTIONS, Protection, Units

PREFIX: Final = "SUBLET_"
OTHER_VARIABLES: Final = ("SUBLET_CONFIG", "SUBLET_TEST_")
"""Variables that others read; names that end in `_` are prefixes."""
MANAGEMENT_URL: Final = "management-url"
"""Beside a hub's `node.toml`: its broker's management API, as an administrator. For the operator's commands."""
CERTIFICATE: Final = "certificate.json"
"""Beside a hub's `node.toml`, where founders certified its key."""
SECRET_BYTES_MAX: Final = 4096

Cores = Annotated[int, Meta(ge=0, le=1024)]
KeepReceipts = Annotated[float, Meta(ge=limits.KEEP_RECEIPTS_DAYS_MIN, le=limits.KEEP_RECEIPTS_DAYS_MAX)]


class RenterSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[renter]`."""

    cores: Cores = 0
    """Cores for encryption and the local part; 0: all that this process may use."""
    allow_software_enclaves: bool = True
    """Whether a job may opt in to software enclaves, which are not confidential. False: never."""
    measurements: tuple[Annotated[str, Meta(pattern=r"^[0-9a-f]{32,128}\Z")], ...] = ()
    """Reference values of enclaves that are accepted beside this release's own software enclave, hexadecimal."""
    policy_file: Annotated[str, Meta(min_length=1)] | None = None
    """A TOML file with what evidence is accepted, hardware's above all. Without it: software enclaves only."""
    batch_deadline_seconds: Annotated[float, Meta(gt=0, le=24 * 3600.0)] = limits.BATCH_DEADLINE_SECONDS
    handshake_seconds_max: Annotated[float, Meta(gt=0, le=3600.0)] = limits.HANDSHAKE_SECONDS_MAX
    batch_window: Annotated[int, Meta(ge=1, le=64)] = limits.BATCH_WINDOW
    """Batches under way per lessor."""
    keep_days: Annotated[float, Meta(ge=0, le=36_500.0)] = limits.KEEP_SECONDS_DEFAULT / limits.DAY_SECONDS
    """An ended job is kept so long, its result included; then nothing is left of it."""
    partner_seconds_max: Annotated[float, Meta(gt=0, le=24 * 3600.0)] = limits.PARTNER_SECONDS_MAX
    """A partner that owes something and says nothing for this long ends the job."""
    approval_seconds_max: Annotated[float, Meta(gt=0, le=7 * 24 * 3600.0)] = limits.APPROVAL_SECONDS_MAX
    """How long a person at the partner may take to approve."""


class LessorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[lessor]`."""

    units: Units = 1
    price: Annotated[float, Meta(ge=0, le=limits.PRICE_MICROS_MAX / MICROS)] = limits.PRICE_MICROS_DEFAULT / MICROS
    """Per unit and hour, in the network's currency; to millionths."""
    charged_seconds_min: Annotated[float, Meta(ge=0, le=3600.0)] = limits.CHARGED_SECONDS_MIN_DEFAULT
    """A contract costs as much as so many seconds at least."""
    idle_seconds_max: Annotated[float, Meta(gt=0, le=limits.LEASE_SECONDS_MAX)] = limits.CONTRACT_IDLE_SECONDS_MAX
    """A contract under which nothing was asked for this long is ended."""
    protections: Annotated[tuple[Protection, ...], Meta(min_length=1, max_length=3)] = PROTECTIONS
    memory_mib: Annotated[int, Meta(ge=64, le=2**24)] = 1024
    """Memory that one unit may use."""
    cores: Cores = 1
    """Processes of one worker for computing on ciphertexts; 0: one per core of the machine."""
    lanes: Annotated[int, Meta(ge=1, le=LANES_MAX)] = LANES_DEFAULT
    """Workers at a time, at most; as in the hub's `subnet.toml`."""
    evidence: Literal["software", "hardware"] = "software"
    """What vouches for enclaves: a development key, or the hardware that this host offers."""
    collateral_file: Annotated[str, Meta(min_length=1)] | None = None
    """The hardware vendor's certificates or collateral, kept fresh by the host's owner; where the host gives none."""


class DatasetSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table `[partner.datasets.NAME]`: any file that a renter could bring, and how it is read."""

    file: Annotated[str, Meta(min_length=1)]
    id_column: Annotated[str, Meta(min_length=1)]
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] | None = None
    decimal: Literal[".", ","] = "."
    encoding: str | None = None
    missing: Literal["refuse", "mean"] = "refuse"
    """Values of a model's columns; the mean may take their place."""
    outliers: Outliers = "refuse"
    """Rows that stand alone in a model's columns; they may be moved towards the mean."""


class PartnerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[partner]`."""

    cores: Cores = 0
    """Cores for computing on ciphertexts; 0: all that this process may use."""
    policy_file: Annotated[str, Meta(min_length=1)] = "policy.toml"
    """Who may ask what of which data; read anew for every request."""
    datasets: dict[str, DatasetSettings] = {}
    renter_seconds_max: Annotated[float, Meta(gt=0, le=7 * 24 * 3600.0)] = limits.RENTER_SECONDS_MAX
    approval_seconds_max: Annotated[float, Meta(gt=0, le=7 * 24 * 3600.0)] = limits.APPROVAL_SECONDS_MAX


Port = Annotated[int, Meta(ge=0, le=65535)]


class OperationsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[operations]`: where operators and their tools ask how a node is. Without a port, nowhere."""

    port: Port | None = None
    """Serves `/livez`, `/readyz` and `/metrics`; 0: any that is free, which the log says."""
    bridge_port: Port | None = None
    """The same of a hub's bridges, which are a process beside it."""
    traces: Annotated[str, Meta(pattern=r"^https?://[^\s]+\Z")] | None = None
    """An OpenTelemetry collector, as `http://127.0.0.1:4318`: spans go there by OTLP. Needs the extra `otel`."""
    address: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    """Whoever can reach it may ask: there is no password."""
    page: bool = False
    """Serves the web page on a free port of loopback; the file `page-address` in the data folder says where."""


class NodeFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file. Paths are relative to its folder."""

    role: Role
    address: AddressField
    network: str = "network.toml"
    subnet: str = "subnet.toml"
    """Read by hubs only."""
    key_file: str = "identity.pem"
    amqp_url_file: str = "amqp-url"
    data_dir: str = "data"
    store: str | None = None
    """`postgresql://user@host/database`: for processes on several machines. Without it: a file in `data_dir`."""
    store_file: str | None = None
    """A file that holds it, where it has a password."""
    keep_receipts_days: KeepReceipts | None = None
    """After a contract's day its receipt is kept so long, at its hubs, renter and lessor, each by its own setting."""
    renter: RenterSettings | None = None
    lessor: LessorSettings | None = None
    partner: PartnerSettings | None = None
    operations: OperationsSettings = OperationsSettings()


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One node, ready to be wired."""

    role: Role
    address: Address
    amqp_url: str = field(repr=False)
    """With user and password: never to be logged."""
    key_file: Path
    data_dir: Path
    """Store and job files; of lessors receipts alone."""
    network: NetworkFile
    store_url: str | None = field(default=None, repr=False)
    """Of a database server. May have a password: never to be logged."""
    keep_receipts_days: float = limits.KEEP_RECEIPTS_DAYS_DEFAULT
    """Of all but partners, who have none."""
    subnet: SubnetFile | None = None
    """Of hubs."""
    network_file: Path | None = None
    """Where `network` came from: it changes with a later welcome."""
    amqp_url_file: Path | None = None
    """Where the broker's address came from, if from a file: with a new password it will stand there too."""
    links: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Of hubs: the URL of their account on the broker of each neighbour that has another one. Never to be logged."""
    certificate: HubCertificate | None = None
    """Of hubs whose key founders certified."""
    renter: RenterSettings | None = None
    policy_file: Path | None = None
    """Of renters, when one is set."""
    lessor: LessorSettings | None = None
    collateral_file: Path | None = None
    """Of lessors, when one is set."""
    partner: PartnerSettings | None = None
    operations: OperationsSettings = field(default_factory=OperationsSettings)
    folder: Path = Path()
    """Of the file: what its settings name is beside it."""

    @property
    def hub(self) -> str:
        """The name of the node's hub."""
        return hub_of(self.address)

    @property
    def jobs(self) -> Path:
        """The renter's folder of jobs."""
        return self.data_dir / "jobs"

    @property
    def keys(self) -> Path:
        """The renter's folder of keys that users gave to submissions."""
        return self.data_dir / "keys"

    @property
    def receipts(self) -> Path:
        """The lessor's folder of receipts."""
        return self.data_dir / "receipts"

    @property
    def blobs(self) -> Path:
        """The renter's folder of programs and public keys."""
        return self.data_dir / "blobs"

    def current_amqp_url(self) -> str:
        """The broker's address as it stands in its file now. Never to be logged."""
        if self.amqp_url_file is None:
            return self.amqp_url
        try:
            return _amqp_url("", self.amqp_url_file)
        except BadConfig:  # it is being replaced
            return self.amqp_url

    def on(self, network: NetworkFile) -> NodeConfig:
        """The same in a network that changed: a hub with its links and certificate as they are now.

        Raises:
            BadConfig: a file of one of them is not there yet.
        """
        if self.role != HUB_NAME:
            return replace(self, network=network)
        certificate = _certificate(self.folder / CERTIFICATE, network, self.hub)
        return replace(self, network=network, links=_links(self.folder, network, self.hub), certificate=certificate)

    def identity(self) -> Identity:
        """The node's key, loaded.

        Raises:
            BadKeyFile: missing, readable by others, or not a key.
        """
        return Identity.load(self.address, self.key_file)


def read_config(path: Path, environment: Mapping[str, str], *, role: Role | None = None) -> NodeConfig:
    """The configuration in `path`, with `SUBLET_*` variables on top.

    Args:
        path: the node's TOML file.
        environment: variables by name.
        role: what the node must be, when the caller can run only that.

    Raises:
        BadConfig: a field is missing, unknown or out of range; naming it.
    """
    if not path.exists():
        places = "./node.toml or ~/.config/sublet/node.toml"
        said = f"cannot read {path}: name the node's file by --config or SUBLET_CONFIG, or lay it at {places}"
        raise BadConfig(said, field="config")
    values = read_toml(path)
    secret = _overlay(values, environment)
    node = convert(values, NodeFile, path.name, strict=False)
    address = parse_address(node.address)
    _check_role(node, address, role, path)
    folder = path.parent
    network = read_network(folder / node.network)
    if hub_of(address) not in network.hubs:
        raise BadConfig(f"{path.name}: {address} belongs to a hub that {node.network} does not know", field="address")
    return NodeConfig(
        role=node.role,
        address=address,
        amqp_url=_amqp_url(secret, folder / node.amqp_url_file),
        key_file=folder / node.key_file,
        data_dir=folder / node.data_dir,
        network=network,
        store_url=_store_url(node, folder),
        keep_receipts_days=node.keep_receipts_days or limits.KEEP_RECEIPTS_DAYS_DEFAULT,
        subnet=_subnet(folder / node.subnet, address) if node.role == "hub" else None,
        network_file=folder / node.network,
        amqp_url_file=None if secret else folder / node.amqp_url_file,
        links=_links(folder, network, hub_of(address)) if node.role == "hub" else {},
        certificate=_certificate(folder / CERTIFICATE, network, hub_of(address)) if node.role == "hub" else None,
        renter=(node.renter or RenterSettings()) if node.role == "renter" else None,
        policy_file=_beside(folder, node.renter.policy_file if node.renter else None),
        lessor=(node.lessor or LessorSettings()) if node.role == "lessor" else None,
        collateral_file=_beside(folder, node.lessor.collateral_file if node.lessor else None),
        partner=(node.partner or PartnerSettings()) if node.role == "partner" else None,
        operations=node.operations,
        folder=folder,
    )


def broker_name(amqp_url: str) -> str:
    """Host and port of a broker's address: what may be shown of it."""
    parts = urlsplit(amqp_url)
    return f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"


def _beside(folder: Path, name: str | None) -> Path | None:
    return None if name is None else folder / name


def _check_role(node: NodeFile, address: Address, role: Role | None, path: Path) -> None:
    if role is not None and node.role != role:
        raise BadConfig(f"{path} describes a {node.role}, not a {role}", field="role")
    if (node.role == "hub") != (name_of(address) == HUB_NAME):
        raise BadConfig(f"{path.name}: {address} cannot be a {node.role}: a hub is <hub>.{HUB_NAME}", field="address")
    if node.role == "partner" and node.keep_receipts_days is not None:
        said = f"{path.name}: keep_receipts_days has no meaning for a partner"
        raise BadConfig(said, field="keep_receipts_days")
    for table in _roles_tables():
        if getattr(node, table) is not None and node.role != table:
            raise BadConfig(f"{path.name}: [{table}] has no meaning for a {node.role}", field=table)


def _subnet(path: Path, me: Address) -> SubnetFile:
    subnet = read_subnet(path)
    if subnet.hub != hub_of(me):
        raise BadConfig(f"{path.name} is the subnet of {subnet.hub}, not of {me}", field="subnet")
    return subnet


def _overlay(values: dict[str, Any], environment: Mapping[str, str]) -> str:
    """Put the variables over the file's values; the secret, when a variable gives it, is returned instead."""
    known = _variables()
    secret = ""
    for name, text in environment.items():
        if not name.startswith(PREFIX) or _others(name):
            continue
        if name == "SUBLET_AMQP_URL":
            secret = text
            continue
        if name not in known:
            close = difflib.get_close_matches(name, [*known, "SUBLET_AMQP_URL", "SUBLET_CONFIG"], 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise BadConfig(f"there is no variable {name}{hint}", field=name)
        table, key = known[name]
        target = values.setdefault(table, {}) if table else values
        if not isinstance(target, dict):
            raise BadConfig(f"{table} must be a table", field=table)
        target[key] = text.split(",") if key in ("protections", "measurements") else text
    if secret and "SUBLET_AMQP_URL_FILE" in environment:
        raise BadConfig("SUBLET_AMQP_URL and SUBLET_AMQP_URL_FILE are both set: keep one", field="SUBLET_AMQP_URL")
    return secret


def _variables() -> dict[str, tuple[str, str]]:
    """Variable name → table ("" for the top) and field."""
    top = {f"{PREFIX}{name.upper()}": ("", name) for name in NodeFile.__struct_fields__}
    for table, settings in _tables().items():
        del top[f"{PREFIX}{table.upper()}"]
        top |= {f"{PREFIX}{table.upper()}_{name.upper()}": (table, name) for name in settings.__struct_fields__}
    return top


def _tables() -> dict[str, type[Struct]]:
    """All tables, and what stands in them."""
    return _roles_tables() | {"operations": OperationsSettings}


def _roles_tables() -> dict[str, type[Struct]]:
    """Those of one role each."""
    return {row.name: row.load(row.settings) for row in ROLES.values() if row.settings}


def _others(name: str) -> bool:
    return any(name == other or (other.endswith("_") and name.startswith(other)) for other in OTHER_VARIABLES)


def link_file(neighbour: str) -> str:
    """Beside a hub's `node.toml`: the URL of its account on this neighbour's broker."""
    return f"link-{neighbour}"


def _certificate(path: Path, network: NetworkFile, hub: str) -> HubCertificate | None:
    if not path.exists():
        return None
    try:
        found = msgspec.json.decode(path.read_bytes(), type=CertifiedHub)
    except (OSError, msgspec.MsgspecError) as error:
        raise BadConfig(f"{path} is no hub's certificate: {error}", field="certificate") from error
    if found.founding != network.founded or found.certificate.hub != hub:
        raise BadConfig(f"{path} is not of {hub} in this network", field="certificate")
    return found.certificate


def _links(folder: Path, network: NetworkFile, hub: str) -> dict[str, str]:
    return {name: _amqp_url("", folder / link_file(name)) for name in far_neighbours(described(network), hub)}


def _amqp_url(secret: str, path: Path) -> str:
    secret = secret or _beside_file(_secret(path, "the broker's address", "amqp_url_file"), path)
    try:
        parts = urlsplit(secret)
        usable = parts.scheme in ("amqp", "amqps") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise BadConfig("the broker's address must be amqp://user:password@host:port/vhost", field="amqp_url")
    return secret


def _beside_file(url: str, path: Path) -> str:
    """The URL with its certificates' files found from the folder of the file that holds it."""
    parts = urlsplit(url)
    options = [
        (name, str(path.parent / value) if name in ("cafile", "certfile", "keyfile") else value)
        for name, value in parse_qsl(parts.query)
    ]
    return urlunsplit(parts._replace(query=urlencode(options, safe="/"))) if options else url


def _store_url(node: NodeFile, folder: Path) -> str | None:
    if node.store is not None and node.store_file is not None:
        raise BadConfig("store and store_file are both set: keep one", field="store")
    url = node.store if node.store_file is None else _secret(folder / node.store_file, "the store's URL", "store_file")
    try:
        usable = url is None or (urlsplit(url).scheme in ("postgresql", "postgres") and len(urlsplit(url).path) > 1)
    except ValueError:
        usable = False
    if not usable:
        raise BadConfig("a store's URL must be postgresql://user:password@host:port/database", field="store")
    return url


def _secret(path: Path, what: str, field: str) -> str:
    try:
        with path.open("r", encoding="utf-8") as file:
            return file.read(SECRET_BYTES_MAX).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise BadConfig(f"cannot read {what} from {path}: {reason}", field=field) from error
