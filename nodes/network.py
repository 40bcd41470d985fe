"""The network's public description: hubs, how they are linked, and their brokers (N1 to N4); a hub's own subnet.

Two files, both TOML. `network.toml` is the same for everybody and grows with the number of hubs only; `subnet.toml`
lies at its hub and lists the participants there, with their public keys. Neither holds a secret.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from broker.network import LANES_MAX, Hub, Link, Name, Network, Participant, Role, Route, check_network
from nodes.hub_keys import HubKeys
from schemas.errors import BadConfig
from schemas.hubs import FOUNDERS_MAX, Founding
from schemas.ids import Address, address, hub_address

T = TypeVar("T")

FILE_BYTES_MAX: Final = 4 * 1024 * 1024
_COMPLAINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Object contains unknown field ": "there is no such field",
        "Object missing required field ": "this field is missing",
    }
)

HexKey = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class BrokerSite(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a broker listens."""

    host: Annotated[str, Meta(min_length=1, max_length=253)]
    port: Annotated[int, Meta(ge=1, le=65535)] = 5672
    virtual_host: Annotated[str, Meta(min_length=1, max_length=255)] = "sublet"
    tls: bool = False


class HubEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One hub: the broker that carries it, and its Ed25519 public key; which one: 0 is its first."""

    broker: Name
    public_key: HexKey
    version: Annotated[int, Meta(ge=0)] = 0
    leaf: bool = False
    """It has one link, and of other hubs knows those only that it deals with (`nodes/hub/leaf.py`)."""


class FoundingFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose keys certify hubs, and how many of them have to (`schemas.hubs.Founding`)."""

    needed: Annotated[int, Meta(ge=1, le=FOUNDERS_MAX)]
    founders: Annotated[tuple[HexKey, ...], Meta(min_length=1, max_length=FOUNDERS_MAX)]


class NetworkFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`network.toml`. `links` join two hubs each; `routes` replace shortest ways (N3)."""

    format: Literal[1] = 1
    brokers: dict[str, BrokerSite]
    hubs: dict[str, HubEntry]
    links: tuple[tuple[Name, Name], ...] = ()
    routes: tuple[Route, ...] = ()
    founding: FoundingFile | None = None

    @property
    def hub_keys(self) -> HubKeys:
        """Ed25519 public keys (32 bytes) by the hubs' own addresses, and who certifies others."""
        keys: dict[str, bytes] = {hub_address(each): bytes.fromhex(hub.public_key) for each, hub in self.hubs.items()}
        versions: dict[str, int] = {hub_address(each): hub.version for each, hub in self.hubs.items() if hub.version}
        return HubKeys(keys, self.founded, versions)

    @property
    def founded(self) -> Founding | None:
        """The founding document."""
        if self.founding is None:
            return None
        return Founding(founders=tuple(map(bytes.fromhex, self.founding.founders)), needed=self.founding.needed)

    def is_leaf(self, hub: str) -> bool:
        """Whether this hub is one."""
        return hub in self.hubs and self.hubs[hub].leaf

    def linked_to(self, hub: str) -> frozenset[str]:
        """The hubs at the other ends of a hub's links."""
        return frozenset(one if hub == other else other for one, other in self.links if hub in (one, other))


class ParticipantEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One participant. `lanes` bounds how many workers a lessor may have at a time; others have none."""

    role: Role
    public_key: HexKey
    lanes: Annotated[int, Meta(ge=0, le=LANES_MAX)] = 0


class SubnetFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`subnet.toml` of one hub."""

    format: Literal[1] = 1
    hub: Name
    participants: dict[str, ParticipantEntry] = {}

    @property
    def keys(self) -> Mapping[str, bytes]:
        """Ed25519 public keys (32 bytes) by the participants' addresses."""
        return {address(self.hub, name): bytes.fromhex(entry.public_key) for name, entry in self.participants.items()}

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The participants' addresses, in the file's order."""
        return tuple(address(self.hub, name) for name in self.participants)


def read_network(path: Path) -> NetworkFile:
    """The network's description.

    Raises:
        BadConfig: the file is missing or no description; naming the field.
    """
    network = convert(read_toml(path), NetworkFile, path.name)
    for name, entry in network.hubs.items():
        if entry.broker not in network.brokers:
            message = f"{path.name}: hub {name} is on a broker {entry.broker!r} that is not described"
            raise BadConfig(message, field="broker")
    if network.founding is not None and network.founding.needed > len(set(network.founding.founders)):
        raise BadConfig(f"{path.name}: more founders are needed than there are", field="founding")
    check_network(described(network))
    return network


def founded_by(keys: Iterable[bytes], needed: int = 0) -> FoundingFile:
    """The founding document of these hubs; by default most of them have to agree.

    Raises:
        BadConfig: more are needed than there are, or there are too many.
    """
    founders = tuple(sorted(keys))
    if len(founders) > FOUNDERS_MAX:
        said = f"{len(founders)} hubs cannot all be founders: found the network with up to {FOUNDERS_MAX}"
        raise BadConfig(f"{said}, then let the others join", field="founders")
    if needed > len(founders):
        raise BadConfig(f"{needed} founders are needed, and there are {len(founders)}", field="needed")
    return founding_file(Founding(founders=founders, needed=needed or len(founders) // 2 + 1))


def founding_file(founding: Founding) -> FoundingFile:
    """As it stands in `network.toml`."""
    return FoundingFile(needed=founding.needed, founders=tuple(key.hex() for key in founding.founders))


def read_subnet(path: Path) -> SubnetFile:
    """A hub's subnet.

    Raises:
        BadConfig: the file is missing or no subnet; naming the field.
    """
    subnet = convert(read_toml(path), SubnetFile, path.name)
    for name in subnet.participants:
        address(subnet.hub, name)
    return subnet


def described(network: NetworkFile, subnets: Iterable[SubnetFile] = ()) -> Network:
    """What the broker has to know of the network: with its participants as far as their subnets are given."""
    members: dict[str, tuple[Participant, ...]] = {}
    for subnet in subnets:
        entries = subnet.participants.items()
        members[subnet.hub] = tuple(Participant(name=name, role=each.role, lanes=each.lanes) for name, each in entries)
    hubs = (
        Hub(name=name, participants=members.get(name, ()), broker=each.broker, leaf=each.leaf)
        for name, each in network.hubs.items()
    )
    return Network(hubs=tuple(hubs), links=tuple(Link(hubs=each) for each in network.links), routes=network.routes)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as plain values.

    Raises:
        BadConfig: it is missing, too large or not TOML; naming the line.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise BadConfig(f"cannot read {path}: {error.strerror or error}", field="config") from error
    if len(raw) > FILE_BYTES_MAX:
        raise BadConfig(f"{path} has more than {FILE_BYTES_MAX:,} bytes", field="config")
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path} is not TOML: {error}", field="config") from error


def convert(values: Mapping[str, Any], kind: type[T], where: str, *, strict: bool = True) -> T:
    """Plain values as a checked struct.

    Raises:
        BadConfig: naming the place and the field.
    """
    try:
        return msgspec.convert(values, kind, strict=strict)
    except msgspec.ValidationError as error:
        name, text = _in_words(str(error))
        raise BadConfig(f"{where}: {f'{name}: ' if name else ''}{text}", field=name or None) from error


def _in_words(message: str) -> tuple[str, str]:
    """The field of a msgspec message, as `lessor.units`, and what is wrong with it."""
    text, _, path = message.partition(" - at `")
    parts = [path.removesuffix("`").removeprefix("$").removeprefix(".")]
    for complaint, instead in _COMPLAINTS.items():
        if text.startswith(complaint):
            parts.append(text.removeprefix(complaint).strip("`"))
            text = instead
    return ".".join(part for part in parts if part), text
