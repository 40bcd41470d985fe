"""What an organisation does with its node's folder to take part: keys are made here, and only public halves leave.

    new       identity.pem, password                ─► ADDRESS.join.json, which goes to the hub's operator
    welcome   ADDRESS.welcome.json, which came back ─► node.toml, network.toml, amqp-url; the password goes in there
    renew     next/identity.pem, next/password      ─► ADDRESS.join.json, likewise; nothing changes before the welcome

A running node takes up what a welcome changed by itself (`nodes.bootstrap`).
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from msgspec import structs

from broker.definitions import SALT_BYTES, password_hash
from broker.network import LANES_DEFAULT
from nodes.config import NodeConfig
from nodes.hub_keys import certified
from nodes.identity import Identity, former_file, verify
from nodes.membership.papers import put_file, read_paper, write_paper
from nodes.membership.settings import AMQP_URL, AUTHORITY, KEY, NETWORK, POLICY, amqp_url, node_toml
from nodes.network import BrokerSite, read_network
from schemas.errors import BadConfig, VerificationFailed
from schemas.ids import Address, hub_address, hub_of, parse_address
from schemas.membership import JoinRequest, ParticipantRole, Welcome
from schemas.signing import struct_bytes

PASSWORD: Final = "password"  # noqa: S105 - a file's name
NEXT: Final = "next"
NODE: Final = "node.toml"
WELCOME: Final = "welcome.json"
PASSWORD_BYTES: Final = 32
FOLDER_MODE: Final = 0o700
SECRET_MODE: Final = 0o600
_SECRET_BYTES_MAX: Final = 4096


class WelcomeRefused(VerificationFailed):
    """A welcome is not what this node's hub signed for it. `code` says which part is wrong."""


def new(folder: Path, address: str, role: ParticipantRole, lanes: int | None, now: float) -> Path:
    """A new participant's key and password, for their owner alone; the request that asks for it to be admitted.

    Raises:
        BadConfig: the address is none, or there is a key in the folder already.
    """
    me = parse_address(address)
    make_folder(folder)
    identity = Identity.generate(me)
    identity.save(folder / KEY)
    hashed = new_password(folder / PASSWORD)
    count = 0 if role != "lessor" else LANES_DEFAULT if lanes is None else lanes
    request = JoinRequest(
        address=me, role=role, lanes=count, public_key=identity.public, password_hash=hashed, made_at=now
    )
    return _ask(folder, structs.replace(request, signature=identity.sign(struct_bytes(request))))


def renew(config: NodeConfig, now: float, *, key: bool, password: bool) -> Path:
    """The next key, the next password or both; the request that asks for them to be admitted. Nothing changes yet.

    Raises:
        BadConfig: the node did not join by a welcome, or a change is waiting already.
    """
    folder, known = config.folder, config.identity()
    if not (key or password):
        raise BadConfig("say what to renew: --key, --password or both", field="renew")
    before = read_paper(folder / WELCOME, Welcome)
    make_folder(folder / NEXT)
    identity = known
    if key:
        identity = Identity.generate(config.address)
        identity.save(folder / NEXT / KEY)
    request = JoinRequest(
        address=config.address,
        role=before.role,
        lanes=before.lanes,
        public_key=identity.newest,
        former_key=known.newest if key else b"",
        password_hash=new_password(folder / NEXT / PASSWORD) if password else "",
        made_at=now,
    )
    signed = struct_bytes(request)
    former = known.sign(signed) if key else b""
    return _ask(folder, structs.replace(request, signature=identity.sign(signed), former_signature=former))


def welcome(folder: Path, paper: Welcome, hub_key: bytes | None = None) -> None:
    """Put what a welcome says beside the key that it welcomes.

    Args:
        folder: with that key.
        paper: from the hub's operator.
        hub_key: the hub's public key, where it is known from elsewhere; else that of the node's own network counts, or
            the first time the welcome's own.

    Raises:
        WelcomeRefused: wrong-key, wrong-hub-key, welcome-signature or stale-welcome.
        BadConfig: there is no key, or a file cannot be written.
    """
    coming = folder / NEXT if (folder / NEXT / KEY).exists() else folder
    identity = Identity.load(Address(paper.address), coming / KEY)
    if identity.newest != paper.public_key:
        raise WelcomeRefused(f"{paper.address} is welcome with another key than lies in {coming}", code="wrong-key")
    _check(folder, paper, hub_key)
    site = BrokerSite(host=paper.host, port=paper.port, virtual_host=paper.virtual_host, tls=paper.tls)
    if paper.authority:
        put_file(folder / AUTHORITY, paper.authority.encode(), 0o644)
    put_file(folder / NETWORK, paper.description.encode(), 0o644)
    password = next((path for path in (folder / NEXT / PASSWORD, folder / PASSWORD) if path.exists()), None)
    if password is not None:
        url = amqp_url(site, paper.account, _read(password), authority=AUTHORITY if paper.authority else "")
        put_file(folder / AMQP_URL, f"{url}\n".encode(), SECRET_MODE)
    if coming != folder:
        _replace_key(folder)
    if not (folder / NODE).exists():
        put_file(folder / NODE, node_toml(Address(paper.address), paper.role, paper.lanes).encode(), 0o644)
    if paper.role == "partner" and not (folder / "policy.toml").exists():
        put_file(folder / "policy.toml", POLICY.encode(), 0o644)
    write_paper(folder / WELCOME, paper)
    request_file(folder, paper.address).unlink(missing_ok=True)
    if password is not None:
        password.unlink()
    if (folder / NEXT).is_dir():
        (folder / NEXT).rmdir()


def _check(folder: Path, paper: Welcome, hub_key: bytes | None) -> None:
    """Raises WelcomeRefused."""
    hub = hub_address(hub_of(Address(paper.address)))
    if hub_key is None and (folder / NETWORK).exists():
        known = read_network(folder / NETWORK).hub_keys
        hub_key = known.get(hub)
        if paper.certificate is not None and paper.certificate.hub == hub_of(Address(paper.address)):
            hub_key = certified(known, [paper.certificate], paper.made_at, verify).get(hub)
    if hub_key is not None and hub_key != paper.hub_key:
        raise WelcomeRefused(
            f"the welcome of {paper.address} is by another key than that of {hub}", code="wrong-hub-key"
        )
    if not verify(paper.hub_key, struct_bytes(paper), paper.signature):
        raise WelcomeRefused(f"the welcome of {paper.address} is not as {hub} signed it", code="welcome-signature")
    if not (folder / WELCOME).exists():
        return
    before = read_paper(folder / WELCOME, Welcome)
    if (paper.version, paper.made_at) < (before.version, before.made_at):
        raise WelcomeRefused(f"{folder} has a younger welcome of {paper.address} already", code="stale-welcome")


def _replace_key(folder: Path) -> None:
    """The next key takes this one's place, which goes on counting; a node that reads meanwhile finds either."""
    former = former_file(folder / KEY)
    former.unlink(missing_ok=True)
    os.link(folder / KEY, former)
    (folder / NEXT / KEY).replace(folder / KEY)


def request_file(folder: Path, address: str) -> Path:
    """Where a participant's request waits for its way to the hub."""
    return folder / f"{address}.join.json"


def _ask(folder: Path, request: JoinRequest) -> Path:
    path = request_file(folder, request.address)
    write_paper(path, request)
    return path


def make_folder(folder: Path) -> None:
    """For its owner alone. Raises BadConfig."""
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise BadConfig(f"cannot make {folder}: {error.strerror or error}", field="folder") from error


def new_password(path: Path) -> str:
    """A new password in a file of its own; its hash, which is all that others see. Raises BadConfig."""
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    put_file(path, password.encode(), SECRET_MODE)
    return password_hash(password, secrets.token_bytes(SALT_BYTES))


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_SECRET_BYTES_MAX).strip()
    except OSError as error:
        raise BadConfig(f"cannot read {path}: {error.strerror or error}", field="password") from error
